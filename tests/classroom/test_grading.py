"""A simulated class hands in assignment 01, and every mark is the expected one."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import assignments
import grade

NAME = "01_gumbel_sampling"
POINTS = grade.points_of(NAME)
FULL = sum(POINTS.values())


def notebook(kind: str) -> NotebookNode:
    return nbformat.read(assignments.COURSE / kind / NAME / f"{NAME}.ipynb", as_version=4)


def solved(without: tuple[str, ...] = (), **answers: str) -> NotebookNode:
    """The student's notebook with right answers, but for some that are left blank and some that are given."""
    taken = {cell.id: cell.source for cell in notebook("source").cells} | answers
    made = notebook("release")
    for cell in made.cells:
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.id not in without:
            cell.source = taken[cell.id]
    return made


def function(name: str, arguments: str, *lines: str) -> dict[str, str]:
    return {name: "\n    ".join([f"def {name}({arguments}):", *lines])}


def with_cell(made: NotebookNode, source: str, place: int = 2) -> NotebookNode:
    made.cells.insert(place, nbformat.v4.new_code_cell(source))
    return made


def checks(made: NotebookNode, change: Callable[[NotebookNode], None]) -> NotebookNode:
    for cell in made.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            change(cell)
    return made


def without_checks(made: NotebookNode, *names: str) -> NotebookNode:
    made.cells = [
        cell for cell in made.cells if cell.id.removeprefix("check_") not in names or cell.id in names
    ]
    return made


def of_kernel(made: NotebookNode, name: str) -> NotebookNode:
    made.metadata.kernelspec = {"name": name, "display_name": name, "language": "python"}
    return made


def passing(cell: NotebookNode) -> None:
    cell.source = "print('all right')"


def skipped(cell: NotebookNode) -> None:
    cell.metadata["tags"] = ["skip-execution", "raises-exception"]


def unmarked(cell: NotebookNode) -> None:
    cell.metadata["nbgrader"] = {"grade": False, "points": "many", "grade_id": cell.id, "solution": True}


def copied(made: NotebookNode, name: str) -> NotebookNode:
    """As Jupyter's copy and paste leave it: a cell twice, with the same marks."""
    place = next(place for place, cell in enumerate(made.cells) if cell.id == name)
    made.cells.insert(place, nbformat.from_dict({**made.cells[place], "id": "copy", "source": "1 / 0"}))
    return made


RIGHT = "return loc - scale * torch.log(-torch.log(u))"
UNIFORM, DENSITY, FIT = "gumbel_from_uniform", "gumbel_log_density", "fit_gumbel"
SIGN = function(UNIFORM, "u, loc, scale", "return loc + scale * torch.log(-torch.log(u))")
CDF = function(DENSITY, "x, loc, scale", "return -torch.exp(-(x - loc) / scale)")
CONSTANT = function(UNIFORM, "u, loc, scale", "return torch.tensor([0.1, 0.2, 0.3])")
MEAN = function(FIT, "x", "return x.mean(), x.std()")
LOOP = function(DENSITY, "x, loc, scale", "while True:", "    x = x + 1")
LOUD = function(UNIFORM, "u, loc, scale", "print('x' * 1_000_000)", RIGHT)
LINES = function(
    UNIFORM,
    "u, loc, scale",
    "for n in range(50_000): print(n)",
    "return loc - scale * torch.log(-torch.log(u))",
)
GREEDY = function(FIT, "x", "hoard = torch.zeros(2 * 10**10)", "return hoard.sum(), hoard.sum()")
EXITS = function(FIT, "x", "exit()")
RECURSIVE = function(FIT, "x", "return fit_gumbel(x)")
PATCHED = """
from catvae_lib.classroom import exercise, trial
trial.Trial.agree = lambda *arguments, **words: None
exercise.Verdict.__call__ = lambda *arguments, **words: None
"""

SILENT = """
silent = lambda lines: ["pass\\n"] if any("fresh" in line for line in lines) else lines
get_ipython().input_transformers_cleanup.append(silent)
"""
STARTUP = """
import pathlib
folder = pathlib.Path.home() / ".ipython/profile_default/startup"
(folder / "late.py").write_text("import os; os._exit(1)")
"""
KILLER = "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(5)"


def lost(*names: str) -> float:
    return FULL - sum(POINTS[name] for name in names)


