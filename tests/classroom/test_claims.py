"""A claim holds exactly when it should, and its line says no more digits than the tolerance resolves."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from catvae_lib.classroom.claims import CLAIM_LINE, ClaimError, claim


@pytest.mark.parametrize(
    ("observed", "expected", "tolerance", "relation", "values"),
    [
        (0.57691, 0.57722, 0.0064, "==", "0.5769 = 0.5772 +- 0.0064"),
        (101.83, 103, 0.5, "<=", "101.83 <= 103.00 +- 0.50"),
        (7, 7, 0, "==", "7 = 7"),
        (2**24, 2**24, 0, ">=", "16777216 >= 16777216"),
        (0.123456789, 1 / 3, 0, "<=", "0.1235 <= 0.3333333"),  # no tolerance: 4 digits of a measured value
        (3e-16, 0, 1e-12, "==", "0 = 0 +- 1.0e-12"),  # noise below the tolerance is not printed
        (-3e-9, 0, 1e-6, "==", "0 = 0 +- 1.0e-06"),  # nor is the sign of a zero
        (math.pi, math.pi, 1e-12, "==", "3.141593 = 3.141593 +- 1.0e-12"),
        (math.inf, math.inf, 0.1, "==", "inf = inf +- 0.10"),
        (1234.6, 1200, 130, "==", "1235 = 1200 +- 130"),
        (True, 1, 0, "==", "1 = 1"),
    ],
)
def test_the_line(
    observed: float,
    expected: float,
    tolerance: float,
    relation: str,
    values: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claim("01.x", observed, expected, tolerance, "counted", relation=relation)
    assert capsys.readouterr().out == f"claim 01.x: {values} holds [counted]\n"


@pytest.mark.parametrize(
    ("observed", "expected", "tolerance", "relation"),
    [
        (0.5, 0.25, 0.125, "=="),
        (0.125, 0.25, 0.0625, "=="),
        (2.0, 1.0, 0.5, "<="),
        (0.0, 1.0, 0.5, ">="),
        (math.nan, math.nan, 1.0, "=="),
        (math.nan, 0.0, 1.0, "<="),
        (0.0, math.nan, 1.0, ">="),
        (math.inf, 0.0, 1.0, "=="),
        (1.0, 1.0 + 2**-52, 0.0, "=="),
    ],
)
def test_what_does_not_hold_fails_with_the_line(
    observed: float, expected: float, tolerance: float, relation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ClaimError, match=r"^claim 01\.x: .* fails \[counted\]$"):
        claim("01.x", observed, expected, tolerance, "counted", relation=relation)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("relation", "edge"), [("==", 0.75), ("==", 0.25), ("<=", 0.75), (">=", 0.25)])
def test_the_edge_belongs_to_the_claim(relation: str, edge: float) -> None:
    claim("01.x", edge, 0.5, 0.25, "counted", relation=relation)
    with pytest.raises(ClaimError):
        claim("01.x", edge + math.copysign(2**-50, edge - 0.5), 0.5, 0.25, "counted", relation=relation)


def test_an_unstable_claim_leaves_the_observed_value_to_its_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    claim("06.bound", 101.8, 103, 0, "demanded", relation="<=", stable=False)
    assert capsys.readouterr().out == "claim 06.bound: <= 103 holds [demanded]\n"
    with pytest.raises(ClaimError, match=r"<= 103 fails \[demanded\] \(observed 104.25\)$"):
        claim("06.bound", 104.25, 103, 0, "demanded", relation="<=", stable=False)


@given(
    observed=st.floats(-1e6, 1e6),
    error=st.floats(-1, 1),
    exponent=st.integers(-14, 4),
    relation=st.sampled_from(["==", "<=", ">="]),
    stable=st.booleans(),
)
def test_the_line_reads_back_and_does_not_contradict_itself(
    observed: float, error: float, exponent: int, relation: str, stable: bool
) -> None:
    tolerance = 1.7 * 10.0**exponent
    expected = observed + 0.999 * error * tolerance
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lines.append)
        claim("01.x", observed, expected, tolerance, "a [nested] source", relation=relation, stable=stable)
    match = CLAIM_LINE.fullmatch(lines[0])
    assert match is not None and match["verdict"] == "holds" and match["source"] == "a [nested] source"
    assert (match["observed"] is not None) == stable
    resolved = max(Decimal(tolerance) / 20, abs(Decimal(expected)) * Decimal("1e-6"))
    assert abs(Decimal(match["expected"]) - Decimal(expected)) <= resolved


@pytest.mark.parametrize("scalar", [torch.tensor(0.5), torch.tensor([[0.5]]), np.float32(0.5), np.array(0.5)])
def test_scalars_of_other_libraries(scalar: float) -> None:
    claim("01.x", scalar, 0.5, 0, "counted")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "mean"}, "id must read like \"01.mean\", got 'mean'"),
        ({"id": "01.a b"}, "got '01.a b'"),
        ({"observed": torch.zeros(2)}, "observed must be one number"),
        ({"expected": "many"}, "expected must be one number, got 'many'"),
        ({"tolerance": -1e-3}, "tolerance must be finite and at least 0, got -0.001"),
        ({"tolerance": math.nan}, "tolerance must be finite and at least 0, got nan"),
        ({"tolerance": math.inf}, "tolerance must be finite and at least 0, got inf"),
        ({"source": " "}, "source must say in one line"),
        ({"source": "a\nb"}, "source must say in one line"),
        ({"relation": "<"}, "relation must be .*, got '<'"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    arguments = {"id": "01.x", "observed": 1, "expected": 1, "tolerance": 0, "source": "counted", **change}
    with pytest.raises(ValueError, match=message):
        claim(**arguments)
