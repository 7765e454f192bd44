"""Memory stays flat: tests/benchmarks/memory.py on fewer images, in a process of its own."""

import subprocess
import sys

from book import ROOT


def test_memory_is_flat_over_a_hundred_epochs_and_in_the_samples_of_a_bound() -> None:
    script = ROOT / "tests" / "benchmarks" / "memory.py"
    run = subprocess.run([sys.executable, str(script), "300", "100000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("holds") == 2
