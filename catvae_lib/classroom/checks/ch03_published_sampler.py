"""Chapter 03: what the published one-Gumbel sampler draws, and its repair."""

import math

import torch
from torch import Tensor

from catvae_lib import density
from catvae_lib.classroom.trial import Known, Trial, task

ROWS = 20_000  # of two bits each


def _author_probability(p: Tensor, cut: float, temperature: float) -> Tensor:
    return 1 - density.gumbel_cdf(temperature * _logit(cut) - torch.log(p))


def _logit(cut: float) -> float:
    return math.log(cut) - math.log1p(-cut)


_AUTHOR_PROBABILITY_KNOWN: Known = [
    (lambda p, cut, t: p, "This is the probability that was meant, not the one that is drawn."),
    (
        lambda p, cut, t: 1 - torch.exp(-p),
        "It does not depend on the cut: this is the case c = 1/2 of the chapter.",
    ),
    (
        lambda p, cut, t: 1 - _author_probability(p, cut, t),
        "This is the probability that z is below the cut.",
    ),
    (
        lambda p, cut, t: _author_probability(p, cut, 1.0),
        "It does not depend on the temperature. Only at c = 1/2 it may drop out.",
    ),
    (
        lambda p, cut, t: _author_probability(p, cut, 1 / t),
        "The temperature is on the wrong side: multiply by it when you undo the division.",
    ),
    (
        lambda p, cut, t: _author_probability(p, 1 - cut, t),
        "It rises with the cut: the logit of c has the wrong sign.",
    ),
    (
        lambda p, cut, t: 1 - density.gumbel_cdf(t * _logit(cut) + torch.log(p)),
        "It falls as p rises: the sign of ln p is wrong. Which side of the inequality is it on?",
    ),
    (
        lambda p, cut, t: 1 - density.gumbel_cdf(t * cut - torch.log(p)),
        "The sigmoid is not undone: z > c compares a sigmoid with c.",
    ),
    (
        lambda p, cut, t: 1 - density.gumbel_cdf(t * _logit(cut) - p),
        "p stands where ln p should: the sampler adds the noise to a logarithm.",
    ),
    (
        lambda p, cut, t: torch.sigmoid(torch.log(p) - t * _logit(cut)),
        "This is the answer for logistic noise. The published code has one Gumbel variable.",
    ),
    (
        lambda p, cut, t: torch.sigmoid(torch.logit(p) - t * _logit(cut)),
        "This is the answer for the right sampler, Eq. (3). The published one has neither ln(1 - p) nor a "
        "second Gumbel variable.",
    ),
    (
        lambda p, cut, t: density.gumbel_cdf(torch.log(p) - t * _logit(cut)),
        "A Gumbel variable is not symmetric: P(noise > x) is 1 - F(x), not F(-x).",
    ),
]


@task
def author_probability(trial: Trial) -> None:
    """Return how often the published one-Gumbel sampler exceeds a cut."""
    cases = []
    for _ in range(12):
        cut = trial.number(0.1, 0.4) if trial.integer(0, 1) else trial.number(0.6, 0.9)
        temperature = trial.number(0.3, 0.8) if trial.integer(0, 1) else trial.number(1.3, 2)
        cases.append((trial.uniform(trial.integer(3, 5), low=0.05), cut, temperature))
    certain = torch.ones(2, 2, dtype=torch.float64)
    cases += [(trial.uniform(2, low=0.05), 0.5, trial.number(0.3, 2)), (certain, trial.number(0.6, 0.9), 0.5)]
    trial.agree(
        _author_probability,
        cases,
        known=_AUTHOR_PROBABILITY_KNOWN,
        hint="z > c: undo the sigmoid, then the division, then the sum. What remains is noise > a number.",
    )
    rare = torch.tensor([1e-6, 1e-5, 1e-4], dtype=torch.float64)
    hint = "Where p is small it is not right: is p or ln p clamped, or a constant added to p?"
    trial.agree(_author_probability, [(rare, 0.01, 2.0)], hint=hint)


