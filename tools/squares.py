"""Train the ladder of remedies on `squares`, and store one JSON file a rung in figures/results/squares.

    python tools/squares.py            # trains what is missing; a killed run goes on where it was
    python tools/squares.py bits-8     # only the rungs whose names begin so

Chapter B shows the files. On one core the whole ladder takes about an hour.
"""

import json
import math
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from book import ROOT, write
from catvae_lib import data, density, network
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE

RESULTS = ROOT / "figures" / "results" / "squares"
EPOCHS, BATCH, HIDDEN = 30, 256, 128


@dataclass(frozen=True)
class Rung:
    """One way to train, and on how many seeds."""

    bits: int
    remedies: str
    sample: str = "relaxed"
    activation: str = "relu"
    temperature: tuple[float, float] = (
        1.0,
        1.0,
    )  # at the start and, from two thirds of the run on, the floor
    kl_weight: float = 1.0  # at the start; it falls exponentially to 1, where it is after 0.9 of the run
    seeds: int = 1

    def name(self, seed: int) -> str:
        """Name of the result's file."""
        return f"bits-{self.bits}_{self.remedies.replace(' ', '-').replace(',', '')}_seed-{seed}"


LOCAL = {"sample": "local_expectation"}
ALL = {**LOCAL, "activation": "elu", "kl_weight": 30.0}
RUNGS = [
    Rung(8, "plain", seeds=3),
    Rung(8, "low temperature", temperature=(1.0, 0.1), seeds=3),
    Rung(8, "straight-through", sample="straight_through", seeds=3),
    Rung(8, "elu", activation="elu", seeds=3),
    Rung(8, "elu, low temperature", activation="elu", temperature=(1.0, 0.1), seeds=3),
    Rung(
        8, "elu, low temperature, cooled", activation="elu", temperature=(1.0, 0.1), kl_weight=30.0, seeds=3
    ),
    Rung(8, "elu, cooled, local expectation", **ALL, seeds=3),
    Rung(50, "plain"),
    Rung(50, "elu, cooled, local expectation", **ALL, seeds=3),
    Rung(8, "cooled, local expectation", **LOCAL, kl_weight=30.0, seeds=3),
    Rung(8, "elu, local expectation", **LOCAL, activation="elu", seeds=3),
    Rung(2, "plain"),
    Rung(2, "elu, cooled, local expectation", **ALL),
    Rung(50, "cooled, local expectation", **LOCAL, kl_weight=30.0),
    Rung(25, "plain"),
    Rung(25, "elu, cooled, local expectation", **ALL),
    Rung(50, "elu, low temperature, cooled", activation="elu", temperature=(1.0, 0.1), kl_weight=30.0),
]


def model(rung: Rung, seed: int, images: torch.Tensor) -> VAE:
    """Make the model, started at the average image."""
    torch.manual_seed(seed)
    encoder = network.mlp(576, [HIDDEN, HIDDEN], rung.bits, rung.activation)
    decoder = network.mlp(rung.bits, [HIDDEN, HIDDEN], 576, rung.activation)
    network.start_at_data_mean(decoder, images)
    return VAE(encoder, BernoulliLatent(rung.bits), decoder)


def train(rung: Rung, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Train one rung on one seed, and say what came out."""
    squares = data.load("squares")
    steps = EPOCHS * (len(squares.train.images) // BATCH)
    vae = model(rung, seed, squares.train.images)
    config = TrainConfig(
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=3e-3,
        temperature=TemperatureSchedule.reaching_floor(*rung.temperature, steps=2 * steps // 3),
        kl_weight=TemperatureSchedule.reaching_floor(rung.kl_weight, 1.0, steps=9 * steps // 10),
        sample=rung.sample,
        seed=seed,
        track_images=256,
    )
    history = fit(vae, squares, config, checkpoint=checkpoint)
    return {
        **asdict(rung),
        "seed": seed,
        **scores(vae, squares.test.images),
        "relaxed_objective": history.epochs[-1].relaxed_objective,
        "multi_sample_by_epoch": history.columns()["multi_sample"],
        "steps": steps,
        "seconds": round(history.seconds),
        **history.machine,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


@torch.no_grad()
def scores(vae: VAE, x: torch.Tensor) -> dict[str, Any]:
    """What the 256 images say of a model: its NLL in nats, its KL, and which bits it uses."""
    generator = torch.Generator().manual_seed(11)
    bits = vae.latent.num_features
    if bits <= 8:
        codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * bits)[:, None].expand(-1, len(x), -1)
        params = vae.encode(x)
        log_joint = vae.log_weight(x, codes, params) + vae.latent.log_prob(codes, params)
        nll, how = -torch.logsumexp(log_joint, 0).mean().item(), "exact, all codes enumerated"
    else:
        nll, how = -vae.bound(x, 5000, generator=generator).mean().item(), "bound, 5000 samples"
    each = density.bernoulli_kl(vae.encode(x)).mean(0)
    drawn = (vae.generate(4096, generator=generator) > 0.5).float()
    is_square = (torch.cdist(drawn, x, p=1).min(1).values == 0).float().mean().item()
    return {
        "nll": nll,
        "how": how,
        "single_sample": vae.bound(x, 1, generator=generator).mean().item(),
        "kl": each.sum().item(),
        "bits_used": int((each > 0.5 * math.log(2)).sum()),
        "prior_samples_that_are_squares": is_square,
    }


def main(beginning: str = "") -> None:
    """Train what is missing."""
    for rung in RUNGS:
        for seed in range(rung.seeds):
            path = RESULTS / f"{rung.name(seed)}.json"
            if path.exists() or not path.name.startswith(beginning):
                continue
            checkpoint = ROOT / ".cache" / "squares" / f"{path.stem}.safetensors"
            result = train(rung, seed, checkpoint)
            write(path, f"{json.dumps(result, indent=1)}\n".encode())
            checkpoint.unlink()
            print(f"{path.stem}: {result['nll']:.3f} nats, {result['seconds']} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
