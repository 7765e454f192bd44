"""Chapter 01: Gumbel noise from uniform noise."""

import math

import torch
from torch import Tensor

from catvae_lib import density, noise
from catvae_lib.classroom.trial import Known, Trial, task

EULER = 0.5772156649015329
SAMPLES = 40_000

_GUMBEL_FROM_UNIFORM_KNOWN: Known = [
    (
        lambda u, loc, scale: loc - scale * torch.log(-torch.log(1 - u)),
        "It decreases in u: an inverse CDF must rise. Did 1 - u take the place of u?",
    ),
    (
        lambda u, loc, scale: -torch.log(-torch.log(u)),
        "It does not depend on loc and scale: standard noise comes out whatever they are.",
    ),
    (
        lambda u, loc, scale: loc - torch.log(-torch.log(u)) / scale,
        "The scale divides where it should multiply.",
    ),
    (
        lambda u, loc, scale: scale * (loc - torch.log(-torch.log(u))),
        "The scale multiplies the location too: the location is added last.",
    ),
    (lambda u, loc, scale: loc + scale * torch.log(-torch.log(u)), "The sign of the noise is wrong."),
    (
        lambda u, loc, scale: loc - scale * torch.log(u),
        "One logarithm is missing: this is exponential noise.",
    ),
    (
        lambda u, loc, scale: loc + scale * torch.logit(u),
        "This is logistic noise, the difference of two Gumbels.",
    ),
]


@task
def gumbel_from_uniform(trial: Trial) -> None:
    """Turn uniform noise u into Gumbel noise of a location and a scale."""
    cases = [
        (trial.uniform(trial.integer(3, 5)), trial.number(-2, 2), trial.number(0.3, 3)) for _ in range(12)
    ]
    cases.append((trial.uniform(2, 3), 0.0, 1.0))
    trial.agree(
        noise.gumbel_from_uniform,
        cases,
        known=_GUMBEL_FROM_UNIFORM_KNOWN,
        hint="Set u = exp(-exp(-(x - loc)/scale)) and solve for x, one function at a time.",
    )
    tails = torch.tensor([1e-8, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-8], dtype=torch.float64)
    hint = "The middle is right, the tails are not: is u clamped, rounded to float32, or moved by a constant?"
    trial.agree(noise.gumbel_from_uniform, [(tails, 0.0, trial.number(0.3, 3))], hint=hint)


_GUMBEL_LOG_DENSITY_KNOWN: Known = [
    (
        lambda x, loc, scale: -torch.exp(-(x - loc) / scale),
        "This is the log of the CDF: exp(-exp(-z)) is not a density, its integral is infinite.",
    ),
    (density.gumbel_cdf, "This is the CDF, not the logarithm of a density."),
    (
        lambda x, loc, scale: density.gumbel_log_density(x, loc, scale) + math.log(scale),
        "The density of a stretched variable is lower: the term -ln(scale) is missing.",
    ),
    (
        lambda x, loc, scale: density.gumbel_log_density(x, loc, scale) + 2 * math.log(scale),
        "The sign of ln(scale) is wrong: the density of a stretched variable is lower.",
    ),
    (
        lambda x, loc, scale: density.gumbel_log_density(x, loc, scale) + math.log(scale) - scale,
        "The scale itself is subtracted: in a logarithm, a factor 1/scale becomes a term with ln(scale).",
    ),
    (
        lambda x, loc, scale: density.gumbel_log_density((x - loc) / scale, 0.0, 1.0) / scale,
        "The logarithm is divided by the scale: a factor of a density is a term of its logarithm.",
    ),
    (
        lambda x, loc, scale: density.gumbel_log_density(x, loc, scale).exp(),
        "This is the density; a logarithm is missing.",
    ),
    (
        lambda x, loc, scale: density.gumbel_log_density(2 * loc - x, loc, scale),
        "The long tail is on the wrong side: the sign of z is turned around.",
    ),
]


