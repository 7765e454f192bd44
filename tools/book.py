"""What the book is made of: its chapters, and how a chapter's text becomes a notebook."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from catvae_lib._files import write_whole

ROOT = Path(__file__).resolve().parents[1]
CACHE = ".cache"  # untracked: what was executed, and what is being written

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# The kernel also tells its exact Python version: left out, or every machine would store another notebook.
LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}


@dataclass(frozen=True)
class Chapter:
    """One chapter: the text we edit, and the executed notebook made from it."""

    source: Path
    notebook: Path

    @property
    def name(self) -> str:
        return self.notebook.stem

    @property
    def number(self) -> str:
        return self.name.split("_")[0]


def chapters(root: Path = ROOT) -> list[Chapter]:
    """Every chapter that has a text, a notebook or both, in reading order."""
    folder = root / "notebooks"
    names = {path.stem for path in [*folder.glob("source/*.py"), *folder.glob("*.ipynb")]}
    return [Chapter(folder / "source" / f"{name}.py", folder / f"{name}.ipynb") for name in sorted(names)]


def from_source(source: Path) -> NotebookNode:
    """The notebook, not executed, that a text stands for; the same text gives the same cell ids."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(LANGUAGE))
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = NotebookNode(source_hidden=True)
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def dump(notebook: NotebookNode) -> bytes:
    """The bytes of a stored notebook."""
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def write(path: Path, content: bytes) -> None:
    """Write all or nothing, into a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def text_of(output: NotebookNode) -> str:
    """What an output says in plain text."""
    if output.output_type == "stream":
        return str(output.text)
    return str(output.get("data", {}).get("text/plain", ""))


def pictures(notebook: NotebookNode) -> list[NotebookNode]:
    """Every output that shows a picture."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if any(kind.startswith("image/") for kind in output.get("data", {}))]
