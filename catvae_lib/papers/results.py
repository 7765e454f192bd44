"""What the stored runs of a cell say: its number, in the papers' sign, and how far it can be trusted."""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from catvae_lib import _validate
from catvae_lib.papers.cells import Cell, cells
from catvae_lib.papers.sweep import load, selected


@dataclass(frozen=True)
class Summary:
    """One number of a table.

    Attributes:
        cell: Which.
        nll: Mean over the seeds of minus the sharpest test bound, in nats; lower is better.
        half: Half of its 95 % interval over seeds (Student's t); None with a single seed.
        error: Standard error of evaluating one model on part of the test set, which all seeds share.
        rate: The selected learning rate.
        runs: Everything that is stored of the selected runs.
    """

    cell: Cell
    nll: float
    half: float | None
    error: float
    rate: float
    runs: list[dict[str, Any]]

    def __str__(self) -> str:
        """The number, with its interval if it has one."""
        return f"{self.nll:.1f}" + ("" if self.half is None else f" ±{self.half:.1f}")

    def at(self, samples: int) -> float:
        """Return the mean over the seeds of minus the bound of so many samples, in nats.

        Raises:
            ValueError: If the runs hold no bound of so many samples.
        """
        _validate.count("samples", samples)
        held = [run["test"].get("levels", []) for run in self.runs]
        levels = [{level["samples"]: -level["bound"] for level in own} for own in held]
        if any(samples not in level for level in levels):
            raise ValueError(f"samples must be one of {list(levels[0])}, got {samples}")
        return float(sum(level[samples] for level in levels)) / len(levels)


def summary(cell: Cell, folder: Path) -> Summary:
    """Return what the selected runs of a cell say.

    Raises:
        FileNotFoundError: If a run is missing: `make papers` trains it.
        ValueError: If a file is damaged or of another protocol, or a seed diverged.
    """
    chosen = selected(cell, folder)
    runs = [load(run, folder) for run in chosen]
    failures = [run["failure"] for run in runs if "failure" in run]
    if failures:
        raise ValueError(f"{len(failures)} of {len(runs)} seeds of {cell} diverged: {failures[0]}")
    values = [-run["test"]["bound"] for run in runs]
    mean, half = interval(values)
    errors = [run["test"].get("standard_error", 0.0) for run in runs]
    return Summary(cell, mean, half, sum(errors) / len(errors), chosen[0].rate, runs)


def complete(budget: str, folder: Path) -> dict[Cell, Summary]:
    """Return the cells of a budget all of whose runs are stored, and what they say.

    Raises:
        ValueError: If a file is damaged or of another protocol, or a seed diverged.
    """
    _validate.instance("folder", folder, Path)
    found = {}
    for cell in cells(budget):
        with contextlib.suppress(FileNotFoundError):
            found[cell] = summary(cell, folder)
    return found


def interval(values: list[float]) -> tuple[float, float | None]:
    """Return the mean of some runs and half of its 95 % interval by Student's t; None for a single run.

    Example:
        >>> mean, half = interval([1.0, 2.0, 3.0])
        >>> round(mean, 3), round(half, 3)
        (2.0, 2.484)
    """
    _validate.instance("values", values, list, tuple)
    for value in values:
        _validate.finite_number("values", value)
    if len(values) == 0:
        raise ValueError("values must hold one at least, got none")
    count, mean = len(values), sum(values) / len(values)
    if count == 1:
        return mean, None
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    return mean, float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count)
