"""Each guard is proven by a notebook broken on purpose; the unbroken one passes them all, and nbval."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook, new_output

import check
import execute
from book import ROOT, Chapter, chapters, dump, from_source
from guards import WIDGET, unclaimed_decimal

pytestmark = pytest.mark.xdist_group("notebooks")  # one worker: the good book is executed once
MEAN, PICTURE, SOLUTION, IGNORED, LAST = 2, 3, 5, 8, 11  # cells of the good notebook
REASON = "the address of an object differs from run to run"


@pytest.fixture(scope="module")
def good_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one chapter, executed."""
    root = tmp_path_factory.mktemp("good")
    (root / "notebooks" / "source").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "broken_notebooks" / "01_good.py", root / "notebooks" / "source")
    (root / "constraints.txt").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        assert execute.main([], root) == 0
    return root


@pytest.fixture
def book(good_book: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(good_book, tmp_path / "book"))


def only_chapter(root: Path) -> Chapter:
    (chapter,) = chapters(root)
    return chapter


def findings(root: Path, fresh: Path | None = None) -> list[str]:
    return check.check_book(root, fresh)[1]


def break_notebook(root: Path, change: Callable[[NotebookNode], None]) -> list[str]:
    """What is found after a change of the notebook and, where it touches cells, of its text."""
    path = only_chapter(root).notebook
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    path.write_bytes(dump(notebook))
    return findings(root)


