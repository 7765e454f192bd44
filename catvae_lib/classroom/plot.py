"""The book's figures: one look, one way to show a picture, and the data of each stored beside it."""

import base64
import io
import json
import math
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from catvae_lib._files import write_whole
from catvae_lib.classroom._readable import faintest

# Okabe and Ito's palette, told apart with every common colour vision; its yellow is too pale for a line.
# The orange and the green are darker than theirs: the first three colours can be read as words on white.
PALETTE = ("#0072B2", "#C65300", "#00684B", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# A picture without pixels of its own is stored as lines too, if the file stays as light as this.
MOST_SVG = 200_000

# Two runs that agree may be rounded apart: 6 significant digits round by at most 5e-6 of a value, twice.
RTOL = 1e-5

_NAME = re.compile(r"[0-9A-Z][0-9]?_[a-z0-9_]+")


def style() -> None:
    """Apply the look of the book: readable at half the page's width, safe for every colour vision.

    Example:
        >>> style()
        >>> mpl.rcParams["font.size"]
        13.0
    """
    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 4.0),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "lines.linewidth": 2,
            "legend.frameon": False,
            "image.cmap": "cividis",
        }
    )


def show(fig: Figure, name: str, alt: str, data: Mapping[str, Any], rtol: float = RTOL) -> None:
    """Save a figure as NAME.png and what it plots as NAME.json, show it with its alt text, and close it.

    The JSON also names the word that is hardest to read. Line art is saved as NAME.svg too, which the web
    book shows. The files go to the folder that the environment variable CATVAE_FIGURES names, by default
    figures/. If CATVAE_PROFILE names another profile than cpu, whose pictures the book stores, the default
    is .cache/figures-PROFILE.

    Args:
        fig: the figure.
        name: chapter and name, such as "01_gumbel_density".
        alt: what is to be seen, for a reader who cannot see it; at least 20 characters.
        data: the plotted series by name: numbers, strings, nested lists, arrays or tensors.
        rtol: by how much a later run may differ, as a share of the largest absolute value of each series.

    Raises:
        ValueError: the name, the alt text, the data or the tolerance is no use, or CATVAE_PROFILE names no
            profile.
        OSError: the folder cannot be written.

    Example:
        >>> show(Figure(), "density", "A bell curve, longer to the right.", {"x": [0.0]})
        Traceback (most recent call last):
        ...
        ValueError: name must read like "01_gumbel_density", got 'density'
    """
    kinds: dict[str, Any] = {"fig": Figure, "name": str, "alt": str, "data": Mapping, "rtol": int | float}
    for given, (word, wanted) in zip((fig, name, alt, data, rtol), kinds.items(), strict=True):
        _require(word, given, wanted)
    if not _NAME.fullmatch(name):
        raise ValueError(f'name must read like "01_gumbel_density", got {name!r}')
    if len(alt.strip()) < 20 or "\n" in alt:
        raise ValueError(f"alt must say in one line (20 characters or more) what is seen, got {alt!r}")
    if not data:
        raise ValueError(f"data must hold the plotted series, got {data!r}")
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol must lie in [0, 1), got {rtol!r}")
    series = {key: _plain(value) for key, value in data.items()}
    words = faintest(fig)
    told = {"name": name, "alt": alt, "rtol": rtol, "faintest": words and (words[0], round(words[1], 2))}
    record = json.dumps(told | {"data": series}, ensure_ascii=False)
    png, svg = _png(fig), _svg(fig, name)
    files = {"png": png, "svg": svg, "json": f"{record}\n".encode()}
    plt.close(fig)
    _store(_folder(), name, files)
    _display(png, name, alt)


