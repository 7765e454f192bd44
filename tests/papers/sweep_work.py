"""Work for the sweep's tests that takes no training: importable, so that other processes find it."""

import os
import time
from pathlib import Path
from typing import Any

from catvae_lib.papers.cells import Run


def quick(*runs: Run) -> list[dict[str, Any]]:
    """A result in no time: the larger rate is better."""
    return [{"validation": run.rate, "seed": run.seed, "rate": run.rate} for run in runs]


def fails_on_the_second_seed(*runs: Run) -> list[dict[str, Any]]:
    if any(run.seed == 1 for run in runs):
        raise FloatingPointError("the training loss became nan at step 3")
    return quick(*runs)


def slow_and_logged(*runs: Run) -> list[dict[str, Any]]:
    """A result after a while, its beginnings and ends in a folder; the first worker to come dies once."""
    folder = Path(os.environ["CATVAE_TEST_FOLDER"])
    for run in runs:
        stem = run.name.replace("/", "_")
        (folder / f"begun_{stem}_{os.getpid()}").touch()
        time.sleep(0.3)
        (folder / f"ended_{stem}_{os.getpid()}").touch()
    return quick(*runs)
