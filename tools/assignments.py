"""Make the assignments: from one master each, nbgrader's source, the student's notebook and the solutions.

A master is a text in `notebooks/assignments/masters`. Its code cells may carry

    task="name"                          the learner's cell, with ### BEGIN SOLUTION and ### END SOLUTION
    check="name" points=3 minutes=10     the cell after it that checks the answer and gives the points

From it come, in the folders that nbgrader expects,

    source/NN_name/NN_name.ipynb         for the teacher: solutions, and hidden tests with other seeds
    release/NN_name/NN_name.ipynb        for the student: neither
    solutions/NN_name.ipynb              executed, to read or to hand out afterwards

and `docs/assignments.md`, the list of all tasks.
"""

import hashlib
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

from book import KERNEL, LANGUAGE, ROOT, dump, write

COURSE = ROOT / "notebooks" / "assignments"
MARKS = re.compile(r"^\s*### (BEGIN|END) SOLUTION\n", re.MULTILINE)
HIDDEN = """
### BEGIN HIDDEN TESTS
import sys
for name in [name for name in sys.modules if name.startswith("catvae_lib.classroom")]:
    del sys.modules[name]  # whatever became of it, here it is read anew
from catvae_lib.classroom.exercise import check as fresh
fresh.{name}({name}, seed={seed})
### END HIDDEN TESTS"""
HANDING_IN = (
    "Replace each `raise NotImplementedError()` by your lines and run the cell below it: it answers at once. "
    "Do not rename the notebook or its functions, and leave the checking cells as they are. Before you hand "
    "in, restart the kernel and run all cells."
)


def masters() -> list[Path]:
    """The texts we edit, in the order of the book."""
    return sorted((COURSE / "masters").glob("*.py"))


def source_of(master: Path) -> NotebookNode:
    """The notebook of a master as nbgrader wants it: points, locked checks, hidden tests, stable ids."""
    notebook = jupytext.read(master, fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(LANGUAGE))
    heading, number, total, minutes = None, 0, 0, 0
    for place, cell in enumerate(notebook.cells):
        marks, cell.metadata = cell.metadata, NotebookNode()
        if cell.cell_type == "markdown" and "\n## " in f"\n{cell.source}":
            if not cell.source.startswith("## "):
                raise ValueError(
                    f"{master.name}: a task's heading must begin its cell, got {cell.source[:60]!r}"
                )
            heading = cell
        if "task" in marks:
            _grade(cell, marks["task"], solution=True)
        elif "check" in marks:
            number, total, minutes = number + 1, total + marks["points"], minutes + marks["minutes"]
            _say(heading, number, marks)
            _grade(cell, f"check_{marks['check']}", points=marks["points"])
            cell.source += HIDDEN.format(name=marks["check"], seed=_seed(marks["check"]))
        cell.id = marks.get("task") or (f"check_{marks['check']}" if "check" in marks else f"cell_{place:02}")
    notebook.cells[
        0
    ].source += f"\n\n{number} tasks, {total} points, about {minutes} minutes.\n\n{HANDING_IN}"
    return notebook


def student_of(source: NotebookNode) -> NotebookNode:
    """What a student gets, by nbgrader's own steps."""
    from nbgrader import preprocessors

    config = Config()
    config.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
    notebook, resources = nbformat.from_dict(source), {}
    steps = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
    for step in (*steps, "ClearHiddenTests", "ComputeChecksums", "CheckCellMetadata"):
        notebook, resources = getattr(preprocessors, step)(config=config).preprocess(notebook, resources)
    return notebook


def solution_of(source: NotebookNode) -> NotebookNode:
    """The solved notebook without nbgrader's marks, not executed."""
    notebook = nbformat.from_dict(source)
    for cell in notebook.cells:
        cell.source = MARKS.sub("", f"{cell.source}\n").split("\n### BEGIN HIDDEN TESTS")[0].rstrip("\n")
        cell.metadata = NotebookNode()
    return notebook


def execute(notebook: NotebookNode) -> NotebookNode:
    """Run a notebook in a fresh kernel, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=120, record_timing=False, resources={"metadata": {"path": folder}}
        )
        client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    notebook.metadata["language_info"] = NotebookNode(LANGUAGE)
    return notebook


def built(master: Path) -> dict[Path, NotebookNode]:
    """Everything that is made from a master, by its path below the course; solutions are not executed."""
    name, source = master.stem, source_of(master)
    return {
        Path("source", name, f"{name}.ipynb"): source,
        Path("release", name, f"{name}.ipynb"): student_of(source),
        Path("solutions", f"{name}.ipynb"): solution_of(source),
    }


def nbgrader(course: Path) -> Any:
    """nbgrader's programs on a course folder."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # alembic
    config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    config.CourseDirectory.root = str(course)
    config.NbGrader.logfile = ""
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    return NbGraderAPI(config=config)


def demand(result: dict) -> None:
    """Raise what a program of nbgrader's says if it did not succeed."""
    if not result["success"]:
        said = f"{result.get('log') or ''}\n{result.get('error') or ''}".strip() or "nbgrader gave no reason"
        if "DeadKernelError" in said:
            said = "its kernel died"
        elif "Timeout waiting for" in said or "CellTimeoutError" in said:
            said = "its kernel did not answer any more"
        raise RuntimeError(said)


def listing() -> str:
    """The list of all tasks, in Markdown."""
    from catvae_lib.classroom.exercise import check

    rows, total = [], [0, 0, 0]
    for master in masters():
        for cell in jupytext.read(master, fmt="py:percent").cells:
            if "check" in (marks := cell.metadata):
                asked = getattr(check, marks["check"]).__doc__.splitlines()[0]
                place = f"{master.stem[:2]} | `{marks['check']}` | {asked}"
                rows.append(f"| {place} | {marks['points']} | {marks['minutes']} |")
                total = [total[0] + 1, total[1] + marks["points"], total[2] + marks["minutes"]]
    head = "# The tasks of the assignments\n\n{} tasks, {} points, {} minutes.\n\n".format(*total)
    head += "| chapter | task | what is asked | points | minutes |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def main(names: list[str]) -> None:
    """Make the assignments whose names begin with one of the words, or all of them."""
    for master in masters():
        if names and not master.stem.startswith(tuple(names)):
            continue
        for path, notebook in built(master).items():
            notebook = execute(notebook) if path.parts[0] == "solutions" else notebook
            write(COURSE / path, dump(notebook))
        print(f"{master.stem}: made")
    write(ROOT / "docs" / "assignments.md", listing().encode())


def _grade(cell: NotebookNode, name: str, *, solution: bool = False, points: int | None = None) -> None:
    marks = {"grade": points is not None, "grade_id": name, "locked": not solution, "schema_version": 3}
    marks |= {"solution": solution, "task": False} | ({} if points is None else {"points": points})
    cell.metadata["nbgrader"] = NotebookNode(marks)


def _say(heading: NotebookNode, number: int, marks: dict) -> None:
    title, _, rest = heading.source.partition("\n")
    points = f"{marks['points']} point{'s' * (marks['points'] != 1)}"
    heading.source = f"## {number}. {title[3:]} ({points}, {marks['minutes']} minutes)\n{rest}"


def _seed(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:6], 16)


if __name__ == "__main__":
    main(sys.argv[1:])
