"""Measure every row of rows.py against mpmath, and write the table in docs/numerics.md.

    python tests/numerics/measure.py

The bound is |error| <= r |value| + 4 eps * (the largest term of the sum), with r = 1e-12 in float64, 1e-6 in
float32 and 4 eps in half precision. What is below the dtype's smallest normal number may be 0, and what is
within a factor of eight of its largest may be infinite.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import mpmath
import torch
from oracles import Number, Terms
from rows import ROWS, Case, Row
from torch import Tensor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "numerics.md"
RELATIVE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2**-5, torch.float16: 2**-8}


def cases(row: Row, count: int) -> list[Case]:
    """Draw arguments from a seed."""
    rng = Random(row.name)
    return [row.draw(rng) for _ in range(count)]


def rounded(case: Case, row: Row, dtype: torch.dtype) -> list[Tensor | float]:
    """Return the arguments of a call: tensors in a dtype, and plain numbers."""
    tensors = len(case) - row.numbers
    return [torch.tensor(v, dtype=dtype) if i < tensors else float(v) for i, v in enumerate(case)]


def leaves(case: Case, row: Row, dtype: torch.dtype) -> tuple[list[Tensor | float], list[Tensor]]:
    """Return the arguments of a call, and those of them in which derivatives are taken."""
    arguments = rounded(case, row, dtype)
    return arguments, [a.requires_grad_() for a in arguments if isinstance(a, Tensor)]


def mpf(value: Tensor | float) -> Number:
    """Take the same numbers to mpmath."""
    found = value.tolist() if isinstance(value, Tensor) else value
    return [mpmath.mpf(v) for v in found] if isinstance(found, list) else mpmath.mpf(found)


def exact(terms: Callable[[], Terms], dtype: torch.dtype) -> tuple[Number, Number]:
    """Return the sum of terms and the largest, at as many digits as their cancellation asks for."""
    for digits in (50, 150, 400):
        with mpmath.workdps(digits):
            parts, sizes = terms()
            value, largest = mpmath.fsum(parts), max(map(abs, parts))
            unknown = largest * mpmath.mpf(10) ** (5 - digits)
            if unknown < max(abs(value), torch.finfo(dtype).tiny) * 1e-20:
                break
    return value, max(largest, *map(abs, sizes), 0)


def error(found: float, value: Number, largest: Number, dtype: torch.dtype) -> tuple[float, float]:
    """Return the error of a number in units of its bound, and in eps of the largest term."""
    limits, wrong = torch.finfo(dtype), (float("inf"), float("inf"))
    if found != found:
        return wrong
    if mpmath.isinf(found):
        return (0.0, 0.0) if mpmath.sign(found) * value * 8 >= limits.max else wrong
    missed = abs(found - value)
    bound = RELATIVE[dtype] * abs(value) + 4 * limits.eps * largest + limits.tiny
    return float(missed / bound), float(max(missed - limits.tiny, 0) / (limits.eps * largest or 1))


def error_of_value(row: Row, case: Case, dtype: torch.dtype) -> tuple[float, float]:
    """Return the error of one call."""
    arguments = rounded(case, row, dtype)
    value, largest = exact(lambda: row.terms(*map(mpf, arguments)), dtype)
    return error(float(row.call(*arguments)), value, abs(value) if row.strict else largest, dtype)


def worst(row: Row, dtype: torch.dtype, count: int = 100) -> tuple[float, float]:
    """Return the largest errors of many calls."""
    errors = [error_of_value(row, case, dtype) for case in cases(row, count)]
    return max(e[0] for e in errors), max(e[1] for e in errors)


def errors_of_slopes(row: Row, case: Case, dtype: torch.dtype) -> Iterator[float]:
    """Yield the error of every partial derivative in units of ten times the bound of a value.

    Where nothing may cancel it is relative. Elsewhere the largest term is at least a slope of 1 / temperature
    times the largest logit: torch takes a sigmoid's slope as y (1 - y), whose second factor rounds.
    """
    arguments, tensors = leaves(case, row, dtype)
    found = row.call(*arguments)
    if not found.isfinite():
        return
    steep = 1 / arguments[-1] if row.numbers else 1.0
    size = steep * max(1.0, *(steep * float(t.detach().abs().max()) for t in tensors))
    for i, slope in enumerate(torch.autograd.grad(found, tensors)):
        for k, number in enumerate(slope.flatten().tolist()):
            value, largest = exact(lambda i=i, k=k: slopes(row, arguments, i, k), dtype)
            yield error(number, value, abs(value) if row.strict else max(largest, size), dtype)[0] / 10


def slopes(row: Row, arguments: list[Tensor | float], i: int, k: int) -> Terms:
    """Return the derivatives of the terms by component k of argument i: symmetric differences."""
    digits = mpmath.mp.dps
    with mpmath.workdps(3 * digits + 350):  # float64 reaches down to 1e-324
        step = mpmath.mpf(10) ** -(digits + 10)
        sides = []
        for move in (step, -step):
            at = [mpf(a) for a in arguments]
            if isinstance(at[i], list):
                at[i][k] += move
            else:
                at[i] += move
            sides.append(row.terms(*at))
        (above, sizes_above), (below, sizes_below) = sides
        parts = [(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]
        return parts, [(a - b) / (2 * step) for a, b in zip(sizes_above, sizes_below, strict=True)]


def coarse(eps: float) -> int:
    """Round up to a power of two, or 0."""
    return 0 if eps == 0 else 2 ** max(0, math.ceil(math.log2(eps)))


def words(row: Row) -> str:
    """Return what the page says of a row before its figures."""
    return f"| `{row.name}` | {row.where}{', exact' if row.strict else ''} |"


def table() -> list[str]:
    """Measure every row, and return the lines of the page's table."""
    figures = ([coarse(worst(row, dtype)[1]) for dtype in RELATIVE] for row in ROWS)
    return [f"{words(row)} {' | '.join(map(str, found))} |" for row, found in zip(ROWS, figures, strict=True)]


if __name__ == "__main__":
    before, rule, after = PAGE.read_text().partition("|---|---|---|---|---|---|\n")
    text = [one for one in after.splitlines() if not one.startswith("|")]
    PAGE.write_text("\n".join([before + rule.strip(), *table(), *text, ""]))
