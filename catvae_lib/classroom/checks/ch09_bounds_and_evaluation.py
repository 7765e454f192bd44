"""Chapter 09: bounds from log-weights, their errors, and how many codes count."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib.classroom.trial import Known, Trial, task


def _bound(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def _effective(log_weights: Tensor) -> Tensor:
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))


def _log_weights(trial: Trial) -> list[tuple[Tensor]]:
    return [(trial.normal(trial.integer(3, 6), trial.integer(2, 4), scale=1.5) - 2,) for _ in range(10)]


def _square_log_weights(trial: Trial) -> list[tuple[Tensor]]:
    """As many samples as images, so that a wrong axis shows in the numbers."""
    return [(trial.normal(size, size, scale=1.5) - 2,) for size in (3, 4, 5)]


def _far_log_weights(trial: Trial) -> list[tuple[Tensor]]:
    """Weights that underflow or overflow, in one image or in all."""
    far = [trial.normal(5, 3) + shift for shift in (-1000, 1000)]
    return [(one,) for one in (*far, trial.normal(5, 3) + torch.tensor([-1500.0, 0.0, 900.0]).double())]


def _wide_log_weights(trial: Trial) -> tuple[Tensor]:
    """One weight far above the others of its image."""
    return (trial.normal(5, 3) - 3000 * (trial.uniform(5, 1).argsort(0) > 0),)


_OVER_IMAGES = "The axis is the wrong one: the numbers of one image are its column, along dimension 0."

_MULTI_SAMPLE_BOUND_KNOWN: Known = [
    (
        lambda w: w.mean(0),
        "The logarithm is inside the mean: this is the average of S single-sample bounds, which lies lower.",
    ),
    (
        lambda w: torch.logsumexp(w, 0),
        "It grows with the number of samples even if all weights are equal: a sum where a mean belongs.",
    ),
    (lambda w: _bound(w.mT), _OVER_IMAGES),
    (lambda w: w.mean(1), f"{_OVER_IMAGES} And the logarithm of a mean is not the mean of logarithms."),
    (lambda w: torch.logsumexp(w, 0) / len(w), "The logarithm was divided by S, not the sum inside it."),
    (
        lambda w: torch.logsumexp(w, 0) + math.log(w.shape[0]),
        "The term ln S has the wrong sign: a mean is smaller than a sum.",
    ),
    (
        lambda w: (w - w.amax(0)).exp().mean(0).log(),
        "The largest log-weight was subtracted before the exp, and never added again.",
    ),
    (lambda w: w.amax(0), "This is the largest log-weight: the other samples have no influence."),
]


@task
def multi_sample_bound(trial: Trial) -> None:
    """Return the multi-sample bound of each image from its log-weights."""
    hint = "Weights are exp(log_weights). Average them over the samples, then take the logarithm."
    for cases in (_square_log_weights(trial), _log_weights(trial)):
        trial.agree(_bound, cases, known=_MULTI_SAMPLE_BOUND_KNOWN, hint=hint)
    hint = "Log-weights near -1000 or 1000: each image needs a shift of its own before its exp."
    trial.agree(_bound, _far_log_weights(trial), hint=hint)
    hint = (
        "The log-weights of one image may be thousands apart: the largest must not overflow after the shift."
    )
    trial.agree(_bound, [_wide_log_weights(trial)], hint=hint)


def _difference(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    difference = first - second
    return difference.mean(), difference.std() / math.sqrt(difference.numel())


def _times(factor: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return lambda a, b: (_difference(a, b)[0], factor * _difference(a, b)[1])


_DIFFERENCE_OF_MODELS_KNOWN: Known = [
    (
        lambda a, b: ((a - b).mean(), (a - b).std()),
        "This is the spread of one difference. The mean of N of them is known better.",
    ),
    (lambda a, b: ((a - b).mean(), (a - b).var()), "This is the variance of the differences."),
    (
        lambda a, b: ((a - b).mean(), (a - b).var() / len(a)),
        "This is the variance of the mean, in squared nats: a root is missing.",
    ),
    (
        lambda a, b: ((a - b).mean(), (a - b).std() / len(a)),
        "Divided by N, or twice by its root: the variance of a mean falls like 1/N. How does its root fall?",
    ),
    (
        lambda a, b: ((a - b).mean(), ((a.var() + b.var()) / len(a)).sqrt()),
        "The variances of the two models were added, as if their images were different ones.",
    ),
    (
        lambda a, b: ((a - b).mean(), (a.std() - b.std()) / math.sqrt(len(a))),
        "Standard deviations were subtracted. Subtract the bounds first.",
    ),
    (
        lambda a, b: ((a - b).mean(), a.std() / math.sqrt(len(a))),
        "This is the error of the first model's mean: it holds all that makes images easy or hard.",
    ),
    (
        lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / math.sqrt(len(a))),
        "The squares were divided by N. Around a mean of the same numbers they are too small by one share.",
    ),
    (
        lambda a, b: ((a - b).mean(), (a.std() + b.std()) / math.sqrt(len(a))),
        "The errors of the two models were added. Subtract the bounds first: what is hard for both cancels.",
    ),
    (
        lambda a, b: ((a - b).mean(), (a - b).std() / math.sqrt(len(a) - 1)),
        "N - 1 divides twice: it is in s already, and the mean is one of N numbers.",
    ),
    *[
        (_times(factor), "This is half of an interval, so many standard errors: return one.")
        for factor in (1.96, 2.0)
    ],
    (
        lambda a, b: ((a - b).abs().mean(), _difference(a, b)[1]),
        "The differences lost their signs before the mean: which model is better?",
    ),
    (
        lambda a, b: ((a - b).sum(), (a - b).std() * math.sqrt(len(a))),
        "These are the sum of the differences and its error, where a mean belongs.",
    ),
    (lambda a, b: (b.mean() - a.mean(), _difference(a, b)[1]), "The wrong sign: first minus second."),
    (lambda a, b: _difference(a, b)[::-1], "The two results are in the wrong order."),
]


@task
def difference_of_models(trial: Trial) -> None:
    """Return the mean difference of two models on the same images, and its standard error."""

    def case() -> tuple[Tensor, Tensor]:
        size = trial.integer(5, 30)
        first = trial.normal(size, scale=20) - 100
        return first, first - trial.number(-1, 1) + trial.normal(size, scale=2)

    trial.agree(
        _difference,
        [case() for _ in range(12)],
        known=_DIFFERENCE_OF_MODELS_KNOWN,
        hint="Subtract image by image. What is the standard error of the mean of these N numbers?",
    )


_EFFECTIVE_SAMPLE_SIZE_KNOWN: Known = [
    (lambda w: _effective(w.mT), _OVER_IMAGES),
    (lambda w: 1 / _effective(w), "It is below 1: numerator and denominator have changed places."),
    (
        lambda w: _effective(w) / w.shape[0],
        "It is at most 1, a share of the samples: means stand where sums belong.",
    ),
    (
        lambda w: w.shape[0] / (1 + w.exp().var(0) / w.exp().mean(0).square()),
        "The variance was divided by S - 1: `var` needs `correction=0` for the variance of the task.",
    ),
    (
        lambda w: w.shape[0] / (1 + w.exp().var(0, correction=0)),
        "The variance depends on the unit of the weights: it is not in units of their squared mean.",
    ),
    (
        lambda w: w.shape[0] / (1 + w.exp().std(0, correction=0) / w.exp().mean(0)),
        "The standard deviation stands where the variance belongs.",
    ),
    (
        lambda w: w.sum(0).square() / w.square().sum(0),
        "The log-weights were taken for the weights: an exp is missing.",
    ),
    (
        lambda w: torch.exp(torch.logsumexp(w, 0) - torch.logsumexp(2 * w, 0)),
        "The sum of the weights is not squared, so a common factor of the weights does not cancel.",
    ),
    (
        lambda w: torch.ones_like(w[0]),
        "It is 1 whatever the weights: the sum of the squares is not the square of the sum.",
    ),
    (
        lambda w: torch.exp(2 * torch.logsumexp(w, 0) - torch.logsumexp(w.square(), 0)),
        "The log-weights were squared: what is the logarithm of a squared weight?",
    ),
    (
        lambda w: w.shape[0] * _effective(w),
        "A factor S is left over: how often does S stand in the means, once they are written as sums?",
    ),
    (
        lambda w: 2 * torch.logsumexp(w, 0) - torch.logsumexp(2 * w, 0),
        "This is the logarithm of the effective sample size.",
    ),
    (
        lambda w: torch.full_like(w[0], w.shape[0]),
        "It is S, however uneven the weights are: (sum of w)^2 and sum of w^2 differ.",
    ),
    (
        lambda w: torch.distributions.Categorical(logits=w.mT).perplexity(),
        "This is exp of the entropy of the normalized weights: another measure of the same thing.",
    ),
]


@task
def effective_sample_size(trial: Trial) -> None:
    """Return the effective sample size of each image's weights."""
    hint = "Put v = mean of w^2 minus (mean of w)^2 into the formula, and cancel S where you can."
    for cases in (_square_log_weights(trial), _log_weights(trial)):
        trial.agree(_effective, cases, known=_EFFECTIVE_SAMPLE_SIZE_KNOWN, hint=hint)
    hint = (
        "A common factor of the weights cancels. With log-weights near -1000 that must happen before an exp."
    )
    trial.agree(_effective, [*_far_log_weights(trial), _wide_log_weights(trial)], hint=hint)
