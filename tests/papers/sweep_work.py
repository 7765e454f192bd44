"""Work for the sweep's tests that takes no training: importable, so that other processes find it."""

import os
import time
from pathlib import Path
from typing import Any

from catvae_lib.papers.cells import Run


def quick(*runs: Run) -> list[dict[str, Any]]:
    """A result in no time: the larger rate is better."""
    return [
        {
            "validation": run.rate,
            "test": {"bound": -1.0},
            "epochs": run.cell.epochs,
            "batch_size": run.cell.batch_size,
            "seed": run.seed,
            "rate": run.rate,
        }
        for run in runs
    ]


def fails_on_the_second_seed(*runs: Run) -> list[dict[str, Any]]:
    if any(run.seed == 1 for run in runs):
        raise FloatingPointError("the training loss became nan at step 3")
    return quick(*runs)


def fails_for_one_cell(*runs: Run) -> list[dict[str, Any]]:
    if runs[0].cell.estimator == "reinmax" and runs[0].rate == 1e-3:
        raise ValueError("root must be the folder that holds the files")
    return quick(*runs)


def diverges_at_the_larger_rate(*runs: Run) -> list[dict[str, Any]]:
    failed = {"failure": "the training loss became nan at step 3"}
    return [
        {**one, **failed} if run.rate > 2e-3 else one for run, one in zip(runs, quick(*runs), strict=True)
    ]


def is_not_a_number(*runs: Run) -> list[dict[str, Any]]:
    return [{"validation": float("nan")} for run in runs]


def must_not_be_called(*runs: Run) -> list[dict[str, Any]]:
    raise AssertionError("a run was trained")


def slow_and_logged(*runs: Run) -> list[dict[str, Any]]:
    """A result after a while, its beginnings and ends in a folder; the first worker to come dies once."""
    folder = Path(os.environ["CATVAE_TEST_FOLDER"])
    for run in runs:
        stem = run.name.replace("/", "_")
        (folder / f"begun_{stem}_{os.getpid()}").touch()
        time.sleep(0.3)
        (folder / f"ended_{stem}_{os.getpid()}").touch()
    return quick(*runs)
