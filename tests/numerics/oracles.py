"""The formulas of the library for mpmath, term by term.

Each returns its terms, whose sum it is, and the sizes of what is rounded on the way: the sum inside a
logarithm, or the derivative times the argument that was rounded.
"""

from collections.abc import Sequence
from typing import Any

import mpmath
from mpmath import log, log1p

Number = Any  # an mpmath.mpf: the package has no types
Terms = tuple[list[Number], list[Number]]

# What mpmath needs


def exp(x: Number) -> Number:
    """e^x, kept where mpmath can hold its exponent: 10^43429 is beyond every dtype."""
    return mpmath.exp(min(max(x, -100_000), 100_000))


def softplus(x: Number) -> Number:
    return max(x, 0) + log1p(exp(-abs(x)))


def sigma(x: Number) -> Number:
    return 1 / (1 + exp(-x))


def log_sigma(x: Number) -> Number:
    return -softplus(-x)


def lse(x: Sequence[Number]) -> Number:
    top = max(x)
    return top + log(mpmath.fsum(exp(v - top) for v in x))


def log_pi(x: Sequence[Number]) -> list[Number]:
    """Log-probabilities, of the likeliest with every digit."""
    likeliest = max(range(len(x)), key=lambda k: x[k])
    others = mpmath.fsum(exp(v - x[likeliest]) for k, v in enumerate(x) if k != likeliest)
    return [v - x[likeliest] - log1p(others) for v in x]


def xlogy(p: Number, log_q: Number) -> Number:
    return p * log_q if p else mpmath.mpf(0)


# The formulas, term by term


def gumbel_log_density(x: Number, loc: Number, scale: Number) -> Terms:
    z = (x - loc) / scale
    return [-z, -exp(-z), -log(scale)], [z * exp(-z)]


def gumbel_cdf(x: Number, loc: Number, scale: Number) -> Terms:
    z = (x - loc) / scale
    value = exp(-exp(-z))
    return [value], [value * exp(-z), value * exp(-z) * z]


def logistic_log_density(x: Number, loc: Number, scale: Number) -> Terms:
    z = (x - loc) / scale
    return [log_sigma(z), log_sigma(-z), -log(scale)], []


def logistic_cdf(x: Number, loc: Number, scale: Number) -> Terms:
    z = (x - loc) / scale
    return [sigma(z)], [z * sigma(z) * sigma(-z)]


def concrete_log_density(y: list[Number], a: list[Number], lam: Number) -> Terms:
    scores = [a_k - lam * y_k for a_k, y_k in zip(a, y, strict=True)]
    constant = [mpmath.loggamma(len(y)), (len(y) - 1) * log(lam)]
    return [*constant, *a, *(-lam * y_k for y_k in y), -len(y) * lse(scores)], []


def binary_concrete_log_density(y: Number, a: Number, lam: Number) -> Terms:
    return [log(lam), -lam * y, a, -2 * softplus(-lam * y + a)], []


def bernoulli_log_prob(b: Number, a: Number) -> Terms:
    return [xlogy(b, log_sigma(a)), xlogy(1 - b, log_sigma(-a))], []


def categorical_log_prob(z: list[Number], a: list[Number]) -> Terms:
    top, weight = max(a), mpmath.fsum(z)
    terms = [z_k * (a_k - top) for z_k, a_k in zip(z, a, strict=True)]
    return [*terms, -weight * (lse(a) - top)], [weight]  # the sum inside the logarithm holds a 1


def bernoulli_kl(a: Number, b: Number = 0) -> Terms:
    one = [sigma(a) * log_sigma(a), -sigma(a) * log_sigma(b)]
    return [*one, sigma(-a) * log_sigma(-a), -sigma(-a) * log_sigma(-b)], []


def bits_kl(a: list[Number]) -> Terms:
    return [term for a_i in a for term in bernoulli_kl(a_i)[0]], []


def categorical_kl(a: list[Number], b: list[Number] | None = None) -> Terms:
    log_p, log_q = log_pi(a), log_pi([0 * v for v in a] if b is None else b)
    terms = [[exp(p) * p, -exp(p) * q] for p, q in zip(log_p, log_q, strict=True)]
    return [term for pair in terms for term in pair], [mpmath.mpf(1)]  # log-softmax adds to a 1


def gaussian_kl(mean: Number, log_std: Number) -> Terms:
    rounded = log_std * (exp(2 * log_std) - 1)
    return [mean**2 / 2, exp(2 * log_std) / 2, -mpmath.mpf(1) / 2, -log_std], [rounded]


def bits_log_prob(z: list[Number], a: list[Number]) -> Terms:
    terms = [[z_i * a_i, log_sigma(-a_i)] for z_i, a_i in zip(z, a, strict=True)]
    return [term for pair in terms for term in pair], []


def gaussian_log_prob(z: Number, mean: Number, log_std: Number) -> Terms:
    square = ((z - mean) * exp(-log_std)) ** 2 / 2
    return [-square, -log_std, -log(2 * mpmath.pi) / 2], [square * log_std]


def gaussian(mean: Number, log_std: Number, eps: Number) -> Terms:
    return [mean, exp(log_std) * eps], [log_std * exp(log_std) * eps]


def gumbel_softmax(a: list[Number], eps: list[Number], lam: Number) -> Terms:
    """The first of the three: elsewhere the formula is the same."""
    scores = [(a_k + e_k) / lam for a_k, e_k in zip(a, eps, strict=True)]
    value = exp(scores[0] - lse(scores))
    return [value], [max(abs(v) for v in (*a, *eps)) / lam / 4]  # the slope in a score is at most 1/4


def gumbel_log_softmax(a: list[Number], eps: list[Number], lam: Number) -> Terms:
    scores = [(a_k + e_k) / lam for a_k, e_k in zip(a, eps, strict=True)]
    terms = [v / lam for v in (a[0], eps[0])]
    return [*terms, -lse(scores)], [mpmath.mpf(1)]


def binary_concrete_logit(a: Number, eps: Number, lam: Number) -> Terms:
    return [a / lam, eps / lam], []


def binary_concrete(a: Number, eps: Number, lam: Number) -> Terms:
    return [sigma((a + eps) / lam)], [max(abs(a), abs(eps)) / lam / 4]
