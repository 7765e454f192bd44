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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from book import CACHE, LANGUAGE, ROOT, Chapter, chapters, dump, from_source, pictures, text_of, write
from catvae_lib.classroom.claims import CLAIM_LINE

TIMEOUT = 300  # seconds a cell
AT_ONCE = 2  # every kernel uses one thread
LONGEST_FIRST = ("06",)  # so that the longest chapter does not start last
SETTINGS = {"CATVAE_PROFILE": "cpu", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


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
    named = (part for path in files for part in (str(path.relative_to(root)).encode(), path.read_bytes()))
    return digest(json.dumps(SETTINGS).encode(), *named)


def outputs_digest(chapter: Chapter, root: Path) -> str:
    """What an execution left, so that an edited or lost notebook or picture is made again."""
    files = [chapter.notebook, *sorted((root / "figures").glob(f"{chapter.number}_*.*"))]
    return digest(
        *(part for path in files if path.exists() for part in (path.name.encode(), path.read_bytes()))
    )


def remembered(chapter: Chapter, root: Path) -> Row | None:
    """The last execution of a chapter, if nothing has changed since."""
    path = root / CACHE / "executed" / f"{chapter.name}.json"
    if not path.exists():
        return None
    row = Row(**json.loads(path.read_text()))
    same = row.inputs == inputs_digest(chapter, root) and row.outputs == outputs_digest(chapter, root)
    return row if same else None


def execute(chapter: Chapter, root: Path) -> Row:
    """Run one chapter in a fresh kernel, then store its notebook and its pictures."""
    staging = root / CACHE / "staging" / chapter.name
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    inputs, start = inputs_digest(chapter, root), time.perf_counter()
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
    store(chapter, notebook, staging, root)
    printed = "\n".join(text_of(output) for cell in notebook.cells for output in cell.get("outputs", []))
    claims = len(CLAIM_LINE.findall(printed))
    seconds = round(time.perf_counter() - start, 1)
    row = Row(seconds, claims, len(pictures(notebook)), inputs, outputs_digest(chapter, root))
    write(root / CACHE / "executed" / f"{chapter.name}.json", json.dumps(asdict(row)).encode())
    return row


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

    try:
        list(ThreadPoolExecutor(AT_ONCE).map(one, due))
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
    unchanged = {} if options.all else {one.name: row for one in book if (row := remembered(one, root))}
    due = [chapter for chapter in book if chapter.name not in unchanged]
    due.sort(key=lambda chapter: (chapter.number not in LONGEST_FIRST, chapter.number))
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
