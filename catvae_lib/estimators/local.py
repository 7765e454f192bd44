"""The local expectation gradient: each variable takes all its values in turn, the others as drawn."""

import torch
from torch import Tensor

from catvae_lib.estimators._common import Objective, attach, check, probabilities, values
from catvae_lib.latent import BernoulliLatent, Latent


def local_expectation(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at hard codes with the local expectation gradient (Titsias and Lazaro-Gredilla 2015).

    $$\frac{\partial}{\partial\, \text{logits}_i} E[f(z)] = E_{z_{-i}}\!\left[\sum_k \frac{\partial
    \pi_{ik}}{\partial\, \text{logits}_i}\, f(z_i = k, z_{-i})\right]$$

    The expectation over variable i is exact, that over the others takes the one drawn code. Unbiased for
    every f, and without variance where f is a sum over variables. Q + 1 evaluations a code of Q bits, N (K
    - 1) + 1 for N variables of K categories.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over the S drawn codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not discrete, or shapes disagree.

    Example:
        >>> logits, noise = torch.zeros(1, 2, requires_grad=True), torch.ones(1, 1, 2)
        >>> local_expectation(BernoulliLatent(2), logits, noise, lambda z: z.prod(-1)).backward()
        >>> logits.grad  # theta (1 - theta) = 1/4 times the change of f
        tensor([[0.2500, 0.2500]])
    """
    check("local_expectation", latent, logits, noise)
    z = latent.hard(logits, noise).detach()  # (S, B, *event_shape)
    value = values(f, z, latent)  # (S, B)
    with torch.no_grad():
        changed = values(f, _neighbours(latent, z), latent) - value  # (N, K - 1, S, B); (Q, 1, S, B) for bits
        pi = probabilities(latent, logits)
        if isinstance(latent, BernoulliLatent):
            up = changed[:, 0].movedim(0, -1) * (1 - 2 * z)  # f at 1 minus f at 0, (S, B, Q)
            gradient = pi * (1 - pi) * up.mean(0)
        else:
            each = torch.stack(
                [torch.zeros_like(z)]  # of one category alone
                + [
                    (z.roll(s + 1, -1) * changed[:, s].movedim(0, -1)[..., None])
                    for s in range(changed.shape[1])
                ]
            )
            table = each.sum(0)  # f with the category minus f as drawn, (S, B, N, K)
            gradient = (pi * (table - (pi * table).sum(-1, keepdim=True))).mean(0).flatten(1)
    return attach(value.mean(0), logits, gradient)


def _neighbours(latent: Latent, z: Tensor) -> Tensor:
    """Return the codes that differ from z (S, B, *event) in one variable, (N, K - 1, S, B, *event)."""
    if isinstance(latent, BernoulliLatent):
        each = torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)[:, None, None, None]
        return torch.where(each, 1 - z, z)
    n, k = latent.event_shape
    each = torch.eye(n, dtype=torch.bool, device=z.device)[:, None, None, None, :, None]
    if k == 1:
        return z.new_zeros(n, 0, *z.shape)
    return torch.where(each, torch.stack([z.roll(s, -1) for s in range(1, k)]), z)
