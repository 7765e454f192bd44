"""Numbers stated in prose, recomputed: a claim prints one line, and fails its cell when it does not hold."""

import math
import re
from collections.abc import Callable
from typing import SupportsFloat

_NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)"
CLAIM_LINE = re.compile(
    rf"^claim (?P<id>[\w.-]+): (?:(?P<observed>{_NUMBER}) )?(?P<relation><=|>=|=) (?P<expected>{_NUMBER})"
    rf"(?: \+- (?P<tolerance>{_NUMBER}))? (?P<verdict>holds|fails) \[(?P<source>.+)\]$",
    re.MULTILINE,
)
"""The line that `claim` prints. The checks of the book read it back out of the stored outputs."""

_ID = re.compile(r"\w+\.[\w.-]+")
_WITHIN: dict[str, Callable[[float, float, float], bool]] = {
    "==": lambda observed, expected, tolerance: observed == expected or abs(observed - expected) <= tolerance,
    "<=": lambda observed, expected, tolerance: observed <= expected + tolerance,
    ">=": lambda observed, expected, tolerance: observed >= expected - tolerance,
}
_MOST_DECIMALS = 6  # beyond this a reader counts zeros: such values are printed with 7 significant digits
_LARGEST_WHOLE = 1e15  # below it every whole number is a float64 and is printed in full


class ClaimError(AssertionError):
    """A claim that does not hold."""


def claim(
    id: str,
    observed: SupportsFloat,
    expected: SupportsFloat,
    tolerance: SupportsFloat,
    source: str,
    *,
    relation: str = "==",
    stable: bool = True,
) -> None:
    """State a number that the prose relies on, and check it: |observed - expected| <= tolerance.

    Args:
        id: chapter and name, such as "01.mean"; unique within a notebook.
        observed: what the notebook computed, a scalar.
        expected: what a closed form or a cited table says, a scalar.
        tolerance: five standard errors, or a bound on rounding; 0 asks for equality. With "<=" and ">=" it is
            the slack given to the observed value.
        source: where the expected value comes from, one line.
        relation: "==", "<=" or ">=".
        stable: False leaves the observed value out of the line, for numbers that differ between processors.

    Raises:
        ClaimError: the claim does not hold. NaN never holds.
        ValueError: an argument makes no sense.

    Example:
        >>> claim("01.mean", 0.57691, 0.57722, 0.0064, "closed form: Euler's constant")
        claim 01.mean: 0.5769 = 0.5772 +- 0.0064 holds [closed form: Euler's constant]
        >>> claim("06.bound", 101.82, 103, 0, "demanded of this chapter", relation="<=", stable=False)
        claim 06.bound: <= 103 holds [demanded of this chapter]
    """
    number, target = _scalar("observed", observed), _scalar("expected", expected)
    slack = _scalar("tolerance", tolerance)
    _check(id, slack, source, relation)
    parts = [
        *([_format(number, slack, exact=relation == "==")] if stable else []),
        "=" if relation == "==" else relation,
        _format(target, slack, exact=True),
        *([f"+- {_format_tolerance(slack)}"] if slack > 0 else []),
    ]
    line = f"claim {id}: {' '.join(parts)}"
    if not _WITHIN[relation](number, target, slack):
        seen = "" if stable else f" (observed {number:.7g})"
        raise ClaimError(f"{line} fails [{source}]{seen}")
    print(f"{line} holds [{source}]")


def _scalar(name: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit a float, got an int beyond it") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be one number, got {value!r}") from error


def _check(id: str, tolerance: float, source: str, relation: str) -> None:
    for name, word in (("id", id), ("source", source), ("relation", relation)):
        if not isinstance(word, str):
            raise TypeError(f"{name} must be a str, got {type(word).__name__}")
    if not _ID.fullmatch(id):
        raise ValueError(f'id must read like "01.mean", got {id!r}')
    if not (0 <= tolerance < math.inf):
        raise ValueError(f"tolerance must be finite and at least 0, got {tolerance!r}")
    if not source.strip() or "\n" in source:
        raise ValueError(f"source must say in one line where the expected value comes from, got {source!r}")
    if relation not in _WITHIN:
        raise ValueError(f'relation must be "==", "<=" or ">=", got {relation!r}')


def _decimals(tolerance: float) -> int:
    """Decimals that show two significant digits of the tolerance, which is as far as it resolves a value."""
    return max(0, 1 - math.floor(math.log10(tolerance)))


def _format(value: float, tolerance: float, *, exact: bool) -> str:
    """A value with the digits that the tolerance resolves; without one 7 digits, or 4 of a measured value."""
    if not math.isfinite(value):
        return str(value)
    if tolerance == 0:
        if value.is_integer() and abs(value) < _LARGEST_WHOLE:
            return str(int(value))
        return f"{value:.7g}" if exact else f"{value:.4g}"
    decimals = _decimals(tolerance)
    rounded = round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:.{decimals}f}" if decimals <= _MOST_DECIMALS else f"{rounded:.7g}"


def _format_tolerance(tolerance: float) -> str:
    decimals = _decimals(tolerance)
    return f"{tolerance:.{decimals}f}" if decimals <= _MOST_DECIMALS else f"{tolerance:.1e}"
