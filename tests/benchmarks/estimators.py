"""What a training step with each estimator costs, relative to one with Gumbel-softmax, in one run.

    python tests/benchmarks/estimators.py          # 200 bits, the VAE of chapter 06, and 20 x 10 categories
    python tests/benchmarks/estimators.py store    # and keep the ratios, which chapter 08 shows

A step is what `fit` does: noise, forward, backward, update, and what the estimator learns for itself.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch

from catvae_lib import _validate, data, network
from catvae_lib._step import EagerStep, Moments, trained
from catvae_lib.estimators import CATALOGUE, Entry
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.training import TrainConfig
from catvae_lib.vae import VAE

ROUNDS, BATCH = 40, 100
RESULT = Path(__file__).resolve().parents[2] / "figures" / "results" / "estimator_cost.json"
PEERS = {"rebar": 3.9, "relax": 2.2, "disarm": 2.6, "gumbel_rao": 6.9}  # published or measured elsewhere


def steps(entry: Entry, draws: int, latent: Latent, images: torch.Tensor) -> Iterator[None]:
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
                noise = vae.noise(x, draws, generator=generator)
                take(x, x, noise, (0.5, 1.0, 1e-3))
            yield


def measure(code: str) -> dict[str, float]:
    """Print the median step of each estimator; return its ratio to Gumbel-softmax's."""
    latent: Latent = BernoulliLatent(200) if code == "bits" else CategoricalLatent(20, 10)
    images = data.load().train.images[:10_000]
    draws = {
        name: entry.draws for name, entry in CATALOGUE.items() if code in entry.codes and name != "exact"
    }
    draws |= {"gumbel_rao, 10 noises": 11}
    runs = {
        name: steps(CATALOGUE[name.split(",")[0]], number, latent, images) for name, number in draws.items()
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS):
        for name, run in runs.items():
            if name == "local_expectation" and turn % 8:
                continue  # one step of it takes as long as forty others
            since = time.perf_counter()
            next(run)
            found[name].append(time.perf_counter() - since)
    medians = {name: statistics.median(times) for name, times in found.items()}
    floor = medians["gumbel_softmax"]
    print(f"{code}, batch {BATCH}, one thread; a step with Gumbel-softmax takes {floor * 1e3:.2f} ms")
    for name, seconds in medians.items():
        peer = f", elsewhere {PEERS[name]}" if name in PEERS else ""
        print(f"{name:32} {draws[name]:4d} draws  {seconds / floor:6.2f} x{peer}", flush=True)
    return {name: round(seconds / floor, 3) for name, seconds in medians.items()}


def main(store: str = "") -> None:
    """Measure bits and categories; store the ratios if asked to."""
    torch.set_num_threads(1)
    costs = {code: measure(code) for code in ("bits", "categories")}
    if store == "store":
        facts = {"relative_cost": costs, "batch": BATCH, "rounds": ROUNDS, "threads": 1}
        facts |= {"torch": torch.__version__, "date": datetime.now(UTC).date().isoformat()}
        RESULT.write_text(f"{json.dumps(facts, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
