"""The local expectation gradient: every bit is set to 0 and to 1 in turn, the others as they were drawn."""

from collections.abc import Callable

import torch
from torch import Tensor

from catvae_lib import _validate, sampling


def local_expectation(logits: Tensor, logistic_noise: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Return f of hard bits, with an unbiased gradient in the logits (Titsias and Lazaro-Gredilla 2015).

    $$\frac{\partial}{\partial\theta_i} \mathbb{E}[f(z)] = \mathbb{E}_{z_{-i}}\!\left[f(z_i = 1, z_{-i}) -
    f(z_i = 0, z_{-i})\right], \qquad \theta_i = \sigma(\text{logits}_i)$$

    The expectation over bit i is exact, that over the others takes the one drawn code. It costs Q + 1
    evaluations of f for Q bits. Gradients in the parameters of f are those of f at the drawn code.

    Args:
        logits: Bit logits (B, Q).
        logistic_noise: Standard logistic noise (S, B, Q).
        f: Maps hard codes (..., B, Q) to one value each, (..., B).

    Returns:
        f at the drawn codes, (S, B).

    Raises:
        ValueError: If shapes disagree or an argument holds NaN.

    Example:
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> local_expectation(logits, torch.ones(1, 1, 2), lambda z: z.prod(-1)).backward()
        >>> logits.grad  # theta (1 - theta) = 1/4 times the change of f
        tensor([[0.2500, 0.2500]])
    """
    _validate.floating("logits", logits)
    if logits.ndim != 2 or logistic_noise.shape[1:] != logits.shape:
        raise ValueError(
            f"logits must have shape (B, Q) and logistic_noise (S, B, Q), got {tuple(logits.shape)} and "
            f"{tuple(logistic_noise.shape)}"
        )
    z = sampling.bernoulli_threshold(logits, logistic_noise).detach()  # (S, B, Q)
    value = f(z)  # (S, B)
    with torch.no_grad():
        each = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)[:, None, None]
        flipped = f(torch.where(each, 1 - z, z)).detach()  # (Q, S, B): bit q of the code flipped
        difference = (flipped - value.detach()).movedim(0, -1) * (1 - 2 * z)  # f at 1 minus f at 0, (S, B, Q)
    theta = torch.sigmoid(logits)
    return value + ((theta - theta.detach()) * difference).sum(-1)
