"""Check what nbval cannot see: that notebooks were run as they stand, and that their pictures still hold."""

import argparse
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode, ValidationError

import equations
import figures
from book import KERNEL, LANGUAGE, ROOT, Chapter, chapters, from_source
from guards import GUARDS, claim_lines, counts, too_many_cells

# What nbformat raises for a file that is cut short, no text, or no notebook.
DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, ValidationError)

# What a chapter is excused from: the errata take as many cells as they must, each no longer than elsewhere.
EXCUSED = {"A": {too_many_cells}}


def drifted(chapter: Chapter, notebook: NotebookNode) -> list[str]:
    """The notebook must hold the cells of its text, and the metadata that `make run` stores."""
    if not chapter.source.exists():
        return [f"notebooks/source/{chapter.name}.py is missing: write the text, not the notebook"]
    expected, found = _cells(from_source(chapter.source)), _cells(notebook)
    if notebook.metadata != {"kernelspec": KERNEL, "language_info": LANGUAGE}:
        return ["its metadata is not what `make run` stores: run `make run`"]
    if len(expected) != len(found):
        return [f"it has {len(found)} cells, its text {len(expected)}: run `make run`"]
    pairs = enumerate(zip(expected, found, strict=True), 1)
    return [f"cell {number} differs from its text: run `make run`" for number, (a, b) in pairs if a != b]


def _cells(notebook: NotebookNode) -> list[tuple[str, str, object]]:
    return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


def check_notebook(chapter: Chapter, notebook: NotebookNode, stored: Path, fresh: Path | None) -> list[str]:
    """Everything that is wrong with one notebook."""
    chosen = [guard for guard in GUARDS if guard not in EXCUSED.get(chapter.number, ())]
    findings = [finding for guard in chosen for finding in guard(notebook)]
    return drifted(chapter, notebook) + findings + figures.check_chapter(chapter, notebook, stored, fresh)


def read(chapter: Chapter) -> tuple[NotebookNode | None, str]:
    """The stored notebook, or why it cannot be read."""
    try:
        notebook = nbformat.read(chapter.notebook, as_version=4)
        nbformat.validate(notebook)
    except DAMAGED as error:
        reason = str(error).partition("\n")[0]
        return None, f"{chapter.notebook.name} cannot be read ({reason}): run `make run`, or delete it"
    return notebook, ""


def check_book(root: Path, fresh: Path | None) -> tuple[list[str], list[str]]:
    """A table of what is compared, and everything that is wrong."""
    stored = root / "figures"
    totals = [0] * 5
    shown: set[str] = set()
    table = [_row("notebook", ["code cells", "compared", "ignored", "claims", "pictures"])]
    findings = []
    whole: dict[str, NotebookNode] = {}
    for chapter in chapters(root):
        if not chapter.notebook.exists():
            findings.append(f"{chapter.name}: was never executed: run `make run`")
            continue
        notebook, damage = read(chapter)
        if notebook is None:
            findings.append(damage)
            shown.update(path.stem for path in stored.glob(f"{chapter.number}_*"))  # unknown: no orphans
            continue
        wrong = check_notebook(chapter, notebook, stored, fresh)
        findings += [f"{chapter.name}: {finding}" for finding in wrong]
        whole[chapter.notebook.name] = notebook
        drawn = figures.names(notebook)
        shown.update(drawn)
        row = [*counts(notebook), len(claim_lines(notebook)), len(drawn)]
        table.append(_row(chapter.name, row))
        totals = [total + number for total, number in zip(totals, row, strict=True)]
    findings += equations.check_map(whole, root) + figures.orphans(shown, stored)
    return [*table, _row("total", totals)], findings


def _row(name: str, values: list[int] | list[str]) -> str:
    return f"{name:<32}" + "".join(f"{value:>12}" for value in values)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", type=Path, help="the folder of pictures that a fresh run drew")
    options = parser.parse_args(arguments)
    table, findings = check_book(root, options.fresh)
    print("\n".join(table))
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
