"""Gradients of the multi-sample objective, the expected log of a mean of weights."""

import math

import torch
from torch import Tensor

from catvae_lib.estimators._common import Objective, check, values
from catvae_lib.latent import Latent


def vimco(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return the multi-sample objective with the VIMCO gradient (Mnih and Rezende 2016).

    $$L = \ln \frac1m \sum_{j=1}^m e^{f(z_j)}, \qquad
    \nabla E[L] = E\left[\sum_j (L - L_{-j})\, \nabla \ln q(z_j)\right] + E[\nabla L \text{ at fixed codes}]$$

    $L_{-j}$ is L with f(z_j) replaced by the mean of the other f(z_i), a geometric mean of their weights.
    f is a log-weight, such as `VAE.log_weight`. Unbiased for the gradient of E[L], which is not that of E[f].
    m evaluations, m = S at least 2.

    Args:
        latent: A discrete latent, or a `Chain` of them.
        logits: Its parameters (B, num_parameters).
        noise: Noise (m, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one log-weight each, (..., B), in nats.
        temperature: Not used.

    Returns:
        L, (B,), with the gradient.

    Raises:
        ValueError: If m is 1, the latent is not discrete, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits, noise = torch.zeros(1, 1, requires_grad=True), torch.tensor([[[1.0]], [[-1.0]]])
        >>> vimco(BernoulliLatent(1), logits, noise, lambda z: z.sum(-1)).backward()
        >>> logits.grad
        tensor([[0.5000]])
    """
    check("vimco", latent, logits, noise, least=2, chains=True)
    m = len(noise)
    z = latent.hard(logits, noise).detach()
    value = values(f, z, latent)  # (m, B)
    known = value.detach()
    geometric = (known.sum(0) - known) / (m - 1)  # of the others, (m, B)
    return _with_gradient(
        latent, logits, z, value, torch.logaddexp(_log_sum_of_others(known), geometric) - math.log(m)
    )


def multi_sample_leave_one_out(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return the multi-sample objective; each code's baseline is the objective of the others.

    As `vimco`, with $L_{-j} = \ln \frac{1}{m-1} \sum_{i \ne j} e^{f(z_i)}$. Unbiased for the gradient of
    E[L]. m evaluations, m = S at least 2.

    Args:
        latent: A discrete latent, or a `Chain` of them.
        logits: Its parameters (B, num_parameters).
        noise: Noise (m, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one log-weight each, (..., B), in nats.
        temperature: Not used.

    Returns:
        L, (B,), with the gradient.

    Raises:
        ValueError: If m is 1, the latent is not discrete, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits, noise = torch.zeros(1, 1, requires_grad=True), torch.tensor([[[1.0]], [[-1.0]]])
        >>> multi_sample_leave_one_out(BernoulliLatent(1), logits, noise, lambda z: z.sum(-1))
        tensor([0.6201], grad_fn=<AddBackward0>)
    """
    check("multi_sample_leave_one_out", latent, logits, noise, least=2, chains=True)
    z = latent.hard(logits, noise).detach()
    value = values(f, z, latent)  # (m, B)
    others = _log_sum_of_others(value.detach()) - math.log(len(noise) - 1)
    return _with_gradient(latent, logits, z, value, others)


def _log_sum_of_others(value: Tensor) -> Tensor:
    """Return ln sum over i != j of exp(value_i) for each j, (m, B)."""
    itself = torch.eye(len(value), dtype=torch.bool, device=value.device).unsqueeze(-1)
    return torch.logsumexp(value.unsqueeze(0).masked_fill(itself, -torch.inf), 1)


def _with_gradient(latent: Latent, logits: Tensor, z: Tensor, value: Tensor, without: Tensor) -> Tensor:
    """Return L with the score-function gradient whose baselines are the L without each code.

    The score is autograd's derivative of ln q(z), so that it reaches every layer of a chain.
    """
    objective = torch.logsumexp(value, 0) - math.log(len(value))  # (B,)
    log_q = latent.log_prob(z, logits)
    return objective + ((objective.detach() - without) * (log_q - log_q.detach())).sum(0)