@task
def mended_soft_bits(trial: Trial) -> None:
    """Draw soft bits from logits, by Eq. (3) with temperature, in place of the published one-Gumbel code."""
    _form_of_bits(trial)
    # At these logits and temperatures most wrong samplers of `_about_share` have a share of their own.
    _draws_of_bits(trial, trial.number(1, 1.3), trial.number(0.45, 0.5))
    _draws_of_bits(trial, -trial.number(1, 1.3), trial.number(1.4, 2))
    for temperature in (0.5, 300.0):  # at the high one the bits of logits of +-800 are soft as well
        _gradient_of_bits(trial, temperature)
    single = torch.zeros(3)
    _soft_bits(trial, single, 0.5, trial.integer(0, 10**6), f"{trial.name}, logits in float32")


def _draws_of_bits(trial: Trial, logit: float, temperature: float) -> None:
    logits = torch.full((ROWS, 2), logit, dtype=torch.float64)
    tried = f"{trial.name}({ROWS} rows of two logits {logit}, {temperature}, generator)"
    z = _soft_bits(trial, logits, temperature, trial.integer(0, 10**6), tried).detach()
    _noise_of_its_own(trial, z, logit, temperature, tried)
    theta = 1 / (1 + math.exp(-logit))
    ones = int((z > 0.5).sum())
    trial.frequencies(
        torch.tensor([z.numel() - ones, ones]),
        torch.tensor([1 - theta, theta], dtype=torch.float64),
        tried=tried,
        hint=_about_share(ones / z.numel(), logit, temperature),
        came=" of z <= 1/2 and z > 1/2",
    )
    hint = (
        "z exceeds 1/2 as often as it should, but lies wrongly on the two sides: is the sum of logit and "
        "noise divided by the temperature, all of it and once?"
    )
    expected = "the CDF sigmoid(temperature logit(x) - logits)"
    trial.distribution(
        z,
        lambda x: torch.sigmoid(temperature * torch.logit(x) - logit),
        tried=tried,
        expected=expected,
        hint=hint,
    )


def _soft_bits(trial: Trial, logits: Tensor, temperature: float, seed: int, tried: str) -> Tensor:
    """Return what the answer draws, after a look at its form."""
    z: Tensor = trial.call(logits, temperature, torch.Generator().manual_seed(seed))
    shape, form = tuple(logits.shape), f"{type(z).__name__} of shape {tuple(getattr(z, 'shape', ()))}"
    fits = getattr(z, "shape", None) == shape and z.dtype == logits.dtype
    came, expected = (
        f"{form}, {getattr(z, 'dtype', 'no dtype')}",
        f"a tensor of shape {shape}, {logits.dtype}",
    )
    hint = "One soft bit for each logit, in its dtype: torch.rand takes a shape and a dtype."
    trial.that(fits, came, expected, hint, tried=tried)
    hint = "Look for log(0), 0/0, or an infinity minus an infinity."
    trial.that(not bool(z.isnan().any()), "NaN in the soft bits", "soft bits", hint, tried=tried)
    return z


def _form_of_bits(trial: Trial) -> None:
    seed, tried = trial.integer(0, 10**6), f"{trial.name}(logits of shape (2, 3), 0.5, generator)"
    logits = trial.normal(2, 3)
    draws = [_soft_bits(trial, logits, 0.5, seed + extra, tried) for extra in (0, 0, 1)]
    came = "two different samples from two generators of the same seed"
    hint = "Hand the generator on to torch: `generator=generator`."
    trial.that(torch.equal(draws[0], draws[1]), came, "the same sample twice", hint, tried=tried)
    came, hint = "the same sample from two different seeds", "Does the noise come from the generator?"
    trial.that(not torch.equal(draws[0], draws[2]), came, "different samples", hint, tried=tried)
    inside = bool(((draws[0] >= 0) & (draws[0] <= 1)).all())
    came, hint = f"values from {draws[0].min():.3g} to {draws[0].max():.3g}", "Is the sigmoid missing?"
    trial.that(inside, came, "numbers between 0 and 1", hint, tried=tried)


