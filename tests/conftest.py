"""What holds for every test: one thread, no screen, the cpu profile, and a seed of its own for each test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two processes share two cores
os.environ.setdefault("CATVAE_PROFILE", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("TQDM_DISABLE", "1")

import hypothesis
import pytest
import torch

collect_ignore = ["broken_notebooks"]  # notebooks for the tests of the guards, not modules with doctests

hypothesis.settings.register_profile("book", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("book")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    """A test that forgets its generator still draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what passing tests noted with record_property("note", ...): a worker's own output is lost."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "note":
                terminalreporter.write_line(str(value))
