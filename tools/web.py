"""Build the web book from the executed notebooks: `make site` puts it into .cache/site.

Sphinx reads a folder of its own, .cache/site-source. It holds the pages of `docs`, copies of the chapters
(with folded solutions and the targets of links), and pages that are made here: the map of chapters, the
equations, the claims, the figures and the library.
"""

import copy
import hashlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import equations
from book import CACHE, ROOT, Chapter, chapters, dump, pictures, text_of, write
from catvae_lib.classroom.claims import CLAIM_LINE
from execute import SETTINGS, remembered
from figures import names

MATHJAX = "mathjax@3.2.2"
MATHJAX_FILE = "es5/tex-svg.js"  # one file: it loads nothing else
MATHJAX_SHA256 = "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"
HIDDEN = ("catvae_lib.classroom.checks", "catvae_lib.papers.__main__")  # answers; a command
STAMPED = ("torch", "numpy", "scipy", "matplotlib")
FACTS = re.compile(r"\*Minutes:\* (.*?)\. \*Hardware:\* .*?\. \*Before this:\* (.*?)\n\n", re.DOTALL)
# Parts of a docstring that are not plain prose: a displayed formula, one in a line, a name, an emphasis.
MARKED = re.compile(r"(^ *\$\$.+?\$\$ *$|\$[^$]+\$|`[^`]+`|\*\w+\*)", re.DOTALL | re.MULTILINE)
KINDS = {"E": "Displayed formulas", "F": "Formulas inside sentences", "W": "Statements in words"}


class SiteError(Exception):
    """The site cannot be built, and what to do about it."""


# --- MathJax


