"""Perturbed logits and their law given the code: what REBAR, RELAX and Gumbel-Rao draw a second time."""

import torch
from torch import Tensor

from catvae_lib import _validate
from catvae_lib._limits import softplus
from catvae_lib.estimators._common import log_probabilities
from catvae_lib.latent import BernoulliLatent, Latent


def perturbed(latent: Latent, logits: Tensor, noise: Tensor) -> Tensor:
    r"""Return $\ln\pi + \epsilon$ (for bits, logit + logistic noise), (S, B, *event_shape)."""
    return log_probabilities(latent, logits) + noise


def harden(latent: Latent, score: Tensor) -> Tensor:
    """Return the code of perturbed logits: where they are positive, or the one-hot of the largest."""
    if isinstance(latent, BernoulliLatent):
        return (score > 0).to(score.dtype)
    return torch.zeros_like(score).scatter(-1, score.argmax(-1, keepdim=True), 1.0)


def soften(latent: Latent, score: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the relaxed code of perturbed logits."""
    _validate.fits(score.shape, temperature=temperature)
    if isinstance(latent, BernoulliLatent):
        return torch.sigmoid(score / temperature)
    # Shifted so that the largest is 0, no temperature overflows. Softmax over the first dimension is ten
    # times faster than over the last, whose few entries torch takes one by one.
    shifted = score - score.amax(-1, keepdim=True).detach()
    return torch.softmax((shifted / temperature).movedim(-1, 0), 0).movedim(0, -1)


def conditional(latent: Latent, logits: Tensor, z: Tensor, noise: Tensor) -> Tensor:
    r"""Return perturbed logits drawn from their law given that their code is z (Tucker et al. 2017).

    For a bit with logit l and logistic noise $\eta$ (REBAR, appendix):

    $$\tilde z = \mathrm{softplus}(\eta + \mathrm{softplus}(l)) \text{ if } z = 1, \qquad
    -\mathrm{softplus}(-\eta + \mathrm{softplus}(-l)) \text{ if } z = 0$$

    For categories with Gumbel noise $\epsilon$ and z the one-hot of k: the maximum is $\epsilon_k$, a
    standard Gumbel, whatever k is, and the others are Gumbels cut off there, $\epsilon_k -
    \mathrm{softplus}(\epsilon_k - \ln\pi_i - \epsilon_i)$.

    Averaged over z it is the law of `perturbed`. It is differentiable in the logits; whether that derivative
    is wanted is the estimator's business.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        z: Hard codes (..., B, *event_shape).
        noise: Fresh noise (..., B, *event_shape).

    Returns:
        Perturbed logits of the broadcast shape, whose code is z.

    Example:
        >>> latent = BernoulliLatent(1)
        >>> conditional(latent, torch.zeros(1, 1), torch.tensor([[1.0]]), torch.tensor([[0.0]]))
        tensor([[1.0986]])
    """
    log_p = log_probabilities(latent, logits)
    if isinstance(latent, BernoulliLatent):
        sign = 2 * z - 1
        return sign * softplus(sign * noise + softplus(sign * log_p))
    top = (noise * z).sum(-1, keepdim=True)
    return torch.where(z > 0, top, top - softplus(top - log_p - noise))