def image_grid(rows: Mapping[str, Any], image_shape: tuple[int, int], scale: float = 0.9) -> Figure:
    """Draw rows of small images, ink dark on white, each row named on its left.

    Args:
        rows: images (n, D) in [0, 1] by the name of their row; every row has the same n.
        image_shape: height and width, with D = height * width.
        scale: inches of one image.

    Returns:
        The figure, for `show`.

    Raises:
        ValueError: there is no row, or rows differ in length.

    Example:
        >>> figure = image_grid({"digits": [[0.0, 1.0, 1.0, 0.0]]}, (2, 2))
        >>> len(figure.axes)
        1
    """
    _require("rows", rows, Mapping)
    _require("image_shape", image_shape, tuple | list)
    _require("scale", scale, int | float)
    if len(image_shape) != 2 or not all(isinstance(one, int) and one > 0 for one in image_shape):
        raise ValueError(f"image_shape must be (height, width), got {image_shape}")
    if not 0 < scale < 100:
        raise ValueError(f"scale must be positive, and less than 100 inches, got {scale!r:.20}")
    for name, images in rows.items():
        if np.asarray(images).size != len(np.atleast_1d(images)) * math.prod(image_shape):
            raise ValueError(f"rows must hold images of image_shape {image_shape}, not so {name!r}")
    counts = {name: len(images) for name, images in rows.items()}
    if not counts or len(set(counts.values())) != 1:
        raise ValueError(f"rows must hold the same number of images each, got {counts}")
    columns = next(iter(counts.values()))
    fig, axes = plt.subplots(
        len(rows), columns, squeeze=False, figsize=(scale * columns + 1.2, scale * len(rows) + 0.1)
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=True):
            ax.imshow(np.asarray(image).reshape(image_shape), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(True)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return fig


def dot_panels(
    panels: Mapping[str, Mapping[str, tuple[float, ...]]],
    diamonds: Collection[str],
    *,
    hollow: Collection[str] = (),
    log: bool = True,
) -> Figure:
    """Draw names down the side and one number of each in every panel.

    Args:
        panels: for each label of a horizontal axis, by name, (value,) or (value, half of its interval). A
            name that a panel lacks gets no mark there. The first panel's order runs upwards.
        diamonds: names drawn as orange diamonds in place of blue dots.
        hollow: names whose mark in the first panel is not filled.
        log: whether the axes are logarithmic.

    Returns:
        The figure, for `show`.

    Raises:
        ValueError: there is no panel.

    Example:
        >>> figure = dot_panels({"error": {"a": (0.1,), "b": (0.2, 0.05)}}, diamonds=["b"])
        >>> len(figure.axes)
        1
    """
    _check_panels(panels)
    for word, chosen in (("diamonds", diamonds), ("hollow", hollow)):
        _require(word, chosen, Collection)
    names = list(next(iter(panels.values())))
    size = (3.4 + 3.4 * len(panels), 0.36 * len(names) + 1.4)
    fig, axes = plt.subplots(1, len(panels), squeeze=False, sharey=True, figsize=size)
    for ax, (label, row) in zip(axes[0], panels.items(), strict=True):
        for height, name in enumerate(names):
            if name in row:
                value, half = (*row[name], 0.0)[:2]
                colour, mark = (PALETTE[1], "D") if name in diamonds else (PALETTE[0], "o")
                face = "white" if ax is axes[0][0] and name in hollow else colour
                ax.errorbar(
                    value, height, xerr=half or None, fmt=mark, color=colour, mfc=face, ms=8, capsize=3
                )
        ax.set(xscale="log" if log else "linear", xlabel=label)
        if log:  # 1, 2, 5, 10, ... written out
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0][0].set_yticks(range(len(names)), names)
    return fig


