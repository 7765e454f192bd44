"""The web book: what its pages are made from, and a build whose every link, picture and fold is looked at."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from nbformat import NotebookNode

import web
from book import ROOT, Chapter, chapters

SOLUTIONS = "Show the solution"
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}


@dataclass
class Page(HTMLParser):
    """What a page holds, as far as the checks below ask."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    without_alt: list[str] = field(default_factory=list)
    unlinked: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    folds: int = 0
    unfolded: list[str] = field(default_factory=list)
    alts: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.update(filter(None, (given.get("id"), given.get("name") if tag == "a" else None)))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        self.fetched += [given[name] for kind, name in FETCHED if kind == tag and given.get(name)]
        if tag == "img":
            self.alts.append((given.get("alt") or "").strip())
            if not self.alts[-1] or self.alts[-1].endswith(".png"):  # a file's name is Sphinx' last resort
                self.without_alt.append(given.get("src") or "")
        if tag == "details" and "open" in given:
            self.unfolded.append("an open drop-down")
        if tag == "code" and "py-obj" in (given.get("class") or "") and "a" not in self._open:
            self.unlinked.append(str(self.getpos()))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if re.search("[$`]", data) and not {"pre", "code", "script", "style", "dt"} & set(self._open):
            self.unread.append(data.strip())
        self.folds += data.strip() == SOLUTIONS
        if re.search(r"# Solution \d", data) and "details" not in self._open:
            self.unfolded.append(data.strip())


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


def outside(page: Page) -> list[str]:
    return [address for address in page.fetched if urlsplit(address).scheme or address.startswith("//")]


def dead_links(site: Path, pages: dict[Path, Page]) -> list[str]:
    """Links inside the site, with or without an anchor, and files of the site, that lead nowhere."""
    dead = []
    for path, page in pages.items():
        for address in [*page.links, *page.fetched]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            missing = anchor and target in pages and anchor not in pages[target].ids
            if missing or not target.is_file():
                dead.append(f"{path.relative_to(site)}: {address}")
    return dead


def test_the_checks_find_what_is_broken(tmp_path: Path) -> None:
    text = (
        '<script src="https://cdn.example/x.js"></script><img src="//cdn.example/x.png">'
        '<img src="a.png" alt=" "><img src="b.png" alt="x/b.png">'
        '<code class="py-obj">f</code><a><code class="py-obj">g</code></a>'
        '<a href="#here" id="there">1</a><a href="none.html">2</a><details open></details>'
        "<code><span># Solution 1</span></code>"
        "<p>left: $x$</p><pre>$y$</pre>"
    )
    page = read(text)
    path = tmp_path.resolve() / "page.html"
    path.write_text(text)
    assert len(outside(page)) == 2 and len(page.without_alt) == 3 and len(page.unlinked) == 1
    assert page.unfolded == ["an open drop-down", "# Solution 1"]
    assert page.unread == ["left: $x$"]
    found = dead_links(path.parent, {path: page})
    assert [line.split(": ")[1] for line in found] == ["#here", "none.html", "a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Density $-z - e^{-z}$, any.", r"Density \ :math:`-z - e^{-z}`\ , any."),
        ("A $a +\n    b$ over lines.", r"A \ :math:`a + b`\  over lines."),
        ("One.\n\n$$a\n= b,$$\n\nTwo.", "One.\n\n\n.. math:: a = b,\n\n\nTwo."),
        ("Shape (B, *event) of |x|.", r"Shape (B, \*event) of \|x\|."),
        ("The *relaxed* f of `a*b`.", "The *relaxed* f of `a*b`."),
        ("Called alike,\n\n    f(*x)\n\nwith x.", "Called alike,\n\n::\n\n    f(*x)\n\nwith x."),
        ("One.\n\nExample:\n    >>> f('$', '*x')\n", "One.\n\nExample:\n    >>> f('$', '*x')\n"),
    ],
)
def test_a_docstring_becomes_what_sphinx_reads(text: str, expected: str) -> None:
    assert web.to_rst(text) == expected