def _noise_of_its_own(trial: Trial, z: Tensor, logit: float, temperature: float, tried: str) -> None:
    values, hard = len(z.unique()), bool((torch.minimum(z, 1 - z) < 1e-9).all())
    hint = "Only 0 and 1 come out: these are hard bits. Eq. (3) has no threshold."
    trial.that(not hard, "hard bits", "soft bits", hint, tried=tried)
    silent = bool(((torch.logit(z) * temperature - logit).abs() < 1e-6).all())
    hint = "No noise is left in it: if it is drawn, it cancels. Is the same draw added and subtracted?"
    trial.that(not silent, "the logit without noise", "soft bits with noise", hint, tried=tried)
    hint = "Entries share their noise. Each needs a uniform number of its own: `logits.shape` tells how many."
    came = f"{values} different values in {z.numel()} entries"
    trial.that(values > 0.6 * z.numel(), came, "a value of its own in each entry", hint, tried=tried)
    for one, two in ((z[:, 0], z[:, 1]), (z[::2, 0], z[1::2, 0])):
        hint = "Neighbouring bits are not independent: each needs noise of its own."
        trial.mean((one > two).double(), 0.5, (0, 1), tried=f"{tried}, neighbours compared", hint=hint)


def _about_share(share: float, logit: float, temperature: float) -> str:
    p = 1 / (1 + math.exp(-logit))
    answers = (
        (1 - math.exp(-p), "z exceeds 1/2 with probability 1 - exp(-p): still one Gumbel beside ln p."),
        (p / (1 + p), "z exceeds 1/2 with probability p/(1 + p): the noise is right, ln(1 - p) is missing."),
        (1 - math.exp(-math.exp(logit)), "The logit is right. One Gumbel variable leans: two are needed."),
        (1 / (1 + math.exp(-p)), "The noise is added to the probability instead of the logit."),
        (0.5, "z exceeds 1/2 half of the time: do the logits enter, and is the noise symmetric?"),
        (1 - p, "z exceeds 1/2 with probability 1 - p: the sign of the logit is wrong."),
        (1 / (1 + math.exp(-logit / temperature)), "The temperature divides the logit alone, not the sum."),
        (1 / (1 + math.exp(-logit * temperature)), "The temperature divides the noise alone, not the sum."),
        (1 / (1 + math.exp(-logit / 2)), "The noise has twice its scale: is it added twice?"),
        (
            _share_of_the_sum(logit),
            "This is the share of the sum of two Gumbel variables, not the difference.",
        ),
        (0.5 + 0.5 * math.erf(logit / 2**0.5), "This is the share of normal noise, torch.randn."),
    )
    found = sorted((abs(near - share), words) for near, words in answers if abs(near - share) < 0.01)
    return (
        " Or: ".join(words for _, words in found)
        or "Which noise has the CDF sigmoid(x)? Add it to the logit."
    )


def _share_of_the_sum(logit: float) -> float:
    """Return P(logit + the sum of two standard Gumbel variables > 0)."""
    root = torch.tensor(math.exp(logit / 2), dtype=torch.float64)
    return 1 - float(2 * root * torch.special.modified_bessel_k1(2 * root))


def _gradient_of_bits(trial: Trial, temperature: float) -> None:
    values = [-800.0, -1.0, 0.5, 2.0, 800.0]
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    tried = f"{trial.name}({values}, {temperature:g}, generator)"
    z = _soft_bits(trial, logits, temperature, trial.integer(0, 10**6), tried)
    hint = "`.detach()`, `.item()`, `torch.no_grad()` and comparisons cut the gradient."
    trial.that(z.requires_grad, "soft bits without gradient", "a gradient in the logits", hint, tried=tried)
    (slope,) = torch.autograd.grad(z.sum(), logits, allow_unused=True)
    slope = torch.full_like(logits, math.nan) if slope is None else slope
    fine = torch.cat([z.detach(), slope]).isfinite().all()
    hint = "Either 1 - p becomes 0 and its logarithm infinite, or an exp overflows. Stay with the logit."
    numbers = ", ".join(f"{one:.3g}" for one in slope.tolist())
    trial.that(bool(fine), f"bits or slopes that are not finite: {numbers}", "finite ones", hint, tried=tried)
    right = (z * (1 - z) / temperature).detach()
    hint = "The slope is z (1 - z) / temperature: is part of the sum detached, or a probability clamped?"
    agrees = torch.allclose(slope, right, rtol=1e-4, atol=1e-6)
    trial.that(agrees, f"slopes {numbers}", "other slopes", hint, tried=tried)
