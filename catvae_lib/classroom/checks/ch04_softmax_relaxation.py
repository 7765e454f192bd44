"""Chapter 04: the relaxed sample, and the hard one with its gradient."""

from typing import Any

import torch
from torch import Tensor

from catvae_lib import sampling
from catvae_lib.classroom.trial import Known, Trial, task


def _hard(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    return sampling.gumbel_max(logits, noise)


def gumbel_noise(trial: Trial, *shape: int) -> Tensor:
    """Return standard Gumbel noise."""
    return -torch.log(-torch.log(trial.uniform(*shape)))


def some_temperature(trial: Trial) -> float:
    """Return a temperature that is not near 1, where its mistakes would not show."""
    return trial.number(0.3, 0.8) if trial.integer(0, 1) else trial.number(1.3, 2.5)


def _relaxed_cases(trial: Trial) -> list[tuple[Any, ...]]:
    """Logits, noise and temperature with one to three axes of different lengths; the smallest come first."""
    shapes = [(3,), (4,), (3,), (2, 3), (4, 3), (3, 5), (2, 5), (5, 4), (2, 3, 4), (3, 2, 5), (4, 2, 3)]
    return [(trial.normal(*s, scale=1.5), gumbel_noise(trial, *s), some_temperature(trial)) for s in shapes]


def _far_case(trial: Trial) -> tuple[Any, ...]:
    logits = torch.tensor([[800.0, -800.0, 50.0], [-800.0, -801.0, -799.0]], dtype=torch.float64)
    return logits, gumbel_noise(trial, 2, 3), 0.01


_SOFTMAX_KNOWN: Known = [
    (
        lambda logits, noise, t: torch.softmax(logits + noise, -1),
        "It does not depend on the temperature: this is Eq. (2) as the article prints it.",
    ),
    (
        lambda logits, noise, t: torch.softmax(logits / t + noise, -1),
        "The temperature divides the logits alone: that draws from another distribution.",
    ),
    (
        lambda logits, noise, t: torch.softmax(logits + noise / t, -1),
        "The temperature divides the noise alone: that draws from another distribution.",
    ),
    (
        lambda logits, noise, t: torch.softmax((logits + noise) * t, -1),
        "The temperature multiplies: a low one should make the sample sharper, here it flattens it.",
    ),
    (
        lambda logits, noise, t: torch.softmax((logits - noise) / t, -1),
        "The noise has the wrong sign, and a Gumbel variable is not symmetric.",
    ),
    (
        lambda logits, noise, t: torch.softmax(logits / t, -1),
        "The noise plays no part: these are softened probabilities, not a sample.",
    ),
    (
        lambda logits, noise, t: torch.softmax((torch.softmax(logits, -1) + noise) / t, -1),
        "The noise is added to probabilities: it belongs to log-probabilities, and logits are that already.",
    ),
    (
        lambda logits, noise, t: torch.softmax((torch.log(torch.sigmoid(logits)) + noise) / t, -1),
        "A sigmoid of each logit is no probability of a category: logits are log-probabilities already.",
    ),
    (
        lambda logits, noise, t: torch.softmax((logits + noise) / t, 0),
        "The softmax runs over the first dimension: categories are in the last.",
    ),
    (
        lambda logits, noise, t: torch.softmax(((logits + noise) / t).flatten(), 0).reshape(logits.shape),
        "All entries together sum to 1: each row should.",
    ),
    (
        lambda logits, noise, t: torch.softmax((logits + noise) / t, min(1, logits.ndim - 1)),
        "With three dimensions, 1 is not the last one: count from the end.",
    ),
    (
        lambda logits, noise, t: torch.log_softmax((logits + noise) / t, -1),
        "These are logarithms of the relaxed sample.",
    ),
    (
        lambda logits, noise, t: torch.sigmoid((logits + noise) / t),
        "The entries of a row do not sum to 1: a sigmoid treats each as a bit of its own.",
    ),
    (_hard, "This is the hard sample, and it has no gradient."),
]


@task
def relaxed_one_hot(trial: Trial) -> None:
    """Relax a categorical sample by a softmax with temperature."""
    hint = "Perturb the logits, then apply the temperature, then normalize over the categories."
    cases = _relaxed_cases(trial)
    _draw_nothing(trial, cases[3])
    trial.agree(sampling.gumbel_softmax, cases, known=_SOFTMAX_KNOWN, hint=hint)
    hint = (
        "For logits of +-800 at temperature 0.01 it is not right: is anything clamped, or a constant added?"
    )
    trial.agree(sampling.gumbel_softmax, [_far_case(trial)], hint=hint)
    hint = "The values are right. How they change with the logits is not: is a part of the formula detached?"
    trial.gradients(sampling.gumbel_softmax, cases[:5], hint=hint)


def _draw_nothing(trial: Trial, case: tuple[Any, ...]) -> None:
    """Demand the same result twice: noise of one's own is a frequent mistake, and so is an index."""
    many = tuple(part.repeat(50, 1) if isinstance(part, Tensor) else part for part in case)
    one, two = (trial.call(*many) for _ in range(2))
    same = not isinstance(one, Tensor) or (isinstance(two, Tensor) and torch.equal(one, two))
    came, hint = "two different results for the same arguments", "The noise is an argument: draw none inside."
    trial.that(same, came, "the same result twice", hint, tried=f"{trial.name}, called twice")
    index = isinstance(one, Tensor) and one.shape == many[0].shape[:-1] and not one.is_floating_point()
    hint = "These are the numbers of the categories. Mark each by a 1 in a row of zeros: one-hot."
    came, expected = f"whole numbers of shape {tuple(getattr(one, 'shape', ()))}", f"{tuple(many[0].shape)}"
    trial.that(not index, came, f"shape {expected}", hint, tried=f"{trial.name} of {expected}")


_STRAIGHT_THROUGH_KNOWN: Known = [
    (
        sampling.gumbel_softmax,
        "The value is the relaxed sample: what must be added to it, without gradient, to make it hard?",
    ),
    (
        lambda logits, noise, t: sampling.gumbel_max(logits, torch.zeros_like(noise)),
        "The noise plays no part: this is always the likeliest category.",
    ),
    (
        lambda logits, noise, t: sampling.gumbel_max(logits, -noise),
        "The noise has the wrong sign, and a Gumbel variable is not symmetric.",
    ),
    (
        lambda logits, noise, t: sampling.gumbel_max(logits / t, noise),
        "The argmax is taken with the logits divided by the temperature and the noise not: another "
        "distribution.",
    ),
    (
        lambda logits, noise, t: sampling.gumbel_max(torch.softmax(logits, -1), noise),
        "The noise is added to probabilities: it belongs to logits.",
    ),
    (
        lambda logits, noise, t: _hard(logits, noise, t) + sampling.gumbel_softmax(logits, noise, t),
        "The value is hard plus relaxed: the relaxed part must have the value 0.",
    ),
    (
        lambda logits, noise, t: _hard(logits, noise, t) - sampling.gumbel_softmax(logits, noise, t),
        "The value is hard minus relaxed: the relaxed part must come back, with its gradient.",
    ),
    (
        lambda logits, noise, t: torch.round(sampling.gumbel_softmax(logits, noise, t)),
        "Rounding is no argmax: where no entry exceeds 1/2, the whole row is 0.",
    ),
]


def _straight_through(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    relaxed = sampling.gumbel_softmax(logits, noise, temperature)
    return sampling.straight_through(sampling.gumbel_max(logits, noise), relaxed)


@task
def straight_through_one_hot(trial: Trial) -> None:
    """Return the hard sample with the gradient of the relaxed one."""
    cases = [*_relaxed_cases(trial), _far_case(trial)]
    _draw_nothing(trial, cases[3])
    hint = "Each row should hold a single 1, where the logit plus noise is largest."
    trial.agree(_straight_through, cases, known=_STRAIGHT_THROUGH_KNOWN, hint=hint)
    trial.gradients(_straight_through, cases[:8], hint=_about_gradient(trial, cases[3]))


_GRADIENTS_KNOWN: Known = [
    (
        lambda logits, noise, t: -sampling.gumbel_softmax(logits, noise, t),
        "It has the wrong sign: the detached copy is where the live one should be.",
    ),
    (
        lambda logits, noise, t: 0 * logits,
        "It is 0: the live relaxed sample cancels itself, or only constants are left.",
    ),
    (
        lambda logits, noise, t: 2 * sampling.gumbel_softmax(logits, noise, t),
        "It is twice that of the relaxed sample: count the copies that are not detached.",
    ),
    (
        lambda logits, noise, t: sampling.gumbel_softmax(logits, noise, 1.0),
        "It is that of a relaxed sample at temperature 1.",
    ),
    (
        lambda logits, noise, t: torch.softmax(logits / t, -1),
        "It is that of the softmax without noise: the relaxed sample uses the noise of the hard one.",
    ),
    (
        lambda logits, noise, t: torch.softmax(logits, -1),
        "It is that of the probabilities: neither noise nor temperature enter it.",
    ),
    (
        lambda logits, noise, t: logits,
        "It is that of the logits themselves: the softmax is left out.",
    ),
    (
        lambda logits, noise, t: (logits + noise) / t,
        "It is that of the scores before the softmax.",
    ),
    (
        lambda logits, noise, t: torch.softmax((logits + noise) / t, 0),
        "It is that of a softmax over the first dimension: categories are in the last.",
    ),
]


def _about_gradient(trial: Trial, case: tuple[Any, ...]) -> str:
    """Return the sentence of the known gradient that the answer has, if it has one of them."""
    leaf, others = case[0].clone().requires_grad_(True), case[1:]
    mine = trial.call(leaf, *others)
    if mine.requires_grad:
        weights = trial.normal(*mine.shape)
        (got,) = torch.autograd.grad((mine * weights).sum(), leaf, allow_unused=True)
        got = torch.zeros_like(leaf) if got is None else got
        for wrong, words in _GRADIENTS_KNOWN:
            (made,) = torch.autograd.grad((wrong(leaf, *others) * weights).sum(), leaf)
            if torch.allclose(got, made, rtol=1e-6, atol=1e-9):
                return f"The value is right, the gradient is not. {words}"
    return "The value is right. The gradient should be that of the relaxed sample and of nothing else."
