"""The same book on another machine: every notebook's stored outputs, compared strictly in many settings.

    python tests/matrix.py                       every row, one after another (an hour on two cores)
    python tests/matrix.py --only read-only      one row
    python tests/matrix.py --python DIR/python   one other row: this Python, with what it has installed
    python tests/matrix.py --chapters 01 04      fewer chapters
    python tests/matrix.py --suite               the unit tests too

Each row works on a copy of the committed book. Rows without a network, or with a read-only copy, need Linux
and the right to make namespaces: where that fails, the row fails and says so.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Loopback stays: a notebook's kernel is spoken to over it.
ALONE = (
    'ip link set lo up && mount --bind "$1" "$1" && { [ "$2" = no ] || mount -o remount,bind,ro "$1"; } && '
)
ALONE += 'cd "$1" && shift 2 && exec "$@"'
# The cpu profile sets one thread, whatever the environment says: so the copy is changed.
TWO_THREADS = {
    "profiles.py": ("set_num_threads(profile.threads)", "set_num_threads(2)"),
    "_config.py": ("threads: int = 1", "threads: int = 2"),
}


@dataclass(frozen=True)
class Row:
    """One setting: what the environment says, and what else is special about the copy."""

    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "book"
    isolated: bool = False  # without a network
    read_only: bool = False
    two_threads: bool = False
    python: str = sys.executable


def instructions(aten: str, onednn: str, mkl: str) -> dict[str, str]:
    return {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}


# No UTF-8 mode, so that a file opened without its encoding is read as ASCII.
PLAIN_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Pacific/Chatham"}
ROWS = {
    "as-it-is": Row(),
    "two-threads": Row(two_threads=True),
    "sse": Row(instructions("default", "SSE41", "SSE4_2")),
    "avx2": Row(instructions("avx2", "AVX2", "AVX2")),
    "avx512": Row(instructions("avx512", "AVX512_CORE", "AVX512")),
    "folder": Row(folder="ein Ördner mit Leerzeichen, 例"),
    "read-only": Row(isolated=True, read_only=True),
    "no-network": Row(isolated=True),
    "locale": Row(PLAIN_LOCALE),
}
# Everything that does not exclude something else, for a quick test with a short chapter.
TOGETHER = Row(PLAIN_LOCALE | ROWS["avx2"].environment, ROWS["folder"].folder, True, True, True)


def copy(row: Row, parent: Path) -> Path:
    """The committed book in a folder of its own."""
    book = parent / row.folder
    subprocess.run(["git", "clone", "-q", str(ROOT), str(book)], check=True)
    if row.two_threads:
        for name, (before, after) in TWO_THREADS.items():
            path = book / "catvae_lib" / name
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{name} no longer says {before}: this row tests nothing"
            path.write_text(text.replace(before, after), encoding="utf-8")
    return book


def run(row: Row, book: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the row's Python in the copy."""
    whole = [row.python, *command]
    if row.isolated:
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        place = [str(book), "yes" if row.read_only else "no"]
        whole = ["unshare", *user, "--net", "--mount", "--", "sh", "-c", ALONE, "sh", *place, *whole]
    own = {"CATVAE_PROFILE": "cpu", "OMP_NUM_THREADS": "2" if row.two_threads else "1", "TQDM_DISABLE": "1"}
    own |= {"PYTHONPATH": str(book), "CATVAE_FIGURES": str(fresh(book)), "MPLBACKEND": "agg"}
    if row.read_only:  # nothing can be written at home either: Jupyter and matplotlib get folders elsewhere
        theirs = {
            "JUPYTER_RUNTIME_DIR": str(book.parent / "jupyter"),
            "MPLCONFIGDIR": str(book.parent / "mpl"),
        }
        own |= theirs | {"HOME": str(book)}
    environment = {**os.environ, **own, **row.environment}
    return subprocess.run(whole, env=environment, cwd=book, capture_output=True, text=True, errors="replace")


def fresh(book: Path) -> Path:
    """Where the copy's pictures go: beside it, since it may be read-only."""
    return book.parent / "figures"


def compare(row: Row, book: Path, chapters: list[str]) -> subprocess.CompletedProcess[str]:
    """Nbval on the chapters."""
    names = sorted(path for number in chapters for path in (book / "notebooks").glob(f"{number}_*.ipynb"))
    options = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=900"]
    return run(row, book, "-m", "pytest", *options, *(str(path.relative_to(book)) for path in names))


def report(name: str, row: Row, chapters: list[str], suite: bool) -> bool:
    """Print a row of the table; return whether everything held."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="matrix-") as parent:
        book = copy(row, Path(parent))
        runs = {"notebooks": compare(row, book, chapters)}
        if chapters == ["*"]:
            runs["pictures"] = run(row, book, "tools/check.py", "--fresh", str(fresh(book)))
        if suite:
            options = ["-q", "-p", "no:cacheprovider", "--doctest-modules"]
            runs["suite"] = run(row, book, "-m", "pytest", *options)
    seconds = time.perf_counter() - start
    for part, done in runs.items():
        last = (done.stdout.strip() or done.stderr.strip() or "nothing printed").splitlines()[-1]
        print(f"{name:<12} {part:<10} {'holds' if done.returncode == 0 else 'FAILS':<6} {last}", flush=True)
        if done.returncode:
            Path(f"{tempfile.gettempdir()}/matrix-{name}-{part}.log").write_text(done.stdout + done.stderr)
    print(f"{name:<12} {'seconds':<10} {seconds:.0f}", flush=True)
    return not any(done.returncode for done in runs.values())


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare every notebook's outputs in many settings.")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--python", help="in place of the rows, one with this Python")
    parser.add_argument("--chapters", nargs="+", default=["*"])
    parser.add_argument("--suite", action="store_true")
    arguments = parser.parse_args()
    rows = {name: ROWS[name] for name in arguments.only}
    if arguments.python:
        rows = {"python": Row(python=arguments.python)}
    held = [report(name, row, arguments.chapters, arguments.suite) for name, row in rows.items()]
    print(f"{sum(held)} of {len(held)} rows hold")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
