"""What a training step with each estimator costs, relative to one with Gumbel-softmax, in one run.

    python tests/benchmarks/estimators.py              # 200 bits: the VAE of chapter 06
    python tests/benchmarks/estimators.py categories   # 20 x 10 categories

A step is what `fit` does: noise, forward, backward, update, and what the estimator learns for itself.
"""

import statistics
import sys
import time
from collections.abc import Iterator

import torch

from catvae_lib import _validate, data, network
from catvae_lib._step import EagerStep, Moments, trained
from catvae_lib.estimators import CATALOGUE, Entry
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.training import TrainConfig
from catvae_lib.vae import VAE

ROUNDS, BATCH = 40, 100
PEERS = {"rebar": 3.9, "relax": 2.2, "disarm": 2.6, "gumbel_rao": 6.9}  # published or measured elsewhere


def steps(entry: Entry, latent: Latent, images: torch.Tensor) -> Iterator[None]:
    """Training steps without end."""
    torch.manual_seed(0)
    decoder = network.mlp(latent.num_features, [150, 300], 784)
    vae = VAE(network.mlp(784, [300], latent.num_parameters), latent, decoder)
    config = TrainConfig(kl="sampled" if entry.objective == "multi" else "analytic")
    take = EagerStep(vae, config, torch.float32, Moments.zero(trained(vae)), 0, entry.make(latent))
    generator = torch.Generator().manual_seed(0)
    while True:
        for x in images.split(BATCH):
            with _validate.trusted():
                noise = vae.noise(x, entry.draws, generator=generator)
                take(x, x, noise, (0.5, 1.0, 1e-3))
            yield


def main(code: str = "bits") -> None:
    """Print the median step of each, and its ratio to Gumbel-softmax's."""
    torch.set_num_threads(1)
    latent: Latent = BernoulliLatent(200) if code == "bits" else CategoricalLatent(20, 10)
    images = data.load().train.images[:10_000]
    runs = {
        name: steps(entry, latent, images)
        for name, entry in CATALOGUE.items()
        if code in entry.codes and name != "exact"  # which would take 2^200 evaluations
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS):
        for name, run in runs.items():
            if name == "local_expectation" and turn % 8:
                continue  # one step of it takes as long as twenty others
            since = time.perf_counter()
            next(run)
            found[name].append(time.perf_counter() - since)
    floor = statistics.median(found["gumbel_softmax"])
    print(f"{code}, batch {BATCH}, one thread; a step with Gumbel-softmax takes {floor * 1e3:.2f} ms")
    for name, times in found.items():
        peer = f", elsewhere {PEERS[name]}" if name in PEERS and code == "bits" else ""
        ratio = statistics.median(times) / floor
        print(f"{name:32} {CATALOGUE[name].draws:4d} draws  {ratio:6.2f} x{peer}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
