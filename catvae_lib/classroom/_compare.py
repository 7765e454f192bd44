"""How two results differ, in words: type, shape, precision, NaN, and the usual mistakes behind numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from catvae_lib.classroom._learner import Mistake, kind

SHOWN = 6  # entries of a tensor that are shown
STAY = "Stay in torch from beginning to end: `.item()`, `.tolist()`, `.numpy()` and `math` leave it."
SAME = 1e-6  # tolerance of a symptom


def show_both(one: Any, two: Any) -> tuple[str, str]:
    """Return two values with as many digits as it takes to tell them apart."""
    for digits in (4, 7, 12):
        shown = show(one, digits), show(two, digits)
        if shown[0] != shown[1]:
            return shown
    if isinstance(one, Tensor) and isinstance(two, Tensor) and one.shape == two.shape:
        entry = torch.unravel_index((one - two).detach().abs().argmax(), one.shape)
        where = f"[{', '.join(str(int(part)) for part in entry)}]: "
        return where + show(one[entry], 7), where + show(two[entry], 7)
    return shown


def show(value: Any, digits: int = 4) -> str:
    """Return a value as a learner reads it: few digits, and the shape of what is too long."""
    if isinstance(value, Tensor):
        flat = value.detach().flatten()
        if flat.numel() == 1 and value.ndim == 0:
            return _digits(flat[0].item(), digits)
        if value.ndim <= 1 and flat.numel() <= SHOWN:
            return "[" + ", ".join(_digits(number, digits) for number in flat.tolist()) + "]"
        if value.ndim == 2 and value.shape[0] <= 3 and flat.numel() <= 3 * SHOWN:
            return "[" + ", ".join(show(row, digits) for row in value) + "]"
        begin = ", ".join(_digits(number, digits) for number in flat[:SHOWN].tolist())
        return f"[{begin}{', ...' if flat.numel() > SHOWN else ''}] of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(show(part, digits) for part in value) + ")"
    if isinstance(value, torch.Generator):
        return "generator"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return getattr(value, "__name__", None) or repr(value)[:80]
    return _digits(value, digits)


def check_form(got: Any, expected: Tensor) -> Tensor:
    """Return what a learner returned as a tensor of the expected shape and precision, or say what it is.

    A Python number stands for a tensor without dimensions.

    Raises:
        Mistake: If it is no tensor, of another shape or precision, or NaN or infinite where it should not be.
    """
    if isinstance(got, bool | int | float) and expected.ndim == 0:
        got = torch.tensor(got, dtype=expected.dtype)
    if not isinstance(got, Tensor):
        inside = isinstance(got, tuple | list) and any(isinstance(part, Tensor) for part in got)
        hint = "Return the tensor itself: [0] takes it out." if inside else STAY
        raise Mistake(f"{show(got)}, {kind(got)}", f"a tensor of shape {tuple(expected.shape)}", hint)
    if got.shape != expected.shape:
        raise Mistake(
            f"shape {tuple(got.shape)}", f"shape {tuple(expected.shape)}", _about_shape(got, expected)
        )
    if got.dtype != expected.dtype:
        raise Mistake(f"{got.dtype}", f"{expected.dtype}", _about_dtype(got, expected))
    for name, is_it in (("NaN", torch.isnan), ("an infinity", torch.isinf)):
        wrong = is_it(got.detach()) & ~is_it(expected.detach())
        if bool(wrong.any()):
            came = f"{name} in {int(wrong.sum())} of {got.numel()} entries"
            raise Mistake(came, show(expected), "Look for log(0), 0/0, or an exp that overflows.")
    return got


def close(got: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree: to a part of the larger, and absolutely near 0."""
    one, two = got.detach().double(), expected.detach().double()
    return torch.allclose(one, two, rtol=tolerance, atol=tolerance, equal_nan=True)


