"""Grade a folder of submissions of one assignment: marks.csv, and a feedback notebook for each student.

    python tools/grade.py 01_gumbel_sampling SUBMISSIONS GRADED

SUBMISSIONS holds one file or folder a student, named after the student, as learning platforms hand them out.
Each submission is graded by nbgrader in a course folder and a kernel of its own, with limits on time, memory
and output; what goes wrong with one is a line in marks.csv and stops no other. The checking cells are the
master's, whatever the student made of them, and they ask other questions than the student's did.
"""

import argparse
import csv
import io
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from tqdm.auto import tqdm

from assignments import COURSE
from book import dump, write

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY = 4 << 30  # bytes of data that a submission's kernel may hold; torch itself takes one or two
FILE = 100 << 20  # bytes of one file that it may write
SHOWN = 5000  # characters of one output that the feedback shows
LARGEST = 20 << 20  # bytes of a submission that is looked at


@dataclass
class Mark:
    """What a student gets: points by task, None where nothing could be graded, and what was noticed."""

    student: str
    points: dict[str, float] = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0


class Unreadable(Exception):
    """A submission that is no notebook of this assignment."""


def submissions(folder: Path) -> dict[str, list[Path]]:
    """Every student's files: those of a folder of that name, or one file of that name."""
    found = {}
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith("."):
            files = sorted(path for path in entry.rglob("*") if path.is_file()) if entry.is_dir() else [entry]
            found[entry.name if entry.is_dir() else entry.stem] = [
                path for path in files if ".ipynb_checkpoints" not in path.parts
            ]
    return found


def notebook_of(files: list[Path], source: NotebookNode) -> NotebookNode:
    """The submitted notebook of an assignment, whatever its file is called: it is known by its cells."""
    wanted, reasons = set(marks_of(source)), []
    for path in files:
        if path.stat().st_size > LARGEST:
            reasons.append(f"{path.name} is larger than {LARGEST >> 20} MB")
            continue
        try:
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
        except Exception as error:
            reasons.append(f"{path.name} is not a notebook ({type(error).__name__})")
            continue
        if wanted & set(marks_of(notebook)):
            return notebook
        reasons.append(f"{path.name} is not this assignment")
    raise Unreadable("; ".join(reasons) or "nothing was handed in")


def marks_of(notebook: NotebookNode) -> dict[str, float]:
    """The points of every checking cell, by its task."""
    marks = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return {mark["grade_id"].removeprefix("check_"): mark["points"] for mark in marks if mark.get("grade")}


def grade(name: str, student: str, files: list[Path], template: Path, out: Path) -> Mark:
    """Grade one student's submission; whatever is wrong with it ends in the note."""
    since, mark = time.perf_counter(), Mark(student)
    source = nbformat.read(template / "source" / name / f"{name}.ipynb", as_version=4)
    try:
        notebook = notebook_of(files, source)
        lacking = sorted(set(marks_of(source)) - set(marks_of(notebook)))
        mark.note = f"without the checking cells of {', '.join(lacking)}" if lacking else ""
        with tempfile.TemporaryDirectory() as folder:
            course = Path(shutil.copytree(template, Path(folder) / "course"))
            write(course / "submitted" / student / name / f"{name}.ipynb", dump(notebook))
            mark.points = _autograded(course, name, student)
            for kind in ("autograded", "feedback"):
                shutil.copytree(course / kind / student / name, out / kind / student, dirs_exist_ok=True)
    except Unreadable as error:
        mark.note = str(error)
    except Exception as error:
        mark.note = f"could not be graded: {str(error).strip().splitlines()[-1][:200]}"
    mark.seconds = round(time.perf_counter() - since, 1)
    return mark


def _autograded(course: Path, name: str, student: str) -> dict[str, float]:
    """Let nbgrader run the notebook and write the feedback; return the points by task."""
    api = _nbgrader(course)
    _demand(api.autograde(name, student))
    path = course / "autograded" / student / name / f"{name}.ipynb"
    path.chmod(0o644)
    path.write_bytes(dump(_shown(nbformat.read(path, as_version=4))))
    _demand(api.generate_feedback(name, student))
    with api.gradebook as gradebook:
        grades = gradebook.find_submission_notebook(name, name, student).grades
        return {grade.name.removeprefix("check_"): float(grade.auto_score or 0) for grade in grades}


