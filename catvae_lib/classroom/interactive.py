"""Pictures with sliders, for JupyterLab: each function returns a widget that the last line of a cell shows.

A slider moves the samples that are there; only the button draws new ones. What is computed stands in
`demonstrations`, what is drawn in `_pictures`.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from catvae_lib import noise
from catvae_lib.classroom import demonstrations as demo
from catvae_lib.classroom._pictures import (
    REACH,
    BiasPicture,
    Picture,
    RacePicture,
    SimplexPicture,
    SoftBitPicture,
)

REPEATED = 200  # how often `bias_and_variance` averages
MOST = int(demo.SAMPLES.high)


@dataclass(frozen=True)
class Demonstration:
    """One demonstration: what is drawn at random, computed, shown, and said of it."""

    sampler: Callable[..., Tensor]
    shape: tuple[int, ...]
    compute: Callable[[dict[str, float], Tensor], Any]
    picture: type[Picture]
    say: Callable[[Any], str]


def _logits(values: dict[str, float]) -> Tensor:
    return torch.tensor([values[f"logit{k}"] for k in (1, 2, 3)], dtype=demo.DOUBLE)


def _simplex(values: dict[str, float], gumbel: Tensor) -> demo.Simplex:
    return demo.simplex(_logits(values), gumbel[: int(values["samples"])], values["temperature"])


def _race(values: dict[str, float], gumbel: Tensor) -> demo.Race:
    return demo.race(_logits(values), gumbel[: int(values["samples"])])


def _soft_bit(values: dict[str, float], logistic: Tensor) -> demo.SoftBit:
    return demo.soft_bit(values["logit"], logistic[: int(values["samples"])], values["temperature"])


def _bias(values: dict[str, float], logistic: Tensor) -> demo.Bias:
    return demo.bias_and_variance(values["logit"], logistic, values["temperature"], round(values["samples"]))


def _three(values: Tensor) -> str:
    return ", ".join(f"{value:.2f}" for value in values.tolist())


def _say_shares(data: Any) -> str:
    return f"Share of wins {_three(data.share)}; probabilities {_three(data.probabilities)}."


def _say_simplex(data: demo.Simplex) -> str:
    return f"{_say_shares(data)} Mean of x {_three(data.mean)}."


def _say_soft_bit(data: demo.SoftBit) -> str:
    return f"Share of ones {data.share:.2f}; θ = {data.theta:.2f}. Mean of x {data.samples.mean():.2f}."


def _say_bias(data: demo.Bias) -> str:
    seen = data.estimates
    outside = int(((seen < REACH[0]) | (seen > REACH[1])).sum())
    best = demo.TEMPERATURES[(data.squared_bias + data.variance).argmin()]
    return (
        f"Exact gradient {data.exact:.4f}; mean of the dots {seen.mean():.4f}, standard deviation "
        f"{seen.std():.4f}; {outside} dots lie outside. Least squared error at λ = {best:.2f}."
    )


DEMONSTRATIONS: Mapping[str, Demonstration] = {
    "simplex": Demonstration(noise.gumbel, (MOST, 3), _simplex, SimplexPicture, _say_simplex),
    "race": Demonstration(noise.gumbel, (MOST, 3), _race, RacePicture, _say_shares),
    "sigmoid": Demonstration(noise.logistic, (MOST,), _soft_bit, SoftBitPicture, _say_soft_bit),
    "bias": Demonstration(noise.logistic, (2**8, REPEATED), _bias, BiasPicture, _say_bias),
}


class Live:
    """One demonstration with its noise and its picture, without any widget."""

    def __init__(self, name: str) -> None:
        self.parts, self.controls = DEMONSTRATIONS[name], demo.CONTROLS[name]
        self.picture, self.seed = self.parts.picture(), -1
        self.draw_noise()

    def draw_noise(self) -> None:
        """Draw new noise, the next in a fixed order."""
        self.seed += 1
        generator = torch.Generator().manual_seed(self.seed)
        self.noise = self.parts.sampler(self.parts.shape, generator=generator, dtype=demo.DOUBLE)

    def show(self, moved: Mapping[str, float] | None = None) -> tuple[bytes, str]:
        """Return the picture, a PNG, and a sentence about it.

        Args:
            moved: parameters by the key of their slider; those left out have their first value.
        """
        values = {c.key: c.value(c.start) for c in self.controls} | dict(moved or {})
        data = self.parts.compute(values, self.noise)
        self.picture.move(data, values)
        return self.picture.png(), self.parts.say(data)


def temperature_on_the_simplex() -> Any:
    """Relaxed categorical samples in their triangle, with sliders for temperature and logits.

    Raises:
        ImportError: ipywidgets is missing.
    """
    return _widget("simplex")


def gumbel_race() -> Any:
    """Draws of the Gumbel-max trick, with sliders for the logits.

    Raises:
        ImportError: ipywidgets is missing.
    """
    return _widget("race")


def sigmoid_of_logistic() -> Any:
    """The soft bit, a sigmoid of logit plus logistic noise, with sliders for temperature and logit.

    Raises:
        ImportError: ipywidgets is missing.
    """
    return _widget("sigmoid")


def bias_and_variance() -> Any:
    """Averages of relaxed gradients around the exact one, with sliders for temperature and their number.

    Raises:
        ImportError: ipywidgets is missing.
    """
    return _widget("bias")


def offer(demonstration: Callable[[], Any]) -> None:
    """Show a demonstration where a reader can move its sliders; elsewhere do nothing.

    So a chapter that is executed without a reader stores no widget: a stored one would be a dead picture,
    with other names in each run.

    Args:
        demonstration: one of this module's four functions.

    Example:
        >>> offer(gumbel_race)  # no notebook, no output
    """
    if front_end() and importlib.util.find_spec("ipywidgets") is not None:
        sys.modules["IPython"].display.display(demonstration())


def front_end() -> bool:
    """Whether somebody reads this notebook in JupyterLab, Jupyter Notebook, VS Code or Colab."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return False
    # Jupyter's server names the notebook in the kernel's environment; nbclient and nbval have no server.
    return (
        "JPY_SESSION_NAME" in os.environ
        or "google.colab" in sys.modules
        or "__vsc_ipynb_file__" in shell.user_ns
    )


