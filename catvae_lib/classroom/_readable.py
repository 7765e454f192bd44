"""Whether the words of a figure can be read: their contrast against what lies behind them."""

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike


def luminance(rgb: ArrayLike) -> float:
    """The relative luminance of an sRGB colour with parts in [0, 1], as WCAG 2 defines it."""
    parts = np.asarray(rgb, dtype=float)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: ArrayLike, other: ArrayLike) -> float:
    """The contrast of two sRGB colours, from 1 (the same) to 21 (black on white).

    Example:
        >>> contrast((0, 0, 0), (1, 1, 1))
        21.0
    """
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def faintest(fig: Figure) -> tuple[str, float] | None:
    """The word of a figure with the least contrast, and its contrast; None if the figure has no words.

    Behind a word lies the colour that most pixels of its box have.
    """
    with mpl.rc_context({"text.antialiased": False}):
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    measured = []
    for text in fig.findobj(lambda artist: isinstance(artist, Text)):
        assert isinstance(text, Text)
        if (behind := _behind(text, pixels)) is not None:
            *colour, alpha = to_rgba(text.get_color(), text.get_alpha())
            seen = alpha * np.array(colour) + (1 - alpha) * behind
            measured.append((text.get_text(), contrast(seen, behind)))
    return min(measured, key=lambda one: one[1], default=None)


def _behind(text: Text, pixels: np.ndarray) -> np.ndarray | None:
    """The most frequent colour in the box of a word; None if nothing of it is seen."""
    if not (text.get_visible() and text.get_text().strip()):
        return None
    box, height = text.get_window_extent(), len(pixels)
    rows = slice(max(0, round(height - box.y1)), max(0, round(height - box.y0)))
    inside = pixels[rows, max(0, round(box.x0)) : max(0, round(box.x1))].reshape(-1, 3)
    if not len(inside):
        return None
    colours, counts = np.unique(inside, axis=0, return_counts=True)
    return np.asarray(colours[counts.argmax()]) / 255
