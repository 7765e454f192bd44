"""The article author's own experiment: squares, bits, and a plain recipe."""

from typing import TYPE_CHECKING, Any

import torch

from catvae_lib import data, network
from catvae_lib.latent import BernoulliLatent
from catvae_lib.papers.models import device
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

if TYPE_CHECKING:
    from catvae_lib.papers.cells import Run

HIDDEN = [1152, 1152]
PICTURES, LEVELS = 100, 15  # prior samples that are stored, and their levels of grey above black
SAMPLES = 5000  # of the bound


def train(run: "Run") -> dict[str, Any]:
    """Train the author's network with his recipe, and store the bound and a grid of prior samples.

    ReLU, Adam at a constant 1e-3, batches of 16, temperature 1, KL weight 1. The sampler is the library's:
    his own drew one Gumbel for the logistic difference of two (see chapter 03).
    """
    squares = data.load("squares").to(device())
    bits = int(run.cell.row.split()[0])
    torch.manual_seed(run.seed)
    encoder = network.mlp(576, HIDDEN, bits, "relu")
    vae = VAE(encoder, BernoulliLatent(bits), network.mlp(bits, HIDDEN, 576, "relu")).to(device())
    config = TrainConfig(
        epochs=run.cell.epochs,
        batch_size=run.cell.batch_size,
        learning_rate=LearningRateSchedule.constant(run.rate),
        temperature=TemperatureSchedule.constant(1.0),
        seed=run.seed,
        track_images=256,
    )
    history = fit(vae, squares, config)
    grey = (vae.generate(PICTURES, generator=torch.Generator().manual_seed(run.seed)) * LEVELS).round().int()
    generator = torch.Generator(device()).manual_seed(run.seed)
    many = vae.bound(squares.test.images, SAMPLES, generator=generator, precision="auto")
    return {
        "steps": history.epochs[-1].step,
        "validation": history.epochs[-1].multi_sample,
        "test": {"bound": many.mean().item()},
        "single_sample": vae.bound(squares.test.images, 1, generator=generator).mean().item(),
        "prior_samples": ["".join(f"{level:x}" for level in row) for row in grey.tolist()],
        "seconds": round(history.seconds, 1),
        **history.machine,
    }
