"""Chapter 04: the density of a relaxed bit, and several variables in one row."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from catvae_lib import density, sampling
from catvae_lib.classroom.checks.ch04_softmax_relaxation import gumbel_noise, some_temperature
from catvae_lib.classroom.trial import Known, Trial, task

_RELAXED_BIT_LOG_DENSITY_KNOWN: Known = [
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, t) - math.log(t),
        "The inner derivative is missing: y changes 1/temperature times as fast as the noise.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, t) - 2 * math.log(t),
        "The inner derivative has the wrong sign: a low temperature spreads y, so its density is lower.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, t) - math.log(t) + t,
        "The temperature itself was added: the logarithm of the inner derivative belongs there.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, -logits, t),
        "It peaks on the wrong side: the sign of the logits is turned around.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits * t, t),
        "The logits are multiplied by the temperature too: the noise is temperature * y minus what?",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, 1 / t),
        "The temperature is inverted: the noise is what is left if the division by it is undone.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, 1.0),
        "It does not depend on the temperature.",
    ),
    (
        lambda y, logits, t: (
            density.binary_concrete_log_density(y, logits, t) - logsigmoid(y) - logsigmoid(-y)
        ),
        "This is the density of x = sigmoid(y), measured in x. It is asked for in y.",
    ),
    (
        lambda y, logits, t: (
            density.binary_concrete_log_density(y, logits, t) + logsigmoid(y) + logsigmoid(-y)
        ),
        "A Jacobian between x and y is added. In y there is none.",
    ),
    (
        lambda y, logits, t: density.binary_concrete_log_density(y, logits, t).exp(),
        "This is the density; its logarithm is asked for.",
    ),
    (lambda y, logits, t: torch.sigmoid(t * y - logits), "This is the CDF, not the logarithm of a density."),
    (
        lambda y, logits, t: logsigmoid(t * y - logits),
        "This is the logarithm of the CDF: differentiate first.",
    ),
    (
        lambda y, logits, t: math.log(t) - (t * y - logits) - torch.exp(-(t * y - logits)),
        "This is the density for Gumbel noise. The noise of a bit is the difference of two.",
    ),
    (
        lambda y, logits, t: math.log(t) - (t * y - logits) - torch.log1p(torch.exp(-(t * y - logits))),
        "It is not symmetric about its peak: the sigmoid in the CDF's derivative is squared.",
    ),
]


@task
def relaxed_bit_log_density(trial: Trial) -> None:
    """Return the log-density of the logit of a relaxed bit."""
    cases: list[tuple[Any, ...]] = []
    for _ in range(12):
        shape = (trial.integer(2, 3), trial.integer(2, 4))
        cases.append(
            (trial.normal(*shape, scale=2), trial.normal(*shape, scale=1.5), some_temperature(trial))
        )
    right = density.binary_concrete_log_density
    hint = "Write P(y <= v) as the logistic CDF at some noise, and differentiate with respect to v."
    trial.agree(right, cases, known=_RELAXED_BIT_LOG_DENSITY_KNOWN, hint=hint)
    y = torch.tensor([800.0, -800.0, 0.5, -0.5, 30.0, 800.0], dtype=torch.float64)
    logits = torch.tensor([0.5, -0.5, 800.0, -800.0, -50.0, -800.0], dtype=torch.float64)
    hint = "The middle is right. Far out a sigmoid is 0: never take its logarithm, use logsigmoid."
    trial.agree(right, [(y, logits, 2.0), (y, logits, trial.number(0.9, 1.5))], hint=hint)


def _by_variable(logits: Tensor, noise: Tensor, k: int, temperature: float) -> Tensor:
    split = (-1, k)
    return sampling.gumbel_softmax(
        logits.unflatten(-1, split), noise.unflatten(-1, split), temperature
    ).flatten(-2)


def _over(logits: Tensor, noise: Tensor, temperature: float, shape: tuple[int, ...], dim: int) -> Tensor:
    """Return what a softmax gives that reads a row in this shape, and runs over this dimension of it."""
    scores = ((logits + noise) / temperature).unflatten(-1, shape)
    return torch.softmax(scores, dim).flatten(-2)


_MENDED_RELAXATION_KNOWN: Known = [
    (
        lambda logits, noise, k, t: torch.softmax((logits + noise) / t, -1),
        "Nothing has changed: all N K entries of a row sum to 1. Each variable should.",
    ),
    (
        lambda logits, noise, k, t: torch.softmax((logits + noise) / t, -1) * (logits.shape[-1] // k),
        "The row sums to N, but not each variable to 1: normalizing is not a matter of one factor.",
    ),
    (
        lambda logits, noise, k, t: _over(logits, noise, t, (-1, k), -2),
        "The softmax runs over the N variables: the first entries of all of them sum to 1.",
    ),
    (
        lambda logits, noise, k, t: _over(logits, noise, t, (k, -1), -2),
        "The row is read as K groups of N: the entries of a variable are next to each other.",
    ),
    (
        lambda logits, noise, k, t: _over(logits, noise, t, (k, -1), -1),
        "The row is cut into K pieces of N entries: it has N pieces of K.",
    ),
    (
        lambda logits, noise, k, t: torch.softmax((logits + noise) / t, 0),
        "The softmax runs over the examples of the batch, which have nothing to do with each other.",
    ),
    (
        lambda logits, noise, k, t: _by_variable(logits, noise, k, 1.0),
        "Each variable sums to 1 now, but the temperature has disappeared.",
    ),
    (
        lambda logits, noise, k, t: _by_variable(logits / t, noise, k, 1.0),
        "Each variable sums to 1 now, but the temperature divides the logits alone.",
    ),
    (
        lambda logits, noise, k, t: _by_variable(logits, noise / t, k, 1.0),
        "Each variable sums to 1 now, but the temperature divides the noise alone.",
    ),
    (
        lambda logits, noise, k, t: _by_variable(logits, torch.zeros_like(noise), k, t),
        "Each variable sums to 1 now, but the noise has disappeared.",
    ),
    (
        lambda logits, noise, k, t: torch.sigmoid((logits + noise) / t),
        "The entries of a variable do not sum to 1: a sigmoid treats each as a bit of its own.",
    ),
]


@task
def mended_relaxation(trial: Trial) -> None:
    """Relax N variables of K categories that lie in one row, in place of the softmax over the row."""
    cases: list[tuple[Any, ...]] = []
    for b, n, k in ((1, 2, 3), (2, 3, 2), (3, 2, 4), (2, 4, 3), (4, 3, 5), (2, 5, 4), (3, 4, 2)):
        logits = trial.normal(b, n * k, scale=1.5)
        cases.append((logits, gumbel_noise(trial, b, n * k), k, some_temperature(trial)))
    hint = "Add up the entries of each variable, K neighbours at a time: is the sum 1?"
    trial.agree(_by_variable, cases, known=_MENDED_RELAXATION_KNOWN, hint=hint)
    far = torch.tensor([[800.0, 799.0, 0.0, 1.0, -800.0, -799.5]], dtype=torch.float64)
    hint = "With logits of 800 beside those of 0 it breaks: is a softmax over the row left in it?"
    trial.agree(_by_variable, [(far, gumbel_noise(trial, 1, 6), 2, 0.5)], hint=hint)
    hint = "The values are right, the gradient is not: is a part of the formula detached?"
    trial.gradients(_by_variable, cases[:3], hint=hint)