def mathjax(folder: Path) -> Path:
    """The one file of MathJax, got from npm the first time, and refused if it is any other."""
    file = folder / Path(MATHJAX_FILE).name
    if not file.exists():
        _fetch(file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != MATHJAX_SHA256:
        raise SiteError(f"{file} is not {MATHJAX_FILE} of {MATHJAX}: delete it and run again")
    return file


def _fetch(file: Path) -> None:
    npm = shutil.which("npm")
    by_hand = f"or put {MATHJAX_FILE} of the npm package {MATHJAX} there yourself"
    if npm is None:
        raise SiteError(f"{file} is missing and npm is not installed: install Node.js, {by_hand}")
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([npm, "pack", "--silent", MATHJAX], cwd=folder, capture_output=True, text=True)
        if run.returncode:
            reason = (run.stderr.strip().splitlines() or ["no reason given"])[0]
            raise SiteError(f"npm cannot get {MATHJAX} ({reason}): connect to the network once, {by_hand}")
        (archive,) = Path(folder).glob("*.tgz")
        shutil.unpack_archive(archive, folder, filter="data")
        write(file, (Path(folder) / "package" / MATHJAX_FILE).read_bytes())


# --- docstrings


def to_rst(text: str) -> str:
    """A docstring as Sphinx reads it: $ and $$ become mathematics, indented code a block, * and | themselves.

    Names in backticks are left to Sphinx' default role. The example at the end is code and stays as it is.
    """
    head, mark, example = text.partition("\nExample:\n")
    head = re.sub(r"\n\n(?= {4}\S)", "\n\n::\n\n", head)
    parts = MARKED.split(head)
    parts[::2], parts[1::2] = map(_escaped, parts[::2]), map(_math, parts[1::2])
    return "".join(parts) + mark + example


def _math(part: str) -> str:
    formula = " ".join(part.strip().strip("$").split())
    if part.lstrip().startswith("$$"):
        return f"\n.. math:: {formula}\n"
    return rf"\ :math:`{formula}`\ " if part.startswith("$") else part


def _escaped(text: str) -> str:
    outside, *blocks = text.split("\n::\n\n")
    return re.sub(r"[*|]", r"\\\g<0>", outside) + "".join(f"\n::\n\n{block}" for block in blocks)


def modules() -> list[str]:
    """The public modules of the library; a subpackage with a face of its own hides its parts."""
    import catvae_lib

    found = (one.name for one in pkgutil.walk_packages(catvae_lib.__path__, "catvae_lib."))
    public = (name for name in found if not any(part.startswith("_") for part in name.split(".")))
    hidden = (*HIDDEN, "catvae_lib.estimators.")
    return sorted(name for name in public if not name.startswith(hidden))


# --- chapters


def title(notebook: NotebookNode) -> str:
    return str(notebook.cells[0].source.partition("\n")[0].removeprefix("# "))


def facts(notebook: NotebookNode) -> tuple[str, str, str]:
    """The promise of a chapter, its minutes, and what to read before it, from its first cell."""
    opening = f"{notebook.cells[0].source}\n\n"
    found = FACTS.search(opening)
    if found is None:
        raise SiteError(f"{title(notebook)}: its first cell names no minutes, hardware and prerequisites")
    parts = [opening.split("\n\n")[1], found[1], found[2].removesuffix(".")]
    promise, minutes, before = (" ".join(part.split()) for part in parts)
    return promise, minutes, before


def claims(cell: NotebookNode) -> list[re.Match[str]]:
    return [match for output in cell.get("outputs", []) for match in CLAIM_LINE.finditer(text_of(output))]


def labels(path: Path) -> list[dict[str, str]]:
    """Name and alt text of each picture of a notebook, in their order: myst-nb does not read them."""
    notebook = nbformat.read(path, as_version=4)
    return [output.metadata["image/png"] for output in pictures(notebook)]


def picture_file(folder: Path, name: str) -> Path:
    """The file of a picture that the web book shows: lines where they are stored, else pixels."""
    lines = folder / f"{name}.svg"
    return lines if lines.exists() else lines.with_suffix(".png")


def for_web(notebook: NotebookNode, closing: str) -> NotebookNode:
    """A copy of a chapter as its page needs it, with a closing paragraph."""
    page = copy.deepcopy(notebook)
    page.cells = [new for cell in page.cells for new in _for_web(cell)]
    page.cells.append(nbformat.v4.new_markdown_cell(f"---\n\n{closing}"))
    return page


def _for_web(cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell, after the targets that links to its claims and its figures lead to."""
    solution = "solution" in cell.metadata.get("tags", [])
    shown = [f"claim-{match['id']}" for match in claims(cell)]
    myst: dict[str, object] = {}
    shown += [f"figure-{name}" for name in names(NotebookNode(cells=[cell]))]
    if shown:
        targets = "\n".join(f"({name.lower()})=" for name in shown)
        yield nbformat.v4.new_markdown_cell(targets)
    if solution:
        cell.metadata["tags"] = ["hide-cell"]
        myst |= {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}
    elif "find_spec" in cell.source and cell.cell_type == "code":
        cell.metadata["tags"] = ["hide-input"]
        myst |= {"code_prompt_show": "Show the set-up", "code_prompt_hide": "Hide the set-up"}
    if myst:
        cell.metadata["mystnb"] = myst
    yield cell


def pins(root: Path) -> str:
    """The versions that the book is proven with, of the packages that decide its numbers."""
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    return ", ".join(f"{name} {re.search(rf'^{name}==(.+)$', text, re.MULTILINE)[1]}" for name in STAMPED)


def stamp(chapter: Chapter, root: Path) -> str:
    """When and how a chapter's claims were last verified, as far as this folder can know."""
    profile, versions = SETTINGS["CATVAE_PROFILE"], pins(root)
    if remembered(chapter, root) is None:
        return (
            f"Outputs of the `{profile}` profile, as the book stores them; it is proven with {versions}. "
            "Where this page was built, the chapter has not been executed since its last change."
        )
    record = root / CACHE / "executed" / f"{chapter.name}.json"
    day = date.fromtimestamp(record.stat().st_mtime).isoformat()
    return f"Last executed on {day}: `{profile}` profile, versions pinned to {versions}. All its claims hold."


# --- pages that are made


def map_page(book: dict[Chapter, NotebookNode]) -> str:
    """The chapters with what each does, its minutes and what to read before it."""
    items = []
    for chapter, notebook in book.items():
        promise, minutes, before = facts(notebook)
        head = f"- **[{title(notebook)}](chapters/{chapter.name}.ipynb)**\\\n  {promise}\\\n"
        items.append(f"{head}  *Minutes:* {minutes}. *Before this:* {before}.\n")
    return "\n".join(items)


def equations_page(book: dict[Chapter, NotebookNode]) -> str:
    """The map of chapter A, with links to the functions and to the cells that print the claims."""
    found = [entry for notebook in book.values() for entry in equations.entries(notebook)]
    text = [
        "# The map of equations\n",
        "Every formula and statement of the article, as it is printed: the functions that compute it, a test "
        "of them, and the claims that show it. [Chapter A](chapters/A_errata.ipynb) explains the slips.\n",
    ]
    for letter, heading in KINDS.items():
        text.append(f"## {heading}\n")
        text += [_entry(entry) for entry in found if entry.id.startswith(letter)]
    return "\n".join(text)


def _entry(entry: equations.Entry) -> str:
    printed, functions, test, covers = entry.lines
    functions = equations.CODE.sub(r"{py:obj}`\1 <catvae_lib.\1>`", functions)
    covers = re.sub(r"\]\(([^)]+)\)", r"](chapters/\1)", covers)
    covers = equations.CODE.sub(lambda match: f"[`{match[1]}`](#claim-{match[1].lower()})", covers)
    head = f"({entry.id.lower()})=\n**{entry.id}. {entry.name}**{printed}"
    return f"{head}\n\n- computed by {functions}\n- tested by {test}\n- shown in {covers}\n"


def claims_page(book: dict[Chapter, NotebookNode], root: Path) -> str:
    text = [
        "# The claims\n",
        "A claim is a number that the prose relies on. A cell computes it and compares it with a closed form "
        "or a cited table; if it does not hold, the chapter fails. The name of a claim leads to its cell.\n",
        f"This page was built on {date.today().isoformat()}.\n",
    ]
    for chapter, notebook in book.items():
        text.append(f"(claims-{chapter.number.lower()})=\n## {title(notebook)}\n\n{stamp(chapter, root)}\n")
        text.append("| claim | computed | | expected | tolerance | source |\n|---|---|---|---|---|---|")
        text += [_claim(match) for cell in notebook.cells for match in claims(cell)]
        text.append("")
    return "\n".join(text)


def _claim(match: re.Match[str]) -> str:
    link = f"[`{match['id']}`](#claim-{match['id'].lower()})"
    relation = match["relation"].replace("<", r"\<").replace(">", r"\>")
    source = re.sub(r"[|$*_<{\[]", r"\\\g<0>", match["source"])
    numbers = f"{match['observed'] or ''} | {relation} | {match['expected']} | {match['tolerance'] or ''}"
    return f"| {link} | {numbers} | {source} |"


def gallery_page(book: dict[Chapter, NotebookNode], figures: Path) -> str:
    text = ["# The figures\n\nEvery figure of the book. Its name leads to the cell that draws it.\n"]
    for notebook in book.values():
        text.append(f"## {title(notebook)}\n")
        for label in (output.metadata["image/png"] for output in pictures(notebook)):
            name, caption = label["figure"], label["figure"].partition("_")[2].replace("_", " ")
            text.append(f":::{{figure}} figures/{picture_file(figures, name).name}\n:alt: {label['alt']}")
            text.append(f":loading: lazy\n\n[{caption}](#figure-{name.lower()})\n:::\n")
    return "\n".join(text)


def api_pages() -> dict[str, str]:
    """A page for each module, and one that lists them."""
    names = [name.removeprefix("catvae_lib.") for name in modules()]
    pages = {f"{name}.md": _api(name, f"catvae_lib.{name}") for name in names}
    toctree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, "```", ""])
    return pages | {"index.md": f"{_api('The library', 'catvae_lib')}\n{toctree}"}


