"""How long a moved slider waits for its picture, and what drawing the whole figure anew would take instead.

python tests/benchmarks/interactive.py
"""

import statistics
import time
from collections.abc import Callable

import torch

from catvae_lib.classroom import demonstrations as demo
from catvae_lib.classroom.interactive import Live

MOVES = 40


def milliseconds(run: Callable[[], object]) -> float:
    """What one call takes on the clock."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def redraw(live: Live) -> None:
    """Draw axes, labels and marks, as a figure without a memory would."""
    live.picture.canvas.draw()
    live.picture.png()


def compare(name: str, control: demo.Control) -> None:
    """Pull one slider from end to end, with a whole redraw after each step."""
    live, updates, redraws = Live(name), [], []
    for i in range(MOVES):
        value = control.value(control.low + (control.high - control.low) * i / MOVES)
        moved = {control.key: round(value) if control.key == "samples" else value}
        updates.append(milliseconds(lambda moved=moved: live.show(moved)))
        redraws.append(milliseconds(lambda: redraw(live)))
    update, whole = statistics.median(updates), statistics.median(redraws)
    numbers = f"{update:8.1f} {max(updates):8.1f} {whole:8.1f} {update / whole:6.2f}"
    print(f"{name:12s} {control.key:12s} {numbers}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'milliseconds':12s} {'slider':12s} {'median':>8s} {'slowest':>8s} {'redraw':>8s} {'ratio':>6s}")
    for name, controls in demo.CONTROLS.items():
        for control in controls:
            compare(name, control)
