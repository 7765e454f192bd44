"""Log-densities, distribution functions and KL divergences in closed form, computed from logits in log-space.

All values are in nats. Probabilities 0 and 1 (infinite logits) take their limits, with 0 log 0 = 0.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from catvae_lib import _validate
from catvae_lib._limits import drop_zero_times_infinity, log_softmax


def gumbel_log_density(x: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Log-density of the Gumbel distribution: $-z - e^{-z} - \ln\beta$ with $z = (x - \mu)/\beta$.

    The article prints $\exp(-e^{-z})$ for the density; that is the distribution function, `gumbel_cdf`.

    Args:
        x: Points, any shape; infinite ones have log-density -inf.
        loc: Location $\mu$.
        scale: Scale $\beta > 0$.

    Returns:
        Log-density in nats, of the broadcast shape.

    Raises:
        ValueError: If an argument holds NaN, the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> gumbel_log_density(torch.tensor([0.0, 2.0]))
        tensor([-1.0000, -2.1353])
    """
    z = _standardized(x, loc, scale).clamp(min=torch.finfo(x.dtype).min)  # -inf would give inf - inf
    return -z - torch.exp(-z) - _log(scale)


def gumbel_cdf(x: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Distribution function of the Gumbel distribution: $\exp(-e^{-(x - \mu)/\beta})$.

    The article prints this as the density.

    Args:
        x: Points, any shape.
        loc: Location $\mu$.
        scale: Scale $\beta > 0$.

    Returns:
        Probabilities of the broadcast shape.

    Raises:
        ValueError: If an argument holds NaN, the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> gumbel_cdf(torch.tensor([0.3665]))
        tensor([0.5000])
    """
    z = _standardized(x, loc, scale)
    lowest = -0.5 * math.log(torch.finfo(z.dtype).max)  # below it the value is 0; exp(-z) must not overflow
    return torch.exp(-torch.exp(-z.clamp(min=lowest)))


def logistic_log_density(x: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Log-density of the logistic distribution: $\ln\sigma(z) + \ln\sigma(-z) - \ln s$, $z = (x - \mu)/s$.

    Args:
        x: Points, any shape; infinite ones have log-density -inf.
        loc: Location $\mu$.
        scale: Scale $s > 0$.

    Returns:
        Log-density in nats, of the broadcast shape.

    Raises:
        ValueError: If an argument holds NaN, the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> logistic_log_density(torch.tensor([0.0, 100.0]))
        tensor([  -1.3863, -100.0000])
    """
    z = _standardized(x, loc, scale)
    return logsigmoid(z) + logsigmoid(-z) - _log(scale)


def logistic_cdf(x: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Distribution function of the logistic distribution: $\sigma((x - \mu)/s)$.

    Args:
        x: Points, any shape.
        loc: Location $\mu$.
        scale: Scale $s > 0$.

    Returns:
        Probabilities of the broadcast shape.

    Raises:
        ValueError: If an argument holds NaN, the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> logistic_cdf(torch.tensor([0.0]))
        tensor([0.5000])
    """
    return torch.sigmoid(_standardized(x, loc, scale))


def concrete_log_density(log_sample: Tensor, logits: Tensor, temperature: float | Tensor) -> Tensor:
    r"""Log-density of the ExpConcrete distribution at $y = \ln x$, where x is a relaxed one-hot sample.

    $$\ln (K-1)! + (K-1)\ln\lambda + \sum_k (\ln\alpha_k - \lambda y_k) - K\,\mathrm{LSE}_k(\ln\alpha_k -
    \lambda y_k)$$

    (Maddison et al. 2016, appendix C). It is measured in the K - 1 log-ratios $y_k - y_K$, where it
    integrates to one. For the density of x, in $x_1, \ldots, x_{K-1}$, subtract $\sum_k y_k$.

    Args:
        log_sample: Log of a point of the simplex, y, $(..., K)$, as `gumbel_log_softmax` returns it.
        logits: Unnormalized log-probabilities $\ln\alpha$, $(..., K)$, finite.
        temperature: $\lambda > 0$, a number.

    Returns:
        Log-density in nats, $(...)$.

    Raises:
        ValueError: If K differs or is 0, an argument is not finite, exp(log_sample) does not sum to 1, or the
            temperature is not positive.

    Example:
        >>> log_sample = torch.tensor([0.5, 0.5]).log()
        >>> concrete_log_density(log_sample, torch.zeros(2), temperature=1.0)  # x uniform, Jacobian x1 x2
        tensor(-1.3863)
    """
    _validate.finite("log_sample", log_sample)
    _validate.finite("logits", logits)
    _validate.positive("temperature", temperature)
    if isinstance(temperature, Tensor) and temperature.ndim > 0:
        raise ValueError(f"temperature must be one number, got shape {tuple(temperature.shape)}")
    num_categories = _validate.categories(log_sample=log_sample, logits=logits)
    _validate.sums_to_one("exp(log_sample)", log_sample.exp())
    # Shifted, which changes nothing, so that no two products overflow together: inf - inf would be NaN.
    scores = logits - temperature * (log_sample - log_sample.amin(-1, keepdim=True).detach())  # (..., K)
    constant = math.lgamma(num_categories) + (num_categories - 1) * _log(temperature)
    return constant + torch.log_softmax(scores, -1).sum(-1)  # = sum of scores - K LSE(scores)


def binary_concrete_log_density(logit_sample: Tensor, logits: Tensor, temperature: float | Tensor) -> Tensor:
    r"""Log-density of a Binary Concrete variable at its logit $y$ (Maddison et al. 2016, appendix B).

    $$\ln\lambda - \lambda y + \ln\alpha - 2\ln(1 + e^{-\lambda y + \ln\alpha}) = \ln\lambda +
    \ln\sigma(\lambda y - \ln\alpha) + \ln\sigma(\ln\alpha - \lambda y)$$

    For the density of $x = \sigma(y)$ subtract $\ln x + \ln(1 - x)$, the log-Jacobian.

    Args:
        logit_sample: Logits y of relaxed bits, as `binary_concrete_logit` returns them, finite.
        logits: Bit logits $\ln\alpha = \ln\theta - \ln(1 - \theta)$, finite.
        temperature: $\lambda > 0$.

    Returns:
        Log-density in nats, elementwise, of the broadcast shape.

    Raises:
        ValueError: If an argument is not finite, shapes do not broadcast, or the temperature is not positive.

    Example:
        >>> binary_concrete_log_density(torch.tensor([0.0, 100.0]), torch.tensor([0.0]), temperature=1.0)
        tensor([  -1.3863, -100.0000])
    """
    _validate.finite("logit_sample", logit_sample)
    _validate.finite("logits", logits)
    _validate.positive("temperature", temperature)
    _validate.broadcastable(logit_sample=logit_sample, logits=logits, temperature=temperature)
    z = temperature * logit_sample - logits
    return _log(temperature) + logsigmoid(z) + logsigmoid(-z)


def bernoulli_log_prob(bits: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability of bits: $b\ln\theta + (1 - b)\ln(1 - \theta)$ with $\theta = \sigma(\text{logits})$.

    For values between 0 and 1 (grey pixels, relaxed bits) the same expression is a cross-entropy, not a
    log-probability.

    Args:
        bits: Values in [0, 1], any shape.
        logits: Bit logits; infinite ones take the limits.

    Returns:
        Log-probabilities in nats, elementwise, of the broadcast shape.

    Raises:
        ValueError: If a bit leaves [0, 1], an argument holds NaN, or the shapes do not broadcast.

    Example:
        >>> bernoulli_log_prob(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, torch.inf, torch.inf]))
        tensor([-0.6931,  0.0000,    -inf])
    """
    bits, logits = _bits_and_logits(bits, logits)
    log_one = drop_zero_times_infinity(bits, logsigmoid(logits))
    log_zero = drop_zero_times_infinity(1 - bits, logsigmoid(-logits))
    return bits * log_one + (1 - bits) * log_zero


def categorical_log_prob(one_hot: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability of one-hot samples: $\sum_k z_k \ln\pi_k$, $\pi = \mathrm{softmax}(\text{logits})$.

    Args:
        one_hot: One-hot samples $(..., K)$, or points of the simplex.
        logits: Unnormalized log-probabilities $(..., K)$; infinite ones take the limits.

    Returns:
        Log-probabilities in nats, $(...)$.

    Raises:
        ValueError: If K differs or is 0, rows of one_hot do not sum to 1 or leave [0, 1], or an argument
            holds NaN.

    Example:
        >>> categorical_log_prob(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0]))
        tensor(-0.6931)
    """
    _validate.category_logits("logits", logits)
    _validate.real("one_hot", one_hot)
    one_hot = one_hot.to(logits.dtype)
    _validate.floating("one_hot", one_hot)
    _validate.categories(one_hot=one_hot, logits=logits)
    _validate.inside_unit_interval("one_hot", one_hot)
    _validate.sums_to_one("one_hot", one_hot)
    return (one_hot * drop_zero_times_infinity(one_hot, log_softmax(logits))).sum(-1)


def bernoulli_kl(logits: Tensor, prior_logits: float | Tensor = 0.0) -> Tensor:
    r"""KL divergence between bits: $\theta\ln\frac{\theta}{\pi} + (1 - \theta)\ln\frac{1 - \theta}{1 - \pi}$.

    This is the article's Eq. (5) with the weights $\theta^k (1 - \theta)^{1 - k}$ that its print omits.

    Args:
        logits: Bit logits of $\theta$, any shape; infinite ones take the limits.
        prior_logits: Bit logits of the prior's $\pi$; 0 means the fair coin of the article, $\pi = 0.5$.

    Returns:
        KL divergences in nats, elementwise, of the broadcast shape; at most ln 2 to the fair coin.

    Raises:
        ValueError: If an argument holds NaN or the shapes do not broadcast.

    Example:
        >>> bernoulli_kl(torch.tensor([0.0, torch.inf]))
        tensor([0.0000, 0.6931])
    """
    _validate.floating("logits", logits)
    _validate.number("prior_logits", prior_logits)
    if not isinstance(prior_logits, Tensor) and prior_logits == 0:
        return _kl_to_fair_coin(logits)
    prior_logits = torch.as_tensor(prior_logits, dtype=logits.dtype, device=logits.device)
    _validate.broadcastable(logits=logits, prior_logits=prior_logits)
    one = _weighted_log_ratio(torch.sigmoid(logits), logsigmoid(logits), logsigmoid(prior_logits))
    zero = _weighted_log_ratio(torch.sigmoid(-logits), logsigmoid(-logits), logsigmoid(-prior_logits))
    difference = prior_logits - logits
    near = difference.abs() < 1
    return torch.where(near, _near_bit(logits, torch.where(near, difference, 0.0)), one + zero)


def categorical_kl(logits: Tensor, prior_logits: Tensor | None = None) -> Tensor:
    r"""KL divergence between categorical distributions: $\sum_k \pi_k (\ln\pi_k - \ln\rho_k)$.

    With the default, the uniform prior, it is $\ln K - H(\pi)$ (Jang et al. 2016).

    Args:
        logits: Unnormalized log-probabilities $(..., K)$; infinite ones take the limits.
        prior_logits: Unnormalized log-probabilities $(..., K)$ of the prior $\rho$; uniform if None.

    Returns:
        KL divergences in nats, $(...)$, summed over the K categories; inf where the prior excludes a possible
        category.

    Raises:
        ValueError: If K differs or is 0, an argument holds NaN, or a row defines no distribution.

    Example:
        >>> categorical_kl(torch.tensor([0.2, 0.3, 0.5]).log())
        tensor(0.0690)
    """
    _validate.category_logits("logits", logits)
    prior_logits = torch.zeros_like(logits) if prior_logits is None else prior_logits
    _validate.category_logits("prior_logits", prior_logits)
    _validate.categories(logits=logits, prior_logits=prior_logits)
    log_p = log_softmax(logits)
    p = log_p.exp()
    difference = _difference_to_prior(logits, prior_logits)
    near = (difference.abs() < 1).all(-1, keepdim=True)
    far_from_prior = _weighted_log_ratio(p, log_p, log_softmax(prior_logits))
    return torch.where(near, _near_category(p, torch.where(near, difference, 0.0)), far_from_prior).sum(-1)


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    r"""KL divergence to the unit Gaussian: $\frac12(\mu^2 + \sigma^2 - 1 - \ln\sigma^2)$.

    Kingma and Welling 2014, appendix B.

    Args:
        mean: Means $\mu$, any shape.
        log_std: Logarithms of the standard deviations, $\ln\sigma$.

    Returns:
        KL divergences in nats, elementwise, of the broadcast shape.

    Raises:
        ValueError: If an argument holds NaN or the shapes do not broadcast.

    Example:
        >>> gaussian_kl(torch.tensor([1.0]), torch.tensor([0.0]))
        tensor([0.5000])
    """
    _validate.floating("mean", mean)
    _validate.floating("log_std", log_std)
    _validate.broadcastable(mean=mean, log_std=log_std)
    log_variance = 2 * log_std.clamp(max=torch.finfo(log_std.dtype).max / 4)  # inf would give inf - inf
    return 0.5 * mean * mean + 0.5 * _exp_beyond_linear(log_variance)


def _kl_to_fair_coin(logits: Tensor) -> Tensor:
    r"""Return ln 2 - H; near logit 0, where that cancels, $d\tanh d - \ln\cosh d$ with d = logits / 2."""
    size = logits.abs()
    entropy = softplus(-size) + drop_zero_times_infinity(torch.sigmoid(-size), size) * torch.sigmoid(-size)
    half = logits.clamp(-1, 1) / 2
    tanh = torch.tanh(half)
    near_zero = half * tanh + 0.5 * torch.log1p(-tanh * tanh)
    return torch.where(size < 1, near_zero, math.log(2) - entropy)


def _near_bit(logits: Tensor, difference: Tensor) -> Tensor:
    r"""Return a bit's KL to the prior of logit `logits + difference`, by `_near_category`'s formula."""
    one, zero = torch.sigmoid(logits), torch.sigmoid(-logits)
    term_of_one = one * _exp_beyond_linear(-torch.log1p(zero * torch.expm1(-difference)))
    return term_of_one + zero * _exp_beyond_linear(-torch.log1p(one * torch.expm1(difference)))


def _near_category(p: Tensor, difference: Tensor) -> Tensor:
    r"""Return the terms of a KL to a prior whose logits differ by d, less than 1: none cancels another.

    $$\sum_k \pi_k \ln\frac{\pi_k}{\rho_k} = \sum_k \pi_k (e^{x_k} - 1 - x_k), \qquad
    x_k = \ln\frac{\rho_k}{\pi_k} = d_k - \ln\Big(1 + \sum_j \pi_j (e^{d_j} - 1)\Big)$$

    The right side adds $\sum_k \rho_k - \pi_k = 0$, and no term of it is negative.
    """
    log_ratio = difference - torch.log1p((p * torch.expm1(difference)).sum(-1, keepdim=True))
    return p * _exp_beyond_linear(log_ratio)


def _difference_to_prior(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """Return prior_logits - logits, less that of the likeliest category, rounded once."""
    difference = prior_logits - logits
    with torch.no_grad():  # what the rounding of the difference has lost (Knuth's two-sum)
        subtracted = difference - prior_logits
        lost = (prior_logits - (difference - subtracted)) - (logits + subtracted)
    likeliest = logits.argmax(-1, keepdim=True).expand_as(difference)
    return (difference - difference.gather(-1, likeliest)) + (lost - lost.gather(-1, likeliest))


def _exp_beyond_linear(x: Tensor) -> Tensor:
    """Return e^x - 1 - x, near 0 by its power series: there the difference has no digit left."""
    small = x.clamp(-0.125, 0.125)
    series = torch.full_like(x, 1 / math.factorial(9))
    for n in range(8, 1, -1):
        series = series * small + 1 / math.factorial(n)
    return torch.where(x.abs() < 0.125, series * small * small, torch.expm1(x) - x)


def _weighted_log_ratio(weight: Tensor, log_p: Tensor, log_prior: Tensor) -> Tensor:
    """Return weight * (log_p - log_prior), and 0 where the weight is 0.

    Where the ratio is infinite the slope in the weight is the largest number: 0 * inf would be NaN.
    """
    ratio = torch.where(weight == 0, 0.0, log_p - log_prior)
    finite = ratio.clamp(max=torch.finfo(ratio.dtype).max)
    return weight * finite + weight.detach() * (ratio - finite)


def _standardized(x: Tensor, loc: float | Tensor, scale: float | Tensor) -> Tensor:
    _validate.floating("x", x)
    _validate.finite_number("loc", loc)
    _validate.positive("scale", scale)
    _validate.broadcastable(x=x, loc=loc, scale=scale)
    return (x - loc) / scale


def _log(value: float | Tensor) -> float | Tensor:
    return value.log() if isinstance(value, Tensor) else math.log(value)


def _bits_and_logits(bits: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    _validate.floating("logits", logits)
    _validate.real("bits", bits)
    bits = bits.to(logits.dtype)
    _validate.floating("bits", bits)
    _validate.inside_unit_interval("bits", bits)
    _validate.broadcastable(bits=bits, logits=logits)
    return bits, logits
