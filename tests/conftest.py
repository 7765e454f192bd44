"""What holds for every test: one thread, no screen, the cpu profile, and a seed of its own for each test."""

import os
from collections import Counter
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two processes share two cores
os.environ.setdefault("CATVAE_PROFILE", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("TQDM_DISABLE", "1")

import alarms
import hypothesis
import pytest
import torch

collect_ignore = ["broken_notebooks"]  # notebooks for the tests of the guards, not modules with doctests

LAYERS = {
    "mathematics": {"validate", "noise", "sampling", "density", "distributions", "pyro"},
    "model": {"precision", "latent", "network", "vae", "chain"},
    "experiment": {
        "data",
        "profiles",
        "schedules",
        "training",
        "many",
        "checkpoint",
        "resume",
        "files",
        "memory",
    },
}

hypothesis.settings.register_profile("book", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("book")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    """A test that forgets its generator still draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def comparisons(record_property: Callable[[str, object], None]) -> None:
    """A statistical test writes into its report what it spends; see tests/alarms.py."""
    alarms.record = record_property


def spending(terminalreporter: pytest.TerminalReporter) -> tuple[str, list[str]]:
    """What the comparisons of all tests come to; see tests/alarms.py."""
    reports = [one for word in ("passed", "failed") for one in terminalreporter.getreports(word)]
    return alarms.overspent(
        (report.location[0].replace(os.sep, "/").removeprefix("tests/"), float(str(value)))
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "comparison"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that spends more than its share of false alarms fails."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # none in a worker
    if reporter is not None and spending(reporter)[1] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def layer(nodeid: str) -> str:
    """The layer that a test belongs to: a wing of the library, a folder of tests, or the book."""
    folder, _, rest = nodeid.partition("::")[0].partition("/")
    if folder == "catvae_lib":
        return "doctests"
    if "/" in rest:
        return rest.partition("/")[0]
    module = rest.removeprefix("test_").removesuffix(".py")
    return next((name for name, modules in LAYERS.items() if module in modules), "book")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds of each layer, and what passing tests noted with record_property("note", ...)."""
    seconds: Counter[str] = Counter()
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if isinstance(report, pytest.TestReport):
            seconds[layer(report.nodeid)] += report.duration
    if terminalreporter.config.getoption("numprocesses", None):  # a whole run, not a test that someone tries
        told = ", ".join(f"{name} {spent:.0f}" for name, spent in seconds.most_common())
        terminalreporter.write_line(f"seconds of one core by layer: {told}")
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "note":
                terminalreporter.write_line(str(value))
    said, wrong = spending(terminalreporter)
    for line in [said, *wrong]:
        terminalreporter.write_line(line)
