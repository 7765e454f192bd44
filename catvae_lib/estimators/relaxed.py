"""Biased gradients that go through the code: straight-through, Gumbel-softmax, Gumbel-Rao, ReinMax."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from catvae_lib import _validate, sampling
from catvae_lib.estimators._common import Objective, check, check_draws, log_probabilities, values
from catvae_lib.estimators.conditional import conditional, soften
from catvae_lib.latent import BernoulliLatent, Latent


def gumbel_softmax(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at relaxed codes: Gumbel-softmax (Jang et al. 2016), Concrete (Maddison et al. 2016).

    $f(\mathrm{softmax}((\ln\pi + \epsilon)/\lambda))$, for bits $f(\sigma((l + \epsilon)/\lambda))$: article
    Eq. (2) and (3) with temperature.

    The gradient is unbiased for the mean of this *relaxed* f, and biased for that of hard codes; the bias
    falls with the temperature, the variance grows. One evaluation a draw.

    Args:
        latent: Any latent; for a Gaussian one this is the ordinary reparameterization.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps relaxed codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: $\lambda > 0$.

    Returns:
        The mean of f over the S relaxed codes, (B,). Its gradient is autograd's own.

    Raises:
        ValueError: If shapes disagree or the temperature is not positive.

    Example:
        >>> latent, noise = BernoulliLatent(1), torch.tensor([[[0.0]]])
        >>> gumbel_softmax(latent, torch.zeros(1, 1), noise, lambda z: z.square().sum(-1))
        tensor([0.2500])
    """
    check_draws("gumbel_softmax", latent, logits, noise)
    return values(f, latent.relaxed(logits, noise, temperature), latent).mean(0)


