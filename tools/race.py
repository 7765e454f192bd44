"""Train the VAE of chapter 06 with each estimator; one JSON file a run in figures/results/estimators.

    python tools/race.py            # trains what is missing; a killed run begins its last file again
    python tools/race.py rebar      # only the estimators whose names begin so

Chapter 08 shows the files. Each estimator runs with two learning rates on seed 0; the better one, judged on
validation digits, runs on the other seeds. On one core all of it takes about an hour and a half.
"""

import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from book import ROOT, write
from catvae_lib import data, network
from catvae_lib.estimators import CATALOGUE
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import History, TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE

RESULTS = ROOT / "figures" / "results" / "estimators"
BITS, EPOCHS, SEEDS, RATES = 200, 10, 5, (1e-3, 3e-3)
FLAT = ("straight_through", "reinmax")  # which are best known at temperature 1
DRAWS = {"gumbel_rao": 11}  # ten conditional noises
# Enumeration would take 2^200 evaluations, local expectation 201 a step.
LEFT_OUT = ("exact", "local_expectation", "multi_sample_leave_one_out")


def train(name: str, seed: int, rate: float) -> dict[str, Any]:
    """Train with one estimator, and say what came out."""
    entry, latent, digits = CATALOGUE[name], BernoulliLatent(BITS), data.load()
    torch.manual_seed(seed)
    vae = VAE(network.mlp(784, [300], BITS), latent, network.mlp(BITS, [150, 300], 784))
    network.start_at_data_mean(vae.decoder, digits.train.images)
    draws = DRAWS.get(name, entry.draws)
    config = TrainConfig(
        epochs=EPOCHS,
        learning_rate=rate,
        temperature=TemperatureSchedule.constant(1.0) if name in FLAT else None,
        num_samples=draws,
        kl="sampled" if entry.objective == "multi" else "analytic",
        seed=seed,
    )
    before = time.process_time()
    history = fit(vae, digits, config, estimator=entry.make(latent))
    return {
        "estimator": name,
        "seed": seed,
        "learning_rate": rate,
        "draws": draws,
        "epochs": EPOCHS,
        "cpu_seconds": round(time.process_time() - before, 1),
        **scores(vae, history, digits.test.images[:1000]),
        **history.machine,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def scores(vae: VAE, history: History, test: torch.Tensor) -> dict[str, Any]:
    """What came out: the bounds by epoch on validation digits, and those of the test digits."""
    columns, generator = history.columns(), torch.Generator().manual_seed(1)
    return {
        "steps": columns["step"][-1],
        "validation_single_sample": columns["single_sample"],
        "validation_multi_sample": columns["multi_sample"],
        "test_single_sample": vae.bound(test, 1, generator=generator).mean().item(),
        "test_1000_samples": vae.bound(test, 1000, generator=generator, precision="auto").mean().item(),
        "seconds": round(history.seconds, 1),
    }


def path_of(name: str, rate: float, seed: int) -> Path:
    """File of one run."""
    return RESULTS / f"{name}_rate-{rate:g}_seed-{seed}.json"


def run(name: str, rate: float, seed: int) -> float:
    """Train unless the file is there; return the last validation bound."""
    path = path_of(name, rate, seed)
    if not path.exists():
        result = train(name, seed, rate)
        write(path, f"{json.dumps(result, indent=1)}\n".encode())
        print(f"{path.stem}: {result['test_1000_samples']:.1f} nats, {result['seconds']} s", flush=True)
    bound: float = json.loads(path.read_text())["validation_multi_sample"][-1]
    return bound


def main(beginning: str = "") -> None:
    """Train what is missing: all estimators on one seed first, then on the next."""
    names = [name for name in CATALOGUE if name.startswith(beginning)]
    names = [name for name in names if name not in LEFT_OUT and "bits" in CATALOGUE[name].codes]
    best = {name: max(RATES, key=lambda rate, name=name: run(name, rate, 0)) for name in names}
    for seed in range(1, SEEDS):
        for name in names:
            run(name, best[name], seed)


if __name__ == "__main__":
    main(*sys.argv[1:2])
