"""Chapter 05: the KL of bits."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from catvae_lib import density
from catvae_lib.classroom.trial import Known, Trial, task

LN2 = math.log(2)
_TWICE = "The sigmoid is taken twice: probabilities stand where logits belong."
_ENTROPY = "This is the entropy of the bit: it is largest where the KL is 0."
EXTREME = (0.0, 50.0, -50.0, 800.0, -800.0)


def _kl_of(theta: Tensor) -> Tensor:
    return density.bernoulli_kl(torch.logit(theta))


_BERNOULLI_KL_WEIGHTED_KNOWN: Known = [
    (
        lambda theta: torch.log(4 * theta * (1 - theta)),
        "This is Eq. (5) as printed. It is negative, and a KL never is: each term is as likely as its k.",
    ),
    (
        lambda theta: theta * (theta.log() - 0.5) + (1 - theta) * ((1 - theta).log() - 0.5),
        "The prior enters as it is: its logarithm is missing.",
    ),
    (
        lambda theta: _kl_of(theta) - LN2,
        "At theta = 0.5, where q is the prior, it is not 0: the prior's term is missing.",
    ),
    (
        lambda theta: theta * torch.log(2 * theta),
        "Only k = 1 is counted: what does a bit cost when it is 0?",
    ),
    (
        lambda theta: (1 - theta) * torch.log(2 * (1 - theta)),
        "Only k = 0 is counted: what does a bit cost when it is 1?",
    ),
    (lambda theta: _kl_of(theta) / LN2, "This is in bits: nats ask for the natural logarithm."),
    (
        lambda theta: -0.5 * torch.log(4 * theta * (1 - theta)),
        "Both terms have weight 0.5: the average is taken under the prior, not under q.",
    ),
    (lambda theta: LN2 - _kl_of(theta), _ENTROPY),
    (
        lambda theta: (1 - theta) * torch.log(2 * theta) + theta * torch.log(2 * (1 - theta)),
        "The weights are exchanged: k = 1 comes with probability theta.",
    ),
]


@task
def bernoulli_kl_weighted(trial: Trial) -> None:
    """Return the KL of bits to the fair coin, Eq. (5) with its weights."""
    cases = [(trial.uniform(trial.integer(3, 5), low=0.02, high=0.98),) for _ in range(10)]
    cases += [(torch.tensor([0.5, 0.1, 0.01], dtype=torch.float64),), (trial.uniform(2, 3),)]
    trial.agree(
        _kl_of,
        cases,
        known=_BERNOULLI_KL_WEIGHTED_KNOWN,
        hint="Two terms, k = 0 and k = 1: each is its probability under q times ln q - ln p.",
    )


def _log_ratio(logits: Tensor, bits: Tensor) -> Tensor:
    return density.bernoulli_log_prob(bits, logits) + LN2  # (S, Q)


def _weighted_by_q(logits: Tensor, bits: Tensor) -> Tensor:
    return density.bernoulli_log_prob(bits, logits).sum(-1).exp() * _log_ratio(logits, bits).sum(-1)


_ONES = "Only the bits that are 1 are counted: a 0 has a log-probability as well."
_WEIGHTED: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda logits, bits: _weighted_by_q(logits, bits).sum(),
    lambda logits, bits: _weighted_by_q(logits, bits).mean(),
]
_MONTE_CARLO_KL_KNOWN: Known = [
    (
        lambda logits, bits: density.bernoulli_kl(logits).sum(),
        "This is the closed form: the draws are not used.",
    ),
    (
        lambda logits, bits: _log_ratio(logits, bits).sum(),
        "It is summed over the samples: drawing more codes must not raise the KL.",
    ),
    (
        lambda logits, bits: _log_ratio(logits, bits).mean(),
        "It is averaged over the bits, too: this is the price of one bit, not of the code.",
    ),
    (
        lambda logits, bits: density.bernoulli_log_prob(bits, logits).sum(-1).mean(),
        "The prior is missing: a code of Q coin tosses has ln p(z) = Q ln 0.5.",
    ),
    (
        lambda logits, bits: density.bernoulli_log_prob(bits, logits).sum(-1).mean() + LN2,
        "The prior is counted for one bit only: the code has Q of them.",
    ),
    (
        lambda logits, bits: (_log_ratio(logits, bits) - 2 * LN2).sum(-1).mean(),
        "ln p has the wrong sign: it is ln q minus ln p, and ln 0.5 is negative.",
    ),
    (lambda logits, bits: (bits * (logsigmoid(logits) + LN2)).sum(-1).mean(), _ONES),
    (lambda logits, bits: (bits * logsigmoid(logits) + LN2).sum(-1).mean(), _ONES),
    (
        lambda logits, bits: _log_ratio(logits, 1 - bits).sum(-1).mean(),
        "Zeros and ones are exchanged: a 1 has probability theta.",
    ),
    (
        lambda logits, bits: (_log_ratio(logits, bits).exp() / 2 * _log_ratio(logits, bits)).sum(-1).mean(),
        "Each term is weighted by q, and then averaged over draws from q: the weights are in twice.",
    ),
    *[(weighted, "The codes come from q already: a weight q(z) counts it twice.") for weighted in _WEIGHTED],
    (
        lambda logits, bits: density.bernoulli_log_prob(bits, logits).sum(-1).mean() + LN2 * len(bits),
        "The prior is counted once for each sample: it has a factor for each bit of a code.",
    ),
    (
        lambda logits, bits: (
            density.bernoulli_log_prob(bits, torch.sigmoid(logits)).sum(-1).mean() + LN2 * len(logits)
        ),
        _TWICE,
    ),
]


@task
def monte_carlo_kl(trial: Trial) -> None:
    """Estimate the KL of a code to fair coins from hard codes that are drawn already."""

    def right(logits: Tensor, bits: Tensor) -> Tensor:
        return _log_ratio(logits, bits).sum(-1).mean()

    def drawn(logits: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        return logits, (trial.uniform(samples, len(logits)) < torch.sigmoid(logits)).double()

    cases = [drawn(trial.normal(trial.integer(2, 4), scale=2), trial.integer(5, 8)) for _ in range(10)]
    hint = "ln q(z) - ln p(z) of each code, summed over its bits; then the mean over the codes."
    trial.agree(right, cases, known=_MONTE_CARLO_KL_KNOWN, hint=hint)
    logits = torch.tensor(EXTREME, dtype=torch.float64)
    rare = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    hint = "At logits of 50 and 800: never take the logarithm of a saturated sigmoid, nor clamp it."
    trial.agree(right, [drawn(logits, 3), (logits, rare)], hint=hint)


def _pull(logits: Tensor, prior_logit: float) -> Tensor:
    leaf = logits.detach().clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(density.bernoulli_kl(leaf, prior_logit).sum(), leaf)
    return slope


def _theta(prior_logit: float) -> float:
    return 1 / (1 + math.exp(-prior_logit))


def _spread(logits: Tensor) -> Tensor:
    return torch.sigmoid(logits) * torch.sigmoid(-logits)


_FACTOR = "A factor is missing: d theta / d logit is small at both ends, not at one."
_KL_GRADIENT_KNOWN: Known = [  # a is the logit, m the prior's
    (lambda a, m: a - m, "This is the derivative with respect to theta: the chain rule is still to come."),
    (
        lambda a, m: a * _spread(a),
        "This is the pull of the fair coin: it must vanish where q is the prior, not at logit 0.",
    ),
    (lambda a, m: (a - m) * torch.sigmoid(a), _FACTOR),
    (lambda a, m: (a - m) * torch.sigmoid(-a), _FACTOR),
    (lambda a, m: _spread(a), "This is d theta / d logit alone: the KL's own derivative is missing."),
    (lambda a, m: (a - _theta(m)) * _spread(a), "The prior's probability stands where its logit belongs."),
    (
        lambda a, m: (torch.sigmoid(a) - _theta(m)) * _spread(a),
        "Probabilities stand where logits belong: differentiate the logarithms once more.",
    ),
    (lambda a, m: torch.sigmoid(a) - _theta(m), "The KL's slope in theta holds log-odds, not probabilities."),
    (
        lambda a, m: (a - m) * _theta(m) * (1 - _theta(m)),
        "d theta / d logit is taken at the prior: it belongs to the bit's own theta.",
    ),
    (lambda a, m: (a + m) * _spread(a), "The prior's sign is wrong: it pulls towards minus its own logit."),
    (density.bernoulli_kl, "This is the KL itself, not its derivative."),
    (lambda a, m: 1 - 2 * torch.sigmoid(a), "This is the slope of Eq. (5) as printed, without its weights."),
    (lambda a, m: (a - m) / _spread(a), "It divides by d theta / d logit: the chain rule multiplies."),
]


@task
def kl_gradient(trial: Trial) -> None:
    """Return the derivative, with respect to the logits, of the KL of bits to a coin of any probability."""
    cases = [(trial.normal(trial.integer(3, 5), scale=2), trial.number(0.3, 2)) for _ in range(6)]
    cases += [(trial.normal(3, scale=2), -trial.number(0.3, 2)) for _ in range(4)]
    cases += [(trial.normal(2, 3, scale=2), 0.0)]
    trial.agree(
        _pull,
        cases,
        known=_KL_GRADIENT_KNOWN,
        hint="d KL / d logit = (d KL / d theta) (d theta / d logit): find the two one after the other.",
    )
    hint = "A bit that is certain is not pulled: at logits of 50 and 800 the derivative is 0, and no NaN."
    extreme = torch.tensor(EXTREME, dtype=torch.float64)
    trial.agree(_pull, [(extreme, 0.0), (extreme, trial.number(0.3, 2))], hint=hint)