def chapter_cells() -> NotebookNode:
    facts = "*Minutes:* about 5. *Hardware:* any. *Before this:* nothing."
    first = f"# 01. Title\n\nOne sentence\nof promise.\n\n{facts}"
    shown = nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": "A bell curve."})
    shown.metadata = NotebookNode({"image/png": {"alt": "A bell curve.", "figure": "01_Bell"}})
    line = "claim 01.mean: 0.5 = 0.5 +- 0.1 holds [closed form: $1/2$ | a_b]\n"
    printed = nbformat.v4.new_output("stream", text=line)
    cells = [
        nbformat.v4.new_markdown_cell(first),
        nbformat.v4.new_code_cell("show()", outputs=[shown, printed]),
        nbformat.v4.new_code_cell("# Solution 1", metadata={"tags": ["solution"]}),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_page_has_targets_and_folded_solutions() -> None:
    notebook = chapter_cells()
    before = copy.deepcopy(notebook)
    page = web.for_web(notebook, "The end.")
    targets, drawn, solution, closing = page.cells[1:]
    assert targets.source == "(claim-01.mean)=\n(figure-01_bell)="
    assert drawn.source == "show()" and not drawn.metadata
    assert solution.metadata["tags"] == ["hide-cell"]
    assert solution.metadata["mystnb"]["code_prompt_show"] == SOLUTIONS
    assert closing.source.endswith("The end.")
    assert notebook == before, "the stored notebook must stay as it is"


def test_what_a_chapter_says_of_itself() -> None:
    notebook = chapter_cells()
    assert web.facts(notebook) == ("One sentence of promise.", "about 5", "nothing")
    notebook.cells[0].source = "# 01. Title\n\nPromise."
    with pytest.raises(web.SiteError, match="names no minutes"):
        web.facts(notebook)


def test_the_pages_made_of_a_chapter(tmp_path: Path) -> None:
    book = {Chapter(Path("01_title.py"), Path("01_title.ipynb")): chapter_cells()}
    assert "(chapters/01_title.ipynb)" in web.map_page(book)
    page = web.claims_page(book, ROOT)
    row = "| [`01.mean`](#claim-01.mean) | 0.5 | = | 0.5 | 0.1 | closed form: \\$1/2\\$ \\| a\\_b |"
    assert row in page and "was built on 20" in page and "torch 2" in page
    assert ":::{figure} figures/01_Bell.png\n:alt: A bell curve." in web.gallery_page(book, tmp_path)
    (tmp_path / "01_Bell.svg").touch()
    assert ":::{figure} figures/01_Bell.svg" in web.gallery_page(book, tmp_path)


def test_the_stamp_names_a_day_only_where_the_chapter_was_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = Chapter(tmp_path / "01_title.py", tmp_path / "01_title.ipynb")
    (tmp_path / "constraints.txt").write_text("torch==2.1\nnumpy==1.0\nscipy==1.1\nmatplotlib==3.0\n")
    monkeypatch.setattr(web, "remembered", lambda chapter, root: None)
    stamp = web.stamp(chapter, tmp_path)
    assert "torch 2.1, numpy 1.0" in stamp and "not been executed" in stamp
    assert not re.search(r"\d{4}-", stamp)
    record = tmp_path / ".cache" / "executed" / "01_title.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    monkeypatch.setattr(web, "remembered", lambda chapter, root: object())
    assert re.search(r"executed on \d{4}-\d\d-\d\d: `cpu` profile", web.stamp(chapter, tmp_path))


def test_every_public_module_has_a_page_and_no_page_gives_answers() -> None:
    found = web.modules()
    assert {"catvae_lib.noise", "catvae_lib.estimators", "catvae_lib.papers.cells"} <= set(found)
    assert not [name for name in found if "checks" in name or "._" in name]


def test_only_the_right_file_of_mathjax_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    with pytest.raises(web.SiteError, match="npm is not installed: install Node"):
        web.mathjax(tmp_path)
    (tmp_path / "tex-svg.js").write_text("something else")
    with pytest.raises(web.SiteError, match="delete it and run again"):
        web.mathjax(tmp_path)


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(web.shutil, "which", lambda name: str(npm))
    with pytest.raises(web.SiteError, match=r"no network.*connect to the network once, or put"):
        web.mathjax(tmp_path / "mathjax")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="Sphinx is missing: install the extra `site`")
    cache = tmp_path_factory.mktemp("site")
    stand_in = cache / "tex-svg.js"  # the pages only name it
    stand_in.write_text("")
    return web.build(ROOT, cache, stand_in).resolve()


@pytest.mark.xdist_group("site")
def test_the_built_site(site: Path, record_property: Callable[[str, object], None]) -> None:
    files = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    pages = {path: read(path.read_text(encoding="utf-8")) for path in files}
    by_name = {path.relative_to(site).as_posix(): page for path, page in pages.items()}
    assert [address for page in pages.values() for address in outside(page)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"""(?:url\(|@import)\s*['"]?(?:https?:)?//""", styles)
    assert dead_links(site, pages) == []
    assert {path: page.without_alt for path, page in pages.items() if page.without_alt} == {}
    assert [line for page in pages.values() for line in page.unread] == []
    assert by_name["equations.html"].unlinked == []
    drawn: list[str] = []
    for chapter in chapters():
        notebook = nbformat.read(chapter.notebook, as_version=4)
        page = by_name[f"chapters/{chapter.name}.html"]
        solutions = sum("solution" in cell.metadata.get("tags", []) for cell in notebook.cells)
        assert solutions >= 3 and page.folds == solutions and page.unfolded == []
        assert page.alts == [label["alt"] for label in web.labels(chapter.notebook)] and len(page.alts) >= 2
        lines = [label["figure"] for label in web.labels(chapter.notebook)]
        lines = [f"{name}.svg" for name in lines if (ROOT / "figures" / f"{name}.svg").exists()]
        assert lines == [Path(address).name for address in page.fetched if address.endswith(".svg")]
        drawn += page.alts
    assert by_name["gallery.html"].alts == drawn
    assert '"temperatur' in (site / "searchindex.js").read_text(encoding="utf-8")
    assert not [path for path in site.rglob("*") if "solutions" in path.parts or "masters" in path.parts]
    sizes = {name: (site / name).stat().st_size / 1e3 for name in by_name}
    largest = max(sizes, key=sizes.__getitem__)
    whole = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
    mean = sum(sizes.values()) / len(sizes)
    note = f"site: {len(pages)} pages, {mean:.0f} kB on average, largest {largest} {sizes[largest]:.0f} kB"
    record_property("note", f"{note}; {whole:.1f} MB in all, MathJax not counted")
