"""MuProp: a first-order Taylor expansion of f around the mean code as control variate."""

from functools import partial

import torch
from torch import Tensor

from catvae_lib.estimators._common import (
    Objective,
    attach,
    check,
    check_autograd,
    check_differentiable,
    probabilities,
    score,
    values,
)
from catvae_lib.latent import Latent


def muprop(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at hard codes with the MuProp gradient (Gu et al. 2016).

    $$E\left[\left(f(z) - f(\bar z) - f'(\bar z)\cdot(z - \bar z)\right) \nabla \ln q(z)\right]
    + f'(\bar z) \cdot \nabla \bar z, \qquad \bar z = E[z]$$

    Unbiased for every f that is differentiable at $\bar z$, and without variance where f is linear. One
    evaluation a code, and one of f and of its derivative at the mean.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape).
        f: Maps codes, relaxed ones too, (..., B, *event_shape) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over the S codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not discrete, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> muprop(BernoulliLatent(2), logits, torch.ones(1, 1, 2), lambda z: z.sum(-1)).backward()
        >>> logits.grad  # exact for a linear f
        tensor([[0.2500, 0.2500]])
    """
    check("muprop", latent, logits, noise)
    check_autograd("muprop")
    z = latent.hard(logits, noise).detach()
    value = values(f, z, latent)  # (S, B)

    def at(codes: Tensor) -> tuple[Tensor, Tensor]:
        found = values(f, codes.unsqueeze(0), latent)[0]  # (B,)
        check_differentiable("muprop", found)
        return found.sum(), found

    with torch.no_grad():
        mean, pull, *_ = torch.func.vjp(partial(probabilities, latent), logits)  # (B, *event_shape)
        slope, at_mean = torch.func.grad(at, has_aux=True)(mean)
        (through_mean,) = pull(slope)  # f'(mean) . d mean / d logits
    event = tuple(range(-len(latent.event_shape), 0))
    linear = at_mean + (slope * (z - mean)).sum(event)  # (S, B)
    signal = (value.detach() - linear).unsqueeze(-1)
    return attach(value.mean(0), logits, (signal * score(latent, logits, z)).mean(0) + through_mean)
