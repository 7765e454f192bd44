"""Grade a folder of submissions of one assignment: marks.csv, and a feedback notebook for each student.

    python tools/grade.py 01_gumbel_sampling SUBMISSIONS GRADED

SUBMISSIONS holds one file or folder a student, named after the student, as learning platforms hand them out.
Each submission is graded by nbgrader in a process, a home folder and a kernel of its own, with limits on
time, memory and output; what goes wrong with one is a line in marks.csv and stops no other. The checking
cells and all metadata are the master's, whatever the student made of them; the checks ask other questions
than the student's did, and a task has its points only where a check said [ok].
"""

import argparse
import csv
import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from tqdm.auto import tqdm

from apart import apart
from assignments import COURSE, demand, nbgrader
from book import dump, write

SHOWN = 5000  # characters of one output that the feedback shows
LARGEST = 20 << 20  # bytes of a submission that is looked at
# Words of a student's lines that a task does not need and that can fool a check: a person looks at them.
ODD = re.compile(
    r"get_ipython|sys\.modules|meta_path|builtins|importlib|ctypes|settrace|subprocess|\bgc\b|\bIn\["
    r"|catvae_lib\.classroom|torch\.(?:allclose|equal|isclose) *="
)


@dataclass
class Mark:
    """What a student gets: points by task, none where nothing could be graded, and what was noticed."""

    student: str
    points: dict[str, float] = field(default_factory=dict)
    note: str = ""


class Unreadable(Exception):
    """A submission that is no notebook of this assignment."""


def submissions(folder: Path) -> dict[str, list[Path]]:
    """Every student's files: those of a folder or with a name before the dot. Links are no files."""
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        whole = entry.is_dir() and not entry.is_symlink()
        files = found.setdefault(entry.name if whole else entry.stem, [])
        for path in sorted(entry.rglob("*")) if whole else [entry]:
            if path.is_file() and not path.is_symlink() and ".ipynb_checkpoints" not in path.parts:
                files.append(path)
    return found


def notebook_of(files: list[Path], release: NotebookNode, name: str) -> tuple[NotebookNode, str]:
    """The submitted notebook of an assignment, known by its cells, and a note where there are several."""
    found, reasons = [], []
    for path in sorted(files, key=lambda path: path.stem != name):
        if path.stat().st_size > LARGEST:
            reasons.append(f"{path.name} is larger than {LARGEST >> 20} MB")
            continue
        try:
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
        except Exception as error:
            reasons.append(f"{path.name} is not a notebook ({type(error).__name__})")
            continue
        if marks_of(restored(notebook, release)):
            found.append((path.name, notebook))
        else:
            reasons.append(f"{path.name} is not this assignment")
    if not found:
        raise Unreadable("; ".join(reasons) or "nothing was handed in")
    several = f"{len(found)} notebooks, {found[0][0]} was graded" if len(found) > 1 else ""
    return found[0][1], several


def restored(notebook: NotebookNode, release: NotebookNode) -> NotebookNode:
    """Give back to a submission the metadata that was handed out; of a cell's copies the last one counts."""
    marks = {_id(cell): cell.metadata for cell in release.cells if _id(cell)}
    for cell in reversed(notebook.cells):
        cell.metadata = nbformat.from_dict(marks.pop(_id(cell), {}))
    notebook.metadata = nbformat.from_dict(release.metadata)
    return notebook


def _id(cell: NotebookNode) -> str:
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def marks_of(notebook: NotebookNode) -> dict[str, float]:
    """The points of every checking cell, by its task."""
    marks = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return {mark["grade_id"].removeprefix("check_"): mark["points"] for mark in marks if mark.get("grade")}


def odd_of(notebook: NotebookNode, release: NotebookNode) -> list[str]:
    """The words of a student's own lines that a person should look at."""
    given = {line for cell in release.cells for line in cell.source.splitlines()}
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return sorted(
        {
            word
            for text in code
            for line in text.splitlines()
            if line not in given
            for word in ODD.findall(line)
        }
    )


def grade(name: str, student: str, notebook: NotebookNode, template: Path, out: Path) -> Mark:
    """Grade one student's notebook; whatever is wrong with it ends in the note."""
    mark = Mark(student)
    release = nbformat.read(template / "release" / name / f"{name}.ipynb", as_version=4)
    lacking = sorted(set(marks_of(release)) - set(marks_of(notebook)))
    odd = odd_of(notebook, release)
    notes = [f"without the checking cells of {', '.join(lacking)}"] if lacking else []
    notes += [f"look at: {', '.join(odd)}"] if odd else []
    try:
        course = Path(shutil.copytree(template, Path(os.environ["HOME"]) / "course"))
        write(course / "submitted" / "student" / name / f"{name}.ipynb", dump(notebook))
        mark.points, silent = _autograded(course, name)
        notes += [f"no [ok] and no error at {', '.join(silent)}: look at the notebook"] if silent else []
        for kind, end in (("autograded", "ipynb"), ("feedback", "html")):
            page = (course / kind / "student" / name / f"{name}.{end}").read_bytes()
            write(out / kind / student / f"{name}.{end}", page)
    except Exception as error:
        notes.append(f"could not be graded: {(str(error).strip() or repr(error)).splitlines()[-1][:200]}")
    mark.note = "; ".join(notes)
    return mark


