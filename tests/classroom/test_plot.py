"""A shown figure leaves two whole files and one output with alt text, and nothing open."""

import base64
import json
import math
import subprocess
import sys
from pathlib import Path

import IPython
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from catvae_lib.classroom import plot

ALT = "A rising line through three points."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CATVAE_FIGURES", str(tmp_path / "figures"))
    return tmp_path / "figures"


def draw() -> plt.Figure:
    fig, ax = plt.subplots()
    ax.plot([1, 2, 3])
    return fig


def test_both_files_are_written_and_the_figure_is_closed(folder: Path) -> None:
    plot.show(draw(), "01_line", ALT, {"y": [1, 2.5]}, rtol=1e-3)
    assert sorted(path.name for path in folder.iterdir()) == ["01_line.json", "01_line.png", "01_line.svg"]
    assert (folder / "01_line.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((folder / "01_line.json").read_text())
    assert record == {
        "name": "01_line",
        "alt": ALT,
        "rtol": 1e-3,
        "faintest": [record["faintest"][0], 21.0],
        "data": {"y": [1, 2.5]},
    }
    assert plt.get_fignums() == []


def test_line_art_is_stored_as_lines_too_and_pixels_are_not(folder: Path) -> None:
    plot.show(draw(), "01_line", ALT, {"y": [1]})
    assert (folder / "01_line.svg").read_bytes().startswith(b"<?xml")
    plot.show(plot.image_grid({"digits": [[0.0, 1.0, 1.0, 0.0]]}, (2, 2)), "01_line", ALT, {"y": [1]})
    assert not (folder / "01_line.svg").exists()
    fig, ax = plt.subplots()
    ax.plot(np.random.default_rng(0).random(2000), "o")
    plot.show(fig, "01_dots", ALT, {"y": [1]})
    assert (folder / "01_dots.png").exists() and not (folder / "01_dots.svg").exists()


def test_the_same_figure_gives_the_same_bytes(folder: Path) -> None:
    plot.show(draw(), "01_line", ALT, {"y": [1]})
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    plot.show(draw(), "01_line", ALT, {"y": [1]})
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1 / 3, 0.333333),
        (123456.7, 123457.0),
        (np.float32(0.1), 0.1),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (torch.tensor([0.1], requires_grad=True), [0.1]),
        ((1, [2.0, "tau"]), [1, [2.0, "tau"]]),
        (range(2), [0, 1]),
        ([math.inf, -math.inf, math.nan], ["inf", "-inf", "nan"]),
        (True, True),
    ],
)
def test_data_is_stored_as_plain_numbers(folder: Path, value: object, stored: object) -> None:
    plot.show(draw(), "01_line", ALT, {"y": value})
    text = (folder / "01_line.json").read_text()
    assert json.loads(text)["data"]["y"] == stored


def test_a_notebook_shows_the_saved_picture_with_its_alt_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, figure = [], draw()  # before the patch: pyplot's first figure asks IPython for its events
    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: shown.append((data, options)))
    plot.show(figure, "01_line", ALT, {"y": [1]})
    ((data, options),) = shown
    assert base64.b64decode(data["image/png"]) == (folder / "01_line.png").read_bytes()
    assert data["text/plain"] == ALT
    assert options == {"metadata": {"image/png": {"alt": ALT, "figure": "01_line"}}, "raw": True}


