"""Chapter 11: choice probabilities, the worth of a choice, a newcomer, and the slope of a likelihood."""

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
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
        hint="For one person: the features of the choice minus their mean under the model's probabilities.",
    )
    features, choices, weights = case()
    hint = "Utilities near 800: let a softmax make the probabilities, it overflows nowhere."
    trial.agree(_gradient, [(800 * features, choices, weights)], hint=hint)
