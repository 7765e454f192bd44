"""What the demonstrations plot is right, against closed forms and enumeration, and in both languages."""

import json
import math
import shutil
import subprocess
from dataclasses import asdict
from typing import Any

import alarms
import numpy as np
import pytest
import torch
from scipy import special
from scipy.integrate import quad
from torch import Tensor

from book import ROOT
from catvae_lib import noise
from catvae_lib.classroom import demonstrations as demo
from catvae_lib.classroom import plot, stats

N = 50_000
LOGITS = torch.tensor([-0.9, -0.5, 0.0], dtype=demo.DOUBLE)
SCRIPT = ROOT / "docs" / "_static" / "demos.js"


def gumbel(n: int, seed: int = 0) -> Tensor:
    return noise.gumbel((n, 3), generator=torch.Generator().manual_seed(seed), dtype=demo.DOUBLE)


def logistic(*shape: int, seed: int = 0) -> Tensor:
    return noise.logistic(shape, generator=torch.Generator().manual_seed(seed), dtype=demo.DOUBLE)


# --- the simplex and the race


def test_near_temperature_zero_the_samples_lie_at_the_corners_with_the_right_frequencies() -> None:
    data = demo.simplex(LOGITS, gumbel(N), 1e-4)
    corner = (data.places[:, None] - demo.CORNERS).norm(dim=-1).min(-1)  # (n,), (n,)
    assert (corner.values < 1e-3).double().mean() > 0.995
    pi = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum()
    assert alarms.fits(torch.bincount(corner.indices, minlength=3).tolist(), list(pi))  # finds 0.022
    np.testing.assert_allclose(data.probabilities, pi)
    np.testing.assert_allclose(data.share, data.mean, atol=1e-3)


def test_at_a_high_temperature_the_samples_lie_in_the_middle() -> None:
    data = demo.simplex(LOGITS, gumbel(100), 1e4)
    np.testing.assert_allclose(data.places, np.full((100, 2), [0.5, math.sqrt(3) / 6]), atol=1e-3)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_the_temperature_moves_the_samples_and_leaves_the_winners(temperature: float) -> None:
    cold, other = (demo.simplex(LOGITS, gumbel(N), t) for t in (1.0, temperature))
    assert torch.equal(cold.winner, other.winner) and torch.equal(cold.share, other.share)
    assert torch.equal(other.samples.argmax(-1), other.winner)
    assert not torch.equal(cold.places, other.places)


def test_the_winner_of_the_race_is_the_largest_sum() -> None:
    own = gumbel(N)
    data = demo.race(LOGITS, own)
    np.testing.assert_array_equal(data.winner, np.argmax(LOGITS.numpy() + own.numpy(), -1))
    np.testing.assert_array_equal(data.scores, LOGITS.numpy() + own.numpy())
    assert alarms.fits(torch.bincount(data.winner).tolist(), data.probabilities.tolist())
    np.testing.assert_allclose(data.share, np.bincount(data.winner) / N)


# --- the soft bit


@pytest.mark.parametrize(("logit", "temperature"), [(0.0, 1.0), (0.7, 0.3), (-1.5, 2.5)])
def test_the_soft_bits_have_the_density_that_is_drawn(logit: float, temperature: float) -> None:
    data = demo.soft_bit(logit, logistic(N), temperature)

    def cdf(x: Any) -> Any:  # closed form of chapter 03
        return special.expit(temperature * special.logit(x) - logit)

    level = alarms.spend()
    fit = stats.continuous_fit(data.samples, lambda x: torch.as_tensor(cdf(x.numpy())), false_alarm=level)
    assert not fit.rejected and fit.smallest_deviation < 0.022, fit
    x, h = demo.PLACES.numpy(), 1e-6
    np.testing.assert_allclose(data.density, (cdf(x + h) - cdf(x - h)) / (2 * h), rtol=1e-5)
    inner = demo.EDGES[1:-1].numpy()
    mass = np.diff([0.0, *cdf(inner), 1.0])
    assert alarms.fits([round(float(bar) * N / 25) for bar in data.bars], mass.tolist())
    assert float(data.bars.mean()) == pytest.approx(1)
    assert float(data.share) == pytest.approx(float(data.theta), abs=alarms.distance(N))


# --- bias and variance


@pytest.mark.parametrize("logit", [0.0, 1.3])
def test_the_curves_are_the_integrals(logit: float) -> None:
    exact, squared_bias, variance = demo.relaxed_moments(logit)
    theta = 1 / (1 + math.exp(-logit))
    assert float(exact) == pytest.approx(theta * (1 - theta) * (0.55**4 - 0.45**4))  # two codes

    def moment(power: int, temperature: float) -> float:
        def integrand(v: float) -> float:
            x = 1 / (1 + math.exp(-(logit + v) / temperature))
            g = 4 * (x - 0.45) ** 3 * x * (1 - x) / temperature
            return g**power * math.exp(-abs(v)) / (1 + math.exp(-abs(v))) ** 2

        return float(quad(integrand, -30, 30, points=[-logit], limit=500, epsabs=1e-14)[0])

    for i in (0, 5, 13, 23):
        mean, square = (moment(power, float(demo.TEMPERATURES[i])) for power in (1, 2))
        assert float(squared_bias[i]) == pytest.approx((mean - float(exact)) ** 2, rel=1e-6)
        assert float(variance[i]) == pytest.approx(square - mean**2, rel=1e-6)