def the_class() -> dict[str, tuple[NotebookNode | str, float, str]]:
    """Every student: what is handed in, the points it deserves, and a word of the note."""
    top = with_cell(solved(), "while True: pass")
    return {
        "blank": (notebook("release"), 0, ""),
        "perfect": (solved(), FULL, ""),
        "perfect-twice": (solved(), FULL, ""),
        "Zoë Müller": (solved(), FULL, ""),
        "wrong-sign": (solved(**SIGN), lost(UNIFORM, "gumbel_sampler"), ""),
        "cdf-for-density": (solved(**CDF), lost(DENSITY), ""),
        "hard-coded": (solved(**CONSTANT), lost(UNIFORM, "gumbel_sampler"), ""),
        "mean-for-location": (solved(**MEAN), lost(FIT), ""),
        "two-wrong": (solved(**CDF, **MEAN), lost(DENSITY, FIT), ""),
        "one-left-blank": (solved(without=(FIT,)), lost(FIT), ""),
        "three-left-blank": (
            solved(without=(FIT, DENSITY, "safe_gumbel")),
            lost(FIT, DENSITY, "safe_gumbel"),
            "",
        ),
        "only-the-first": (solved(without=tuple(set(POINTS) - {UNIFORM})), POINTS[UNIFORM], ""),
        "syntax-error": (
            solved(**{DENSITY: "def gumbel_log_density(x, loc, scale)\n    return x"}),
            lost(DENSITY),
            "",
        ),
        "no-return": (solved(**function(FIT, "x", "x.mean()")), lost(FIT), ""),
        "other-arguments": (solved(**function(FIT, "", "return 1, 2")), lost(FIT), ""),
        "crash-in-a-cell": (with_cell(solved(), "1 / 0"), FULL, ""),
        "loops-for-ever": (solved(**LOOP), lost(DENSITY), ""),
        "loops-in-a-cell": (top, FULL, ""),
        "edits-the-tests": (checks(solved(**SIGN), passing), lost(UNIFORM, "gumbel_sampler"), ""),
        "patches-the-checks": (
            with_cell(solved(**SIGN), PATCHED),
            lost(UNIFORM, "gumbel_sampler"),
            "look at: catvae_lib.classroom",
        ),
        "skips-the-tests": (checks(solved(**SIGN), skipped), lost(UNIFORM, "gumbel_sampler"), ""),
        "edits-the-marks": (checks(solved(**SIGN), unmarked), lost(UNIFORM, "gumbel_sampler"), ""),
        "silences-the-tests": (with_cell(solved(), SILENT), 0, "no [ok] and no error at gumbel_from_uniform"),
        "copies-a-cell": (copied(solved(), UNIFORM), FULL, ""),
        "changes-the-home": (with_cell(solved(), STARTUP), FULL, ""),
        "ends-the-grader": (with_cell(solved(), KILLER), 0, "could not be graded"),
        "deletes-a-test": (
            without_checks(solved(), FIT),
            lost(FIT),
            "without the checking cells of fit_gumbel",
        ),
        "prints-a-megabyte": (solved(**LOUD), FULL, ""),
        "prints-many-lines": (solved(**LINES), FULL, ""),
        "takes-all-memory": (solved(**GREEDY), lost(FIT), ""),
        "calls-exit": (solved(**EXITS), lost(FIT), ""),
        "recursion": (solved(**RECURSIVE), lost(FIT), ""),
        "kills-the-kernel": (with_cell(solved(), "import os\nos._exit(1)"), 0, "could not be graded"),
        "other-kernel": (of_kernel(solved(), "my-conda-env"), FULL, ""),
        "asks-for-input": (with_cell(solved(), "input('your name?')"), FULL, ""),
        "leaves-the-folder": (
            with_cell(solved(), "import os\nos.chdir('/')\nopen('/tmp/x' * 0 + os.devnull, 'w')"),
            FULL,
            "",
        ),
        "renamed": (solved(), FULL, ""),
        "in-a-folder": (solved(), FULL, ""),
        "not-a-notebook": ("I did it on paper.", 0, "not a notebook"),
        "damaged": (nbformat.writes(solved())[:2000], 0, "not a notebook"),
        "empty-file": ("", 0, "not a notebook"),
        "other-assignment": (json.dumps(nbformat.v4.new_notebook()), 0, "not this assignment"),
        "empty-folder": ("", 0, "nothing was handed in"),
    }


