"""Executing the book: only what changed, all or nothing, and a table at the end."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

import execute
from book import KERNEL, LANGUAGE, ROOT, from_source

pytestmark = pytest.mark.xdist_group("notebooks")

FIGURE = """\
# %% [markdown]
# # Two lines

# %%
import sys

from matplotlib.figure import Figure

from catvae_lib.classroom.plot import show

print("one")
print(sys.executable)

# %%
for name in ("01_first", "01_second"):
    show(Figure(), name, "An empty picture, for a test.", {"x": [1]})
"""
OTHER = "# %%\nimport os\n\nprint(os.environ['CATVAE_PROFILE'], os.getcwd())\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of two chapters."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CATVAE_PROFILE", "smoke")
    source = tmp_path / "notebooks" / "source"
    source.mkdir(parents=True)
    (source / "01_figure.py").write_text(FIGURE)
    (source / "02_other.py").write_text(OTHER)
    (tmp_path / "catvae_lib").mkdir()
    (tmp_path / "catvae_lib" / "module.py").touch()
    (tmp_path / "constraints.txt").touch()
    return tmp_path


@pytest.fixture
def run(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[list[str], str]]:
    """Run the tool; return the chapters that a kernel executed, and everything printed."""

    def run(*arguments: str, code: int = 0) -> tuple[list[str], str]:
        assert execute.main(list(arguments), root) == code
        captured = capsys.readouterr()
        executed = [line.split()[0] for line in captured.out.splitlines() if line.endswith(" ...")]
        return executed, captured.out + captured.err

    return run


def contents(root: Path) -> dict[str, bytes]:
    files = [*root.glob("notebooks/*.ipynb"), *root.glob("figures/*")]
    return {path.name: path.read_bytes() for path in files}


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_first_run_stores_everything_and_a_second_nothing(root: Path, run) -> None:
    executed, printed = run()
    assert sorted(executed) == ["01_figure", "02_other"]
    stored = contents(root)
    assert sorted(stored) == [
        *(
            "01_figure.ipynb",
            "01_first.json",
            "01_first.png",
            "01_first.svg",
            "01_second.json",
            "01_second.png",
            "01_second.svg",
            "02_other.ipynb",
        )
    ]
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines()[2:]}
    assert rows["01_figure"][1:] == ["0", "2"] and rows["total"][1:] == ["0", "2"]

    notebook = nbformat.read(root / "notebooks" / "01_figure.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {"kernelspec": KERNEL, "language_info": LANGUAGE}
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in _text(root).cells]
    assert [cell.metadata for cell in notebook.cells] == [{}, {}, {}]  # no time stamps
    assert notebook.cells[1].outputs[0].text.split() == ["one", execute.sys.executable]
    other = nbformat.read(root / "notebooks" / "02_other.ipynb", as_version=4)
    assert other.cells[0].outputs[0].text.split() == ["cpu", str(root / "notebooks")]
    assert all(content.endswith(b"}\n") for name, content in stored.items() if name.endswith(".ipynb"))

    executed, printed = run()
    assert executed == [] and printed.count("unchanged") == 2
    executed, _ = run("--all")
    assert len(executed) == 2
    assert contents(root) == stored  # byte for byte


def _text(root: Path) -> nbformat.NotebookNode:
    return from_source(root / "notebooks" / "source" / "01_figure.py")


@pytest.mark.parametrize(
    ("change", "executed"),
    [
        (lambda root: append(root / "notebooks/source/02_other.py", "# more\n"), ["02_other"]),
        (lambda root: append(root / "catvae_lib/module.py", "x = 1\n"), ["01_figure", "02_other"]),
        (lambda root: append(root / "constraints.txt", "torch\n"), ["01_figure", "02_other"]),
        (lambda root: append(root / "notebooks/02_other.ipynb", " "), ["02_other"]),
        (lambda root: (root / "notebooks/02_other.ipynb").unlink(), ["02_other"]),
        (lambda root: (root / "figures/01_first.png").unlink(), ["01_figure"]),
        (lambda root: (root / "figures/01_stale.png").touch(), ["01_figure"]),
        (lambda root: shutil.rmtree(root / ".cache"), ["01_figure", "02_other"]),
        (lambda root: None, []),
    ],
)
def test_what_a_change_brings_about(
    root: Path, run, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], executed: list[str]
) -> None:
    _remember(root, monkeypatch)
    change(root)
    due = [one.name for one in execute.chapters(root) if execute.remembered(one, root) is None]
    assert due == executed


def _remember(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that both chapters were executed: what is due does not depend on how."""
    (root / "figures").mkdir()
    for name in ("01_first.png", "01_first.json"):
        (root / "figures" / name).touch()
    for chapter in execute.chapters(root):
        chapter.notebook.write_text("{}")
        row = execute.Row(
            1.0, 0, 0, execute.inputs_digest(chapter, root), execute.outputs_digest(chapter, root)
        )
        path = root / execute.CACHE / "executed" / f"{chapter.name}.json"
        execute.write(path, execute.json.dumps(execute.asdict(row)).encode())


