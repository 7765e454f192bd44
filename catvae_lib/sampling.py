"""Samples as deterministic functions of parameters and noise: z = g(parameters, noise).

Logits are unnormalized log-probabilities; the last dimension holds the K categories, one-hot. For bits, a
logit is log(theta) - log(1 - theta), elementwise. Leading dimensions broadcast; K must agree. Infinite logits
(probability 0 or 1) are allowed. Nothing here draws a random number: `catvae_lib.noise` does.
"""

import torch
from torch import Tensor

from catvae_lib import _validate
from catvae_lib._limits import certain_at_zero, log_softmax


def gaussian(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    r"""Reparameterize a Gaussian: $z = \mu + \sigma\,\epsilon$ (Kingma and Welling 2014).

    The article prints $\sigma^2$ in place of $\sigma$.

    Args:
        mean: Means $\mu$, any shape.
        log_std: Logarithms of the standard deviations, $\ln\sigma$.
        noise: Standard Gaussian noise $\epsilon$.

    Returns:
        Sample of the broadcast shape, differentiable in mean and log_std.

    Raises:
        ValueError: If mean or noise is not finite, log_std holds NaN, the shapes do not broadcast, or the
            result is 0 times infinity.

    Example:
        >>> gaussian(torch.tensor([1.0]), torch.tensor([0.5]).log(), torch.tensor([2.0]))
        tensor([2.])
    """
    _validate.finite("mean", mean)
    _validate.floating("log_std", log_std)
    _validate.finite("noise", noise)
    _validate.broadcastable(mean=mean, log_std=log_std, noise=noise)
    z = mean + torch.exp(log_std) * noise
    _validate.floating("the sample of log_std and noise", z)
    return z


def gumbel_max(logits: Tensor, gumbel_noise: Tensor) -> Tensor:
    r"""Sample a category: one-hot of $\arg\max_k \ln\pi_k + \epsilon_k$ (article, Eq. (1)).

    Args:
        logits: Unnormalized log-probabilities $(..., K)$.
        gumbel_noise: Standard Gumbel noise $(..., K)$.

    Returns:
        One-hot sample $(..., K)$. The result has no gradient.

    Raises:
        ValueError: If K differs or is 0, shapes do not broadcast, an argument holds NaN, or a row defines no
            distribution.

    Example:
        >>> gumbel_max(torch.tensor([0.2, 0.3, 0.5]).log(), torch.tensor([1.5, 0.0, 0.0]))
        tensor([1., 0., 0.])
    """
    perturbed = _perturbed_logits(logits, gumbel_noise)
    return torch.zeros_like(perturbed).scatter(-1, perturbed.argmax(-1, keepdim=True), 1.0)


def gumbel_top_k(logits: Tensor, gumbel_noise: Tensor, k: int) -> Tensor:
    r"""Draw k categories without replacement: the k largest of $\ln\pi_j + \epsilon_j$, largest first.

    Extends Eq. (1) (Kool, van Hoof and Welling 2019). The order is that of drawing one category after
    another, each time with the remaining probabilities renormalized (the Plackett-Luce model).

    Args:
        logits: Unnormalized log-probabilities $(..., K)$.
        gumbel_noise: Standard Gumbel noise $(..., K)$.
        k: Number of draws, at most the number of possible categories.

    Returns:
        One-hot draws $(..., k, K)$ in rank order.

    Raises:
        ValueError: As for `gumbel_max`, or if k is not between 1 and the number of possible categories.

    Example:
        >>> gumbel_top_k(torch.zeros(3), torch.tensor([0.1, 2.0, 1.0]), k=2)
        tensor([[0., 1., 0.],
                [0., 0., 1.]])
    """
    perturbed = _perturbed_logits(logits, gumbel_noise)
    _validate.count("k", k)
    if k > perturbed.shape[-1]:
        raise ValueError(f"k must be at most K = {perturbed.shape[-1]}, got {k}")
    if _validate.values_can_be_read() and bool((perturbed.isneginf().logical_not().sum(-1) < k).any()):
        raise ValueError(f"k must be at most the number of categories with positive probability, got {k}")
    ranked = perturbed.topk(k, -1).indices  # (..., k)
    zeros = torch.zeros_like(perturbed).unsqueeze(-2).repeat_interleave(k, -2)  # (..., k, K)
    return zeros.scatter(-1, ranked.unsqueeze(-1), 1.0)


def gumbel_softmax(logits: Tensor, gumbel_noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    r"""Relax a categorical sample: $\mathrm{softmax}((\ln\pi + \epsilon)/\lambda)$ (article, Eq. (2)).

    Args:
        logits: Unnormalized log-probabilities $(..., K)$.
        gumbel_noise: Standard Gumbel noise $(..., K)$.
        temperature: $\lambda > 0$; the article's Eq. (2) has 1. As $\lambda \to 0$ the result tends to
            `gumbel_max`.

    Returns:
        Point of the simplex $(..., K)$, differentiable in the logits.

    Raises:
        ValueError: As for `gumbel_max`, or if the temperature is not positive and finite.

    Example:
        >>> gumbel_softmax(torch.zeros(2), torch.tensor([1.0, 0.0]), temperature=0.5)
        tensor([0.8808, 0.1192])
    """
    return torch.softmax(_scaled_logits(logits, gumbel_noise, temperature), -1)


def gumbel_log_softmax(logits: Tensor, gumbel_noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    r"""Return the logarithm of `gumbel_softmax`: an ExpConcrete sample (Maddison et al. 2016).

    It stays in log-space throughout. The logarithm of the relaxed sample would be -inf wherever a coordinate
    underflows; this is finite for finite logits.

    Args:
        logits: Unnormalized log-probabilities $(..., K)$.
        gumbel_noise: Standard Gumbel noise $(..., K)$.
        temperature: $\lambda > 0$.

    Returns:
        Log of a point of the simplex $(..., K)$; its log-sum-exp is 0.

    Raises:
        ValueError: As for `gumbel_softmax`.

    Example:
        >>> gumbel_log_softmax(torch.zeros(2), torch.tensor([1.0, 0.0]), temperature=0.01)
        tensor([   0., -100.])
    """
    log_sample = log_softmax(_scaled_logits(logits, gumbel_noise, temperature))
    certain = logits.isposinf()  # beside it every other category is impossible, however high the temperature
    return log_sample + torch.where(certain.any(-1, keepdim=True) & ~certain, -torch.inf, 0.0).to(
        logits.dtype
    )


def bernoulli_threshold(logits: Tensor, logistic_noise: Tensor) -> Tensor:
    r"""Sample a bit: 1 where $\ln u - \ln(1 - u) + \ln\theta - \ln(1 - \theta) > 0$ (article, above Eq. (3)).

    Args:
        logits: Bit logits $\ln\theta - \ln(1 - \theta)$, any shape.
        logistic_noise: Standard logistic noise $\ln u - \ln(1 - u)$.

    Returns:
        Bits 0 and 1 of the broadcast shape and the logits' dtype. The result has no gradient.

    Raises:
        ValueError: If an argument holds NaN or the shapes do not broadcast.

    Example:
        >>> bernoulli_threshold(torch.tensor([-1.0, 0.0, torch.inf]), torch.tensor([0.5, 0.5, 0.5]))
        tensor([0., 1., 1.])
    """
    return (_perturbed_bits(logits, logistic_noise) > 0).to(logits.dtype)


def binary_concrete(logits: Tensor, logistic_noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    r"""Relax a bit: $\sigma((\ln u - \ln(1 - u) + \ln\theta - \ln(1 - \theta))/\lambda)$ (article, Eq. (3)).

    Args:
        logits: Bit logits $\ln\theta - \ln(1 - \theta)$, any shape.
        logistic_noise: Standard logistic noise $\ln u - \ln(1 - u)$.
        temperature: $\lambda > 0$; the article's Eq. (3) has 1.

    Returns:
        Relaxed bits in [0, 1] of the broadcast shape. The gradient vanishes only where the dtype cannot hold
        $1 - z$.

    Raises:
        ValueError: If an argument holds NaN, the shapes do not broadcast, or the temperature is not positive
            and finite.

    Example:
        >>> binary_concrete(torch.tensor([0.0]), torch.tensor([1.0]), temperature=0.5)
        tensor([0.8808])
    """
    return torch.sigmoid(binary_concrete_logit(logits, logistic_noise, temperature))


def binary_concrete_logit(
    logits: Tensor, logistic_noise: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return the logit of a relaxed bit: $(\text{logits} + \text{noise})/\lambda$.

    Maddison et al. 2016, appendix B. It keeps the gradient $1/\lambda$ however certain the bit is.

    Args:
        logits: Bit logits $\ln\theta - \ln(1 - \theta)$, any shape.
        logistic_noise: Standard logistic noise $\ln u - \ln(1 - u)$.
        temperature: $\lambda > 0$.

    Returns:
        Logits of relaxed bits, of the broadcast shape.

    Raises:
        ValueError: As for `binary_concrete`.

    Example:
        >>> binary_concrete_logit(torch.tensor([30.0]), torch.tensor([1.0]), temperature=0.5)
        tensor([62.])
    """
    _validate.positive("temperature", temperature)
    perturbed = _perturbed_bits(logits, logistic_noise)
    _validate.fits(perturbed.shape, temperature=temperature)
    return perturbed / temperature


def straight_through(hard: Tensor, relaxed: Tensor) -> Tensor:
    r"""Join the value of the hard sample to the gradient of the relaxed one (Jang et al. 2016, section 2.2).

    $z = z_\text{hard} + (z_\text{relaxed} - \mathrm{stop}(z_\text{relaxed}))$; the bracket is exactly 0, so
    the value is exactly hard.

    Args:
        hard: Hard sample, any shape.
        relaxed: Relaxed sample of the same shape.

    Returns:
        Tensor equal to hard, with d/d relaxed = 1.

    Raises:
        ValueError: If the shapes differ or a value is not finite.

    Example:
        >>> relaxed = torch.tensor([0.7, 0.3], requires_grad=True)
        >>> z = straight_through(torch.tensor([1.0, 0.0]), relaxed)
        >>> z.detach(), torch.autograd.grad(z[0], relaxed)[0]
        (tensor([1., 0.]), tensor([1., 0.]))
    """
    _validate.finite("relaxed", relaxed)
    _validate.real("hard", hard)
    if hard.shape != relaxed.shape:
        raise ValueError(
            f"hard and relaxed must have one shape, got {tuple(hard.shape)} and {tuple(relaxed.shape)}"
        )
    hard = hard.detach().to(relaxed.dtype)
    _validate.finite("hard", hard)
    return hard + (relaxed - relaxed.detach())


def _perturbed_logits(logits: Tensor, gumbel_noise: Tensor) -> Tensor:
    _validate.category_logits("logits", logits)
    _validate.finite("gumbel_noise", gumbel_noise)
    _validate.categories(logits=logits, gumbel_noise=gumbel_noise)
    return logits + gumbel_noise


def _scaled_logits(logits: Tensor, gumbel_noise: Tensor, temperature: float | Tensor) -> Tensor:
    """Return (logits + noise) / temperature, shifted so that the largest is 0: no temperature overflows."""
    _validate.positive("temperature", temperature)
    perturbed = certain_at_zero(_perturbed_logits(logits, gumbel_noise))
    _validate.fits(perturbed.shape, temperature=temperature)
    return (perturbed - perturbed.amax(-1, keepdim=True).detach()) / temperature


def _perturbed_bits(logits: Tensor, logistic_noise: Tensor) -> Tensor:
    _validate.floating("logits", logits)
    _validate.finite("logistic_noise", logistic_noise)
    _validate.broadcastable(logits=logits, logistic_noise=logistic_noise)
    return logits + logistic_noise