def test_a_plain_script_needs_no_ipython(tmp_path: Path) -> None:
    script = (
        "import sys; from catvae_lib.classroom import plot; fig = plot.plt.figure();"
        f"plot.show(fig, '01_line', {ALT!r}, {{'y': [1]}});"
        "assert not {'IPython', 'torch', 'seaborn', 'pandas'} & set(sys.modules), 'a heavy import'"
    )
    environment = {"CATVAE_FIGURES": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert (tmp_path / "01_line.png").exists()


def test_an_interrupted_write_leaves_the_previous_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plot.show(draw(), "01_line", ALT, {"y": [1]})
    before = (folder / "01_line.json").read_bytes()

    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plot.show(draw(), "01_line", ALT, {"y": [2]})
    assert (folder / "01_line.json").read_bytes() == before
    plt.close("all")


def test_without_the_variable_the_book_s_own_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CATVAE_FIGURES", raising=False)
    package = tmp_path / "root" / "catvae_lib" / "classroom"
    monkeypatch.setattr(plot, "__file__", str(package / "plot.py"))
    monkeypatch.chdir(tmp_path)
    assert plot._folder() == tmp_path / "figures"  # installed as a wheel
    package.mkdir(parents=True)
    (tmp_path / "root" / "pyproject.toml").touch()
    assert plot._folder() == tmp_path / "root" / "figures"


@pytest.mark.parametrize(
    ("profile", "folder"),
    [
        (None, "figures"),
        ("", "figures"),
        ("cpu", "figures"),
        ("smoke", ".cache/figures-smoke"),
        ("gpu", ".cache/figures-gpu"),
    ],
)
def test_another_profile_spares_the_book_s_own_folder(
    monkeypatch: pytest.MonkeyPatch, profile: str | None, folder: str
) -> None:
    monkeypatch.delenv("CATVAE_FIGURES", raising=False)
    monkeypatch.delenv("CATVAE_PROFILE", raising=False)
    if profile is not None:
        monkeypatch.setenv("CATVAE_PROFILE", profile)
    root = Path(plot.__file__).parents[2]
    assert plot._folder() == root / folder
    monkeypatch.setenv("CATVAE_FIGURES", "mine")
    assert plot._folder() == Path("mine")


@pytest.mark.parametrize("profile", ["laptop", "../../elsewhere", "CPU"])
def test_a_profile_that_is_none_is_told_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    monkeypatch.delenv("CATVAE_FIGURES", raising=False)
    monkeypatch.setenv("CATVAE_PROFILE", profile)
    with pytest.raises(ValueError, match=f"CATVAE_PROFILE must be one of smoke, cpu, gpu, got '{profile}'"):
        plot.show(draw(), "01_line", ALT, {"y": [1]})


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(folder: Path) -> None:
    folder.touch()  # a file where the folder should be
    with pytest.raises(OSError, match=r"figures cannot be written \(.*\): set CATVAE_FIGURES to a folder"):
        plot.show(draw(), "01_line", ALT, {"y": [1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "line"}, "name must read like \"01_gumbel_density\", got 'line'"),
        ({"name": "01_../x"}, "name must read like"),
        ({"alt": "A line."}, "alt must say in one line .20 characters or more. what is seen, got 'A line.'"),
        ({"alt": " " * 30}, "alt must say"),
        ({"alt": ALT + "\n" + ALT}, "alt must say in one line"),
        ({"data": {}}, "data must hold the plotted series, got {}"),
        ({"data": {"y": None}}, "data must hold numbers, .* got None"),
        ({"rtol": -1e-3}, "rtol must lie in .*, got -0.001"),
        ({"rtol": math.nan}, "rtol must lie in .*, got nan"),
        ({"rtol": 1.0}, "rtol must lie in .*, got 1.0"),
    ],
)
def test_bad_arguments_are_named(folder: Path, change: dict[str, object], message: str) -> None:
    arguments = {"name": "01_line", "alt": ALT, "data": {"y": [1]}, **change}
    with pytest.raises(ValueError, match=message):
        plot.show(draw(), **arguments)
    assert not folder.exists()
    plt.close("all")


def test_importing_applies_the_style() -> None:
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(plot.PALETTE)


def test_dots_lie_where_the_numbers_say() -> None:
    panels = {"error": {"a": (0.1,), "b": (0.2, 0.05)}, "time": {"b": (3.0,)}}
    figure = plot.dot_panels(panels, diamonds=["b"], hollow=["a"], log=True)
    left, right = figure.axes
    marks = [line for line in left.get_lines() if line.get_marker() in ("o", "D")]
    found = {(line.get_marker(), float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks}
    assert found == {("o", 0.1, 0.0), ("D", 0.2, 1.0)}
    assert [line.get_markerfacecolor() for line in marks] == ["white", plot.PALETTE[1]]
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    (segment,) = left.collections[0].get_segments()  # the interval of b
    np.testing.assert_allclose(segment[:, 0], [0.15, 0.25])
    assert [float(line.get_ydata()[0]) for line in right.get_lines()] == [1.0]  # beside its name
    assert (left.get_xscale(), right.get_xlabel()) == ("log", "time")
    plt.close(figure)


def test_dots_without_a_panel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"panels must hold one at least, got \{\}"):
        plot.dot_panels({}, diamonds=[])
