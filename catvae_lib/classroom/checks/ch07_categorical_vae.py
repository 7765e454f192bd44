"""Chapter 07: the probabilities, the price and the use of codes of N variables with K categories."""

import math

import torch
from torch import Tensor

from catvae_lib import density
from catvae_lib.classroom.trial import Known, Trial, task


def _rows(params: Tensor, num_categories: int) -> Tensor:
    return params.reshape(len(params), -1, num_categories)


def _exchanged(params: Tensor, num_categories: int) -> Tensor:
    return params.reshape(len(params), num_categories, -1).transpose(1, 2)


_CODE_PROBABILITIES_KNOWN: Known = [
    (
        lambda params, k: _rows(params.softmax(-1), k),
        "All N K probabilities of an example sum to 1 together: one softmax over the whole row. How many "
        "variables choose here?",
    ),
    (
        lambda params, k: _exchanged(params, k).softmax(-1),
        "Every row sums to 1, but of the wrong logits: the row was cut into K pieces of N. Which K numbers "
        "stand side by side?",
    ),
    (
        lambda params, k: _exchanged(params, k).softmax(1),
        "The row was cut into K pieces of N, and normalized over the variables.",
    ),
    (
        lambda params, k: _rows(params, k).softmax(1),
        "It is normalized over the variables, not the categories.",
    ),
    (lambda params, k: _rows(params, k).softmax(0), "It is normalized over the batch: examples compete."),
    (_rows, "The cut is right, but these are still logits."),
    (lambda params, k: _rows(params, k).log_softmax(-1), "These are log-probabilities."),
    (
        lambda params, k: _rows(params, k).sigmoid(),
        "The categories of a variable do not sum to 1: a sigmoid treats each as a bit of its own.",
    ),
]


@task
def code_probabilities(trial: Trial) -> None:
    """Turn the encoder's N K outputs into N rows of K probabilities."""

    def right(params: Tensor, num_categories: int) -> Tensor:
        return _rows(params, num_categories).softmax(-1)

    sizes = [(4, 2, 3), (3, 2, 4), (2, 4, 3), (2, 3, 5), (1, 2, 3)]
    cases = [(trial.normal(b, n * k, scale=2), k) for b, n, k in sizes]
    trial.agree(
        right,
        cases,
        known=_CODE_PROBABILITIES_KNOWN,
        hint="Write B = 1, N = 2, K = 3 by hand, six different logits. Which three belong together?",
    )
    trial.agree(
        right,
        [(trial.normal(2, 6) + 800, 3), (trial.normal(2, 6, scale=300), 3)],
        hint="Large logits: only their differences count, and torch.softmax knows it.",
    )


def _kl(log_pi: Tensor) -> Tensor:
    return (log_pi.exp() * log_pi).sum(-1) + math.log(log_pi.shape[-1])  # (B, N)


def _minus_entropy(logits: Tensor) -> Tensor:
    return _kl(logits.log_softmax(-1)) - math.log(logits.shape[-1])


_CATEGORICAL_KL_KNOWN: Known = [
    (
        lambda x: density.categorical_kl(x).mean(-1),
        "The variables were averaged: each then weighs 1/N of what it costs. Independent prices add up.",
    ),
    (
        lambda x: density.categorical_kl(x).sum(-1) / x.shape[-1],
        "It is 1/K of the right result: a mean over the categories where a sum belongs.",
    ),
    (lambda x: _minus_entropy(x).sum(-1), "The prior plays no part: its ln K is missing."),
    (lambda x: -_minus_entropy(x).sum(-1), "This is the entropy of q alone: largest where the price is 0."),
    (
        lambda x: _minus_entropy(x).sum(-1) + math.log(x.shape[-1]),
        "ln K is there once for the whole code. How many variables have a prior?",
    ),
    (
        lambda x: (_minus_entropy(x) + math.log(x.shape[1] * x.shape[2])).sum(-1),
        "ln(N K) stands where each variable's prior has K categories.",
    ),
    (
        lambda x: (_minus_entropy(x) - math.log(x.shape[-1])).sum(-1),
        "The sign of the prior's term: ln(1/K) is negative, and it is subtracted.",
    ),
    (
        lambda x: (_minus_entropy(x) + x.shape[-1] * math.log(x.shape[-1])).sum(-1),
        "ln K is added once a category without its weight pi: it appears K times too often.",
    ),
    (
        lambda x: -(x.log_softmax(-1).mean(-1) + math.log(x.shape[-1])).sum(-1),
        "The two distributions are exchanged: the weights must be those of q, not of the prior.",
    ),
    (
        lambda x: (x.log_softmax(-1) + math.log(x.shape[-1])).sum((-1, -2)),
        "The logarithms are summed without their weights pi.",
    ),
    (
        lambda x: _kl(x.softmax(-1).log_softmax(-1)).sum(-1),
        "A softmax was taken of the softmax: make probabilities of the logits once.",
    ),
    (
        lambda x: (x.softmax(-1) * (x + math.log(x.shape[-1]))).sum((-1, -2)),
        "The logits stand where ln pi belongs: they lack a normalization over the categories.",
    ),
    (
        lambda x: (_minus_entropy(x) + math.log(x.shape[1])).sum(-1),
        "ln N stands where ln K belongs: a variable has K categories.",
    ),
    (
        lambda x: (x.softmax(1) * x.log_softmax(1)).sum((-1, -2)) + x.shape[2] * math.log(x.shape[-1]),
        "It is normalized over the variables, not over the categories.",
    ),
    (lambda x: density.categorical_kl(x).sum(-1) / math.log(2), "These are bits: in nats, ln and not log2."),
    (
        lambda x: (density.categorical_kl(x.transpose(1, 2))).sum(-1),
        "It is normalized over the variables, not over the categories.",
    ),
]