def _autograded(course: Path, name: str) -> tuple[dict[str, float], list[str]]:
    """Let nbgrader run the notebook and write the feedback; return the points, and tasks that were silent."""
    api = nbgrader(course)
    demand(api.autograde(name, "student"))
    path = course / "autograded" / "student" / name / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    verdicts = {
        _id(cell).removeprefix("check_"): verdict_of(cell) for cell in notebook.cells if _checks(cell)
    }
    full = points_of(name)
    points = {task: full[task] * (said is True) for task, said in verdicts.items()}
    path.chmod(0o644)
    path.write_bytes(dump(_shown(notebook)))
    with api.gradebook as gradebook:
        for one in gradebook.find_submission_notebook(name, name, "student").grades:
            one.auto_score, one.manual_score = points.get(one.name.removeprefix("check_"), 0), None
        gradebook.db.commit()
    demand(api.generate_feedback(name, "student"))
    return points, [task for task, said in verdicts.items() if said is None]


def _checks(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def verdict_of(cell: NotebookNode) -> bool | None:
    """Whether a checking cell found the answer right; None where it says neither: it was tampered with."""
    kinds = {output.output_type for output in cell.outputs}
    said = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    if "error" in kinds:
        return False
    right = f"[ok] {_id(cell).removeprefix('check_')}: " in said
    return True if right and "execute_result" not in kinds else None


def _shown(notebook: NotebookNode) -> NotebookNode:
    """What a student sees of the graded notebook: no hidden test, and not a megabyte of output."""
    for cell in notebook.cells:
        if _checks(cell):
            cell.source = cell.source.split("\n### BEGIN HIDDEN TESTS")[0]
        for output in cell.get("outputs", []):
            if "HIDDEN TESTS" in "".join(output.get("traceback", [])):  # it quotes the cell
                output.traceback = [f"{output.ename}: {output.evalue}"]
            if "HIDDEN TESTS" in json.dumps(output):  # a student printed it
                output.clear()
                output.update(output_type="stream", name="stdout", text="(left out)")
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
    demand(nbgrader(folder).generate_assignment(name))
    return folder


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
    if told.graded.resolve().is_relative_to(told.submissions.resolve()):
        parser.error(f"{told.graded} lies in the folder of submissions, where it would be one of them")
    try:
        told.graded.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=told.graded).close()
    except OSError as error:
        parser.error(f"nothing can be written into {told.graded}: {error.strerror}")
    marks = graded(told.assignment, told.submissions, told.graded, told.jobs)
    full = sum(points_of(told.assignment).values())
    for mark in marks:
        line = f"{mark.student:24} {sum(mark.points.values()):5g} of {full:g}  {mark.note}"
        print("".join(letter if letter.isprintable() else "?" for letter in line))
    print(f"{len(marks)} submissions in {told.graded / 'marks.csv'}")


def points_of(name: str) -> dict[str, float]:
    """The points of an assignment's tasks."""
    return marks_of(nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4))


def graded(name: str, folder: Path, out: Path, jobs: int) -> list[Mark]:
    """Grade every submission of a folder, several at once, and write the marks."""
    quiet = os.environ.get("TQDM_DISABLE") == "1"
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor(jobs) as pool:
        template = apart(course_of, name, Path(made))
        release = nbformat.read(template / "release" / name / f"{name}.ipynb", as_version=4)
        work = []  # everything is read before anything runs
        for student, files in submissions(folder).items():
            for kind, end in (("autograded", "ipynb"), ("feedback", "html")):  # of an earlier run
                (out / kind / student / f"{name}.{end}").unlink(missing_ok=True)
            try:
                notebook, note = notebook_of(files, release, name)
            except Unreadable as error:
                notebook, note = None, str(error)
            work.append((student, notebook, note))
        jobs_done = pool.map(lambda one: _mark(name, *one, template, out), work)
        marks = list(tqdm(jobs_done, total=len(work), unit="submission", disable=quiet))
    _note_alike(marks)
    _write_marks(name, marks, out)
    return marks


def _mark(
    name: str, student: str, notebook: NotebookNode | None, note: str, template: Path, out: Path
) -> Mark:
    if notebook is None:
        return Mark(student, note=note)
    try:
        mark = apart(grade, name, student, notebook, template, out)
    except Exception as error:
        mark = Mark(student, note=str(error) or repr(error))
    mark.note = "; ".join(filter(None, (note, mark.note)))
    return mark


def _note_alike(marks: list[Mark]) -> None:
    """Say where two students' names differ only in case or in how an accent is stored."""
    names = [unicodedata.normalize("NFC", mark.student).casefold() for mark in marks]
    for mark, name in zip(marks, names, strict=True):
        if Counter(names)[name] > 1:
            mark.note = "; ".join(filter(None, ("another name looks the same", mark.note)))


def _plain(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _write_marks(name: str, marks: list[Mark], out: Path) -> None:
    full = points_of(name)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["student", "points", "of", *full, "note"])
    for mark in marks:
        each = [f"{mark.points.get(task, 0):g}" for task in full]
        table.writerow(
            [
                _plain(mark.student),
                f"{sum(mark.points.values()):g}",
                f"{sum(full.values()):g}",
                *each,
                _plain(mark.note),
            ]
        )
    write(out / "marks.csv", text.getvalue().encode())


if __name__ == "__main__":
    main()
