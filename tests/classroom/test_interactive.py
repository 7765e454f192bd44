"""A slider moves the same samples; a chapter without a reader shows nothing; the page has its pictures."""

import builtins
import io
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import IPython
import ipywidgets
import numpy as np
import pytest
from matplotlib.image import imread

from book import ROOT
from catvae_lib.classroom import demonstrations as demo
from catvae_lib.classroom import interactive
from catvae_lib.classroom.interactive import DEMONSTRATIONS, Live, offer
from demonstrations import picture

FUNCTIONS = {
    "simplex": interactive.temperature_on_the_simplex,
    "race": interactive.gumbel_race,
    "sigmoid": interactive.sigmoid_of_logistic,
    "bias": interactive.bias_and_variance,
}
PAGE = (ROOT / "docs" / "demonstrations.md").read_text(encoding="utf-8")
MOVES = [(name, control.key) for name, controls in demo.CONTROLS.items() for control in controls]


def elsewhere(name: str, key: str) -> float:
    """A parameter far from where its slider starts."""
    (control,) = (one for one in demo.CONTROLS[name] if one.key == key)
    return control.value(control.low)


def parts(panel: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    """The sliders by key, the button, the picture and the words of a widget."""
    *sliders, button, image, words = panel.children
    return {slider.description: slider for slider in sliders}, button, image, words


@pytest.mark.parametrize(("name", "key"), MOVES)
def test_every_slider_moves_its_picture_there_and_back(name: str, key: str) -> None:
    live = Live(name)
    own = live.noise.clone()
    first, moved = live.show(), live.show({key: elsewhere(name, key)})
    assert moved[0] != first[0]
    assert live.show() == first  # the same samples, to the last pixel
    assert (live.noise == own).all()


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_only_new_noise_is_other_noise_in_a_fixed_order(name: str) -> None:
    one, other = Live(name), Live(name)
    before = one.show()
    assert other.show() == before
    one.draw_noise()
    assert one.show() != before
    other.draw_noise()
    assert other.show() == one.show()


def test_the_marks_stand_where_the_data_says() -> None:
    live = Live("simplex")
    values = {c.key: c.value(c.start) for c in live.controls} | {"temperature": 0.2}
    data = live.parts.compute(values, live.noise)
    live.show({"temperature": 0.2})
    for k, cloud in enumerate(live.picture.clouds):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(cloud.get_xydata(), data.places[data.winner == k])
    bars = live.picture.shares.bars  # type: ignore[attr-defined]
    np.testing.assert_allclose([bar.get_height() for bar in bars], data.probabilities)


def test_the_lines_of_the_errors_stand_where_the_data_says() -> None:
    live = Live("bias")
    values = {c.key: c.value(c.start) for c in live.controls} | {"temperature": 0.2}
    data: demo.Bias = live.parts.compute(values, live.noise)
    live.show({"temperature": 0.2})
    shown: Any = live.picture
    upright = [float(line.get_xdata()[0]) for line in (shown.exact, shown.mean, shown.now)]
    np.testing.assert_allclose(upright, [data.exact, data.estimates.mean(), 0.2])
    np.testing.assert_array_equal(shown.lines[0].get_ydata(), data.squared_bias)
    np.testing.assert_array_equal(shown.lines[1].get_ydata(), data.variance)


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_no_mark_is_left_where_it_stood_before(name: str) -> None:
    live = Live(name)
    live.show()
    for artist in live.picture.moving:
        artist.set_visible(False)
    bare = live.picture.png()
    live.picture.canvas.draw()  # axes and labels alone
    pixels = np.asarray(live.picture.canvas.buffer_rgba())
    np.testing.assert_allclose(imread(io.BytesIO(bare)), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_widget_follows_its_sliders_and_its_button(name: str) -> None:
    sliders, button, image, words = parts(FUNCTIONS[name]())
    assert list(sliders) == [control.label for control in demo.CONTROLS[name]]
    first = image.value, words.value
    assert first == Live(name).show()
    slider = next(iter(sliders.values()))
    start = slider.value
    slider.value = slider.value * 2 if isinstance(slider, ipywidgets.FloatLogSlider) else slider.max
    assert image.value != first[0]
    slider.value = start
    assert (image.value, words.value) == first
    button.click()
    assert image.value != first[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_widget_has_no_output_widget(name: str) -> None:
    kinds = {type(child).__name__ for child in FUNCTIONS[name]().children}
    assert kinds <= {"FloatLogSlider", "FloatSlider", "IntSlider", "Button", "Image", "HTML"}


# --- where a chapter offers one


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A notebook's kernel; what it displays."""
    found: list[Any] = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(user_ns={}))
    monkeypatch.setattr(IPython.display, "display", found.append)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return found


def test_a_chapter_that_nobody_reads_shows_nothing(shown: list[Any]) -> None:
    offer(interactive.gumbel_race)
    assert shown == []


def test_a_chapter_in_jupyterlab_shows_the_widget(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/02_gumbel_max_trick.ipynb")
    offer(interactive.gumbel_race)
    assert [type(one) for one in shown] == [ipywidgets.VBox]


def test_a_plain_script_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "inherited")
    assert not interactive.front_end()


def test_without_ipywidgets_the_chapter_runs_and_the_function_says_what_to_do(
    shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "ipywidgets":
            raise ImportError(name)
        return own(name, *rest)

    monkeypatch.setenv("JPY_SESSION_NAME", "somewhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(builtins, "__import__", without)
    offer(interactive.gumbel_race)
    assert shown == []
    with pytest.raises(ImportError, match=re.escape('pip install "catvae_lib[book]"')):
        interactive.gumbel_race()


def test_importing_the_module_needs_no_widgets() -> None:
    text = (ROOT / "catvae_lib" / "classroom" / "interactive.py").read_text(encoding="utf-8")
    assert not re.search(r"^(import|from) ipywidgets", text, re.MULTILINE)
    assert "ipywidgets" in sys.modules  # this test imported it


# --- the page of the web book


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_the_page_holds_a_picture_with_alt_text_for_each(name: str) -> None:
    pattern = rf'<div class="demo" data-demo="{name}"><img src="_static/(.*?)" alt="(.*?)"></div>'
    ((file, alt),) = re.findall(pattern, PAGE)
    assert file == picture(name).name and len(alt) >= 60
    stored = imread(picture(name))
    fresh = imread(io.BytesIO(Live(name).show()[0]))
    assert stored.shape == fresh.shape
    assert np.abs(stored - fresh).mean() < 0.002, "run `python tools/demonstrations.py`"


def test_the_page_has_these_demonstrations_and_no_others() -> None:
    assert re.findall(r'data-demo="(\w+)"', PAGE) == list(DEMONSTRATIONS) == list(demo.CONTROLS)
    assert sorted(picture("x").parent.glob("demo_*.png")) == sorted(map(picture, DEMONSTRATIONS))
