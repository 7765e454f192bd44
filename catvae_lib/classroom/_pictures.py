"""The pictures of the interactive demonstrations: drawn once, then only moved.

Every axis keeps its limits: what moves on the screen has moved.
"""

import io
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.lines import Line2D
from torch import Tensor

from catvae_lib.classroom import demonstrations as demo
from catvae_lib.classroom import plot

PNG: dict[str, Any] = {
    "format": "png",
    "metadata": {"Software": None},  # no version: only the picture counts
    "pil_kwargs": {"compress_level": 1},  # a slider waits for it
}
SHOWN = 30  # draws of the race in its picture
REACH = (-0.1, 0.12)  # of the averaged gradients


class Picture(ABC):
    """A figure with two axes that outlives a change of its data."""

    def __init__(self) -> None:
        plot.style()
        self.figure = Figure(figsize=(7.6, 3.8))
        self.canvas = FigureCanvasAgg(self.figure)
        self.left, self.right = self.figure.subplots(1, 2)
        self.left.set_title(" ")  # keeps its line free
        self.moving = [self.left.title, *self.draw()]
        self.canvas.draw()  # finds room for the labels
        self.figure.set_layout_engine("none")
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(self.figure.bbox)

    @abstractmethod
    def draw(self) -> list[Artist]:
        """Make axes, labels and empty marks; return what will move, in the order of drawing."""

    @abstractmethod
    def move(self, data: Any, values: dict[str, float]) -> None:
        """Put the marks where the data says."""

    def png(self) -> bytes:
        """Return the picture as it stands."""
        self.canvas.restore_region(self.still)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        buffer = io.BytesIO()
        imsave(buffer, np.asarray(self.canvas.buffer_rgba()), **PNG)
        return buffer.getvalue()


class Shares:
    """A bar for the probability of each category, a dot for its share of wins, and perhaps a diamond."""

    def __init__(self, ax: Axes, mean: str = "") -> None:
        colours = plot.PALETTE[:3]
        self.bars = ax.bar(range(3), [0, 0, 0], width=0.7, color=colours, alpha=0.35)
        (self.dots,) = ax.plot([], [], "o", color="black", ms=9, label="share of wins")
        (self.diamonds,) = ax.plot([], [], "D", color="black", mfc="none", mew=2, ms=11, label=mean or "_")
        ax.set_xticks(range(3), ["1", "2", "3"])
        ax.set(xlabel="category (bar: its probability)", ylim=(0, 1.3), yticks=[0, 0.5, 1])
        ax.legend(loc="upper center", ncols=2, fontsize=11, columnspacing=1, handletextpad=0.3)
        self.moving: list[Artist] = [*self.bars, self.dots, self.diamonds]

    def move(self, probabilities: Tensor, share: Tensor, mean: Tensor | None = None) -> None:
        """Set the heights, (3,) each."""
        for bar, height in zip(self.bars, probabilities.tolist(), strict=True):
            bar.set_height(height)
        self.dots.set_data(range(3), share.tolist())
        if mean is not None:
            self.diamonds.set_data(range(3), mean.tolist())


class SimplexPicture(Picture):
    """Left the triangle, right what the samples and their mean come to."""

    def draw(self) -> list[Artist]:
        """Make axes, labels and empty marks."""
        ax = self.left
        ax.fill(*demo.CORNERS.T.tolist(), facecolor="none", edgecolor="#888888", linewidth=1)
        self.clouds = [ax.plot([], [], "o", color=c, ms=4, alpha=0.5, mew=0)[0] for c in plot.PALETTE[:3]]
        (self.mean,) = ax.plot([], [], "D", color="black", mfc="none", mew=2, ms=11)
        for (x, y), name, side in zip(demo.CORNERS.tolist(), "123", ("top", "top", "bottom"), strict=True):
            ax.text(x, y + (0.03 if side == "bottom" else -0.03), name, ha="center", va=side)
        ax.set(xlim=(-0.08, 1.08), ylim=(-0.12, 1.0), aspect="equal")
        ax.set_axis_off()
        self.shares = Shares(self.right, "mean of x")
        return [*self.clouds, self.mean, *self.shares.moving]

    def move(self, data: Any, values: dict[str, float]) -> None:
        """Put the marks where the data says."""
        for k, cloud in enumerate(self.clouds):
            cloud.set_data(*data.places[data.winner == k].T.numpy())
        self.mean.set_data(*(data.mean @ demo.CORNERS)[:, None].numpy())
        self.shares.move(data.probabilities, data.share, data.mean)
        self.left.set_title(rf"$\lambda$ = {values['temperature']:.2f}")


