"""The budget of false alarms: what is allocated, what is counted, and bounds that hold."""

import re
from pathlib import Path
from types import SimpleNamespace

import alarms
import conftest
import pytest

HERE = Path(__file__).parent
STATISTICAL = re.compile(
    r"binomtest|kstest|chisquare|chi2\.sf|(categorical|continuous)_fit\(|standard_error\("
    r"|\.std\(0?\) / |alarms\.\w+\("
)


def test_all_comparisons_together_stay_within_the_budget() -> None:
    assert alarms.LEVEL * sum(alarms.MOST.values()) <= alarms.TOTAL


def test_every_file_with_statistical_tests_has_a_row_and_every_row_a_file() -> None:
    files = {p.relative_to(HERE).as_posix(): p.read_text(encoding="utf-8") for p in HERE.rglob("test_*.py")}
    found = {name for name, text in files.items() if STATISTICAL.search(text)}
    assert found - alarms.MOST.keys() - {"test_alarms.py"} == set()
    assert {name for name in alarms.MOST if "alarms." not in files.get(name, "")} <= INDIRECT


# Files whose comparisons are made, and counted, in estimators/problems.py.
INDIRECT = {"estimators/test_biased.py", "estimators/test_unbiased.py", "estimators/test_wrong.py"}


def run_of(*reports: tuple[str, str, str]) -> tuple[int, list[str]]:
    """How a run ends whose tests (file, phase, property) passed, and what is said of its comparisons."""
    passed = [
        SimpleNamespace(location=(file, 0, ""), when=when, user_properties=[(name, alarms.LEVEL)])
        for file, when, name in reports
    ]
    lines: list[str] = []
    reporter = SimpleNamespace(
        getreports=lambda word: passed if word == "passed" else [],
        write_line=lines.append,
        stats={},
        config=SimpleNamespace(getoption=lambda name, default: default),
    )
    manager = SimpleNamespace(get_plugin=lambda name: reporter)
    session = SimpleNamespace(config=SimpleNamespace(pluginmanager=manager), exitstatus=pytest.ExitCode.OK)
    conftest.pytest_sessionfinish(session)
    conftest.pytest_terminal_summary(reporter)
    return session.exitstatus, lines


def test_a_run_that_spends_more_fails_and_says_where() -> None:
    noise, new = ("tests/test_noise.py", "call", "comparison"), ("tests/test_new.py", "call", "comparison")
    said = "statistical tests: {}, false alarm {} in all (at most 1e-06)"
    assert run_of(noise, ("tests/test_noise.py", "teardown", "comparison")) == (
        0,
        [said.format("1 comparisons", "1e-09")],
    )
    status, lines = run_of(noise, new, new)
    assert status == 1 and lines[0] == said.format("3 comparisons", "3e-09")
    assert lines[1:] == ["test_new.py makes 2 comparisons, tests/alarms.py allows 0"]
    assert run_of(*[noise] * alarms.MOST["test_noise.py"])[0] == 0
    assert run_of(*[noise] * (alarms.MOST["test_noise.py"] + 1))[0] == 1


def test_a_comparison_is_written_into_the_report_of_its_test(request: pytest.FixtureRequest) -> None:
    assert alarms.spend(4) == alarms.LEVEL / 4
    assert request.node.user_properties == [("comparison", alarms.LEVEL)]


def test_too_many_false_alarms_in_all_are_told() -> None:
    said, wrong = alarms.overspent([("test_noise.py", 2e-7)] * 6)
    assert "6 comparisons, false alarm 1.2e-06" in said and wrong == ["their false alarms are too many"]
    assert alarms.overspent([("test_noise.py", 1e-9)] * 6)[1] == []
