"""Chapter 11: the shares after a newcomer, and the slope of a likelihood."""

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom.trial import Known, Trial, task


def _joined(shares: Tensor, ratio: float, i: int) -> Tensor:
    new = ratio * shares[[i]]
    return torch.cat([shares, new]) / (1 + new)


def _from_one(shares: Tensor, ratio: float, i: int) -> Tensor:
    """Take the newcomer's share from alternative i alone."""
    left = shares.clone()
    left[i] = shares[i] / (1 + ratio)
    return torch.cat([left, ratio * left[[i]]])


def _moved(shares: Tensor, ratio: float, i: int) -> Tensor:
    """Give the newcomer ratio times the old share, and take as much from alternative i."""
    new, left = ratio * shares[[i]], shares.clone()
    left[i] = shares[i] - new[0]
    return torch.cat([left, new])


def _beside(shares: Tensor, ratio: float, i: int) -> Tensor:
    joined = _joined(shares, ratio, i)
    return torch.cat([joined[: i + 1], joined[-1:], joined[i + 1 : -1]])


_SHARES_AFTER_ADDING_KNOWN: Known = [
    (
        _from_one,
        "All of the newcomer's passengers come from alternative i. People may do that, the logit does not.",
    ),
    (_moved, "All of the newcomer's passengers come from alternative i, so its ratios to others change."),
    (
        lambda s, ratio, i: torch.cat([s, ratio * s[[i]]]),
        "The shares sum to more than 1.",
    ),
    (
        lambda s, ratio, i: torch.full((len(s) + 1,), 1 / (len(s) + 1)).double(),
        "All shares are equal. That is right only if they were equal before.",
    ),
    (
        lambda s, ratio, i: torch.cat([s - ratio * s[i] / len(s), ratio * s[[i]]]),
        "The same amount is taken from each old alternative: that changes the ratios among them.",
    ),
    (
        lambda s, ratio, i: torch.cat([s * (1 - ratio * s[i]), ratio * s[[i]]]),
        "The old ones are reduced and the newcomer is not: its ratio to alternative i comes out too large.",
    ),
    (lambda s, ratio, i: _joined(s, 1 / ratio, i), "The ratio is upside down: new to old, not old to new."),
    (_beside, "The newcomer stands beside alternative i. It belongs last."),
    (lambda s, ratio, i: _joined(s, ratio, i).roll(1), "The newcomer stands first. It belongs last."),
    (
        lambda s, ratio, i: torch.cat([s, torch.tensor([ratio]).double()]) / (1 + ratio),
        "The ratio was taken to all old alternatives together. It is to alternative i alone.",
    ),
    (
        lambda s, ratio, i: torch.softmax(torch.cat([s, ratio * s[[i]]]), -1),
        "A softmax of shares: shares are not utilities. Their logarithms would be.",
    ),
    (lambda s, ratio, i: _joined(s, ratio, i - 1), "The ratio went to the neighbour of i: i counts from 0."),
]


@task
def shares_after_adding(trial: Trial) -> None:
    """Return all shares of a logit model after another alternative has joined."""

    def case() -> tuple[Tensor, float, int]:
        size, ratio = trial.integer(3, 5), trial.number(1.2, 3)
        turned = ratio if trial.integer(0, 1) else round(1 / ratio, 2)
        return torch.softmax(trial.normal(size), -1), turned, trial.integer(0, size - 1)

    half = torch.tensor([0.5, 0.5]).double()
    hint = "The ratio of any two old shares must stay, that of the newcomer to i is given, and the sum is 1."
    cases = [case() for _ in range(12)]
    trial.agree(_joined, cases, known=_SHARES_AFTER_ADDING_KNOWN, hint=hint)
    trial.agree(_joined, [(half, 1.0, 1)], hint=hint)


def _centred(features: Tensor, choices: Tensor, shares: Tensor) -> Tensor:
    """Chosen features minus their mean under some shares, (N, D)."""
    return torch.einsum("nj, njd -> nd", choices - shares, features)