class RacePicture(Picture):
    """Left the first draws, the winner ringed; right the shares of all."""

    def draw(self) -> list[Artist]:
        """Make axes, labels and empty marks."""
        ax, colours = self.left, plot.PALETTE[:3]
        self.dots = [ax.plot([], [], "o", color=c, ms=4)[0] for c in colours]
        self.rings = [ax.plot([], [], "o", color=c, ms=10, mfc="none", mew=2)[0] for c in colours]
        ax.set(xlabel="draw", ylabel="logit + noise (nats)", xlim=(0, SHOWN + 1), ylim=(-6, 11))
        ax.set_yticks([-5, 0, 5, 10])
        self.shares = Shares(self.right)
        return [*self.dots, *self.rings, *self.shares.moving]

    def move(self, data: Any, values: dict[str, float]) -> None:
        """Put the marks where the data says."""
        scores, winner = data.scores[:SHOWN].numpy(), data.winner[:SHOWN].numpy()
        for k in range(3):
            won = (winner == k).nonzero()[0]
            self.dots[k].set_data(range(1, len(scores) + 1), scores[:, k])
            self.rings[k].set_data(won + 1, scores[won, k])
        self.shares.move(data.probabilities, data.share)
        self.left.set_title(f"the first {len(scores)} of {len(data.winner)} draws")


class SoftBitPicture(Picture):
    """Left the sigmoid that bends each noise, right the density of what comes out, lying on its side."""

    def draw(self) -> list[Artist]:
        """Make axes, labels and empty marks."""
        ax, colours = self.left, plot.PALETTE
        self.curve = ax.plot(demo.PERTURBED, demo.PERTURBED, color="#888888", linewidth=1)[0]
        self.dots = [ax.plot([], [], "o", color=c, ms=5, alpha=0.4, mew=0)[0] for c in colours[:2]]
        ax.set(xlabel="logit + noise (nats)", ylabel="soft bit x", xlim=(-8, 8), ylim=(-0.02, 1.02))
        heights = demo.EDGES.diff().tolist()
        self.bars = self.right.barh(demo.EDGES[:-1], [0.0] * 25, heights, align="edge", color="#cccccc")
        (self.density,) = self.right.plot([], [], color=colours[2])
        self.right.set(xlabel="density of x (cut at 5)", xlim=(0, 5), ylim=(-0.02, 1.02))
        return [self.curve, *self.dots, *self.bars, self.density]

    def move(self, data: Any, values: dict[str, float]) -> None:
        """Put the marks where the data says."""
        one = data.perturbed > 0
        for dots, chosen in zip(self.dots, (one, ~one), strict=True):
            dots.set_data(data.perturbed[chosen].numpy(), data.samples[chosen].numpy())
        self.curve.set_ydata(data.curve)
        for bar, length in zip(self.bars, data.bars.tolist(), strict=True):
            bar.set_width(length)
        self.density.set_data(data.density.numpy(), demo.PLACES.numpy())
        self.left.set_title(rf"$\lambda$ = {values['temperature']:.2f}")


class BiasPicture(Picture):
    """Left the averages around the exact gradient, right the two errors by temperature."""

    def draw(self) -> list[Artist]:
        """Make axes, labels and empty marks."""
        ax, (blue, orange, green) = self.left, plot.PALETTE[:3]
        (self.dots,) = ax.plot([], [], "o", color=blue, ms=4, alpha=0.5, mew=0)
        self.exact = ax.axvline(0, ymax=0.86, color="black", label="exact")
        self.mean = ax.axvline(0, ymax=0.86, color=orange, linestyle="--", label="mean of the dots")
        ax.set(xlabel="gradient (nats)", xlim=REACH, ylim=(0, 250), yticks=[])
        ax.legend(loc="upper center", ncols=2, fontsize=11, columnspacing=1)
        styles = (("squared bias", "--", orange), ("variance", ":", blue), ("sum", "-", green))
        self.lines = [self.right.loglog([], [], style, color=c, label=name)[0] for name, style, c in styles]
        self.now: Line2D = self.right.axvline(1, color="#888888", linewidth=1)
        self.right.set(xlabel=r"temperature $\lambda$", ylabel="squared error (nats²)")
        self.right.set(xlim=(0.045, 11), ylim=(1e-10, 3))
        self.right.legend(loc="upper right", fontsize=11)
        return [self.dots, self.exact, self.mean, *self.lines, self.now]

    def move(self, data: Any, values: dict[str, float]) -> None:
        """Put the marks where the data says."""
        self.dots.set_data(data.estimates.numpy(), range(1, len(data.estimates) + 1))
        self.exact.set_xdata([float(data.exact)] * 2)
        self.mean.set_xdata([float(data.estimates.mean())] * 2)
        parts = (data.squared_bias, data.variance, data.squared_bias + data.variance)
        for line, part in zip(self.lines, parts, strict=True):
            line.set_data(demo.TEMPERATURES.numpy(), part.numpy())
        self.now.set_xdata([values["temperature"]] * 2)
        self.left.set_title(f"{len(data.estimates)} averages of {values['samples']:.0f}")