def test_with_the_temperature_the_bias_falls_and_the_variance_grows() -> None:
    _, squared_bias, variance = demo.relaxed_moments(0.0)
    assert (squared_bias.diff() > 0).all() and (variance.diff() < 0).all()
    assert squared_bias[0] < 1e-4 * squared_bias[-1]


@pytest.mark.parametrize("samples", [1, 16])
@pytest.mark.parametrize("place", [2, 8, 14])
def test_the_dots_spread_as_the_curves_say(place: int, samples: int) -> None:
    """Finds an error of 0.1 standard deviations in the bias, and of a third in the variance."""
    temperature = float(demo.TEMPERATURES[place])
    data = demo.bias_and_variance(0.0, logistic(16, 20_000), temperature, samples)
    off, limit = float(data.estimates.mean() - data.exact), float(alarms.empirical(data.estimates))
    assert abs(off) == pytest.approx(math.sqrt(data.squared_bias[place]), abs=limit)
    square = (data.estimates - data.exact - off).square()
    limit = float(alarms.empirical(square)) + limit**2  # the mean that is taken off is not exact
    assert float(square.mean()) == pytest.approx(float(data.variance[place]), abs=limit)


def test_more_samples_move_the_best_temperature_down() -> None:
    best = []
    for samples in (1, 16, 256):
        data = demo.bias_and_variance(0.0, logistic(256, 2), 1.0, samples)
        best.append(int((data.squared_bias + data.variance).argmin()))
    assert best[0] > best[1] > best[2]


@pytest.mark.parametrize("samples", [0, 3])
def test_there_must_be_noise_enough(samples: int) -> None:
    with pytest.raises(ValueError, match=f"samples must be between 1 and 2, got {samples}"):
        demo.bias_and_variance(0.0, torch.zeros(2, 1), 1.0, samples)


# --- the sliders


EVERY_CONTROL = dict.fromkeys(c for controls in demo.CONTROLS.values() for c in controls)


@pytest.mark.parametrize("control", EVERY_CONTROL, ids=str)
def test_a_slider_starts_on_one_of_its_steps(control: demo.Control) -> None:
    steps = (control.start - control.low) / control.step
    assert control.low <= control.start <= control.high and steps == pytest.approx(round(steps))


# --- the web book's JavaScript

CALLS: list[tuple[str, list[Any], Any]] = [
    *(
        ("simplex", [logits, gumbel(40), t], demo.simplex(logits, gumbel(40), t))
        for logits in (LOGITS, torch.tensor([3.0, -3.0, 1.0], dtype=demo.DOUBLE))
        for t in (0.05, 1.0, 10.0)
    ),
    ("race", [LOGITS, gumbel(40)], demo.race(LOGITS, gumbel(40))),
    *(
        ("sigmoid", [logit, logistic(400), t], demo.soft_bit(logit, logistic(400), t))
        for logit in (0.0, -3.0, 1.7)
        for t in (0.05, 1.0, 10.0)
    ),
    *(
        ("bias", [logit, logistic(16, 20), t, n], demo.bias_and_variance(logit, logistic(16, 20), t, n))
        for logit in (0.0, -3.0, 1.7)
        for t in (0.05, 1.0, 10.0)
        for n in (1, 16)
    ),
]


def in_node(program: str, data: Any) -> Any:
    """What a JavaScript function of the file's exports and of data returns."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the JavaScript of the demonstrations is not checked")
    text = (
        f"const demos = require({json.dumps(str(SCRIPT))});"
        "const data = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"console.log(JSON.stringify(({program})(demos, data)));"
    )
    run = subprocess.run([node, "-e", text], input=json.dumps(data), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_the_javascript_computes_the_same_numbers() -> None:
    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, Tensor) else value

    calls = [(name, [plain(value) for value in given]) for name, given, _ in CALLS]
    found = in_node("(demos, calls) => calls.map(([name, given]) => demos[name](...given))", calls)
    for (name, _, expected), got in zip(CALLS, found, strict=True):
        fields = {key: np.asarray(value, float) for key, value in asdict(expected).items()}
        assert got.keys() == fields.keys()
        for key, value in fields.items():
            np.testing.assert_allclose(got[key], value, rtol=1e-9, atol=1e-14, err_msg=f"{name}: {key}")


def test_the_javascript_has_the_same_sliders_and_colours() -> None:
    found = in_node("(demos) => [demos.CONTROLS, demos.PALETTE, demos.TEMPERATURES]", None)
    controls = {name: [list(asdict(c).values()) for c in some] for name, some in demo.CONTROLS.items()}
    assert found[:2] == [controls, list(plot.PALETTE)]
    np.testing.assert_allclose(found[2], demo.TEMPERATURES)


def test_the_javascript_asks_for_nothing_from_elsewhere() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.replace("http://www.w3.org/2000/svg", "").count("//www") == 0  # the name of a format
    assert not {word for word in ("https:", "fetch(", "import(", "XMLHttpRequest", "url(") if word in text}
