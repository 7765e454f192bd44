"""The palette as three kinds of colour vision see it, and the contrast of words."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from catvae_lib.classroom import plot
from catvae_lib.classroom._readable import contrast, faintest

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB: without the middle (deuteranopia) or the
# long (protanopia) cones, which about one man in a hundred lacks, each.
VISION = {
    "all cones": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
TO_XYZ = np.array(  # linear sRGB, white D65
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
APART = 20  # CIE 1976: about nine times the least difference that is noticed


def lab(colour: str, vision: np.ndarray) -> np.ndarray:
    """A colour as it is seen, in CIE L*a*b*, where distances are about equally visible."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    share = TO_XYZ @ np.clip(vision @ linear, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(palette: tuple[str, ...], vision: np.ndarray) -> float:
    seen = [lab(colour, vision) for colour in palette]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("vision", VISION)
def test_every_two_colours_can_be_told_apart(vision: str) -> None:
    assert closest(plot.PALETTE, VISION[vision]) > APART


def test_red_and_green_are_found_too_close() -> None:
    matplotlibs = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")
    assert closest(matplotlibs, VISION["all cones"]) > APART > closest(matplotlibs, VISION["deuteranopia"])
    np.testing.assert_allclose(lab("#ff0000", VISION["all cones"]), [53.24, 80.09, 67.20], atol=0.02)


def test_grey_stays_grey_in_every_vision() -> None:
    for vision in VISION.values():
        np.testing.assert_allclose(vision.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("#767676", "#ffffff", 4.54), ("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59)],
)
def test_contrast_agrees_with_published_figures(one: str, other: str, expected: float) -> None:
    assert contrast(to_rgb(one), to_rgb(other)) == pytest.approx(expected, abs=0.005)
    assert contrast(to_rgb(other), to_rgb(one)) == contrast(to_rgb(one), to_rgb(other))


@pytest.mark.parametrize("colour", plot.PALETTE[:3])
def test_the_first_colours_can_be_read_as_words(colour: str) -> None:
    assert contrast(to_rgb(colour), (1, 1, 1)) >= 4.5


def test_lines_stand_out() -> None:
    assert all(contrast(to_rgb(colour), (1, 1, 1)) >= 3 for colour in plot.PALETTE[:4])


@pytest.mark.parametrize(
    ("colour", "alpha", "behind", "expected"),
    [
        ("#777777", 1.0, "white", 4.48),
        ("black", 0.5, "white", 3.95),  # as #808080
        ("white", 1.0, "black", 21),
        ("black", 1.0, "#0000ff", 2.44),
    ],
)
def test_the_faintest_word_is_found(colour: str, alpha: float, behind: str, expected: float) -> None:
    fig, ax = plt.subplots()
    ax.axis("off")
    ax.add_patch(plt.Rectangle((0.2, 0.2), 0.6, 0.6, color=behind))
    ax.text(0.5, 0.5, "word", color=colour, alpha=alpha, ha="center")
    ax.text(0.5, 0.7, "hidden", color=behind, visible=False)
    if behind == "white":
        ax.text(0.5, 0.4, "other", color="black")
    word, measured = faintest(fig)
    plt.close(fig)
    assert word == "word" and measured == pytest.approx(expected, abs=0.05)


def test_a_figure_without_words_has_no_faintest() -> None:
    fig, ax = plt.subplots()
    ax.axis("off")
    assert faintest(fig) is None
    plt.close(fig)
