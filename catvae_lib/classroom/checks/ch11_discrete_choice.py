"""Chapter 11: choice probabilities, and what a choice is worth."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib import sampling
from catvae_lib.classroom.trial import Known, Trial, task

EULER = 0.5772156649015329


def _scaled(trial: Trial) -> list[tuple[Tensor, float]]:
    """Utilities of a few persons, as many as alternatives in some cases, and scales away from 1."""
    sizes = [(3, 3), (4, 4), *((trial.integer(1, 5), trial.integer(2, 5)) for _ in range(8))]
    scales = [trial.number(*((0.3, 0.8) if n % 2 else (1.5, 3))) for n in range(len(sizes))]
    return [(trial.normal(*size, scale=2), scale) for size, scale in zip(sizes, scales, strict=True)]


def _far(trial: Trial) -> list[tuple[Tensor, float]]:
    """Utilities whose exp overflows or underflows, together or in some rows only."""
    shifts = torch.tensor([[-800.0], [800.0], [0.0]]).double()
    together = [(trial.normal(2, 3) + shift, 1.5) for shift in (-800, 800)]
    return [*together, (trial.normal(3, 4) + shifts, 0.5), (800 * trial.normal(2, 3).sign(), 0.01)]


def _probabilities(utilities: Tensor, scale: float) -> Tensor:
    return torch.softmax(utilities / scale, -1)


_CHOICE_PROBABILITIES_KNOWN: Known = [
    (
        lambda v, scale: _probabilities(v, 1 / scale),
        "The scale multiplies: with more noise the shares become less equal, not more.",
    ),
    (lambda v, scale: _probabilities(v, 1), "The scale has no influence: careful and careless choose alike."),
    (
        lambda v, scale: _probabilities(v, scale**2),
        "The scale enters squared. It is a standard deviation's factor, not a variance's.",
    ),
    (lambda v, scale: _probabilities(v, -scale), "The smallest utility is preferred: a sign is wrong."),
    (
        lambda v, scale: v / scale / (v / scale).sum(-1, keepdim=True),
        "An exponential is missing: utilities can be negative, probabilities cannot.",
    ),
    (
        lambda v, scale: torch.softmax(v / scale, 0),
        "The probabilities sum to 1 over the persons. Each person chooses among the alternatives.",
    ),
    (
        lambda v, scale: torch.softmax((v / scale).flatten(), 0).reshape(v.shape),
        "All entries sum to 1 together: each person's own should.",
    ),
    (lambda v, scale: v / scale, "These are utilities in units of the noise, not yet probabilities."),
    (
        lambda v, scale: torch.softmax(v, -1) / scale,
        "The probabilities were divided: the utilities should be.",
    ),
    (lambda v, scale: torch.log_softmax(v / scale, -1), "These are log-probabilities."),
    (
        lambda v, scale: torch.exp(v / scale),
        "The probabilities of a person do not sum to 1: a denominator is missing.",
    ),
    (
        lambda v, scale: torch.sigmoid(v / scale),
        "Each alternative is compared with 0 alone: a sigmoid, not the share among all alternatives.",
    ),
    (
        lambda v, scale: sampling.gumbel_max(v, 0 * v),
        "The best alternative is taken by everybody: the limit for a scale of 0.",
    ),
]


@task
def choice_probabilities(trial: Trial) -> None:
    """Return the probability of each alternative for utilities with Gumbel noise of a scale."""
    trial.agree(
        _probabilities,
        _scaled(trial),
        known=_CHOICE_PROBABILITIES_KNOWN,
        hint="Divide utilities and noise by the scale. Which function makes shares of utilities?",
    )
    hint = "Utilities near 800: an exp of them overflows or vanishes, if nothing is subtracted from each row."
    trial.agree(_probabilities, _far(trial), hint=hint)


def _maximum(utilities: Tensor, scale: float) -> Tensor:
    return scale * (torch.logsumexp(utilities / scale, -1) + EULER)


def _logsum(utilities: Tensor, scale: float) -> Tensor:
    return scale * torch.logsumexp(utilities / scale, -1)


def _with_euler(number: float) -> Callable[[Tensor, float], Tensor]:
    return lambda v, scale: _logsum(v, scale) + number * scale


_EXPECTED_MAXIMUM_KNOWN: Known = [
    (_logsum, "With a single alternative it gives V. But the mean of Gumbel noise is not 0."),
    (
        lambda v, scale: _logsum(v, scale) + EULER,
        "Euler's constant is the mean of standard noise. The noise here is not standard.",
    ),
    (
        lambda v, scale: torch.logsumexp(v, -1) + EULER,
        "The scale has no influence. For a scale near 0 the largest utility should remain.",
    ),
    (
        lambda v, scale: torch.logsumexp(v, -1) + EULER * scale,
        "The scale stretches Euler's constant only: the logsum depends on it as well.",
    ),
    (
        lambda v, scale: torch.logsumexp(v / scale, -1) + EULER,
        "This is the maximum of U / scale: it is not in units of utility.",
    ),
    (
        lambda v, scale: torch.logsumexp(v / scale, -1),
        "This is in units of the noise, not of utility, and the noise's own mean is missing.",
    ),
    (lambda v, scale: scale * (torch.logsumexp(v, -1) + EULER), "The utilities inside are not divided."),
    (lambda v, scale: _maximum(v, 1 / scale), "The scale multiplies where it divides, and the reverse."),
    (lambda v, scale: v.amax(-1), "This is the largest V. Noise can only raise the mean of a maximum."),
    (
        lambda v, scale: v.amax(-1) + EULER * scale,
        "The mean of the best alternative's own utility: it is not always the best that is taken.",
    ),
    (
        lambda v, scale: (_probabilities(v, scale) * v).sum(-1),
        "The mean V of what is chosen. A chosen alternative also has large noise, and that is missing.",
    ),
    (
        lambda v, scale: _maximum(v.mT, scale),
        "The sum goes over the persons. Each person has the alternatives of a row.",
    ),
    *[
        (_with_euler(number), "The formula is right, Euler's constant is rounded: `EULER` has more digits.")
        for number in (0.58, 0.577, 0.5772, 0.57722, 0.577216)
    ],
    (
        lambda v, scale: _maximum(v, scale) - scale * math.log(v.shape[-1]),
        "A mean over the alternatives stands where a sum belongs: more to choose from is worth more.",
    ),
    (lambda v, scale: _logsum(v, scale) - EULER * scale, "Euler's constant has the wrong sign."),
]


@task
def expected_maximum(trial: Trial) -> None:
    """Return the mean of the largest utility when Gumbel noise of a scale is added."""
    square = [(trial.normal(3, 3, scale=2), trial.number(1.5, 3)) for _ in range(3)]
    for cases in (square, _scaled(trial)):
        trial.agree(
            _maximum,
            cases,
            known=_EXPECTED_MAXIMUM_KNOWN,
            hint="Take the scale out of the maximum: inside remain V / scale and standard noise.",
        )
    hint = "Utilities near 800, or a small scale: the logarithm of a sum of exp needs a shift in each row."
    trial.agree(_maximum, _far(trial), hint=hint)