def symptom(got: Sequence[Tensor], expected: Sequence[Tensor], sizes: set[int]) -> str:
    """Return what all results have in common that explains how they differ, or an empty string.

    Args:
        got: Results, one a case.
        expected: What they should be.
        sizes: The lengths of the cases' axes, for means that should be sums.
    """
    one, two = (torch.cat([part.detach().double().flatten() for part in parts]) for parts in (got, expected))
    if len(two.unique()) < 3:
        return ""
    for sentence, make in _RELATIONS:
        made = make(two)
        telling = bool(torch.isfinite(made).all()) and len(made.unique()) > 1 and not close(made, two, SAME)
        if telling and close(one, made, SAME):
            return sentence
    pairs = [(g.detach().double(), e.detach().double()) for g, e in zip(got, expected, strict=True)]
    for size in sorted(sizes - {1}):
        if all(close(g * size, e, SAME) for g, e in pairs):
            return f"It is 1/{size} of the right result: a mean over {size} entries where a sum belongs."
        if all(close(g, e * size, SAME) for g, e in pairs):
            return f"It is {size} times the right result: a sum over {size} entries where a mean belongs."
    factors, offsets = one / two, one - two
    if bool(torch.isfinite(factors).all()) and close(factors, factors[0].expand_as(factors), SAME):
        return _factor(factors[0].item())
    if close(offsets, offsets[0].expand_as(offsets), SAME):
        return f"It is off by {show(offsets[0])} everywhere: {_constant(abs(offsets[0].item()))}."
    return ""


def _factor(value: float) -> str:
    if value == 0:
        return ""
    if abs(value - 1) < 1e-2:
        return "It is right to a hundredth: is a constant rounded?"
    if math.isclose(value, 1 / math.log(2), rel_tol=1e-4):
        return "It is 1/ln 2 times the right result: it is in bits, not in nats."
    return f"It is {value:.4g} times the right result everywhere: which factor is that?"


_RELATIONS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("It has the wrong sign everywhere.", torch.neg),
    ("It is the right result's exp: a logarithm is missing.", torch.exp),
    ("It is the right result's log: a logarithm too many.", torch.log),
    ("It is one minus the right result: the other outcome's.", lambda value: 1 - value),
    ("It is the right result's square: a root is missing.", torch.square),
    ("It is the right result's square root.", torch.sqrt),
    ("It is the right result's inverse: divide where you multiply, or the reverse.", torch.reciprocal),
    ("It is the right result's sigmoid: probabilities where logits are asked for.", torch.sigmoid),
    ("It is the right result's logit: logits where probabilities are asked for.", torch.logit),
    ("It is rounded to whole numbers.", torch.round),
    ("It has lost the sign: an absolute value.", torch.abs),
)


def _about_dtype(got: Tensor, expected: Tensor) -> str:
    if not got.is_floating_point() and expected.is_floating_point():
        return f"Whole numbers or truth values do not enter formulas: `.to(x.dtype)` makes {expected.dtype}."
    return "Keep the precision of the input: `.float()`, or a tensor made without `dtype=`, changes it."


def _about_shape(got: Tensor, expected: Tensor) -> str:
    if got.ndim == 0:
        return "Everything was summed or averaged: name the axis with `dim=`."
    if got.ndim == expected.ndim + 1:
        return "One axis too many: was a sum over it forgotten, or `keepdim=True` left in?"
    if got.ndim == expected.ndim - 1:
        return "One axis is lost: `dim=-1` is the last one, and a sum keeps it with `keepdim=True`."
    if sorted(got.shape) == sorted(expected.shape):
        return "The axes are in another order."
    return "Write the shapes beside your lines: which axis is which?"


def _constant(value: float) -> str:
    if value < 1e-3:
        return "is a small number added inside a logarithm"
    for number, name in (
        (math.log(2), "ln 2"),
        (1.0, "1"),
        (math.log(2 * math.pi) / 2, "ln(2 pi)/2"),
        (0.57721566, "Euler's constant"),
    ):
        if math.isclose(value, number, rel_tol=1e-4):
            return f"a term of {name} is missing or too many"
    return "a constant term is missing or too many"


def _digits(number: float, digits: int) -> str:
    return f"{number:.{digits}g}"
