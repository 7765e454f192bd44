"""The map of equations is whole, and each way to break it is found."""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import check
import equations
from book import ROOT, Chapter, chapters
from equations import EQUATIONS, check_map, entries

FILE = "A_errata.ipynb"
OTHER = "05_bernoulli_kl.ipynb"


def text_of_entry(id: str, lines: tuple[str, ...] = ()) -> str:
    """A right entry, or one with other lines."""
    right = (
        "$as printed$",
        "`density.bernoulli_kl`, `latent.BernoulliLatent.kl`",
        "`tests/test_density.py::test_two_categories_are_one_bit`",
        f"[05]({OTHER}) `05.kl_tenth`, [A]({FILE}) `A.01.area`, `A.02.drawn`",
    )
    first, *others = lines or right
    return "\\\n  ".join([f"- **{id} {EQUATIONS[id]}**: {first}", *others])


def printing(*claims: str) -> NotebookNode:
    text = "".join(f"claim {id}: 1 = 1 holds [counted]\n" for id in claims)
    return new_code_cell(outputs=[new_output("stream", name="stdout", text=text)])


def small_book(map_text: str, slips: int = 13) -> dict[str, NotebookNode]:
    """Chapter A with this map, and chapter 05."""
    shown = printing("A.01.area", *(f"A.{slip:02}.drawn" for slip in range(2, slips + 1)))
    appendix = new_notebook(cells=[new_markdown_cell(map_text), shown])
    return {OTHER: new_notebook(cells=[printing("05.kl_tenth")]), FILE: appendix}


def whole_map() -> str:
    return "## The map\n\n" + "\n".join(map(text_of_entry, EQUATIONS)) + "\n\nNo entry: `density.nothing`."


def stored() -> dict[str, NotebookNode]:
    """The book's notebooks, as `check.py` reads them."""
    return {one.notebook.name: nbformat.read(one.notebook, as_version=4) for one in chapters()}


def test_the_books_map_is_whole() -> None:
    notebooks = stored()
    assert [entry.id for entry in entries(notebooks[FILE])] == list(EQUATIONS)
    assert check_map(notebooks, ROOT) == []


def test_a_small_right_map_passes() -> None:
    assert check_map(small_book(whole_map()), ROOT) == []
    assert len(entries(small_book(whole_map())[FILE])) == len(EQUATIONS)


def test_a_book_without_chapter_a_has_no_map_to_check() -> None:
    assert check_map({"01_good.ipynb": new_notebook()}, ROOT) == []


@pytest.mark.parametrize("id", EQUATIONS)
def test_each_equation_without_an_entry_is_found(id: str) -> None:
    """In the book's own map, one entry at a time."""
    notebooks = stored()
    for cell in notebooks[FILE].cells:
        cell.source = re.sub(rf"^- \*\*{id} .*\n(?:  .*\n?)*", "", cell.source, flags=re.MULTILINE)
    assert check_map(notebooks, ROOT) == [f"{FILE}: the map lacks {id}, {EQUATIONS[id]}: write its entry"]


