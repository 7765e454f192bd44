"""What is stopped in the middle leaves what was there before, and the next run goes on.

Checkpoints have tests of their own in test_resume.py. Here are a figure, the embedded data and the execution
of a chapter, each in a process that is stopped by Ctrl-C, by SIGTERM (a scheduler, a closing session) or by
SIGKILL at moments spread over its work.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from book import ROOT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MOMENTS = 4  # a signal and a stage

# Each writes its file over and over, with one of two contents, and prints a line after each.
FIGURE = """
import sys
from catvae_lib.classroom import plot
for turn in range(2000):
    fig, ax = plot.plt.subplots(figsize=(2, 2))
    ax.plot([0, turn % 2])
    plot.show(fig, "01_line", "A line through two points of a plane.", {"y": [0, turn % 2]})
    print(turn, flush=True)
"""
EMBEDDED = """
import sys
from pathlib import Path
import build_embedded_data as tool
import numpy as np
bits = np.random.default_rng(0).integers(0, 256, (70_000, 98), dtype=np.uint8)
for turn in range(2000):
    arrays = {"bits": bits + np.uint8(turn % 2), "labels": np.full(70_000, turn % 2, dtype=np.uint8)}
    tool.write_whole(Path(sys.argv[1]) / "digits.npz", tool.pack(arrays))
    print(turn, flush=True)
"""
CARELESS = """
import sys
from pathlib import Path
print(0, flush=True)
while True:
    Path(sys.argv[1]).write_bytes(b"x" * 100_000_000)
"""
CHAPTER = "# %%\nfrom matplotlib.figure import Figure\n\nfrom catvae_lib.classroom.plot import show\n\n# %%\n"
CHAPTER += 'show(Figure(), "01_first", "An empty picture, for a test.", {"x": [1]})\n'


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    # Where the tests themselves run in the background, Ctrl-C would be ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + command[1]
    command = [command[0], code, *command[2:]]
    environment = {**os.environ, "PYTHONPATH": paths, "CATVAE_FIGURES": str(folder)}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def stop(process: subprocess.Popen[str], how: signal.Signals, after: float, endless: bool = True) -> None:
    """Send the signal so many seconds after the first line; the process must end."""
    assert process.stdout is not None and process.stdout.readline()
    time.sleep(after)
    process.send_signal(how)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0 or not endless


def parts(folder: Path) -> set[str]:
    """The whole kinds of files; a killed write may leave a hidden part beside them."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("how", SIGNALS, ids=str)
def test_a_figure_stopped_at_any_moment_is_one_of_two_whole_ones(tmp_path: Path, how: signal.Signals) -> None:
    whole: dict[str, set[bytes]] = {}
    for turn in range(2):  # what the two contents are
        code = FIGURE.replace("range(2000)", f"({turn},)")
        assert finish(start(["-c", code], tmp_path)) == 0
        for path in tmp_path.iterdir():
            whole.setdefault(path.name, set()).add(path.read_bytes())
    assert {name: len(contents) for name, contents in whole.items()} == dict.fromkeys(whole, 2)
    for moment in range(MOMENTS):
        stop(start(["-c", FIGURE], tmp_path), how, 0.05 + 0.037 * moment)
        assert parts(tmp_path) == set(whole)
        for name, contents in whole.items():
            assert (tmp_path / name).read_bytes() in contents


@pytest.mark.parametrize("how", SIGNALS, ids=str)
def test_the_embedded_data_stopped_at_any_moment_can_be_read(tmp_path: Path, how: signal.Signals) -> None:
    for moment in range(MOMENTS):
        stop(start(["-c", EMBEDDED, str(tmp_path)], tmp_path), how, 0.05 + 0.11 * moment)
        assert parts(tmp_path) == {"digits.npz"}
        with np.load(tmp_path / "digits.npz", allow_pickle=False) as stored:
            bits, labels = stored["bits"], stored["labels"]
        expected = np.random.default_rng(0).integers(0, 256, (70_000, 98), dtype=np.uint8) + labels[0]
        assert (bits == expected).all() and (labels == labels[0]).all()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one chapter, executed."""
    root = tmp_path_factory.mktemp("book")
    (root / "notebooks" / "source").mkdir(parents=True)
    (root / "notebooks" / "source" / "01_first.py").write_text(CHAPTER)
    (root / "catvae_lib").mkdir()
    (root / "constraints.txt").touch()
    assert finish(run(root)) == 0
    return root


def run(root: Path) -> subprocess.Popen[str]:
    """`make run` in that book."""
    script = "import sys; from pathlib import Path; import execute; print(1, flush=True)\n"
    script += "sys.exit(execute.main(sys.argv[2:], Path(sys.argv[1])))"
    return start(["-c", script, str(root), "--all"], root / "figures")


def stored(root: Path) -> dict[str, bytes]:
    files = [*root.glob("notebooks/*.ipynb"), *root.glob("figures/*")]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("how", SIGNALS, ids=str)
def test_an_execution_stopped_at_any_moment_leaves_the_book_whole(
    book: Path, tmp_path: Path, how: signal.Signals
) -> None:
    root = Path(shutil.copytree(book, tmp_path / "book"))
    before = stored(root)
    assert set(before) == {"01_first.ipynb", "01_first.json", "01_first.png", "01_first.svg"}
    for moment in range(MOMENTS):
        stop(run(root), how, 0.3 + 0.7 * moment, endless=False)  # on a fast machine the last has ended
        assert stored(root) == before
    assert finish(run(root)) == 0
    assert stored(root) == before


def test_a_writer_that_takes_no_care_is_caught(tmp_path: Path) -> None:
    sizes = set()
    for moment in range(5):
        stop(start(["-c", CARELESS, str(tmp_path / "file")], tmp_path), signal.SIGKILL, 0.3 + 0.07 * moment)
        sizes.add((tmp_path / "file").stat().st_size)
    assert min(sizes) < 100_000_000
