"""A log-softmax with its limits at logits of -inf (probability 0) and +inf (probability 1); a softplus."""

from typing import Any

import torch
from torch import Tensor


class _CertainAtZero(torch.autograd.Function):
    """In a row with a +inf put 0 there and -inf elsewhere: the same distribution. The gradient passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> Tensor:
        certain = logits.isposinf()
        limit = torch.where(certain, 0.0, -torch.inf).to(logits.dtype)
        return torch.where(certain.any(-1, keepdim=True), limit, logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing: the gradient is the identity."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.clone()


def certain_at_zero(logits: Tensor) -> Tensor:
    """Return logits (..., K) of the same distributions without +inf; the gradient is that of the identity.

    In a compiled graph, where a function with a gradient of its own cannot be mapped over many models, a row
    with a +inf has gradient 0 instead.
    """
    if torch.compiler.is_compiling():
        return _CertainAtZero.forward(logits)
    finite: Tensor = _CertainAtZero.apply(logits)  # type: ignore[no-untyped-call]
    return finite


def log_softmax(logits: Tensor) -> Tensor:
    """Return log softmax over the last dimension, with the limits at infinite logits and their gradients."""
    return torch.log_softmax(certain_at_zero(logits), -1)


def drop_zero_times_infinity(weight: Tensor, log_p: Tensor) -> Tensor:
    """Return log_p with 0 in place of -inf where its weight is 0 (or below, by rounding): 0 log 0 = 0."""
    return torch.where((weight <= 0) & log_p.isinf(), 0.0, log_p)


def softplus(x: Tensor) -> Tensor:
    """Return ln(1 + e^x), in float64 too to the last digit: torch's own stops at x = 20, off by 2e-9."""
    return torch.nn.functional.softplus(x, threshold=40)
