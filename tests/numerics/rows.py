"""One row a function: its formula and the arguments at which it is tried.

To add a function, add its formula to oracles.py and its row to ROWS, and run tests/numerics/measure.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import oracles
import torch
from oracles import Terms
from torch import Tensor

from catvae_lib import _limits, density, latent, sampling

Case = tuple[float | list[float], ...]

SPECIAL = (0, 1e-300, 1e-30, 1e-8, 1e-3, 0.125, 1, 16.6, 20, 36.8, 88.7, 104, 709.7, 745.2, 1e4)


@dataclass(frozen=True)
class Row:
    """A function of the library, the terms whose sum is its formula, and how its arguments are drawn.

    `strict` means that the value itself stands for the largest term: nothing may cancel. The last `numbers`
    arguments are plain numbers, the others tensors. Those at the places `infinite` may be infinite.
    """

    name: str
    call: Callable[..., Tensor]
    terms: Callable[..., Terms]
    draw: Callable[[Random], Case]
    where: str
    strict: bool = False
    numbers: int = 0
    infinite: tuple[int, ...] = ()


# How arguments are drawn: from a seed, or by Hypothesis


def logit(rng: Random) -> float:
    """A logit in [-1e4, 1e4]: a special one, one of any size, or a moderate one."""
    size = rng.choice((rng.choice(SPECIAL), 10 ** rng.uniform(-9, 4), rng.uniform(0, 40)))
    return float(rng.choice((-1, 1)) * size)


def row(rng: Random) -> list[float]:
    """Three logits: unrelated, tied, or near each other."""
    first = logit(rng)
    near = first + 10 ** rng.uniform(-16, 0)
    return rng.choice(([first, logit(rng), logit(rng)], [first, first, first], [first, near, first]))


def temperature(rng: Random) -> float:
    """A temperature, or scale, in [1e-6, 1e6]."""
    return float(rng.choice((1e-6, 1.0, 1e6, 10 ** rng.uniform(-6, 6))))


def bit(rng: Random) -> float:
    """A bit, or something between."""
    return float(rng.choice((0, 1, 0.5, 0.75)))


def noise_of(rng: Random) -> float:
    """Noise as large as float64's uniforms give it."""
    return rng.uniform(-37, 37)


def near(rng: Random) -> float:
    """A difference below 1 of any size, for what is near something else."""
    return float(rng.choice((-1, 1)) * 10 ** rng.uniform(-17, -0.01))


def near_bits(rng: Random) -> Case:
    """A logit and a prior's logit near it."""
    a = logit(rng)
    return a, a + near(rng)


def near_rows(rng: Random) -> Case:
    """Three moderate logits and a prior's near them, but for a constant that changes nothing."""
    logits, shift = [rng.uniform(-4, 4) for _ in range(3)], rng.choice((0, 1, -8))
    return logits, [a + shift + near(rng) / 2 for a in logits]


def near_uniform(rng: Random) -> Case:
    """Three logits near each other."""
    first = rng.choice((0.0, 1.0, -3.0))
    return ([first, first + near(rng) / 2, first + near(rng) / 2],)


def relaxed_row(rng: Random) -> Case:
    """The logarithm of a relaxed code, logits and a temperature."""
    at = temperature(rng)
    scores = torch.tensor([logit(rng), logit(rng), logit(rng)], dtype=torch.float64)
    log_sample = sampling.gumbel_log_softmax(scores, torch.zeros_like(scores), at)
    return log_sample.clamp(min=-1e4).tolist(), row(rng), rng.choice((at, temperature(rng)))


BITS, CATEGORY, GAUSSIAN = latent.BernoulliLatent(3), latent.CategoricalLatent(1, 3), latent.GaussianLatent(1)


def placed(rng: Random) -> Case:
    return logit(rng), rng.choice((0.0, logit(rng))), temperature(rng)


def three_noises(rng: Random) -> list[float]:
    return [noise_of(rng) for _ in range(3)]


def one_hot(rng: Random) -> list[float]:
    return rng.choice(([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5]))


def moderate(rng: Random) -> float:
    """A log standard deviation, or a place."""
    return rng.choice((near(rng), rng.uniform(-10, 10)))


ANY, LAMBDA = "logits in [-1e4, 1e4]", "temperature in [1e-6, 1e6]"
PLACED = "x and location in [-1e4, 1e4], scale in [1e-6, 1e6]"