def nbval(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CATVAE_FIGURES": str(root / "fresh")}
    options = ["-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(root), *options]
    return subprocess.run(
        [*command, str(only_chapter(root).notebook)],
        env=environment,
        capture_output=True,
        text=True,
        cwd=root,
    )


def test_the_good_notebook_passes_everything(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = nbval(book)
    assert run.returncode == 0, run.stdout
    assert check.main(["--fresh", str(book / "fresh")], book) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["01_good", "10", "8", "1", "1", "1"]
    assert table[-1] == "0 findings"


def test_nbval_fails_a_wrong_number(book: Path) -> None:
    path = only_chapter(book).notebook
    text = path.read_text()
    assert text.count("0.5770 = ") == 1
    path.write_text(text.replace("0.5770 = ", "0.5771 = "))
    run = nbval(book)
    assert run.returncode == 1
    assert "0.5771 = " in run.stdout and "1 failed" in run.stdout


def test_nbval_passes_a_cleared_notebook_and_the_guards_do_not(book: Path) -> None:
    def clear(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None

    found = "\n".join(break_notebook(book, clear))
    assert nbval(book).returncode == 0  # the reason for the guards
    for expected in ("never executed", "stores no output", "no cell has an output that nbval compares"):
        assert expected in found
    assert "0.577, which no claim" in found


def set_count(cell: int, count: int | None) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].update(execution_count=count)


def set_metadata(cell: int, **metadata: object) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].metadata.update(metadata)


def set_source(cell: int, source: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].update(source=source)


def set_outputs(cell: int, *outputs: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].update(outputs=list(outputs))


def add_output(cell: int, kind: str, **fields: object) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells[cell].outputs.append(new_output(kind, **fields))


def without_alt(notebook: NotebookNode) -> None:
    del notebook.cells[PICTURE].outputs[0].metadata["image/png"]["alt"]


def shown_without_show(notebook: NotebookNode) -> None:
    notebook.cells[PICTURE].outputs[0].metadata = NotebookNode()


def drawn_as_svg(notebook: NotebookNode) -> None:
    notebook.cells[PICTURE].outputs[0].update(data={"image/svg+xml": "<svg/>"}, metadata={})


def another_picture(notebook: NotebookNode) -> None:
    notebook.cells[PICTURE].outputs[0].data["image/png"] = "AAAA"


def damaged_picture(notebook: NotebookNode) -> None:
    notebook.cells[PICTURE].outputs[0].data["image/png"] = "AAA"  # no base64


def renamed_picture(notebook: NotebookNode) -> None:
    notebook.cells[PICTURE].outputs[0].metadata["image/png"]["figure"] = "02_good"


def one_more_cell(notebook: NotebookNode) -> None:
    notebook.cells.append(new_markdown_cell("more"))


def many_cells(notebook: NotebookNode) -> None:
    notebook.cells += [new_markdown_cell("more") for _ in range(18)]


def ignore_everything(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata.update(tags=["nbval-ignore-output"], reason=REASON)


def picture_only(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = cell.outputs if number == PICTURE else []
    del notebook.cells[PICTURE].outputs[0].data["text/plain"]


BROKEN: dict[str, tuple[Callable[[NotebookNode], None], str]] = {
    "cleared output": (set_outputs(MEAN), "cell 3 prints or shows something, but stores no output"),
    "cleared ignored output": (
        set_outputs(IGNORED),
        "cell 9 prints or shows something, but stores no output",
    ),
    "never executed": (set_count(LAST, None), "cell 12 was never executed"),
    "out of order": (set_count(LAST, 2), "executed in the order [1, 2, 3, 4, 5, 6, 7, 8, 9, 2]"),
    "started late": (set_count(1, 5), "executed in the order [5, 2, 3"),
    "stored error": (add_output(LAST, "error", ename="KeyError"), "cell 12 stores the error KeyError"),
    "stored error, ignored": (
        add_output(IGNORED, "error", ename="KeyError"),
        "cell 9 stores the error KeyError",
    ),
    "nbval-skip": (set_metadata(LAST, tags=["nbval-skip"]), "cell 12 steers nbval"),
    "raises-exception": (set_metadata(LAST, tags=["raises-exception"]), "cell 12 steers nbval"),
    "old tag": (set_metadata(LAST, tags=["pytest-validate-ignore-output"]), "cell 12 steers nbval"),
    "comment": (set_source(LAST, "## NBVAL_IGNORE_OUTPUT\nprint(6)"), "cell 12 steers nbval"),
    "no reason": (set_metadata(IGNORED, reason=" "), "cell 9 is ignored without a reason"),
    "too much ignored": (
        set_metadata(LAST, tags=["nbval-ignore-output"], reason=REASON),
        "2 of 10 code cells are ignored",
    ),
    "compares nothing, all ignored": (ignore_everything, "no cell has an output that nbval compares"),
    "compares nothing, picture only": (picture_only, "no cell has an output that nbval compares"),
    "no alt text": (without_alt, "cell 4 shows a picture without alt text"),
    "widget": (add_output(LAST, "display_data", data={WIDGET: {}}), "cell 12 stores a widget"),
    "picture not from show": (shown_without_show, "cell 4 shows a picture without alt text"),
    "svg": (drawn_as_svg, "cell 4 shows a picture without alt text"),
    "another picture": (another_picture, "figures/01_good: the notebook shows another picture"),
    "damaged picture": (damaged_picture, "figures/01_good: the notebook shows another picture"),
    "another chapter's name": (renamed_picture, "its name must begin with 01_"),
    "warning": (add_output(LAST, "stream", name="stderr", text="careful"), "cell 12 stores a warning"),
    "path": (
        add_output(IGNORED, "stream", name="stdout", text="/home/me/x.py"),
        "cell 9 stores a path of this machine",
    ),
    "claim twice": (
        add_output(LAST, "stream", name="stdout", text="claim 01.mean: 1 = 1 holds [counted]\n"),
        "2 claims are named 01.mean",
    ),
    "unclaimed decimal": (set_source(0, "It is 0.578."), "the text says 0.578, which no claim"),
    "drifted text": (set_source(LAST, "print(7)"), "cell 12 differs from its text"),
    "drifted tags": (set_metadata(SOLUTION, tags=[]), "cell 6 differs from its text"),
    "drifted length": (one_more_cell, "it has 14 cells, its text 13"),
    "another kernel": (
        lambda notebook: notebook.metadata.kernelspec.update(name="mine"),
        "its metadata is not what",
    ),
    "too many cells": (many_cells, "31 cells, more than 30"),
    "too many lines": (set_source(LAST, "x = 1\n" * 21), "cell 12 has 21 lines, more than 20"),
    "missing part": (set_source(0, "Nothing."), 'the text lacks "after this chapter you can"'),
    "missing solution": (set_metadata(SOLUTION, tags=[]), '2 cells are tagged "solution"'),
    "open solution": (set_metadata(SOLUTION, jupyter={}), "a solution is stored open"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_notebook_broken_on_purpose_is_found(book: Path, name: str) -> None:
    change, expected = BROKEN[name]
    found = break_notebook(book, change)
    assert any(expected in finding for finding in found), found


def test_a_text_without_notebook_and_a_notebook_without_text(book: Path) -> None:
    chapter = only_chapter(book)
    text = chapter.source.read_text()
    chapter.source.unlink()
    assert findings(book) == [
        "01_good: notebooks/source/01_good.py is missing: write the text, not the notebook"
    ]
    chapter.source.write_text(text)
    chapter.notebook.unlink()
    assert "01_good: was never executed: run `make run`" in findings(book)


@pytest.mark.parametrize("kind", ["png", "json"])
def test_a_missing_picture_is_found(book: Path, kind: str) -> None:
    (book / "figures" / f"01_good.{kind}").unlink()
    assert findings(book) == [f"01_good: figures/01_good: the {kind} is missing: run `make run`"]


@pytest.mark.parametrize(
    "content",
    [b"", b'{"cells": [', b"\xff", b"[]", b"{}", b'{"nbformat": 4, "nbformat_minor": 5}'],
)
def test_a_damaged_notebook_is_found(book: Path, content: bytes) -> None:
    only_chapter(book).notebook.write_bytes(content)
    (found,) = findings(book)
    assert found.startswith("01_good.ipynb cannot be read (")
    assert found.endswith("): run `make run`, or delete it")


@pytest.mark.parametrize("content", [b"", b'{"name": ', b"\xff", b"[]", b"{}", b'{"rtol": 0, "data": []}'])
def test_damaged_data_of_a_picture_is_found(book: Path, content: bytes) -> None:
    stored = book / "figures" / "01_good.json"
    fresh = Path(shutil.copytree(book / "figures", book / "fresh"))
    whole = stored.read_bytes()
    stored.write_bytes(content)
    (found,) = findings(book, fresh)
    assert found.startswith("01_good: figures/01_good: 01_good.json cannot be read (")
    assert found.endswith("): run `make run`, or delete it")
    stored.write_bytes(whole)
    (fresh / "01_good.json").write_bytes(content)
    (found,) = findings(book, fresh)
    assert "01_good.json cannot be read (" in found and found.endswith("run `make test` again")


def test_words_too_faint_to_read_are_found(book: Path) -> None:
    stored = book / "figures" / "01_good.json"
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"faintest": ["mean", 4.49]}))
    (found,) = findings(book)
    assert "the contrast of 'mean' is 4.49:1, below 4.5:1" in found


def test_a_picture_that_no_notebook_shows_is_found(book: Path) -> None:
    (book / "figures" / "01_old.png").touch()
    assert findings(book) == ["figures/01_old.png is shown by no notebook: delete it"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("values", [0.5, 0.6, 0.6310063], ""),  # rtol 1e-5 of the largest value is 6.31e-6
        ("values", [0.5, 0.6, 0.6310064], "its series values is off by 6.4e-06"),
        ("values", [0.5, 0.6], "its series values has another shape"),
        ("values", [0.5, 0.6, "nan"], "its series values has another text"),
        ("values", [0.5, 0.6, float("nan")], "its series values is off by nan"),
        ("names", ["a", "c"], "its series names has another text"),
        ("more", [1], "its series are ['names', 'values']"),
    ],
)
def test_a_picture_drawn_from_other_data_is_found(
    book: Path, field: str, value: list[object], expected: str
) -> None:
    fresh = Path(shutil.copytree(book / "figures", book / "fresh"))
    record = json.loads((fresh / "01_good.json").read_text())
    record["data"][field] = value
    (fresh / "01_good.json").write_text(json.dumps(record))
    found = findings(book, fresh)
    assert len(found) == bool(expected)
    assert expected in "".join(found)


def test_a_picture_not_drawn_again_or_with_a_wide_tolerance_is_found(book: Path) -> None:
    fresh = book / "fresh"
    fresh.mkdir()
    assert findings(book, fresh) == ["01_good: figures/01_good: a fresh run does not draw it"]
    stored = book / "figures" / "01_good.json"
    stored.write_text(json.dumps({**json.loads(stored.read_text()), "rtol": 0.5}))
    shutil.copy(stored, fresh)
    assert "its rtol is 0.5" in "".join(findings(book, fresh))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.58 and 0.577 and 0.5770 and 0.0064, also 0.6.", []),
        ("It is -0.577, or 5.77e-1.", []),
        ("0.576", ["0.576"]),
        ("0.57700", []),
        ("0.57701", ["0.57701"]),
        ("a temperature of .5 nats", [".5"]),
        ("1.5e-3", ["1.5e-3"]),
        ("| 0.1 | 0.2nats |", ["0.1", "0.2"]),
        ("torch 2.13.0, v1.2, 3 of 4.", []),
        (
            "$0.1$ and $$\n0.2\n$$, `0.3`, [Table 1: 0.4](https://x.org/0.5) <img alt='0.6'> <!-- 0.7 -->",
            [],
        ),
        ("```\n0.1\n```\n$5 + \\$ 0.2", ["0.2"]),
        ("## References\n\n1.1\n\n### More\n\n1.2\n\n## Afterwards\n\n1.3", ["1.3"]),
    ],
)
def test_decimals_in_the_text(text: str, found: list[str]) -> None:
    line = "claim 01.mean: 0.5770 = 0.5772 +- 0.0064 holds [closed form]\n"
    cell = nbformat.v4.new_code_cell(outputs=[new_output("stream", name="stdout", text=line)])
    notebook = new_notebook(cells=[new_markdown_cell(text), cell])
    said = [finding.split()[3].rstrip(",") for finding in unclaimed_decimal(notebook)]
    assert said == found


def test_the_same_text_makes_the_same_notebook(good_book: Path) -> None:
    source = only_chapter(good_book).source
    assert dump(from_source(source)) == dump(from_source(source))
