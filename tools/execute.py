"""Execute the chapters whose text, library, versions or profile changed; store their outputs and pictures.

A chapter is written only when all of it ran: a failed run leaves the previous notebook and figures.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from book import CACHE, LANGUAGE, ROOT, Chapter, chapters, dump, from_source, pictures, text_of, write
from catvae_lib.classroom.claims import CLAIM_LINE
from figures import names

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TIMEOUT = 300  # seconds a cell
AT_ONCE = 2  # every kernel uses one thread
ALONE = ("06",)  # beside another kernel its training takes a quarter longer, and no longer fits its budget
LONG = ("B", "07", "08", "09")  # these begin first, so that no core waits at the end
SETTINGS = {"CATVAE_PROFILE": "cpu", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
BUSY = "another `make run` is at work in this folder: wait for it, or stop it"


class ChapterError(Exception):
    """A chapter that did not run to its end."""


@dataclass(frozen=True)
class Row:
    """What is remembered of one execution, and one row of the table at the end."""

    seconds: float
    claims: int
    pictures: int
    inputs: str
    outputs: str


def digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def inputs_digest(chapter: Chapter, root: Path) -> str:
    """What an execution depends on."""
    library = (path for path in (root / "catvae_lib").rglob("*") if path.is_file() and path.suffix != ".pyc")
    files = [chapter.source, root / "constraints.txt", *sorted(library)]
    if "results" in chapter.source.read_text(encoding="utf-8"):  # it shows stored results
        files += sorted((root / "figures" / "results").rglob("*.json"))
    named = (part for path in files for part in (str(path.relative_to(root)).encode(), path.read_bytes()))
    return digest(json.dumps(SETTINGS).encode(), *named)


def outputs_digest(chapter: Chapter, root: Path) -> str:
    """What an execution left, so that an edited or lost notebook or picture is made again."""
    files = [chapter.notebook, *sorted((root / "figures").glob(f"{chapter.number}_*.*"))]
    return digest(
        *(part for path in files if path.exists() for part in (path.name.encode(), path.read_bytes()))
    )


def remembered(chapter: Chapter, root: Path) -> Row | None:
    """The last execution of a chapter, if nothing has changed since.

    What cannot be read counts as changed: executing makes it again, or says what is wrong with it.
    """
    try:
        row = Row(**json.loads((root / CACHE / "executed" / f"{chapter.name}.json").read_text()))
        same = row.inputs == inputs_digest(chapter, root) and row.outputs == outputs_digest(chapter, root)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return row if same else None


def execute(chapter: Chapter, root: Path) -> Row:
    """Run one chapter in a fresh kernel, then store its notebook and its pictures."""
    staging = root / CACHE / "staging" / chapter.name
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    inputs, start = inputs_digest(chapter, root), time.perf_counter()
    notebook = run_cells(chapter, staging)
    drawn = {path.name for path in staging.iterdir() if path.suffix != ".svg"}  # not every picture has one
    shown = set(names(notebook))
    if odd := sorted(drawn ^ {f"{name}.{kind}" for name in shown for kind in ("png", "json")}):
        where = f"{chapter.name}: drawn but not shown, or shown but not drawn"
        raise ChapterError(f"{where}: {', '.join(odd)}; nothing was stored: run again\n")
    store(chapter, notebook, staging, root)
    printed = "\n".join(text_of(output) for cell in notebook.cells for output in cell.get("outputs", []))
    claims = len(CLAIM_LINE.findall(printed))
    seconds = round(time.perf_counter() - start, 1)
    row = Row(seconds, claims, len(pictures(notebook)), inputs, outputs_digest(chapter, root))
    write(root / CACHE / "executed" / f"{chapter.name}.json", json.dumps(asdict(row)).encode())
    return row


def run_cells(chapter: Chapter, staging: Path) -> NotebookNode:
    """The chapter's notebook, run from top to bottom; its figures go to the staging folder."""
    notebook = from_source(chapter.source)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,  # no time stamps
        coalesce_streams=True,
        store_widget_state=False,  # its ids are random
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(chapter.notebook.parent)}},
    )
    try:
        asyncio.run(client.async_execute(env={**os.environ, **SETTINGS, "CATVAE_FIGURES": str(staging)}))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise ChapterError(failure(chapter, notebook, error)) from error
    notebook.metadata.language_info = NotebookNode(LANGUAGE)
    nbformat.validate(notebook)
    return notebook


def store(chapter: Chapter, notebook: NotebookNode, staging: Path, root: Path) -> None:
    """Move a finished chapter into place, and remove the pictures that it no longer draws."""
    figures = root / "figures"
    figures.mkdir(exist_ok=True)
    drawn = sorted(staging.iterdir())
    for path in drawn:
        path.replace(figures / path.name)
    for path in figures.glob(f"{chapter.number}_*.*"):
        if path.name not in {one.name for one in drawn}:
            path.unlink()
    write(chapter.notebook, dump(notebook))
    staging.rmdir()


