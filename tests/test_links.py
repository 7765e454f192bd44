"""Every relative link of the guides and of the notebooks' text leads to a file of the book."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from book import ROOT

GUIDES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(set(ROOT.glob("docs/**/*.md")) - {ROOT / "docs" / "index.md"}),  # whose links are the site's
]
NOTEBOOKS = sorted(ROOT.glob("notebooks/**/*.ipynb"))
MARKDOWN = MarkdownIt("commonmark").enable("table")
HTML = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)=["']([^"']+)["']""")
PATH = re.compile(r"`((?:catvae_lib|docs|figures|notebooks|tests|tools|\.(?!venv|cache)\w+)/[\w./-]*)`")
UNTRACKED = {".venv", ".cache"}


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def links(text: str) -> list[str]:
    """The targets of all links and pictures, written as Markdown or as HTML; none of what is code."""
    found = []
    for token in flat(MARKDOWN.parse(text)):
        found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
        if token.type in {"html_block", "html_inline"}:
            found += HTML.findall(token.content)
    return found


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings."""
    tokens = MARKDOWN.parse(text)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def inside(target: Path, root: Path) -> bool:
    """Whether a file is there and part of the book, not of what is made beside it."""
    tracked = target.is_relative_to(root) and not UNTRACKED & set(target.relative_to(root).parts)
    return tracked and target.exists()


def dead(text: str, folder: Path, root: Path = ROOT) -> list[str]:
    """The relative links that lead to no file inside the book, or to no heading of it."""
    found = []
    for link in links(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (folder / unquote(parts.path)).resolve() if parts.path else None
        if target is not None and not inside(target, root):
            found.append(link)
        elif parts.fragment and (target is None or target.suffix == ".md"):
            page = text if target is None else target.read_text(encoding="utf-8")
            found += [] if parts.fragment in anchors(page) else [link]
    return found


def lost(text: str) -> list[str]:
    """The paths named in a guide that do not exist; NN stands for a chapter's number."""
    return [path for path in PATH.findall(text) if "NN" not in path and not (ROOT / path).exists()]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_path_of_a_guide_leads_somewhere(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    assert dead(text, guide.parent) == []
    assert lost(text) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_notebook_leads_somewhere(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert [link for text in texts for link in dead(text, path.parent)] == []


def test_there_is_something_to_look_at() -> None:
    assert len(NOTEBOOKS) >= 14 + 3 * 11 and len(links(GUIDES[0].read_text(encoding="utf-8"))) > 20


@pytest.mark.parametrize(
    "text",
    [
        "[a](gone.md)",
        "![a](figures/gone.png)",
        "see [a][b]\n\n[b]: gone.md",
        '<img src="gone.png" alt="a">',
        "a <a href='gone.md'>b</a>",
        "| a |\n|---|\n| [b](gone.md) |",
        "- **[a](gone.md)**",
        "[a](../outside.md)",
        "[a](.cache/there.md)",
        "[a](there.md#no-such-heading)",
        "[a](#no-such-heading)",
    ],
)
def test_a_dead_link_is_found(text: str, tmp_path: Path) -> None:
    root = tmp_path / "book"
    (root / ".cache").mkdir(parents=True)
    for name in ("there.md", "../outside.md", ".cache/there.md"):
        (root / name).write_text("# One heading")
    assert len(dead(text, root, root)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[a](there.md), [b](there.md#one-heading-its-name), [c](https://a.org/gone.md), [d](mailto:a@b.c)",
        "`[a](gone.md)` and\n\n```\n[b](gone.md)\n```",
        "# Two\n\n[a](#two)",
        "[a](with%20space.md)",
    ],
)
def test_a_living_link_is_not(text: str, tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One heading, its `name`")
    (tmp_path / "with space.md").touch()
    assert dead(text, tmp_path, tmp_path) == []


def test_a_path_that_is_gone_is_found() -> None:
    assert lost("`tests/gone.py`, `tests/test_links.py`, `notebooks/source/NN_name.py`") == ["tests/gone.py"]