def test_a_failed_chapter_is_left_as_it_was_and_named(root: Path, run) -> None:
    run()
    before = contents(root)
    source = root / "notebooks" / "source" / "01_figure.py"
    source.write_text(source.read_text().replace('"01_second"', '"second"').replace("[1]", "[2]"))
    executed, printed = run(code=1)
    assert executed == ["01_figure"]
    assert "01_figure failed in cell 3 of 3" in printed and "ValueError: name must read like" in printed
    assert "\x1b[" not in printed
    assert contents(root) == before
    executed, _ = run(code=1)
    assert executed == ["01_figure"]  # not remembered as done


def test_a_picture_no_longer_drawn_is_removed_and_one_chapter_can_be_chosen(root: Path, run) -> None:
    run()
    source = root / "notebooks" / "source" / "01_figure.py"
    source.write_text(source.read_text().replace(', "01_second"', ","))
    append(root / "notebooks" / "source" / "02_other.py", "print(1)\n")
    executed, _ = run("--only", "01")
    assert executed == ["01_figure"]
    left = ["01_figure.ipynb", "01_first.json", "01_first.png", "01_first.svg", "02_other.ipynb"]
    assert sorted(contents(root)) == left
    _, printed = run("--only", "7", code=1)
    assert "No chapter 7" in printed


def test_a_second_run_at_once_is_turned_away(root: Path, run) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such lock, and goes on without it")
    (root / ".cache").mkdir()
    with (root / ".cache" / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        executed, printed = run(code=1)
        assert executed == [] and printed == f"{execute.BUSY}\n"
    executed, _ = run("--only", "02")
    assert executed == ["02_other"]


def test_without_locks_the_book_is_executed_all_the_same(
    root: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "fcntl", None)  # Windows
    executed, _ = run("--only", "02")
    assert executed == ["02_other"]


@pytest.mark.parametrize("change", ["'01_first.png').unlink()", "'01_third.json').touch()"])
def test_a_picture_lost_or_slipped_in_on_the_way_fails_the_chapter(root: Path, run, change: str) -> None:
    more = f"import os, pathlib\npathlib.Path(os.environ['CATVAE_FIGURES'], {change}\n"
    append(root / "notebooks" / "source" / "01_figure.py", more)
    _, printed = run("--only", "01", code=1)
    odd = change.split("'")[1]
    assert (
        f"01_figure: drawn but not shown, or shown but not drawn: {odd}; nothing was stored: run again\n"
        in printed
    )
    assert contents(root) == {}


def test_a_file_in_the_way_fails_its_chapter_and_the_table_is_printed(root: Path, run) -> None:
    (root / "notebooks" / "02_other.ipynb").mkdir()
    (root / "figures").touch()  # a file where the folder should be
    _, printed = run(code=1)
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert rows["01_figure"] == rows["02_other"] == ["FAILED"] and rows["total"] == ["0.0", "0", "0"]
    assert f"01_figure: cannot read or write {root / 'figures'} (" in printed

    (root / "figures").unlink()
    _, printed = run(code=1)
    assert f"02_other: cannot read or write {root / 'notebooks' / '02_other.ipynb'} (" in printed
    assert "make it writable, then run again" in printed and "FAILED" in printed
    executed, _ = run(code=1)
    assert executed == ["02_other"]  # the other is remembered as done


def test_a_folder_that_takes_no_lock_and_no_staging_fails_every_chapter(root: Path, run) -> None:
    (root / ".cache").touch()  # a file where the folder should be
    _, printed = run(code=1)
    assert printed.count("cannot read or write") == printed.count("FAILED") == 2


def test_a_text_that_is_not_utf_8_fails_its_chapter_alone(root: Path, run) -> None:
    (root / "notebooks" / "source" / "01_figure.py").write_bytes("# Größe\n".encode("latin-1"))
    executed, printed = run(code=1)
    assert sorted(executed) == ["01_figure", "02_other"] and printed.count("FAILED") == 1
    assert "01_figure.py ('utf-8' codec can't decode" in printed and "save it as UTF-8" in printed


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b'{"seconds": 1}', b'{"old": 1}'])
def test_a_damaged_memory_counts_as_not_executed(
    root: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    _remember(root, monkeypatch)
    (root / ".cache" / "executed" / "01_figure.json").write_bytes(content)
    assert [execute.remembered(one, root) is None for one in execute.chapters(root)] == [True, False]
