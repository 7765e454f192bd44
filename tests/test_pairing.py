"""JupyterLab opens every chapter after `make run`, and what a reader opens there does not change the text."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from book import ROOT, Chapter, chapters, from_source


def opened(root: Path, chapter: Chapter) -> tuple[Any, Any]:
    """JupyterLab's contents manager, and what it answers for a notebook two hours newer than its text."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copy(ROOT / "jupytext.toml", root)
    old = time.time() - 7200
    os.utime(root / "notebooks" / "source" / f"{chapter.name}.py", (old, old))
    manager = jupytext.TextFileContentsManager()
    manager.root_dir = str(root)
    return manager, manager.get(f"notebooks/{chapter.name}.ipynb")


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.name)
def test_a_chapter_opens_with_its_outputs_though_it_is_newer_than_its_text(
    chapter: Chapter, tmp_path: Path
) -> None:
    _, model = opened(tmp_path, chapter)
    stored = nbformat.read(chapter.notebook, as_version=4)
    assert [cell.source for cell in model["content"].cells] == [cell.source for cell in stored.cells]
    outputs = [len(cell.get("outputs", [])) for cell in stored.cells]
    assert [len(cell.get("outputs", [])) for cell in model["content"].cells] == outputs


def test_opening_a_solution_and_saving_leaves_the_text_as_it_was(tmp_path: Path) -> None:
    chapter = chapters()[0]
    manager, model = opened(tmp_path, chapter)
    text = tmp_path / "notebooks" / "source" / f"{chapter.name}.py"
    before = text.read_text()
    for cell in model["content"].cells:
        cell.metadata.pop("jupyter", None)  # what a click on a folded cell does
    manager.save(model, f"notebooks/{chapter.name}.ipynb")
    assert text.read_text() == before
    folded = [
        cell for cell in from_source(text).cells if cell.metadata.get("jupyter", {}).get("source_hidden")
    ]
    assert len(folded) >= 3
