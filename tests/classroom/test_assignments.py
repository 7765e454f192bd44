"""The assignments are what their masters say, and a student's notebook gives nothing away."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import assignments
from catvae_lib.classroom.exercise import check

MASTERS = assignments.masters()
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


def stored(path: Path) -> NotebookNode:
    return nbformat.read(assignments.COURSE / path, as_version=4)


def bare(notebook: NotebookNode) -> list[tuple[str, str, object]]:
    return [(cell.id, cell.source, cell.metadata) for cell in notebook.cells]


def student_text(master: Path) -> str:
    path = assignments.COURSE / "release" / master.stem / f"{master.stem}.ipynb"
    return path.read_text(encoding="utf-8")


def test_there_is_an_assignment_for_every_chapter_that_has_one() -> None:
    numbers = [master.stem[:2] for master in MASTERS]
    assert numbers == ["00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "11"]


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.stem)
def test_what_is_stored_is_made_from_the_master(master: Path) -> None:
    for path, notebook in assignments.built(master).items():
        assert bare(stored(path)) == bare(notebook), f"{path}: run `make assignments`"


def test_no_notebook_is_without_a_master() -> None:
    made = {path for master in MASTERS for path in assignments.built(master)}
    kinds = ("source", "release", "solutions")
    there = {
        path.relative_to(assignments.COURSE)
        for kind in kinds
        for path in (assignments.COURSE / kind).rglob("*.ipynb")
    }
    assert there == made


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.stem)
def test_a_student_sees_no_solution_and_no_hidden_test(master: Path) -> None:
    text = student_text(master)
    for word in ("HIDDEN", "SOLUTION", "seed=", "fresh"):
        assert word not in text
    source = master.read_text(encoding="utf-8")
    lines = [line.strip() for part in SOLUTION.findall(source) for line in part.splitlines()]
    telling = {line for line in lines if len(line) > 12 and line not in SOLUTION.sub("", source)}
    assert telling, "every master has solutions"
    assert [line for line in telling if line.replace('"', '\\"') in text] == []


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.stem)
def test_a_master_has_two_to_five_tasks_each_with_a_check_points_minutes_and_a_hint(master: Path) -> None:
    cells = assignments.source_of(master).cells
    tasks = [cell.id for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    checks = [cell.id for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert 2 <= len(tasks) <= 5 and checks == [f"check_{task}" for task in tasks]
    assert set(tasks) <= set(dir(check))
    headings = [
        cell.source for cell in cells if cell.cell_type == "markdown" and cell.source.startswith("## ")
    ]
    assert len(headings) == len(tasks)
    assert all(re.match(r"## \d\. .+ \(\d+ points?, \d+ minutes\)\n", heading) for heading in headings)
    assert sum(cell.source.count("<details><summary>Hint</summary>") for cell in cells) >= len(tasks)
    for cell in cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            assert len(SOLUTION.findall(cell.source)) == 1


def test_the_list_of_tasks_is_made_from_the_masters() -> None:
    assert (assignments.ROOT / "docs" / "assignments.md").read_text(encoding="utf-8") == assignments.listing()


def test_the_teachers_guide_speaks_of_tasks_that_there_are() -> None:
    guide = (assignments.ROOT / "docs" / "teacher.md").read_text(encoding="utf-8")
    exposed = re.findall(r"^\| .+ \| `(\w+)` \|$", guide, re.MULTILINE)
    assert len(exposed) >= 20 and set(exposed) <= set(dir(check))


def test_every_task_is_set_once_and_there_are_at_least_forty() -> None:
    cells = [cell for master in MASTERS for cell in assignments.source_of(master).cells]
    tasks = [cell.id for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len(tasks) == len(set(tasks)) >= 40
    assert set(tasks) == set(dir(check))


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.stem)
def test_the_solution_was_executed_and_every_check_is_content(master: Path) -> None:
    cells = stored(Path("solutions", f"{master.stem}.ipynb")).cells
    said = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
    checks = [cell for cell in cells if cell.id.startswith("check_")]
    assert sum(text.startswith("[ok] ") for text in said) == len(checks) > 0
