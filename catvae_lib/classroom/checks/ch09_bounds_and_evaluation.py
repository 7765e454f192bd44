"""Chapter 09: bounds from log-weights, their errors, and an evaluation with hard codes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom.trial import Known, Trial, task

LogJoint = Callable[[Tensor], Tensor]


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


def _difference(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    difference = first - second
    return difference.mean(), difference.std() / math.sqrt(difference.numel())


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
    trial.agree(_effective, _far_log_weights(trial), hint=hint)


def _terms(logits: Tensor, gumbel_noise: Tensor, log_joint: LogJoint) -> tuple[Tensor, Tensor]:
    """Return ln p(x, z) and ln q(z) of hard codes, each (S, B)."""
    z = sampling.gumbel_max(logits, gumbel_noise)
    return log_joint(z), density.categorical_log_prob(z, logits.expand_as(z)).sum(-1)


def _evaluation(logits: Tensor, gumbel_noise: Tensor, log_joint: LogJoint) -> Tensor:
    log_p, log_q = _terms(logits, gumbel_noise, log_joint)
    return (log_p - log_q).mean(0)


def _entropy(logits: Tensor) -> Tensor:
    entropy: Tensor = torch.distributions.Categorical(logits=logits).entropy().sum(-1)
    return entropy


def _at(z: Tensor, logits: Tensor, log_joint: LogJoint) -> Tensor:
    """The estimate at other codes, with ln q = sum of z ln pi."""
    return (log_joint(z) - (z * logits.log_softmax(-1)).sum((-2, -1))).mean(0)


def _of_relaxed(logits: Tensor, g: Tensor, log_joint: LogJoint) -> Tensor:
    relaxed = sampling.gumbel_softmax(logits, g, 0.5)
    return (_terms(logits, g, log_joint)[0] - (relaxed * logits.log_softmax(-1)).sum((-2, -1))).mean(0)


def _of_concrete(logits: Tensor, g: Tensor, log_joint: LogJoint) -> Tensor:
    log_relaxed = sampling.gumbel_log_softmax(logits, g, 0.5)
    log_q = density.concrete_log_density(log_relaxed, logits.expand_as(g), 0.5).sum(-1)
    return (_terms(logits, g, log_joint)[0] - log_q).mean(0)


_MENDED_EVALUATION_KNOWN: Known = [
    (
        lambda logits, g, joint: _terms(logits, g, joint)[0].mean(0),
        "ln q(z|x) is missing: without it nothing is charged for the code.",
    ),
    (
        lambda logits, g, joint: torch.stack(_terms(logits, g, joint)).sum(0).mean(0),
        "ln q(z|x) has the wrong sign.",
    ),
    (
        lambda logits, g, joint: (_terms(logits, g, joint)[0] - _entropy(logits)).mean(0),
        "The entropy has the wrong sign: it is minus the mean of ln q.",
    ),
    (
        lambda logits, g, joint: (_terms(logits, g, joint)[0] + _entropy(logits)).mean(0),
        "The entropy of q is minus ln q on average. The task asks for ln q at the codes that were drawn.",
    ),
    (_of_relaxed, "The code of ln p is hard, that of ln q is relaxed: both must be the same code."),
    (_of_concrete, "ln q is the density of the relaxed code. A hard code has a probability, not a density."),
    (
        lambda logits, g, joint: _bound(_terms(logits, g, joint)[0] - _terms(logits, g, joint)[1]),
        "This is the multi-sample bound, which lies higher. The ELBO is the mean of the log-weights.",
    ),
    (
        lambda logits, g, joint: (
            joint(z := sampling.gumbel_max(logits, g)) - (z * logits).sum((-2, -1))
        ).mean(0),
        "Logits are no log-probabilities yet: they lack a normalization over the K categories.",
    ),
    (
        lambda logits, g, joint: _at(sampling.gumbel_max(logits, 0 * g), logits, joint),
        "All samples have the most probable code: the noise has no influence on it.",
    ),
    (
        lambda logits, g, joint: _at(sampling.gumbel_max(0 * logits, g), logits, joint),
        "The codes come from the noise alone: the logits have no influence on them.",
    ),
    (
        lambda logits, g, joint: _at(sampling.gumbel_max(logits.softmax(-1), g), logits, joint),
        "The noise was added to probabilities. It belongs to the logits.",
    ),
    (
        lambda logits, g, joint: (
            _terms(logits, g, joint)[0] - _terms(logits, g, joint)[1] / logits.shape[-2]
        ).mean(0),
        "ln q is a mean over the N variables. Independent variables multiply, so logarithms add.",
    ),
    (
        lambda logits, g, joint: _evaluation(logits, g, joint) * len(g),
        "It is a sum over the samples, where a mean belongs.",
    ),
]


def _example(trial: Trial) -> tuple[Tensor, Tensor, LogJoint]:
    """Logits, noise, and a small model of five pixels with a linear decoder."""
    samples, batch, variables, categories = (
        trial.integer(*ends) for ends in ((6, 8), (4, 5), (2, 3), (3, 4))
    )
    weight, x = trial.normal(variables * categories, 5), (trial.uniform(batch, 5) > 0.5).double()

    def log_joint(z: Tensor) -> Tensor:
        pixels = z.to(weight.dtype).flatten(-2) @ weight
        return density.bernoulli_log_prob(x, pixels).sum(-1) - variables * math.log(categories)

    g = noise.gumbel_from_uniform(trial.uniform(samples, batch, variables, categories))
    return trial.normal(batch, variables, categories, scale=1.5), g, log_joint


@task
def mended_evaluation(trial: Trial) -> None:
    """Estimate the ELBO of each image with hard codes."""
    logits, g, log_joint = _example(trial)
    calls, tried = [0], f"{trial.name}(logits, gumbel_noise, log_joint)"

    def log_joint_that_looks(z: Tensor) -> Tensor:
        _look(trial, z, logits, tried)
        calls[0] += 1
        return log_joint(z)

    trial.call(logits, g, log_joint_that_looks)
    hint = "It alone knows ln p(x|z) and ln p(z)."
    trial.that(calls[0] > 0, "log_joint was never called", "a call of log_joint", hint, tried=tried)
    trial.agree(
        _evaluation,
        [(logits, g, log_joint), *(_example(trial) for _ in range(6))],
        known=_MENDED_EVALUATION_KNOWN,
        hint="Draw z = one-hot of argmax(logits + noise). Then average ln p(x, z) - ln q(z|x).",
    )


def _look(trial: Trial, z: Tensor, logits: Tensor, tried: str) -> None:
    """Demand that log_joint gets one-hot codes."""
    shape, batch = tuple(getattr(z, "shape", ())), tuple(logits.shape)
    came = f"log_joint was called with a code of shape {shape}"
    hint = "Did argmax leave the index of a category? A code is one-hot, with K entries."
    trial.that(shape[-3:] == batch, came, f"a shape that ends in {batch}", hint, tried=tried)
    grey = (z.double() - z.double().round()).abs().max().item()
    came = f"log_joint was called with relaxed codes: entries up to {grey:.2g} away from 0 and 1"
    hint = "A grey code tells the decoder more than one category can. At a test, codes are 0 or 1."
    trial.that(grey < 1e-6, came, "one-hot codes", hint, tried=tried)
