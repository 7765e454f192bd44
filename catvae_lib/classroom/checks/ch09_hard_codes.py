"""Chapter 09: an evaluation with hard codes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom.trial import Known, Trial, task

LogJoint = Callable[[Tensor], Tensor]


def _bound(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


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
        lambda logits, g, joint: (
            joint(z := sampling.gumbel_max(logits, g)) - (z * (logits + g).log_softmax(-1)).sum((-2, -1))
        ).mean(0),
        "The noise is in ln q, too: q(z|x) has the probabilities of the logits alone.",
    ),
    (
        lambda logits, g, joint: (
            joint(z := sampling.gumbel_max(logits, g)) - (z * logits.softmax(-1)).sum((-2, -1))
        ).mean(0),
        "Probabilities were subtracted: ln q is a logarithm.",
    ),
    (
        lambda logits, g, joint: (
            _evaluation(logits, g, joint) - logits.shape[-2] * math.log(logits.shape[-1])
        ),
        "The prior is counted twice: log_joint holds ln p(z) already.",
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