ROWS = (
    Row(
        "gumbel_log_density",
        density.gumbel_log_density,
        oracles.gumbel_log_density,
        placed,
        PLACED,
        numbers=1,
        infinite=(0,),
    ),
    Row("gumbel_cdf", density.gumbel_cdf, oracles.gumbel_cdf, placed, PLACED, numbers=1, infinite=(0,)),
    Row(
        "logistic_log_density",
        density.logistic_log_density,
        oracles.logistic_log_density,
        placed,
        PLACED,
        numbers=1,
        infinite=(0,),
    ),
    Row("logistic_cdf", density.logistic_cdf, oracles.logistic_cdf, placed, PLACED, numbers=1, infinite=(0,)),
    Row(
        "concrete_log_density",
        density.concrete_log_density,
        oracles.concrete_log_density,
        relaxed_row,
        f"{ANY}, log of the sample at least -1e4, {LAMBDA}",
        numbers=1,
    ),
    Row(
        "binary_concrete_log_density",
        density.binary_concrete_log_density,
        oracles.binary_concrete_log_density,
        lambda rng: (logit(rng), logit(rng), temperature(rng)),
        f"logits in [-1e4, 1e4], {LAMBDA}",
        numbers=1,
    ),
    Row(
        "bernoulli_log_prob",
        density.bernoulli_log_prob,
        oracles.bernoulli_log_prob,
        lambda r: (bit(r), logit(r)),
        ANY,
        infinite=(1,),
    ),
    Row(
        "categorical_log_prob",
        density.categorical_log_prob,
        oracles.categorical_log_prob,
        lambda rng: (one_hot(rng), row(rng)),
        ANY,
        infinite=(1,),
    ),
    Row(
        "bernoulli_kl",
        density.bernoulli_kl,
        oracles.bernoulli_kl,
        lambda rng: (logit(rng),),
        ANY,
        strict=True,
        infinite=(0,),
    ),
    Row(
        "bernoulli_kl to a prior",
        density.bernoulli_kl,
        oracles.bernoulli_kl,
        lambda r: (logit(r), logit(r)),
        ANY,
        infinite=(0, 1),
    ),
    Row(
        "bernoulli_kl near the prior",
        density.bernoulli_kl,
        oracles.bernoulli_kl,
        near_bits,
        f"{ANY} that differ by less than 1",
        strict=True,
    ),
    Row(
        "categorical_kl",
        density.categorical_kl,
        oracles.categorical_kl,
        lambda rng: (row(rng),),
        ANY,
        infinite=(0,),
    ),
    Row(
        "categorical_kl to a prior",
        density.categorical_kl,
        oracles.categorical_kl,
        lambda r: (row(r), row(r)),
        ANY,
        infinite=(0, 1),
    ),
    Row(
        "categorical_kl near uniform",
        density.categorical_kl,
        oracles.categorical_kl,
        near_uniform,
        "logits that differ by less than 1",
        strict=True,
    ),
    Row(
        "categorical_kl near the prior",
        density.categorical_kl,
        oracles.categorical_kl,
        near_rows,
        "logits in [-4, 4], log-ratios less than 1",
        strict=True,
    ),
    Row(
        "gaussian_kl",
        density.gaussian_kl,
        oracles.gaussian_kl,
        lambda rng: (logit(rng), logit(rng)),
        "mean and log std in [-1e4, 1e4]",
        infinite=(0, 1),
    ),
    Row(
        "gaussian_kl near the prior",
        density.gaussian_kl,
        oracles.gaussian_kl,
        lambda rng: (near(rng), near(rng)),
        "mean and log std below 1",
        strict=True,
    ),
    Row(
        "softplus",
        _limits.softplus,
        lambda x: ([oracles.softplus(x)], []),
        lambda rng: (logit(rng),),
        ANY,
        strict=True,
        infinite=(0,),
    ),
    Row(
        "BernoulliLatent.log_prob",
        BITS.log_prob,
        oracles.bits_log_prob,
        lambda rng: ([float(rng.randint(0, 1)) for _ in range(3)], [logit(rng) for _ in range(3)]),
        ANY,
        infinite=(1,),
    ),
    Row(
        "GaussianLatent.log_prob",
        lambda z, m, s: GAUSSIAN.log_prob(z[..., None], torch.stack([m, s], -1)),
        oracles.gaussian_log_prob,
        lambda rng: (logit(rng), logit(rng), moderate(rng)),
        "code and mean in [-1e4, 1e4], log std in [-10, 10]",
    ),
    Row(
        "gaussian",
        sampling.gaussian,
        oracles.gaussian,
        lambda rng: (logit(rng), logit(rng), noise_of(rng)),
        "mean and log std in [-1e4, 1e4]",
    ),
    Row(
        "gumbel_softmax",
        lambda a, e, t: sampling.gumbel_softmax(a, e, t)[..., 0],
        oracles.gumbel_softmax,
        lambda rng: (row(rng), three_noises(rng), temperature(rng)),
        f"{ANY}, {LAMBDA}",
        numbers=1,
        infinite=(0,),
    ),
    Row(
        "gumbel_log_softmax",
        lambda a, e, t: sampling.gumbel_log_softmax(a, e, t)[..., 0],
        oracles.gumbel_log_softmax,
        lambda rng: (row(rng), three_noises(rng), temperature(rng)),
        f"{ANY}, {LAMBDA}",
        numbers=1,
        infinite=(0,),
    ),
    Row(
        "binary_concrete",
        sampling.binary_concrete,
        oracles.binary_concrete,
        lambda rng: (logit(rng), noise_of(rng), temperature(rng)),
        f"{ANY}, {LAMBDA}",
        numbers=1,
        infinite=(0,),
    ),
    Row(
        "binary_concrete_logit",
        sampling.binary_concrete_logit,
        oracles.binary_concrete_logit,
        lambda rng: (logit(rng), noise_of(rng), temperature(rng)),
        f"{ANY}, {LAMBDA}",
        numbers=1,
        infinite=(0,),
    ),
    Row(
        "BernoulliLatent.kl",
        BITS.kl,
        oracles.bits_kl,
        lambda rng: ([logit(rng) for _ in range(3)],),
        ANY,
        strict=True,
        infinite=(0,),
    ),
    Row(
        "CategoricalLatent.kl",
        CATEGORY.kl,
        oracles.categorical_kl,
        lambda rng: (row(rng),),
        ANY,
        infinite=(0,),
    ),
)