@task
def gumbel_log_density(trial: Trial) -> None:
    """Return the log-density of a Gumbel variable."""
    cases = []
    for _ in range(12):
        loc, scale = trial.number(-2, 2), trial.number(0.3, 3)
        cases.append((loc + scale * trial.uniform(4, low=-3, high=5), loc, scale))  # no density underflows
    trial.agree(
        density.gumbel_log_density,
        cases,
        known=_GUMBEL_LOG_DENSITY_KNOWN,
        hint="Differentiate the CDF exp(-exp(-z)), with z = (x - loc)/scale, then take the logarithm.",
    )
    far = torch.tensor([-8.0, 900.0], dtype=torch.float64)
    trial.agree(
        density.gumbel_log_density,
        [(far, 0.0, 1.0)],
        hint="Far from the middle the density is 0 in floating point: never take its logarithm, build it.",
    )


@task
def gumbel_sampler(trial: Trial) -> None:
    """Draw Gumbel noise of a shape from a generator."""
    seed, tried = trial.integer(0, 10**6), f"{trial.name}((2, 3), generator)"
    one, again, other = (_drawn(trial, (2, 3), number) for number in (seed, seed, seed + 1))
    shape = f"shape {tuple(one.shape)}"
    hint = "The shape is the first argument of torch.rand."
    trial.that(one.shape == (2, 3), shape, "shape (2, 3)", hint, tried=tried)
    came = "two different samples from two generators of the same seed"
    hint = "Hand the generator on to torch: `generator=generator`."
    trial.that(torch.equal(one, again), came, "the same sample twice", hint, tried=tried)
    came, hint = "the same sample from two different seeds", "Set no seed inside: the generator has one."
    trial.that(not torch.equal(one, other), came, "different samples", hint, tried=tried)
    generator = torch.Generator().manual_seed(seed)
    moved = not torch.equal(trial.call((2, 3), generator), trial.call((2, 3), generator))
    hint = "The generator must move on: draw from it, not from a copy of its seed."
    trial.that(moved, "the same sample in a second call", "different samples", hint, tried=tried)
    _draws_of_noise(trial, seed + 2)


