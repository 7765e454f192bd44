"""Antithetic gradients: two codes from the noise and from its mirror image, or K from swapped noise."""

import torch
from torch import Tensor

from catvae_lib.estimators._common import Objective, attach, check, check_bits, values
from catvae_lib.latent import CategoricalLatent, Latent


def arm(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at two antithetic codes with the augment-REINFORCE-merge gradient (Yin and Zhou 2019).

    $$\nabla_{l} E[f(z)] = E\left[\left(f(1_{u > \sigma(-l)}) - f(1_{u < \sigma(l)})\right)
    (u - \tfrac12)\right]$$

    One uniform u a bit decides all bits of both codes. Unbiased for every f. Bits only. Two evaluations a
    draw.

    Args:
        latent: A BernoulliLatent.
        logits: Bit logits l, (B, Q).
        noise: Logistic noise (S, B, Q), the logit of u.
        f: Maps codes (..., B, Q) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over all 2 S codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not of bits, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits = torch.zeros(1, 1, requires_grad=True)
        >>> arm(BernoulliLatent(1), logits, torch.tensor([[[2.0]]]), lambda z: z.sum(-1)).backward()
        >>> logits.grad  # sigma(2) - 1/2
        tensor([[0.3808]])
    """
    _, _, value = _antithetic("arm", latent, logits, noise, f)
    difference = (value[0] - value[1]).detach().unsqueeze(-1)  # (S, B, 1)
    return attach(value.mean((0, 1)), logits, (difference * (noise.sigmoid() - 0.5)).mean(0))


def disarm(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at two antithetic codes with the DisARM gradient (Dong et al. 2020; Yin et al. 2020, U2G).

    $$\nabla_{l_i} E[f(z)] = E\left[\tfrac12 \left(f(z) - f(\tilde z)\right) (z_i - \tilde z_i)\,
    \sigma(|l_i|)\right], \qquad z = 1_{u > \sigma(-l)}, \quad \tilde z = 1_{u < \sigma(l)}$$

    It is `arm` averaged over all u that give the same two codes. Unbiased for every f. Bits only. Two
    evaluations a draw.

    Args:
        latent: A BernoulliLatent.
        logits: Bit logits l, (B, Q).
        noise: Logistic noise (S, B, Q), the logit of u.
        f: Maps codes (..., B, Q) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over all 2 S codes, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not of bits, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits = torch.zeros(1, 1, requires_grad=True)
        >>> disarm(BernoulliLatent(1), logits, torch.tensor([[[2.0]]]), lambda z: z.sum(-1)).backward()
        >>> logits.grad
        tensor([[0.2500]])
    """
    code, mirrored, value = _antithetic("disarm", latent, logits, noise, f)
    difference = 0.5 * (value[0] - value[1]).detach().unsqueeze(-1)  # (S, B, 1)
    weight = (code - mirrored) * logits.detach().abs().sigmoid()
    return attach(value.mean((0, 1)), logits, (difference * weight).mean(0))


def arsm(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at a hard code with the augment-REINFORCE-swap-merge gradient (Yin, Yue and Zhou 2019).

    The categorical counterpart of `arm`. With $\pi = \mathrm{softmax}(-g)$ of Gumbel noise g, uniform on
    the simplex, and $z^{k \leftrightarrow j}$ the code drawn after the noises of categories k and j changed
    places in every variable,

    $$\nabla_{l_k} E[f(z)] = E\left[\sum_j \left(f(z^{k \leftrightarrow j}) - \tfrac1K \sum_m
    f(z^{m \leftrightarrow j})\right) \left(\tfrac1K - \pi_j\right)\right]$$

    Unbiased for every f. K (K - 1) / 2 + 1 evaluations a draw, however many variables there are.

    Args:
        latent: A CategoricalLatent.
        logits: Its parameters (B, N * K).
        noise: Gumbel noise (S, B, N, K).
        f: Maps codes (..., B, N, K) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over the S codes of the noise as it is, (B,), with the gradient.

    Raises:
        ValueError: If the latent is not categorical, or shapes disagree.

    Example:
        >>> latent, logits = CategoricalLatent(1, 2), torch.zeros(1, 2, requires_grad=True)
        >>> arsm(latent, logits, torch.tensor([[[[2.0, 0.0]]]]), lambda z: z[..., 0, 0]).backward()
        >>> logits.grad
        tensor([[ 0.3808, -0.3808]])
    """
    check("arsm", latent, logits, noise)
    if not isinstance(latent, CategoricalLatent):
        raise ValueError(f"arsm is defined for categories (for bits it is arm), got latent {latent}")
    k = latent.num_categories
    each = torch.arange(k, device=logits.device)
    swap = each.repeat(k, k, 1)  # swap[a, b]: the order of categories in which a and b changed places
    swap[each[:, None], each, each[:, None]], swap[each[:, None], each, each] = (
        each.expand(k, k),
        each[:, None].expand(k, k),
    )
    first, second = torch.triu_indices(k, k, 1, device=logits.device)
    orders = torch.cat([each[None], swap[first, second]])  # (P, K), the first one as it was
    z = latent.hard(logits, noise[..., orders].movedim(-2, 0).flatten(0, 1))  # (P * S, B, N, K)
    value = values(f, z[: len(noise)], latent)  # (S, B)
    with torch.no_grad():
        swapped = (
            values(f, z[len(noise) :], latent).unflatten(0, (len(first), -1))
            if k > 1
            else value.new_zeros(0, *value.shape)
        )
    table = value.detach().expand(k, k, *value.shape).clone()  # (K, K, S, B)
    table[first, second] = table[second, first] = swapped
    weight = 1 / k - torch.softmax(-noise, -1)  # (S, B, N, K)
    gradient = torch.einsum("kjsb,sbnj->bnk", table - table.mean(0), weight.to(table.dtype)) / len(noise)
    return attach(value.mean(0), logits, gradient.flatten(1))


def _antithetic(
    name: str, latent: Latent, logits: Tensor, noise: Tensor, f: Objective
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the codes (S, B, Q) of the noise and of its mirror image, and f at both, (2, S, B)."""
    check(name, latent, logits, noise)
    check_bits(name, latent)
    code, mirrored = (latent.hard(logits, signed).detach() for signed in (noise, -noise))
    return code, mirrored, values(f, torch.stack([code, mirrored]), latent)
