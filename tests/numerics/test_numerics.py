"""Every row of rows.py holds its bound, and so do its slopes; infinite logits take their limits."""

import re
from random import Random
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from measure import (
    PAGE,
    RELATIVE,
    cases,
    coarse,
    error,
    error_of_value,
    errors_of_slopes,
    exact,
    leaves,
    rounded,
    words,
    worst,
)
from rows import ROWS, Case, Row

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
HALF = (torch.float16, torch.bfloat16)


@each_row
def test_value_holds_its_bound_as_the_page_says(row: Row) -> None:
    (found,) = re.findall(rf"^{re.escape(words(row))} (.*) \|$", PAGE.read_text(), re.MULTILINE)
    for dtype, stored in zip(RELATIVE, found.split(" | "), strict=True):
        units, eps = worst(row, dtype)
        assert units <= 1, dtype
        # Another processor's exponential rounds otherwise.
        assert coarse(eps) <= 4 * max(int(stored), 1) and int(stored) <= 4 * max(coarse(eps), 1), dtype


def test_the_page_has_no_row_but_these() -> None:
    assert len(re.findall(r"^\| `", PAGE.read_text(), re.MULTILINE)) == len(ROWS)


@each_row
@settings(max_examples=30)
@given(rng=st.randoms(use_true_random=False), dtype=st.sampled_from((torch.float64, torch.float32)))
def test_value_holds_its_bound_wherever_hypothesis_looks(row: Row, rng: Random, dtype: torch.dtype) -> None:
    case = row.draw(rng)
    assert error_of_value(row, case, dtype)[0] <= 1, case


@each_row
@pytest.mark.parametrize("dtype", (torch.float64, torch.float32), ids=str)
def test_slopes_hold_their_bound(row: Row, dtype: torch.dtype) -> None:
    for case in cases(row, 15):
        assert max(errors_of_slopes(row, case, dtype), default=0) <= 1, case


@each_row
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_no_slope_is_nan_in_half_precision(row: Row, dtype: torch.dtype) -> None:
    for case in cases(row, 30):
        arguments, tensors = leaves(case, row, dtype)
        for found in torch.autograd.grad(row.call(*arguments), tensors):
            assert not found.isnan().any(), case


@each_row
def test_slopes_are_those_of_finite_differences(row: Row) -> None:
    moderate = [case for case in cases(row, 200) if is_moderate(row, case)]
    assert len(moderate) >= 3
    for case in moderate[:8]:
        assert torch.autograd.gradcheck(row.call, leaves(case, row, torch.float64)[0]), case


def is_moderate(row: Row, case: Case) -> bool:
    """Whether a step of 1e-6 is small beside what changes the function, and it does not explode."""
    numbers = [abs(v) for part in case for v in (part if isinstance(part, list) else [part])]
    slow = not row.numbers or 0.1 < case[-1] < 10
    return max(numbers) < 40 and slow and abs(float(row.call(*rounded(case, row, torch.float64)))) < 1e5


def with_infinities(row: Row, rng: Random) -> Case:
    """A moderate case, some of its logits infinite: in a row at most one +inf, and one that is finite."""

    def some(part: float | list[float]) -> float | list[float]:
        if isinstance(part, list):
            kinds = rng.choice(("-..", ".-.", "--.", "+..", ".+-", "..."))
            return [rng.uniform(-9, 9) if kind == "." else float(f"{kind}inf") for kind in kinds]
        return rng.choice((float("inf"), -float("inf"), rng.uniform(-9, 9)))

    case = list(row.draw(rng))
    for i in row.infinite:
        case[i] = some(case[i])
    return (*case[: len(case) - row.numbers], *([1.0] * row.numbers))


def beyond(part: float | list[float]) -> Any:
    """Take a number for infinity that no dtype holds, even after a division by 10^4000."""
    if isinstance(part, list):
        return [beyond(v) for v in part]
    return mpmath.sign(part) * mpmath.mpf(10) ** 5000 if mpmath.isinf(part) else mpmath.mpf(part)


@pytest.mark.parametrize("row", [row for row in ROWS if row.infinite], ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
def test_infinite_arguments_give_the_limit_and_no_slope_that_is_nan(row: Row, dtype: torch.dtype) -> None:
    rng = Random(row.name)
    for _ in range(40):
        case = with_infinities(row, rng)
        arguments, tensors = leaves(case, row, dtype)
        held = [a.tolist() if isinstance(a, torch.Tensor) else a for a in arguments]
        value, _ = exact(lambda held=held: row.terms(*map(beyond, held)), dtype)
        found = row.call(*arguments)
        assert error(float(found.detach()), value, max(abs(value), 1), dtype)[0] <= 1, (case, found, value)
        for slope in torch.autograd.grad(found, tensors):
            assert not slope.isnan().any(), case