def hand_in(folder: Path, students: dict[str, tuple[NotebookNode | str, float, str]]) -> Path:
    for who, (what, _, _) in students.items():
        text = what if isinstance(what, str) else nbformat.writes(what)
        path = folder / f"{who}.ipynb"
        if who in ("renamed", "in-a-folder", "empty-folder"):
            inner = {"renamed": "final version (2).ipynb", "in-a-folder": f"a/b/{NAME}.ipynb"}
            path = folder / who / inner.get(who, "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        if who != "empty-folder":
            path.write_text(text, encoding="utf-8")
    return folder


def marks(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_every_mark_of_a_class_is_the_expected_one(tmp_path: Path) -> None:
    students = the_class()
    assert len(students) >= 30
    folder, out = hand_in(tmp_path / "in", students), tmp_path / "out"
    grade.graded(NAME, folder, out, jobs=2)
    found = marks(out / "marks.csv")
    assert {who: float(row["points"]) for who, row in found.items()} == {
        who: points for who, (_, points, _) in students.items()
    }
    assert [who for who, (_, _, note) in students.items() if note not in found[who]["note"]] == []
    assert [who for who, (_, _, note) in students.items() if not note and found[who]["note"]] == []
    failed = ("could not", "is not", "nothing was")
    graded = {who for who, row in found.items() if not any(words in row["note"] for words in failed)}
    feedback = {path.parent.name: path for path in out.glob("feedback/*/*.html")}
    assert set(feedback) == graded
    for who, path in feedback.items():
        text = path.read_text(encoding="utf-8")
        assert "HIDDEN TESTS" not in text and "seed=" not in text, who
        assert len(text) < 3e6, who
    some = {who: students[who] for who in ("wrong-sign", "two-wrong", "perfect")}
    grade.graded(NAME, hand_in(tmp_path / "again", some), tmp_path / "second", jobs=2)
    assert marks(tmp_path / "second" / "marks.csv") == {who: found[who] for who in sorted(some)}


def test_files_of_one_student_come_together_and_links_are_left_out(tmp_path: Path) -> None:
    hand_in(tmp_path, {"ann": (solved(), FULL, ""), "in-a-folder": (solved(), FULL, "")})
    (tmp_path / "ann.txt").write_text("see the notebook")
    (tmp_path / "thief.ipynb").symlink_to(tmp_path / "ann.ipynb")
    (tmp_path / "in-a-folder" / "more.ipynb").write_text(nbformat.writes(notebook("release")))
    found = grade.submissions(tmp_path)
    assert {who: len(files) for who, files in found.items()} == {"ann": 2, "in-a-folder": 2, "thief": 0}
    assert grade.notebook_of(found["ann"], notebook("release"), NAME)[1] == ""
    said = grade.notebook_of(found["in-a-folder"], notebook("release"), NAME)[1]
    assert said == f"2 notebooks, {NAME}.ipynb was graded"


def test_names_are_no_formulas_and_those_that_look_alike_are_told(tmp_path: Path) -> None:
    marks_ = [grade.Mark(who) for who in ("=1+1", "Zo\u00eb", "zoe\u0308", 'a,"b')]
    grade._note_alike(marks_)
    grade._write_marks(NAME, marks_, tmp_path)
    found = marks(tmp_path / "marks.csv")
    assert list(found) == ["'=1+1", "Zo\u00eb", "zoe\u0308", 'a,"b']
    assert [bool(row["note"]) for row in found.values()] == [False, True, True, False]


def test_marks_do_not_go_where_they_cannot_or_should_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for out, said in (
        (tmp_path / "marked", "would be one of them"),
        (tmp_path / "file" / "x", "nothing can"),
    ):
        folder = tmp_path if "marked" in out.name else hand_in(tmp_path / "in", {"ann": ("", 0, "")})
        with pytest.raises(SystemExit):
            grade.main([NAME, str(folder), str(out)])
        assert said in capsys.readouterr().err


def test_an_unknown_assignment_and_a_missing_folder_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (["99", str(tmp_path)], "no assignment '99'"),
        ([NAME, "nowhere"], "no folder nowhere"),
    ):
        with pytest.raises(SystemExit):
            grade.main([*words, str(tmp_path / "out")])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