def straight_through_gumbel_softmax(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at hard codes, differentiated as if through the relaxed code (Jang et al. 2016).

    $z = z_\text{hard} + x_\lambda - \mathrm{stop}(x_\lambda)$ with $x_\lambda$ of `gumbel_softmax`.

    Biased. Where f is linear it has the bias of `gumbel_softmax`, whose derivative it takes. One evaluation a
    draw.

    Args:
        latent: Any latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: $\lambda > 0$.

    Returns:
        The mean of f over the S hard codes, (B,), with the gradient.

    Raises:
        ValueError: If shapes disagree or the temperature is not positive.

    Example:
        >>> latent, noise = BernoulliLatent(1), torch.tensor([[[1.0]]])
        >>> straight_through_gumbel_softmax(latent, torch.zeros(1, 1), noise, lambda z: z.square().sum(-1))
        tensor([1.])
    """
    check_draws("straight_through_gumbel_softmax", latent, logits, noise)
    return values(f, latent.straight_through(logits, noise, temperature), latent).mean(0)


def straight_through(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at hard codes, differentiated as if through their mean (Bengio et al. 2013).

    $z = z_\text{hard} + \pi_\lambda - \mathrm{stop}(\pi_\lambda)$ with $\pi_\lambda =
    \mathrm{softmax}(\text{logits}/\lambda)$, for bits $\sigma(\text{logits}/\lambda)$.

    At temperature 1 unbiased where f is multilinear in the variables, as sums and products of different bits
    are; otherwise biased. One evaluation a draw.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: $\lambda > 0$ of the backward pass ("annealed ST" lowers it).

    Returns:
        The mean of f over the S hard codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not discrete, shapes disagree, or the temperature is not positive.

    Example:
        >>> latent, logits = BernoulliLatent(1), torch.zeros(1, 1, requires_grad=True)
        >>> straight_through(latent, logits, torch.ones(1, 1, 1), lambda z: z.sum(-1)).backward()
        >>> logits.grad
        tensor([[0.2500]])
    """
    check("straight_through", latent, logits, noise)
    _validate.positive("temperature", temperature)
    z = latent.hard(logits, noise)
    mean = soften(latent, log_probabilities(latent, logits), temperature)
    return values(f, sampling.straight_through(z, mean.expand_as(z)), latent).mean(0)


def gumbel_rao(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at a hard code with the Gumbel-Rao gradient (Paulus, Maddison and Krause 2021).

    $$f'(z) \cdot \frac1R \sum_{r=1}^R \frac{\partial\, \mathrm{softmax}((\ln\pi + \epsilon_r)/\lambda)}
    {\partial\, \ln\pi}, \qquad \epsilon_r \text{ drawn given that its code is } z$$

    It is `straight_through_gumbel_softmax` with the relaxed code's derivative averaged over R noises that
    give the same hard code (Rao-Blackwell): the same mean, less variance. The conditional noise counts as a
    constant; a derivative through it would change the mean. One evaluation.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (1 + R, B, *event_shape): the first draws the code, the others the conditional noise.
        f: Maps codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: $\lambda > 0$.

    Returns:
        f at the code, (B,), with the gradient.

    Raises:
        ValueError: If noise holds a single draw, the latent is not discrete, shapes disagree, or the
            temperature is not positive.

    Example:
        >>> latent, logits = BernoulliLatent(1), torch.zeros(1, 1, requires_grad=True)
        >>> gumbel_rao(latent, logits, torch.zeros(2, 1, 1), lambda z: z.sum(-1)).backward()
        >>> logits.grad  # x (1 - x) of x = 1/4, the bit 0 and the median noise given that
        tensor([[0.1875]])
    """
    check("gumbel_rao", latent, logits, noise, least=2)
    _validate.positive("temperature", temperature)
    z = latent.hard(logits, noise[:1])  # (1, B, *event_shape)
    own = log_probabilities(latent, logits)
    with torch.no_grad():
        given = conditional(latent, logits, z, noise[1:])  # perturbed logits whose code is z, (R, B, ...)
    relaxed = soften(latent, given + (own - own.detach()), temperature).mean(0, keepdim=True)
    return values(f, sampling.straight_through(z, relaxed), latent)[0]


def reinmax(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at hard codes with the ReinMax gradient (Liu et al. 2023).

    $$f'(z) \cdot \left(2\, \frac{\partial \pi_1}{\partial\, \text{logits}}
    - \frac12\, \frac{\partial \pi_0}{\partial\, \text{logits}}\right), \qquad \pi_1 = \frac{z +
    \mathrm{softmax}(\text{logits}/\lambda)}{2}, \quad \pi_0 = \mathrm{softmax}(\text{logits})$$

    where $\partial\pi/\partial\,\text{logits}$ is the softmax's Jacobian at $\pi$, $\mathrm{diag}(\pi) - \pi
    \pi^\top$ ($\pi(1 - \pi)$ for bits). Heun's rule in place of Euler's: at temperature 1 exact on average
    where f is quadratic in each variable; otherwise biased. One evaluation a draw.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: $\lambda$, 1 or more recommended.

    Returns:
        The mean of f over the S hard codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not discrete, shapes disagree, or the temperature is not positive.

    Example:
        >>> latent, logits = BernoulliLatent(1), torch.zeros(1, 1, requires_grad=True)
        >>> reinmax(latent, logits, torch.ones(1, 1, 1), lambda z: z.sum(-1)).backward()
        >>> logits.grad  # 2 * 3/4 * 1/4 - 1/2 * 1/4
        tensor([[0.2500]])
    """
    check("reinmax", latent, logits, noise)
    _validate.positive("temperature", temperature)
    _validate.fits(noise.shape[1:], temperature=temperature)
    z = latent.hard(logits, noise)
    with torch.no_grad():
        halfway = _log_halfway(latent, logits, z, temperature)  # logits of pi_1
    own = log_probabilities(latent, logits)
    moved = soften(latent, halfway + (own - own.detach()), 1.0)
    return values(f, sampling.straight_through(z, 2 * moved - 0.5 * soften(latent, own, 1.0)), latent).mean(0)


def _log_halfway(latent: Latent, logits: Tensor, z: Tensor, temperature: float | Tensor) -> Tensor:
    """Return logits of (z + softmax(logits / temperature)) / 2, exact however small a probability is."""
    if isinstance(latent, BernoulliLatent):
        sign = 2 * z - 1  # for z = 1: ln (1 + theta) - ln (1 - theta)
        certain = sign * logits / temperature
        return sign * (torch.log1p(certain.sigmoid()) - logsigmoid(-certain))
    log_p = log_probabilities(latent, logits)
    shifted = log_p - log_p.amax(-1, keepdim=True)  # no temperature makes the likeliest infinite
    log_p = (shifted / temperature).log_softmax(-1)
    return torch.where(z > 0, torch.log1p(log_p.exp()), log_p)