@task
def categorical_kl_to_uniform(trial: Trial) -> None:
    """Return the price in nats of N categorical variables against a uniform prior."""

    def right(logits: Tensor) -> Tensor:
        return density.categorical_kl(logits).sum(-1)

    sizes = [(2, 4, 3), (4, 2, 3), (3, 2, 5), (2, 3, 4), (5, 4, 3), (1, 2, 3)]
    trial.agree(
        right,
        [(trial.normal(*size, scale=2),) for size in sizes],
        known=_CATEGORICAL_KL_KNOWN,
        hint="Take B = 1, N = 1 and K = 2 equal logits: the price is 0. Then make one certain: it is ln 2.",
    )
    certain = torch.where(trial.uniform(3, 2, 4) < 0.5, -800.0, 800.0).to(torch.float64)
    hint = "A probability may be 0 in floating point: take ln pi from log_softmax, never the log of pi."
    trial.agree(right, [(certain,), (trial.normal(2, 3, 4) - 800,)], hint=hint)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


_CODE_PERPLEXITY_KNOWN: Known = [
    (
        lambda p: _entropy(p).mean(0).exp(),
        "The average came after the entropy: it says how unsure the encoder is of an image, not how many "
        "categories the images use together.",
    ),
    (
        lambda p: _entropy(p).exp().mean(0),
        "Each image got a number of its own, and these were averaged. Two images with two certain, different "
        "categories use two; what do you get?",
    ),
    (
        lambda p: _entropy(p.mean(0)),
        "This is an entropy: 0 for one category, ln m for m of them. Which function makes m of ln m?",
    ),
    (
        lambda p: _entropy(p.mean(0)) / math.log(2),
        "This is an entropy, in bits: which function makes m of it?",
    ),
    (
        lambda p: (_entropy(p.mean(0)) / math.log(2)).exp(),
        "The logarithm and the exponential have different bases: log2 inside, e outside.",
    ),
    (
        lambda p: 2 ** _entropy(p.mean(0)),
        "The logarithm and the exponential have different bases: ln inside, 2 outside.",
    ),
    (lambda p: (-_entropy(p.mean(0))).exp(), "It is below 1: the sign of the entropy is wrong."),
    (
        lambda p: (p.mean(0) > 0).to(p.dtype).sum(-1),
        "This is K wherever every category occurs: a rare one has to count for less than a frequent one.",
    ),
    (
        lambda p: _entropy(torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).to(p.dtype).mean(0)).exp(),
        "Each image counts for its likeliest category only: a share is an average of probabilities.",
    ),
    (
        lambda p: _entropy(p.softmax(-1).mean(0)).exp(),
        "A softmax was taken of the probabilities: they are probabilities already.",
    ),
    (
        lambda p: _entropy(p.mean(0)) / math.log(p.shape[-1]),
        "This is the entropy as a share of its maximum: it is 1 for equal use of all categories.",
    ),
    (
        lambda p: 1 / p.mean(0).square().sum(-1),
        "This is 1 / sum p^2. It counts categories as well, but it is not the exp of an entropy.",
    ),
    (
        lambda p: (-torch.xlogy(p.mean(0), p.mean(0)).mean(-1)).exp(),
        "A mean over the categories stands where the entropy is a sum.",
    ),
    (
        lambda p: (-(p.sum(0) * p.sum(0).log()).sum(-1)).exp(),
        "The images were summed: the categories' shares must sum to 1 before they have an entropy.",
    ),
]


@task
def code_perplexity(trial: Trial) -> None:
    """Return how many categories each variable uses: the exp of the entropy of its average code."""

    def right(probabilities: Tensor) -> Tensor:
        return _entropy(probabilities.mean(0)).exp()

    sizes = [(4, 3, 5), (5, 4, 3), (6, 2, 4), (3, 2, 5), (2, 3, 4), (2, 1, 3)]
    trial.agree(
        right,
        [(trial.normal(*size, scale=2).softmax(-1),) for size in sizes],
        known=_CODE_PERPLEXITY_KNOWN,
        hint="First the share of each category over the batch, then the entropy of the shares. What makes m "
        "of the entropy of m equal shares?",
    )
    unused = trial.normal(4, 2, 5).softmax(-1) * torch.tensor([1.0, 1, 0, 1, 0], dtype=torch.float64)
    picks = (7 * trial.uniform(6, 2)).long().remainder(4)
    codes = torch.nn.functional.one_hot(picks, 5).to(torch.float64)
    trial.agree(
        right,
        [(unused / unused.sum(-1, keepdim=True),), (codes,)],
        known=_CODE_PERPLEXITY_KNOWN,
        hint="Some category is never used here: its share is 0, and 0 ln 0 counts as 0.",
    )
