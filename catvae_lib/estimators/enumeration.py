"""The exact expectation, every code enumerated: the yardstick of all estimators."""

import math

import torch
from torch import Tensor

from catvae_lib import _validate
from catvae_lib.estimators._common import Objective, check_logits, values
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

MOST_CODES, MOST_TUPLES = 2**20, 2**25


def all_codes(
    latent: Latent, *, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tensor:
    """Return every code once, (C, *event_shape): C = 2^Q for Q bits, K^N for N variables of K categories.

    Raises:
        ValueError: If the latent is not discrete or has more than 2^20 codes.

    Example:
        >>> all_codes(BernoulliLatent(2))
        tensor([[0., 0.],
                [0., 1.],
                [1., 0.],
                [1., 1.]])
    """
    dtype, device = dtype or torch.get_default_dtype(), _validate.device("device", device)
    _validate.instance("dtype", dtype, torch.dtype)
    if isinstance(latent, BernoulliLatent):
        variables, categories = latent.num_bits, 2
    elif isinstance(latent, CategoricalLatent):
        variables, categories = latent.num_variables, latent.num_categories
    else:
        raise ValueError(f"latent must be discrete to be enumerated, got {latent}")
    if variables * math.log(categories) > math.log(MOST_CODES) + 1e-9:
        raise ValueError(f"latent must have at most 2^20 codes to be enumerated, got {latent}")
    index = torch.cartesian_prod(*[torch.arange(categories, device=device)] * variables)
    index = index.reshape(-1, variables)  # one variable comes without its dimension
    if isinstance(latent, BernoulliLatent):
        return index.to(dtype)
    return torch.nn.functional.one_hot(index, categories).to(dtype)


def exact(
    latent: Latent, logits: Tensor, noise: Tensor | None, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return $E[f(z)] = \sum_z q(z)\, f(z)$ over all codes, with its exact gradient.

    It costs 2^Q or K^N evaluations. There is nothing random: noise and temperature are not used.

    Args:
        latent: A discrete latent of at most 2^20 codes.
        logits: Its parameters (B, num_parameters).
        noise: Not used.
        f: Maps codes (..., B, *event_shape) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The expectation (B,).

    Raises:
        ValueError: If there are too many codes, or shapes disagree.

    Example:
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> exact(BernoulliLatent(2), logits, None, lambda z: z.prod(-1)).backward()
        >>> logits.grad  # theta_1 theta_2 differentiated at 1/2
        tensor([[0.1250, 0.1250]])
    """
    log_q, found = _table(latent, logits, f)
    return (log_q.exp() * found).sum(0)


def exact_gradient(latent: Latent, logits: Tensor, f: Objective) -> Tensor:
    r"""Return $\nabla_\text{logits} E[f(z)]$ over all codes, (B, num_parameters).

    For an f that does not depend on the logits but through z.

    Raises:
        ValueError: As for `exact`.

    Example:
        >>> exact_gradient(BernoulliLatent(2), torch.zeros(1, 2), lambda z: z.prod(-1))
        tensor([[0.1250, 0.1250]])
    """
    _validate.floating("logits", logits)
    with torch.enable_grad():
        own = logits.detach().requires_grad_()
        return torch.autograd.grad(exact(latent, own, None, f).sum(), own)[0]


def exact_multi_sample(latent: Latent, logits: Tensor, f: Objective, num_samples: int) -> Tensor:
    r"""Return $E\left[\ln \frac1m \sum_{j=1}^m e^{f(z_j)}\right]$ over all m-tuples of codes, (B,).

    It has C^m terms: for checks with few codes and m = 2 or 3.
    """
    _validate.count("num_samples", num_samples)
    log_q, found = _table(latent, logits, f)
    if num_samples * math.log(len(log_q)) > math.log(MOST_TUPLES) + 1e-9:
        raise ValueError(f"num_samples must leave at most 2^25 tuples of codes, got {num_samples}")
    log_p, total = log_q, found  # (C, B), then (C, C, B) ...
    for _ in range(num_samples - 1):
        log_p, total = log_p.unsqueeze(0), total.unsqueeze(0)
        tail = (len(log_q), *[1] * (log_p.ndim - 2), log_q.shape[1])
        log_p, total = log_p + log_q.reshape(tail), torch.logaddexp(total, found.reshape(tail))
    return (log_p.exp() * (total - math.log(num_samples))).flatten(0, -2).sum(0)


def _table(latent: Latent, logits: Tensor, f: Objective) -> tuple[Tensor, Tensor]:
    """Return log q(z) and f(z) of every code, (C, B) each."""
    _validate.floating("logits", logits)
    codes = all_codes(latent, dtype=logits.dtype, device=logits.device)
    check_logits(latent, logits)
    z = codes.unsqueeze(1).expand(-1, logits.shape[0], *latent.event_shape)  # (C, B, *event_shape)
    return latent.log_prob(z, logits), values(f, z, latent)
