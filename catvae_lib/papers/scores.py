r"""A bound with many samples on many images, by differences between bounds.

With $L_S(x)$ the bound of S samples, and levels $S_0 < S_1 < \dots$,

$$\overline{L_{S_n}} = \overline{L_{S_0}} + \sum_i \overline{L_{S_i} - L_{S_{i-1}}},$$

where the first mean is over all images and each difference over fewer: images differ by tens of nats in $L$,
but by little in how much more samples give. Each term has its own sampling error.
"""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from catvae_lib import _validate
from catvae_lib.vae import VAE


@dataclass(frozen=True)
class Level:
    """A number of samples and on how many images, spread evenly over the test set, it is evaluated."""

    samples: int
    images: int

    def __post_init__(self) -> None:
        _validate.count("samples", self.samples)
        _validate.count("images", self.images)


QUICK = (Level(1, 10_000), Level(10, 10_000), Level(1000, 250))
FULL = (Level(1, 10_000), Level(100, 10_000), Level(1000, 10_000))
STRUCTURED = (Level(1, 10_000), Level(10, 10_000), Level(100, 1000))  # L_100 of Maddison et al.
MORE = Level(50_000, 25)  # which they report of their other models


@torch.no_grad()
def bounds(vae: VAE, images: Tensor, levels: tuple[Level, ...], *, seed: int = 0) -> dict[str, Any]:
    """Return the bounds at every level, for all images, with their standard errors, in nats.

    Args:
        vae: The model.
        images: Test images (N, D).
        levels: From few samples on many images to many samples on few; the first must take all images.
        seed: Of the codes.

    Returns:
        "levels": for each its samples, images, bound and standard error; "bound" and "standard_error": the
        last level's. The error is that of taking fewer images at the later levels; the codes' own noise,
        which many images average out, is not in it.

    Raises:
        ValueError: If no level is given, their samples do not rise, or the images of one are not among those
            of the level before.

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> vae = VAE(network.linear(4, 2), BernoulliLatent(2), network.linear(2, 4))
        >>> found = bounds(vae, torch.ones(8, 4), (Level(1, 8), Level(10, 4)))
        >>> [level["samples"] for level in found["levels"]]
        [1, 10]
    """
    _validate.instance("vae", vae, VAE)
    _validate.several("levels", levels, Level)
    _validate.seed("seed", seed)
    _validate.floating("images", images)
    if images.ndim != 2 or len(images) == 0:
        raise ValueError(f"images must be (N, D), N at least 1, got {tuple(images.shape)}")
    samples, counts = ([getattr(level, name) for level in levels] for name in ("samples", "images"))
    if not levels or any(one >= two for one, two in pairwise(samples)):
        raise ValueError(f"levels must be given and rise in samples, got {samples}")
    if any(one % two for one, two in pairwise(min(count, len(images)) for count in counts)):
        raise ValueError(f"levels must each have a divisor of the images before, got {counts}")
    generator = torch.Generator(images.device).manual_seed(seed)
    total, variance, record, before = 0.0, 0.0, [], torch.zeros(len(images), dtype=torch.float64)
    for number, level in enumerate(levels):
        _validate.count("levels", level.images)
        rows = torch.arange(len(images)) if number == 0 else _spread(len(images), level.images)
        values = vae.bound(images[rows], level.samples, generator=generator, precision="auto").double().cpu()
        step = values - before[rows]
        total += step.mean().item()
        variance += 0.0 if number == 0 else step.var().item() / len(rows) * (1 - len(rows) / len(images))
        before = torch.full_like(before, math.nan)
        before[rows] = values
        record.append({**asdict(level), "bound": total, "standard_error": math.sqrt(variance)})
    return {"levels": record, "bound": total, "standard_error": math.sqrt(variance)}


def _spread(count: int, wanted: int) -> Tensor:
    """Return so many row numbers, evenly spread; those of a smaller number that divides it are among them."""
    wanted = min(wanted, count)
    return torch.arange(wanted) * count // wanted