def beside(panels: Mapping[str, Mapping[str, tuple[float, float | None, float | None]]], unit: str) -> Figure:
    """Draw, in every panel, a number of ours with its interval beside a published one.

    Args:
        panels: by title, by name: our number, half of its interval or None, and the published number or
            None. The first panel's names run downwards; a name that a panel lacks gets no mark there.
        unit: label of the horizontal axes.

    Returns:
        The figure, for `show`.

    Raises:
        ValueError: there is no panel.

    Example:
        >>> figure = beside({"bits": {"Gumbel-softmax": (107.0, 0.3, 105.0)}}, "nats")
        >>> len(figure.axes)
        1
    """
    _check_panels(panels)
    _require("unit", unit, str)
    names = list(next(iter(panels.values())))
    size = (2.6 + 3.2 * len(panels), 0.36 * len(names) + 1.9)
    fig, axes = plt.subplots(1, len(panels), squeeze=False, sharey=True, figsize=size)
    for ax, (title, row) in zip(axes[0], panels.items(), strict=True):
        for height, name in enumerate(names):
            value, half, published = row.get(name, (math.nan, None, None))
            ax.errorbar(value, height, xerr=half, fmt="o", color=PALETTE[0], ms=8, capsize=3)
            if published is not None:
                ax.plot(published, height, "D", color=PALETTE[1], mfc="white", mew=2, ms=8)
        ax.set(title=title, xlabel=unit)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    marks = [
        Line2D([], [], marker="o", ls="", color=PALETTE[0], ms=8, label="ours, 95 %"),
        Line2D([], [], marker="D", ls="", color=PALETTE[1], mfc="white", mew=2, ms=8, label="published"),
    ]
    fig.legend(handles=marks, loc="outside upper right", ncols=2, fontsize=12)
    return fig


def _check_panels(panels: object) -> None:
    _require("panels", panels, Mapping)
    assert isinstance(panels, Mapping)
    if not panels or not all(isinstance(row, Mapping) for row in panels.values()):
        raise ValueError(f"panels must hold one at least, got {panels!r}")


def _store(folder: Path, name: str, files: Mapping[str, bytes | None]) -> None:
    """Write the files of a picture, by kind, and remove one that it has no longer."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in files.items():
            if content is None:
                (folder / f"{name}.{kind}").unlink(missing_ok=True)  # of a picture that was line art before
            else:
                write_whole(folder / f"{name}.{kind}", content)
    except OSError as error:
        remedy = "set CATVAE_FIGURES to a folder that can be"
        raise OSError(f"{folder} cannot be written ({error.strerror}): {remedy}") from error


def _require(name: str, value: object, kind: Any) -> None:
    """Require a type. The checks of the library would import torch, which a figure does not need."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be a {getattr(kind, '__name__', 'number')}, got {type(value).__name__}")
    if isinstance(value, int) and abs(value) >= 2**64:
        raise ValueError(f"{name} must be less than 2^64 in size, got an int of {value.bit_length()} bits")


def _png(fig: Figure) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})  # no version: only the picture counts
    return buffer.getvalue()


def _svg(fig: Figure, name: str) -> bytes | None:
    """The figure as lines, the same bytes each time; None if it holds an image or would be heavy."""
    if fig.findobj(lambda artist: isinstance(artist, AxesImage | QuadMesh)):
        return None
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue() if buffer.tell() <= MOST_SVG else None


def _folder() -> Path:
    if chosen := os.environ.get("CATVAE_FIGURES"):
        return Path(chosen)
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").exists():  # installed as a wheel, as on Colab
        root = Path.cwd()
    if os.environ.get("CATVAE_PROFILE") in (None, "", "cpu"):
        return root / "figures"
    from catvae_lib import profiles  # and with it torch, which a plain script does without

    return root / ".cache" / f"figures-{profiles.asked()}"


def _plain(value: Any) -> Any:
    """JSON's own types, floats rounded to 6 significant digits; inf and nan, which JSON lacks, as strings."""
    if hasattr(value, "tolist"):  # an array, a tensor, or one of their scalars
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    raise ValueError(f"data must hold numbers, strings, lists, arrays or tensors, got {value!r}")


def _display(png: bytes, name: str, alt: str) -> None:
    """Show the saved bytes, so that notebook and folder cannot differ. A plain script shows nothing."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return
    ipython.display.display(
        {"image/png": base64.b64encode(png).decode(), "text/plain": alt},
        metadata={"image/png": {"alt": alt, "figure": name}},
        raw=True,
    )


style()