LINES = ("as printed", "`density.bernoulli_kl`", "`tests/test_vae.py::test_inputs_are_left_alone`")
COVER = f"[05]({OTHER}) `05.kl_tenth`"
BROKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "no such function": (
        (LINES[0], "`density.gumbel_pdf`", LINES[2], COVER),
        "names density.gumbel_pdf, which catvae_lib does not have",
    ),
    "no such module": (
        (LINES[0], "`densities.gumbel_cdf`", LINES[2], COVER),
        "names densities.gumbel_cdf, which catvae_lib does not have",
    ),
    "no such method": (
        (LINES[0], "`density.gumbel_cdf`, `latent.BernoulliLatent.price`", LINES[2], COVER),
        "names latent.BernoulliLatent.price, which catvae_lib does not have",
    ),
    "no library": (
        (LINES[0], "`torch.softmax`", LINES[2], COVER),
        "names torch.softmax, which catvae_lib does not have",
    ),
    "a module": (
        (LINES[0], "`density`", LINES[2], COVER),
        "names density, which is no public function",
    ),
    "a private function": (
        (LINES[0], "`density._log`", LINES[2], COVER),
        "names density._log, which is no public function",
    ),
    "a number": (
        (LINES[0], "`noise.torch.pi`", LINES[2], COVER),
        "names noise.torch.pi, which is no public function",
    ),
    "no function": ((LINES[0], "none", LINES[2], COVER), "names no function"),
    "no test": ((*LINES[:2], "none", COVER), "names no test"),
    "no such test": (
        (*LINES[:2], "`tests/test_vae.py::test_everything`", COVER),
        "names the test tests/test_vae.py::test_everything, but tests/test_vae.py has no such test",
    ),
    "a helper, not a test": (
        (*LINES[:2], "`tests/test_vae.py::loss_by_hand`", COVER),
        "names the test tests/test_vae.py::loss_by_hand, but tests/test_vae.py has no such test",
    ),
    "a file without a test": (
        (*LINES[:2], "`tests/test_vae.py`", COVER),
        "names the test tests/test_vae.py, but tests/test_vae.py has no such test",
    ),
    "no such file": (
        (*LINES[:2], "`tests/test_nothing.py::test_inputs_are_left_alone`", COVER),
        "but there is no file tests/test_nothing.py of tests",
    ),
    "a file that pytest does not collect": (
        (*LINES[:2], "`tests/conftest.py::test_inputs_are_left_alone`", COVER),
        "but there is no file tests/conftest.py of tests",
    ),
    "a file elsewhere": (
        (*LINES[:2], "`tests/../tests/test_vae.py::test_inputs_are_left_alone`", COVER),
        "but there is no file tests/../tests/test_vae.py of tests",
    ),
    "no claim": ((*LINES, "none"), "must name its claims as in"),
    "a claim without a link": ((*LINES, "`05.kl_tenth`"), "must name its claims as in"),
    "a claim that is not linked": ((*LINES, f"{COVER}; see `A.01.area`"), "must name its claims as in"),
    "a link without a claim": ((*LINES, f"[05]({OTHER})"), "must name its claims as in"),
    "no such claim": (
        (*LINES, f"[05]({OTHER}) `05.kl_tenth`, `05.kl_ninth`"),
        "names the claim 05.kl_ninth, which 05_bernoulli_kl.ipynb does not print",
    ),
    "a claim of another chapter": (
        (*LINES, f"[05]({OTHER}) `A.01.area`"),
        "names the claim A.01.area, which 05_bernoulli_kl.ipynb does not print",
    ),
    "no such notebook": (
        (*LINES, "[05](05_nothing.ipynb) `05.kl_tenth`"),
        "links [05] to 05_nothing.ipynb, which is no notebook of that chapter",
    ),
    "another chapter's notebook": (
        (*LINES, f"[04]({OTHER}) `05.kl_tenth`"),
        "links [04] to 05_bernoulli_kl.ipynb, which is no notebook of that chapter",
    ),
    "a line too few": (LINES, "has 3 lines, not 4: the equation, functions, a test, claims"),
    "a line too many": ((*LINES, COVER, "more"), "has 5 lines, not 4"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_entry_that_points_nowhere_is_found(name: str) -> None:
    lines, expected = BROKEN[name]
    broken = whole_map().replace(text_of_entry("E8"), text_of_entry("E8", lines))
    (finding,) = check_map(small_book(broken), ROOT)
    assert finding.startswith(f"{FILE}: the map's E8 ") and expected in finding


RENAMED: dict[str, tuple[Callable[[str], str], str]] = {
    "another name": (
        lambda text: text.replace("**E8 Gumbel density**", "**E8 Gumbel CDF**"),
        'the map\'s E8 is called "Gumbel CDF", in the list of equations "Gumbel density"',
    ),
    "twice": (lambda text: text + "\n\n" + text_of_entry("E8"), "the map has E8 2 times"),
    "unknown": (
        lambda text: text.replace("\n\nNo", text_of_entry("E8").replace("- **E8", "\n- **E99") + "\n\nNo"),
        'the map\'s E99 is called "Gumbel density", in the list of equations "None"',
    ),
}


@pytest.mark.parametrize("name", RENAMED)
def test_an_entry_for_another_equation_is_found(name: str) -> None:
    change, expected = RENAMED[name]
    (finding,) = check_map(small_book(change(whole_map())), ROOT)
    assert expected in finding


def test_a_slip_that_no_claim_shows_is_found() -> None:
    assert check_map(small_book(whole_map(), slips=12), ROOT) == [
        f"{FILE}: no claim shows a slip: name one A.13.something"
    ]


def test_a_claim_that_is_no_longer_printed_is_found() -> None:
    """The outputs count, not the text: chapter 05 with its outputs cleared."""
    notebooks = stored()
    cited = {id for entry in entries(notebooks[FILE]) for id in re.findall(r"`(05\.[^`]+)`", entry.lines[3])}
    for cell in notebooks[OTHER].cells:
        cell["outputs"] = []
    found = check_map(notebooks, ROOT)
    missing = {id for finding in found for id in re.findall(r"names the claim ([\w.]+), which 05_", finding)}
    assert missing == cited and len(cited) >= 5


def test_check_reports_the_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What CI calls: a book whose map is empty."""
    (tmp_path / "notebooks").mkdir()
    for file, notebook in small_book("## The map").items():
        nbformat.write(notebook, tmp_path / "notebooks" / file)
    assert check.main([], tmp_path) == 1
    said = capsys.readouterr().err
    assert all(f"{FILE}: the map lacks {id}, {name}" in said for id, name in EQUATIONS.items())


@pytest.mark.parametrize(("number", "excused"), [("A", True), ("B", False), ("01", False), ("AB", False)])
def test_only_chapter_a_may_have_many_cells_and_none_may_have_long_ones(
    tmp_path: Path, number: str, excused: bool
) -> None:
    notebook = new_notebook(
        cells=[new_markdown_cell("more") for _ in range(30)] + [new_code_cell("x = 1\n" * 21)]
    )
    chapter = Chapter(tmp_path / f"{number}_good.py", tmp_path / f"{number}_good.ipynb")
    found = check.check_notebook(chapter, notebook, tmp_path, None)
    assert ("31 cells, more than 30: merge or split" in found) is not excused
    assert "cell 31 has 21 lines, more than 20: split it or move its plot" in found


def test_the_list_of_equations_is_numbered_without_a_gap() -> None:
    for letter, count in {"E": 16, "F": 7, "W": 14}.items():
        expected = [f"{letter}{number}" for number in range(1, count + 1)]
        assert [id for id in EQUATIONS if id.startswith(letter)] == expected
    assert len(set(EQUATIONS.values())) == len(EQUATIONS) == 37
    assert equations.SLIPS == 13