def _gradient(features: Tensor, choices: Tensor, weights: Tensor) -> Tensor:
    beta = weights.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        likelihood = density.categorical_log_prob(choices, features @ beta).mean()
    return torch.autograd.grad(likelihood, beta)[0]


_LOG_LIKELIHOOD_GRADIENT_KNOWN: Known = [
    (lambda x, y, b: 0 * b, "It is 0 everywhere, as only at the top of the likelihood."),
    (
        lambda x, y, b: -_gradient(x, y, b),
        "It points downhill: the gradient of the loss, which is minus the log-likelihood.",
    ),
    (lambda x, y, b: _gradient(x, y, b) * len(x), "It is a sum over the persons, where a mean belongs."),
    (
        lambda x, y, b: _gradient(x, y, b) / y.shape[1],
        "It is too small by the number of alternatives: over them one sums, over the persons one averages.",
    ),
    (
        lambda x, y, b: _centred(x, y, 0 * y).mean(0),
        "Only the chosen features count here. The logarithm of the sum over alternatives has a slope too.",
    ),
    (
        lambda x, y, b: _centred(x, 0 * y, -(x @ b).softmax(-1)).mean(0),
        "The choices have no influence: this is only what the model expects.",
    ),
    (
        lambda x, y, b: _centred(x, y, torch.full_like(y, 1 / y.shape[1])).mean(0),
        "All alternatives have the same weight in the expectation. The model's probabilities are missing.",
    ),
    (
        lambda x, y, b: _centred(x, y, (x @ b).softmax(0)).mean(0),
        "The probabilities sum to 1 over the persons. Each person chooses among the alternatives.",
    ),
    (
        lambda x, y, b: _centred(x, y, (x @ b).exp()).mean(0),
        "The expectation is not normalized: exp(V) are no probabilities yet.",
    ),
    (
        lambda x, y, b: _centred(x, y, (x @ b).sigmoid()).mean(0),
        "A sigmoid compares each alternative with 0 alone: the shares of a person must sum to 1.",
    ),
    (
        lambda x, y, b: _centred(x, y, sampling.gumbel_max(x @ b, torch.zeros_like(y))).mean(0),
        "The expectation holds the best alternative only: the others are taken now and then.",
    ),
    (lambda x, y, b: _centred(x, y, x @ b).mean(0), "Utilities stand where probabilities belong."),
    (
        lambda x, y, b: _centred(x, y, (x @ b).log_softmax(-1)).mean(0),
        "Log-probabilities stand where probabilities belong.",
    ),
    (
        lambda x, y, b: _centred(x, y, y.mean(0)).mean(0),
        "The expectation uses the observed shares, so it does not depend on the weights.",
    ),
    (
        lambda x, y, b: _centred(x, y, y * (x @ b).softmax(-1)).mean(0),
        "The expectation holds the chosen alternative only. It goes over all of them.",
    ),
]


@task
def log_likelihood_gradient(trial: Trial) -> None:
    """Return the gradient of the mean log-likelihood of a conditional logit model."""

    def case() -> tuple[Tensor, Tensor, Tensor]:
        people, modes, size = trial.integer(6, 9), trial.integer(3, 5), trial.integer(2, 4)
        features, weights = trial.normal(people, modes, size), trial.normal(size)
        epsilon = noise.gumbel_from_uniform(trial.uniform(people, modes))
        return features, sampling.gumbel_max(features @ weights, epsilon), weights + trial.normal(size)

    trial.agree(
        _gradient,
        [case() for _ in range(8)],
        known=_LOG_LIKELIHOOD_GRADIENT_KNOWN,
        hint="For one person, differentiate ln P of what was chosen: two vectors of length D come out, one "
        "from each term.",
    )
    features, choices, weights = case()
    hint = "Utilities near 800: let a softmax make the probabilities, it overflows nowhere."
    trial.agree(_gradient, [(800 * features, choices, weights)], hint=hint)