def _draws_of_noise(trial: Trial, seed: int) -> None:
    shape = (SAMPLES // 200, 200)
    draws, tried = _drawn(trial, shape, seed).flatten(), f"{trial.name}({shape}, generator)"
    finite, hint = bool(torch.isfinite(draws).all()), "torch.rand can return 0 exactly."
    trial.that(finite, "infinite or NaN noise", "finite noise", hint, tried=tried)
    values, hint = len(draws.unique()), "Entries share their noise: each needs a uniform number of its own."
    came, expected = f"{values} different values in {SAMPLES} entries", "a value of its own in each entry"
    trial.that(values > 0.9 * SAMPLES, came, expected, hint, tried=tried)
    expected = f"the Gumbel's mean {EULER:.3f}, standard deviation 1.28 and CDF exp(-exp(-x))"
    trial.distribution(draws, density.gumbel_cdf, tried=tried, expected=expected, hint=_about_noise(draws))
    low, high = ((draws < -math.log(-math.log(0.001))).sum(), (draws > -math.log(-math.log(0.999))).sum())
    counts, p = torch.stack([low, SAMPLES - low - high, high]), torch.tensor([0.001, 0.998, 0.001])
    hint = "The outermost thousandths are missing: is u clamped too far from 0 or from 1, or squeezed?"
    came = " in the left tail, the middle and the right tail"
    trial.frequencies(counts, p.double(), tried=tried, hint=hint, came=came)
    hint = "Neighbouring values are not independent: each needs a uniform number of its own."
    trial.mean((draws[::2] > draws[1::2]).double(), 0.5, (0, 1), tried=tried, hint=hint)


def _drawn(trial: Trial, shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    result: Tensor = trial.call(shape, generator)
    hint = "Stay in torch from beginning to end."
    tried = f"{trial.name}({shape}, generator)"
    trial.that(isinstance(result, Tensor), f"a {type(result).__name__}", "a tensor", hint, tried=tried)
    return result


def _about_noise(draws: Tensor) -> str:
    mean, spread = draws.double().mean().item(), draws.double().std().item()
    if abs(mean + EULER) < 0.05:
        return "The mirror image: the sign of the noise is wrong."
    if abs(mean) < 0.05 and abs(spread - 1) < 0.05:
        return "Mean 0 and standard deviation 1: this is normal noise, torch.randn."
    if abs(mean) < 0.05 and abs(spread - 1.81) < 0.08:
        return "Mean 0 and standard deviation 1.81: this is logistic noise."
    if abs(mean - 1) < 0.05 and abs(spread - 1) < 0.05:
        return "Mean 1 and standard deviation 1: exponential noise; one logarithm is missing."
    if draws.min() >= 0 and draws.max() <= 1:
        return "All values lie between 0 and 1: uniform noise was returned as it is."
    return "Put uniform noise through the inverse CDF of task 1."


_SAFE_GUMBEL_KNOWN: Known = [
    (
        lambda u: -torch.log(-torch.log(u + 1e-7) + 1e-7),
        "The constants bend the right tail: noise above 13 comes out too small.",
    )
]


@task
def safe_gumbel(trial: Trial) -> None:
    """Turn every number that float32's torch.rand can return into finite Gumbel noise, changing no other."""

    def right(u: Tensor) -> Tensor:
        return -torch.log(-torch.log(u.double())).float()

    inner = trial.uniform(1000, low=1e-6, high=1 - 1e-6).float()
    ends = torch.tensor([1e-30, 2.0**-24, 2.0**-23, 1e-5, 0.5, 1 - 1e-5, 1 - 2.0**-24])
    hint = "For u inside (0, 1) nothing should change: is it still -log(-log(u)), in float32?"
    trial.agree(right, [(inner,)], hint=hint, tolerance=2e-3)
    hint = "A constant added to u, or to a logarithm, changes the tails. Change u only where it is 0 or 1."
    trial.agree(right, [(ends,)], known=_SAFE_GUMBEL_KNOWN, hint=hint, tolerance=2e-3)
    for end in (0.0, 1.0):
        u = torch.tensor([end, 0.5])
        noise_there = trial.call(u)[0].item()
        far = -1000 < noise_there < -3 if end == 0 else 13 < noise_there < 1000
        hint = "Which is the smallest float32 above 0, and which the largest below 1?"
        tried = f"{trial.name}([{end:g}, 0.5]) in float32"
        expected = "a tail value, -1000 to -3" if end == 0 else "a tail value, 13 to 1000"
        trial.that(far, f"{noise_there:.4g}", expected, hint, tried=tried)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = x.std() * math.sqrt(6) / math.pi
    return x.mean() - EULER * scale, scale


_FIT_GUMBEL_KNOWN: Known = [
    (
        lambda x: (x.mean(), _moments(x)[1]),
        "The location is not the mean: a standard Gumbel has mean 0.577, Euler's constant.",
    ),
    (
        lambda x: (x.mean() - EULER, _moments(x)[1]),
        "Euler's constant is stretched by the scale as well.",
    ),
    (
        lambda x: (x.mean() - EULER * x.var() * 6 / math.pi**2, x.var() * 6 / math.pi**2),
        "This is the scale's square: the variance of a Gumbel is scale^2 pi^2 / 6.",
    ),
    (
        lambda x: (x.mean() - EULER * x.std(), x.std()),
        "The standard deviation is not the scale: a standard Gumbel's is pi / sqrt(6).",
    ),
    (lambda x: _moments(x)[::-1], "The two results are in the wrong order: location first."),
    (
        lambda x: (x.mean() + EULER * _moments(x)[1], _moments(x)[1]),
        "The mean lies above the location, so the location lies below the mean.",
    ),
]


@task
def fit_gumbel(trial: Trial) -> None:
    """Estimate location and scale of a Gumbel sample from its mean and its variance."""

    def sample() -> tuple[Tensor]:
        u = trial.uniform(trial.integer(200, 400))
        return (noise.gumbel_from_uniform(u, trial.number(-3, 3), trial.number(0.5, 3)),)

    trial.agree(
        _moments,
        [sample() for _ in range(10)],
        known=_FIT_GUMBEL_KNOWN,
        tolerance=1e-2,  # dividing by n or by n - 1 are both right
        hint="Mean = loc + 0.5772 scale, variance = scale^2 pi^2 / 6: solve for both.",
    )