def _widget(name: str) -> Any:
    """Sliders, a button and a picture; `interact` and Output widgets would hang a run without a reader."""
    try:
        import ipywidgets
    except ImportError as error:
        raise ImportError('the demonstrations need ipywidgets: pip install "catvae_lib[book]"') from error
    live = Live(name)
    sliders = {control.key: _slider(ipywidgets, control) for control in live.controls}
    button = ipywidgets.Button(description="draw new noise")
    layout = {"max_width": "100%", "align_self": "flex-start"}  # never wider than it is
    image = ipywidgets.Image(format="png", layout=layout)
    words = ipywidgets.HTML()

    def update(_: Any = None) -> None:
        image.value, words.value = live.show({key: slider.value for key, slider in sliders.items()})

    def renew(_: Any) -> None:
        live.draw_noise()
        update()

    for slider in sliders.values():
        slider.observe(update, names="value")
    button.on_click(renew)
    update()
    return ipywidgets.VBox([*sliders.values(), button, image, words])


def _slider(ipywidgets: Any, control: demo.Control) -> Any:
    settings = {
        "description": control.label,
        "min": control.low,
        "max": control.high,
        "step": control.step,
        "value": control.value(control.start),
        "style": {"description_width": "11em"},
        "layout": {"width": "32em"},
    }
    if control.base is not None:
        whole = control.step == 1
        readout = ".0f" if whole else ".2f"
        return ipywidgets.FloatLogSlider(base=control.base, readout_format=readout, **settings)
    kind = ipywidgets.IntSlider if isinstance(control.step, int) else ipywidgets.FloatSlider
    return kind(**settings)
