"""Chapter 11: simulated choices, and the shares that they have under the wrong noise."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom.trial import Trial, task

PEOPLE = 20_000

Curve = Callable[[Tensor], Tensor]


@task
def mended_simulated_choice(trial: Trial) -> None:
    """Simulate the choices of many people by the logit model."""
    spread = torch.tensor([0.0, -0.4, -0.45, -1.25, -1.8, -2.0]).double()
    spread = spread[torch.randperm(6, generator=trial.generator)]
    utilities, seed = spread + trial.uniform(6, low=-0.05, high=0.05), trial.integer(0, 10**6)
    one, again, other = (_choices(trial, utilities, 60, number) for number in (seed, seed, seed + 1))
    tried = f"{trial.name}(utilities, 60, generator)"
    came, hint = "two different results from the same seed", "Hand on the generator: `generator=generator`."
    trial.that(torch.equal(one, again), came, "the same choices twice", hint, tried=tried)
    alike = bool((one == one[0]).all() and (other == other[0]).all())
    hint = _about_alike(trial, utilities) if alike else ""
    trial.that(not alike, "the same choice by all 60 people", "choices that differ", hint, tried=tried)
    came, hint = "the same choices from two seeds", "Is anything drawn? Or is a seed set inside?"
    trial.that(not torch.equal(one, other), came, "different choices", hint, tried=tried)
    generator = torch.Generator().manual_seed(seed)
    first, second = (trial.call(utilities, 60, generator) for _ in range(2))
    hint = "Draw from the generator itself: it moves on, so that the next call gives other choices."
    came = "the same choices by two calls with one generator"
    trial.that(not torch.equal(first, second), came, "different choices", hint, tried=tried)
    choices, shares = _choices(trial, utilities, PEOPLE, seed + 2), utilities.softmax(-1)
    tried = f"shares of {PEOPLE} people with the utilities {[round(v, 2) for v in utilities.tolist()]}"
    hint = _about_shares(choices.mean(0), utilities)
    trial.frequencies(choices.sum(0).long(), shares, tried=tried, hint=hint)
    index = choices.argmax(-1)
    for first, second in ((index[::2], index[1::2]), index.chunk(2)):
        pairs = torch.bincount(6 * first + second, minlength=36)
        hint = "Pairs of people choose alike too often: does each person have noise of their own?"
        trial.frequencies(pairs, torch.outer(shares, shares).flatten(), tried="pairs of people", hint=hint)
    _choices(trial, utilities[:4].float(), 9, seed)


def _choices(trial: Trial, utilities: Tensor, people: int, seed: int) -> Tensor:
    """Return the answer's choices, after a look at their form."""
    result = trial.call(utilities, people, torch.Generator().manual_seed(seed))
    shape = getattr(result, "shape", None)
    tried, came = f"{trial.name}(utilities, {people}, generator)", f"{type(result).__name__} {shape or ''}"
    hint = "One row for each person, one column for each alternative; an index becomes one-hot."
    wanted = (people, len(utilities))
    trial.that(shape == wanted, came, f"a tensor of shape {wanted}", hint, tried=tried)
    hint = "A choice is 1 for what is taken and 0 for the rest: is it still a softmax, or the utilities?"
    hard = bool(((result == 0) | (result == 1)).all() and (result.sum(-1) == 1).all())
    trial.that(hard, "rows that are not one-hot", "one-hot rows", hint, tried=tried)
    hint = "`.to(utilities.dtype)` after `one_hot`."
    trial.that(result.dtype == utilities.dtype, f"{result.dtype}", f"{utilities.dtype}", hint, tried=tried)
    choices: Tensor = result
    return choices


def _about_alike(trial: Trial, utilities: Tensor) -> str:
    """Say why everybody chooses the same: whatever the seed, or by one row of noise."""
    best = sampling.gumbel_max(utilities, 0 * utilities)
    if all(torch.equal(_choices(trial, utilities, 2, seed)[0], best) for seed in range(12)):
        return "The best alternative always wins: each alternative needs a random number of its own."
    return "One row of noise serves for everybody. Each person needs a number for each alternative."


def _about_shares(share: Tensor, utilities: Tensor) -> str:
    """Name the noise, or the other mistake, under which what came out is most likely."""
    made = {words: _shares(utilities, *law) for words, law in _NOISES.items()}
    made |= {
        "The smallest total is taken: the largest should be.": _shares(-utilities, *_TURNED),
        "The noise was added to probabilities. It belongs to the utilities.": _shares(
            utilities.softmax(-1), noise.gumbel_from_uniform, density.gumbel_cdf
        ),
        "The utilities have no influence: every alternative is equally likely.": torch.full_like(
            share, 1 / 6
        ),
        "The best alternative is taken by nearly everybody: where is the noise?": sampling.gumbel_max(
            utilities, 0 * utilities
        ),
    }
    words = max(made, key=lambda one: float((share * (made[one] + 1e-6).log()).sum()))
    if float((made[words] - share).abs().max()) < 0.02:
        return words
    return (
        "Each person and alternative needs Gumbel noise of its own, of scale 1: minus the log of minus a log."
    )


def _shares(utilities: Tensor, icdf: Curve, cdf: Curve) -> Tensor:
    """Return the shares under independent noise of any law, by the chapter's integral over 2000 midpoints."""
    own = icdf((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    beaten = cdf(own[:, None, None] + utilities[:, None] - utilities)  # (2000, J, J)
    shares = beaten.masked_fill(torch.eye(len(utilities), dtype=torch.bool), 1.0).prod(-1).mean(0)
    return shares / shares.sum()


_TURNED: tuple[Curve, Curve] = (
    lambda u: torch.log(-torch.log1p(-u)),
    lambda e: -torch.expm1(-torch.exp(e)),
)
_SPREAD = math.pi / math.sqrt(6)  # standard deviation of Gumbel noise
_NOISES: dict[str, tuple[Curve, Curve]] = {
    "These are the shares of normal noise: a probit, not a logit.": (
        torch.special.ndtri,
        torch.special.ndtr,
    ),
    "Normal noise with the Gumbel's variance is still normal noise.": (
        lambda u: _SPREAD * torch.special.ndtri(u),
        lambda e: torch.special.ndtr(e / _SPREAD),
    ),
    "These are the shares of uniform noise: it is not Gumbel noise yet.": (
        lambda u: u,
        lambda e: e.clamp(0, 1),
    ),
    "These are the shares of exponential noise: one logarithm is missing.": (
        lambda u: -torch.log1p(-u),
        lambda e: -torch.expm1(-e.clamp(min=0)),
    ),
    "These are the shares of logistic noise, the difference of two Gumbels.": (torch.logit, torch.sigmoid),
    "The noise is upside down: the Gumbel's long tail points to large values.": _TURNED,
}