def _api(heading: str, module: str) -> str:
    options = "   :members:\n" + "   :imported-members:\n" * (module == "catvae_lib.estimators")
    return f"# {heading}\n\n```{{eval-rst}}\n.. automodule:: {module}\n{options}```\n"


# --- the build


def stage(root: Path, source: Path) -> None:
    """Lay out everything that Sphinx reads."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "docs", source, ignore=shutil.ignore_patterns("conf.py", "_static"))
    shutil.copytree(root / "figures", source / "figures", ignore=shutil.ignore_patterns("results", "*.json"))
    book = {one: nbformat.read(one.notebook, as_version=4) for one in chapters(root) if one.notebook.exists()}
    for chapter, notebook in book.items():
        closing = f"{stamp(chapter, root)} [Its claims, one by one](#claims-{chapter.number.lower()})."
        write(source / "chapters" / chapter.notebook.name, dump(for_web(notebook, closing)))
    drawn = {name for notebook in book.values() for name in names(notebook)}
    shown = {picture_file(source / "figures", name) for name in drawn}
    for file in set((source / "figures").iterdir()) - shown:
        file.unlink()
    made = {"map.md": map_page(book), "equations.md": equations_page(book)}
    made |= {"claims.md": claims_page(book, root), "gallery.md": gallery_page(book, source / "figures")}
    made |= {f"api/{name}": text for name, text in api_pages().items()}
    for name, text in made.items():
        write(source / name, text.encode())


def build(root: Path, cache: Path, mathjax_file: Path) -> Path:
    """Build the site into cache/site; every warning of Sphinx is an error."""
    source, site = cache / "site-source", cache / "site"
    stage(root, source)
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-j", "2", "-b", "html"]
    command += ["-c", str(root / "docs"), "-d", str(cache / "site-doctrees"), str(source), str(site)]
    paths = [str(root), str(root / "tools"), *filter(None, [os.environ.get("PYTHONPATH")])]
    if subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}).returncode:
        raise SiteError("Sphinx gave the warnings above: the site is not to be used")
    shutil.copy(mathjax_file, site / "_static" / mathjax_file.name)
    return site


def main() -> int:
    try:
        site = build(ROOT, ROOT / CACHE, mathjax(ROOT / CACHE / "mathjax"))
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    pages = list(site.rglob("*.html"))
    print(f"{len(pages)} pages: open {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