def failure(chapter: Chapter, notebook: NotebookNode, error: Exception) -> str:
    """Which cell failed, and how, without the colours of a terminal."""
    finished = [bool(cell.get("outputs") or cell.get("execution_count")) for cell in notebook.cells]
    number = len(finished) - finished[::-1].index(True) if any(finished) else 1
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    where = f"{chapter.name} failed in cell {number} of {len(finished)}, text cells counted"
    return f"{where}; its notebook and figures are left as they were.\n{text}\n"


def unreadable(chapter: Chapter, error: OSError | UnicodeDecodeError) -> str:
    """Which file stood in the way, and what to do about it."""
    if isinstance(error, UnicodeDecodeError):
        return f"{chapter.name}: cannot read {chapter.source} ({error}): save it as UTF-8, then run again\n"
    path = error.filename2 or error.filename or "its files"
    reason = error.strerror or error
    return f"{chapter.name}: cannot read or write {path} ({reason}): make it writable, then run again\n"


def execute_all(due: list[Chapter], root: Path) -> tuple[dict[str, Row], list[str]]:
    """Execute a few at a time; return what was done, and what went wrong."""
    done: dict[str, Row] = {}
    failures: list[str] = []

    def one(chapter: Chapter) -> None:
        print(f"{chapter.name} ...", flush=True)
        try:
            done[chapter.name] = execute(chapter, root)
        except ChapterError as error:
            failures.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            failures.append(unreadable(chapter, error))

    try:
        for chapter in (chapter for chapter in due if chapter.number in ALONE):
            one(chapter)
        others = sorted(
            (each for each in due if each.number not in ALONE), key=lambda each: each.number not in LONG
        )
        list(ThreadPoolExecutor(AT_ONCE).map(one, others))
    except KeyboardInterrupt:
        print("Interrupted: unfinished chapters are left as they were.", file=sys.stderr, flush=True)
        os._exit(130)  # at once, without waiting for the threads; a kernel ends when it misses its parent
    return done, failures


def table(rows: dict[str, tuple[Row | None, str]]) -> str:
    """Chapter, seconds, claims checked, pictures written, and their totals."""
    width = max([len("chapter"), *map(len, rows)])
    lines = [f"{'chapter':<{width}}  seconds  claims  pictures"]
    for name, (row, state) in rows.items():
        figures = f"{row.seconds:7.1f}  {row.claims:6d}  {row.pictures:8d}" if row else " " * 25
        lines.append(f"{name:<{width}}  {figures}  {state}".rstrip())
    ran = [row for row, _ in rows.values() if row]
    seconds, claims, drawn = (
        sum(getattr(row, key) for row in ran) for key in ("seconds", "claims", "pictures")
    )
    return "\n".join([*lines, f"{'total':<{width}}  {seconds:7.1f}  {claims:6d}  {drawn:8d}"])


@contextmanager
def alone(root: Path) -> Iterator[bool]:
    """Whether no other run is at work here, and keep others out meanwhile: they would share the staging."""
    path = root / CACHE / "lock"
    with ExitStack() as stack:
        free = True
        try:
            path.parent.mkdir(exist_ok=True)
            file = stack.enter_context(path.open("a"))
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:
            pass  # a folder that cannot be written: every chapter says so
        yield free


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="execute every chapter, changed or not")
    parser.add_argument("--only", metavar="NN", help="look at one chapter only")
    options = parser.parse_args(arguments)
    book = [chapter for chapter in chapters(root) if chapter.source.exists()]
    book = [chapter for chapter in book if options.only in (None, chapter.number)]
    if not book:
        print(f"No chapter {options.only or ''} in {root / 'notebooks' / 'source'}.", file=sys.stderr)
        return 1
    with alone(root) as free:
        if free:
            return run(book, options.all, root)
    print(BUSY, file=sys.stderr)
    return 1


def run(book: list[Chapter], every: bool, root: Path) -> int:
    """Execute what is due, or every chapter, and print the table."""
    unchanged = {} if every else {one.name: row for one in book if (row := remembered(one, root))}
    due = [chapter for chapter in book if chapter.name not in unchanged]
    done, failures = execute_all(due, root)
    rows: dict[str, tuple[Row | None, str]] = {}
    for name in (chapter.name for chapter in book):
        state = "unchanged" if name in unchanged else "" if name in done else "FAILED"
        rows[name] = (unchanged.get(name) or done.get(name), state)
    print(table(rows))
    for text in failures:
        print(f"\n{text}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