def _shown(notebook: NotebookNode) -> NotebookNode:
    """What a student sees of the graded notebook: no hidden test, and not a megabyte of output."""
    for cell in notebook.cells:
        cell.source = cell.source.split("\n### BEGIN HIDDEN TESTS")[0]
        for output in cell.get("outputs", []):
            if "HIDDEN TESTS" in "".join(output.get("traceback", [])):  # it quotes the cell
                output.traceback = [f"{output.ename}: {output.evalue}"]
            for part in ("text", "evalue"):
                if len(output.get(part, "")) > SHOWN:
                    output[part] = (
                        f"{output[part][:SHOWN]}\n... and {len(output[part]) - SHOWN} more characters"
                    )
            output.pop("data", None) if len(json.dumps(output.get("data", {}))) > 100 * SHOWN else None
            if "data" not in output and output.output_type in ("display_data", "execute_result"):
                output["data"] = NotebookNode({"text/plain": "(too large to be shown)"})
    return notebook


def course_of(name: str, folder: Path) -> Path:
    """Make nbgrader's course folder of one assignment, which every submission gets a copy of."""
    shutil.copytree(COURSE / "source" / name, folder / "source" / name)
    shutil.copy(COURSE / "nbgrader_config.py", folder)
    _demand(_nbgrader(folder).generate_assignment(name))
    return folder


def _nbgrader(course: Path) -> Any:
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # alembic
    config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    config.CourseDirectory.root = str(course)
    config.NbGrader.logfile = ""
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    return NbGraderAPI(config=config)


def _demand(result: dict) -> None:
    if not result["success"]:
        lines = (result.get("error") or result.get("log") or "nbgrader gave no reason").strip()
        raise RuntimeError(lines)


def _limit(home: str) -> None:
    """Limit what this process and its kernels may take; what they say beside the notebook is dropped."""
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", HOME=home, PYTHONWARNINGS="ignore")
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if resource is not None:
        for kind, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_FSIZE, FILE)):
            resource.setrlimit(kind, (most, most))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python tools/grade.py", description=__doc__)
    parser.add_argument("assignment", help="such as 01_gumbel_sampling")
    parser.add_argument("submissions", type=Path, help="a folder with one file or folder a student")
    parser.add_argument("graded", type=Path, help="where marks.csv and the feedback go")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="submissions at once")
    told = parser.parse_args(arguments)
    if not (COURSE / "source" / told.assignment).is_dir():
        known = ", ".join(sorted(path.name for path in (COURSE / "source").iterdir()))
        parser.error(f"there is no assignment {told.assignment!r}; there are {known}")
    if not told.submissions.is_dir():
        parser.error(f"there is no folder {told.submissions}")
    marks = graded(told.assignment, told.submissions, told.graded, told.jobs)
    full = sum(points_of(told.assignment).values())
    for mark in marks:
        print(f"{mark.student:24} {sum(mark.points.values()):5g} of {full:g}  {mark.note}")
    print(f"{len(marks)} submissions in {told.graded / 'marks.csv'}")


def points_of(name: str) -> dict[str, float]:
    """The points of an assignment's tasks."""
    return marks_of(nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4))


def graded(name: str, folder: Path, out: Path, jobs: int) -> list[Mark]:
    """Grade every submission of a folder, several at once, and write the marks."""
    handed_in = submissions(folder)
    spawn, quiet = multiprocessing.get_context("spawn"), os.environ.get("TQDM_DISABLE") == "1"
    with (
        tempfile.TemporaryDirectory() as made,
        tempfile.TemporaryDirectory() as home,
        ProcessPoolExecutor(jobs, spawn, initializer=_limit, initargs=(home,)) as pool,
    ):
        template = pool.submit(course_of, name, Path(made)).result()
        work = [pool.submit(grade, name, who, files, template, out) for who, files in handed_in.items()]
        marks = [job.result() for job in tqdm(work, unit="submission", disable=quiet)]
    _write_marks(name, marks, out)
    return marks


def _write_marks(name: str, marks: list[Mark], out: Path) -> None:
    full = points_of(name)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["student", "points", "of", *full, "note"])
    for mark in marks:
        each = [f"{mark.points.get(task, 0):g}" for task in full]
        table.writerow(
            [mark.student, f"{sum(mark.points.values()):g}", f"{sum(full.values()):g}", *each, mark.note]
        )
    write(out / "marks.csv", text.getvalue().encode())


if __name__ == "__main__":
    main()
