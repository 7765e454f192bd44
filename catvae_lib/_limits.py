"""A log-softmax that takes its limits at logits of -inf (probability 0) and +inf (probability 1)."""

from typing import Any

import torch
from torch import Tensor


class _Saturate(torch.autograd.Function):
    """Replace +inf by a number too large for softmax to tell the difference; the gradient passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(max=torch.finfo(x.dtype).max / 4)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing: the gradient is the identity."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def saturate(logits: Tensor) -> Tensor:
    """Return logits with +inf made finite; the gradient is that of the identity."""
    saturated: Tensor = _Saturate.apply(logits)  # type: ignore[no-untyped-call]
    return saturated


def log_softmax(logits: Tensor) -> Tensor:
    """Return log softmax over the last dimension, with the limits at infinite logits and their gradients."""
    log_p = torch.log_softmax(saturate(logits), -1)
    impossible = log_p < torch.finfo(log_p.dtype).min / 8
    return log_p + torch.where(impossible, -torch.inf, 0.0).to(
        log_p.dtype
    )  # added, so that the gradient passes


def drop_zero_times_infinity(weight: Tensor, log_p: Tensor) -> Tensor:
    """Return log_p with 0 in place of -inf where its weight is 0, because 0 log 0 = 0."""
    return torch.where((weight == 0) & log_p.isinf(), 0.0, log_p)
