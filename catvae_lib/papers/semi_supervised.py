r"""Jang et al. (2016), Table 2: digits, 100 of them with labels, and a class that is a latent code elsewhere.

$p(x, y, z) = p(y)\, p(z)\, p(x|y, z)$ with a uniform class y of ten and a Gaussian style z, and $q(y|x)\,
q(z|x, y)$ (Kingma et al. 2014). Where there is no label the loss is an expectation over y,

$$E_{q(y|x)}\left[-\ln p(x|y, z) + \mathrm{KL}(q(z|x, y)\,|\,p(z))\right] + \mathrm{KL}(q(y|x)\,|\,p(y)),$$

which is `estimators.exact` (marginalization), or any other estimator at a tenth of its decodings.
"""

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from catvae_lib import data, density, network, sampling
from catvae_lib import noise as noise_source
from catvae_lib.estimators import CATALOGUE, Estimator, exact
from catvae_lib.latent import CategoricalLatent
from catvae_lib.papers.models import device
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule

if TYPE_CHECKING:
    from catvae_lib.papers.cells import Run

CLASSES, STYLE, LABELS, WEIGHT = 10, 32, 100, 50.0
LATENT = CategoricalLatent(1, CLASSES)


class SemiSupervised(nn.Module):
    """The two recognition models, on one convolutional trunk, and the generative model."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(network.conv_encoder((28, 28), [16, 32], 256), nn.ELU())
        self.of_class = network.linear(256, CLASSES)
        self.of_style = network.mlp(256 + CLASSES, [256], 2 * STYLE)
        self.decoder = network.mlp(STYLE + CLASSES, [256, 256], 784)

    def class_logits(self, x: Tensor) -> Tensor:
        """Return the logits of q(y given x), (B, 10)."""
        logits: Tensor = self.of_class(self.trunk(x))
        return logits

    def given_class(self, x: Tensor, seen: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        """Return minus the ELBO given classes y (S, B, 1, 10), in nats, (S, B).

        seen is the trunk's output (B, 256), and noise (B, STYLE) draws the style.
        """
        y = y.squeeze(-2)  # (S, B, 10)
        both = torch.cat([seen.expand(*y.shape[:-1], -1), y], -1)
        mean, log_std = self.of_style(both).chunk(2, -1)
        z = sampling.gaussian(mean, log_std, noise.expand_as(mean))
        logits = self.decoder(torch.cat([z, y], -1))  # (S, B, 784)
        surprise: Tensor = softplus(logits).sum(-1) - (x * logits).sum(-1)
        return surprise + density.gaussian_kl(mean, log_std).sum(-1)

    def loss(
        self, x: Tensor, noise: Tensor, estimator: Estimator, draw: Tensor, temperature: float
    ) -> Tensor:
        """Return minus the ELBO of images without labels, (B,): the class is drawn, or summed over."""
        seen = self.trunk(x)
        logits = self.of_class(seen)
        return estimator(
            LATENT, logits, draw, partial(self.given_class, x, seen, noise), temperature
        ) + LATENT.kl(logits)

    def labelled_loss(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return minus ln p(x, y)'s bound of images with labels y (B,), and the weighted cross-entropy."""
        seen = self.trunk(x)
        known = one_hot(y, CLASSES).to(x.dtype).unsqueeze(-2).unsqueeze(0)  # (1, B, 1, 10)
        own = self.given_class(x, seen, noise, known)[0] + math.log(CLASSES)
        return own + WEIGHT * cross_entropy(self.of_class(seen), y, reduction="none")


def train(run: "Run") -> dict[str, Any]:
    """Train one run; the seed also chooses the hundred labels, ten of each class."""
    digits = data.load()
    x, y = chosen(digits.train, torch.Generator().manual_seed(run.seed))
    torch.manual_seed(run.seed)
    model = SemiSupervised()
    network.start_at_data_mean(model.decoder, digits.train.images)
    digits, x, y, model = digits.to(device()), x.to(device()), y.to(device()), model.to(device())
    generator = torch.Generator(device()).manual_seed(run.seed)
    since = time.perf_counter()
    _steps(model, run, digits.train.images, x, y, generator)
    seconds = time.perf_counter() - since
    return {
        "steps": run.cell.steps,
        "validation": accuracy(model, digits.validation),
        "accuracy": accuracy(model, digits.test),
        "test": {"bound": -objective(model, digits.test.images[:2000], generator)},
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "device": device().type,
    }


def chosen(split: data.Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return images (100, 784) and labels (100,), ten of each class, drawn with the generator."""
    order = torch.randperm(len(split.labels), generator=generator)
    labels = split.labels[order]
    rows = torch.cat([order[labels == digit][: LABELS // CLASSES] for digit in range(CLASSES)])
    return split.images[rows], split.labels[rows]


@torch.no_grad()
def accuracy(model: SemiSupervised, split: data.Split) -> float:
    """Return the share of digits whose most probable class under q(y given x) is their label, per cent."""
    right = sum(
        int((model.class_logits(x).argmax(-1) == y).sum())
        for x, y in zip(split.images.split(1000), split.labels.split(1000), strict=True)
    )
    return 100 * right / len(split.labels)


@torch.no_grad()
def objective(model: SemiSupervised, images: Tensor, generator: torch.Generator) -> float:
    """Return the mean of minus the ELBO, the class summed over: a bound on the NLL, in nats."""
    parts = []
    for x in images.split(500):
        noise = noise_source.normal((len(x), STYLE), generator=generator, device=x.device)
        nothing = x.new_zeros(1, len(x), 1, CLASSES)
        parts.append(model.loss(x, noise, exact, nothing, 1.0))
    return torch.cat(parts).mean().item()


def _steps(
    model: SemiSupervised, run: "Run", images: Tensor, x: Tensor, y: Tensor, generator: torch.Generator
) -> None:
    """Adam on batches without labels, each beside the hundred labelled digits."""
    cell, size = run.cell, run.cell.batch_size
    estimator = exact if cell.estimator == "marginalization" else CATALOGUE[cell.estimator].make(LATENT)
    rate, per_epoch = LearningRateSchedule(run.rate, cell.steps), len(images) // size
    temperature = TemperatureSchedule.reaching_floor(1.0, 0.5, steps=cell.steps)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for step in range(cell.steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(images), generator=generator, device=images.device)
        batch = images[order[step % per_epoch * size :][:size]]
        draw = noise_source.gumbel((1, size, 1, CLASSES), generator=generator, device=images.device)
        noise = noise_source.normal((size + LABELS, STYLE), generator=generator, device=images.device)
        without = model.loss(batch, noise[:size], estimator, draw, temperature(step)).mean()
        labelled = model.labelled_loss(x, y, noise[size:]).mean()
        optimizer.zero_grad()
        (without + labelled).backward()
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
