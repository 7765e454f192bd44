r"""What the interactive demonstrations compute: parameters and noise in, the numbers of a picture out.

Nothing here draws a picture or a random number. The noise is an argument, so that a moved slider moves the
same samples. `docs/_static/demos.js` has these functions and sliders for the web book; a test compares them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from catvae_lib import density, estimators, sampling
from catvae_lib.latent import BernoulliLatent

DOUBLE = torch.float64
CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=DOUBLE)
EDGES = torch.linspace(0, 1, 26, dtype=DOUBLE)  # of the bars of `soft_bit`
PLACES = (torch.arange(100, dtype=DOUBLE) + 0.5) / 100  # where `soft_bit` gives the density
PERTURBED = torch.linspace(-8, 8, 161, dtype=DOUBLE)  # where it gives the sigmoid
TEMPERATURES = 10 ** (torch.arange(24, dtype=DOUBLE) / 10 - 1.3)  # where `relaxed_moments` gives its curves
TARGET = 0.45  # the loss of chapter 04: (b - 0.45)^4


@dataclass(frozen=True)
class Control:
    """One slider; the parameter is where it stands or, with a base, the base to that power."""

    key: str
    label: str
    low: float
    high: float
    step: float
    start: float
    base: int | None = None

    def value(self, position: float) -> float:
        """Return the parameter at a position of the slider."""
        return position if self.base is None else float(self.base) ** position


TEMPERATURE = Control("temperature", "temperature λ", -1.3, 1.0, 0.05, -0.3, base=10)
LOGITS = tuple(
    Control(f"logit{k}", f"logit {k}", -3.0, 3.0, 0.1, start) for k, start in enumerate((-0.9, -0.5, 0.0), 1)
)
LOGIT = Control("logit", "logit of the bit", -3.0, 3.0, 0.1, 0.0)
SAMPLES = Control("samples", "samples", 10, 1000, 10, 400)
AVERAGED = Control("samples", "samples averaged", 0, 8, 1, 4, base=2)

CONTROLS: Mapping[str, tuple[Control, ...]] = {
    "simplex": (TEMPERATURE, *LOGITS, SAMPLES),
    "race": (*LOGITS, SAMPLES),
    "sigmoid": (TEMPERATURE, LOGIT, SAMPLES),
    "bias": (TEMPERATURE, LOGIT, AVERAGED),
}


@dataclass(frozen=True)
class Simplex:
    """Relaxed samples (n, 3), their places in the triangle (n, 2), who won (n,), and what to compare (3,)."""

    samples: Tensor
    places: Tensor
    winner: Tensor
    share: Tensor
    mean: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class Race:
    """Perturbed logits (n, 3), the winner of each draw (n,), their share and the probabilities (3,)."""

    scores: Tensor
    winner: Tensor
    share: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class SoftBit:
    """Perturbed logits and soft bits (n,), sigmoid (161,), bars (25,), density (100,), share of ones, θ."""

    perturbed: Tensor
    samples: Tensor
    curve: Tensor
    bars: Tensor
    density: Tensor
    share: Tensor
    theta: Tensor


@dataclass(frozen=True)
class Bias:
    """Averages of n gradients (R,), the exact gradient, and the squared errors at `TEMPERATURES` (24,)."""

    estimates: Tensor
    exact: Tensor
    squared_bias: Tensor
    variance: Tensor


def simplex(logits: Tensor, gumbel_noise: Tensor, temperature: float) -> Simplex:
    r"""Relax categorical samples (article, Eq. (2) with temperature), beside the hard ones of the same noise.

    Args:
        logits: Unnormalized log-probabilities (3,).
        gumbel_noise: Standard Gumbel noise (n, 3).
        temperature: $\lambda > 0$.

    Raises:
        ValueError: If shapes disagree or the temperature is not positive.

    Example:
        >>> simplex(torch.zeros(3), torch.tensor([[3.0, 0.0, 0.0]]), 0.01).samples
        tensor([[1., 0., 0.]])
    """
    samples = sampling.gumbel_softmax(logits, gumbel_noise, temperature)  # (n, 3)
    hard = sampling.gumbel_max(logits, gumbel_noise)
    places = samples @ CORNERS.to(samples.dtype)  # (n, 2)
    return Simplex(samples, places, hard.argmax(-1), hard.mean(0), samples.mean(0), torch.softmax(logits, -1))


def race(logits: Tensor, gumbel_noise: Tensor) -> Race:
    r"""Let the largest of $\ln\pi_k + \epsilon_k$ win each draw (article, Eq. (1)).

    Args:
        logits: Unnormalized log-probabilities (3,).
        gumbel_noise: Standard Gumbel noise (n, 3).

    Raises:
        ValueError: If shapes disagree.

    Example:
        >>> race(torch.zeros(3), torch.tensor([[0.1, 2.0, 1.0]])).winner
        tensor([1])
    """
    hard = sampling.gumbel_max(logits, gumbel_noise)
    return Race(logits + gumbel_noise, hard.argmax(-1), hard.mean(0), torch.softmax(logits, -1))


def soft_bit(logit: float, logistic_noise: Tensor, temperature: float) -> SoftBit:
    r"""Send a logit plus logistic noise through a sigmoid (article, Eq. (3) with temperature).

    Args:
        logit: $\ln\theta - \ln(1 - \theta)$.
        logistic_noise: Standard logistic noise (n,).
        temperature: $\lambda > 0$.

    Returns:
        The samples, the sigmoid at `PERTURBED`, the samples' density by bars between `EDGES`, and the Binary
        Concrete density at `PLACES`.

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> soft_bit(0.0, torch.tensor([1.0, -1.0]), 0.5).samples
        tensor([0.8808, 0.1192])
    """
    own = torch.tensor(logit, dtype=logistic_noise.dtype)
    samples = sampling.binary_concrete(own, logistic_noise, temperature)
    # Counted by hand: a value on an edge belongs to the bar on its right, as in the JavaScript.
    bins = (samples * (len(EDGES) - 1)).long().clamp(max=len(EDGES) - 2)
    bars = torch.bincount(bins, minlength=len(EDGES) - 1) * (len(EDGES) - 1) / len(samples)
    at = torch.logit(PLACES)
    log_density = density.binary_concrete_log_density(at, own.double(), temperature)
    return SoftBit(
        own + logistic_noise,
        samples,
        torch.sigmoid(PERTURBED / temperature),
        bars,
        torch.exp(log_density - PLACES.log() - (1 - PLACES).log()),  # density of x, not of its logit
        sampling.bernoulli_threshold(own, logistic_noise).mean(),
        torch.sigmoid(own),
    )


def relaxed_gradient(logit: float, logistic_noise: Tensor, temperature: float | Tensor) -> Tensor:
    r"""Gradient of $(x - 0.45)^4$ at relaxed bits x, with respect to the logit.

    Args:
        logit: $\ln\theta - \ln(1 - \theta)$.
        logistic_noise: Standard logistic noise (S, R).
        temperature: $\lambda > 0$, one number or (R, 1).

    Returns:
        R averages of S gradients.

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> relaxed_gradient(0.0, torch.zeros(1, 1), 0.5)  # 4 * 0.05^3 * 0.25 / 0.5
        tensor([0.0003])
    """
    rows = torch.full((logistic_noise.shape[1], 1), logit, dtype=logistic_noise.dtype, requires_grad=True)
    with torch.enable_grad():
        surrogate = estimators.gumbel_softmax(
            BernoulliLatent(1), rows, logistic_noise.unsqueeze(-1), _loss, temperature
        )
    return torch.autograd.grad(surrogate.sum(), rows)[0].squeeze(-1)


@lru_cache(maxsize=256)
def relaxed_moments(logit: float) -> tuple[Tensor, Tensor, Tensor]:
    """Exact gradient by enumeration, and squared bias and variance of one relaxed gradient by quadrature.

    Args:
        logit: Logit of the bit.

    Returns:
        The exact gradient, and two tensors (24,) over `TEMPERATURES`.

    Example:
        >>> exact, squared_bias, variance = relaxed_moments(0.0)
        >>> round(float(exact), 4)
        0.0126
    """
    own = torch.full((1, 1), logit, dtype=DOUBLE)
    exact = estimators.exact_gradient(BernoulliLatent(1), own, _loss)[0, 0]
    step = 0.02  # at which the midpoint rule has converged: the integrand is smooth on this scale
    noise = (torch.arange(-1000, 1000, dtype=DOUBLE) + 0.5) * step
    mass = density.logistic_log_density(noise).exp() * step
    each = TEMPERATURES.repeat_interleave(len(noise))[:, None]
    found = relaxed_gradient(logit, noise.repeat(len(TEMPERATURES))[None], each)
    found = found.reshape(len(TEMPERATURES), -1)  # (24, 2000)
    mean = found @ mass
    return exact, (mean - exact).square(), (found - mean[:, None]).square() @ mass


def bias_and_variance(logit: float, logistic_noise: Tensor, temperature: float, samples: int) -> Bias:
    r"""Average relaxed gradients of one bit, again and again, beside the exact gradient.

    Args:
        logit: $\ln\theta - \ln(1 - \theta)$.
        logistic_noise: Standard logistic noise (S, R), S at least samples.
        temperature: $\lambda > 0$.
        samples: How many gradients an average is made of: the first rows of the noise.

    Returns:
        R averages; the exact gradient by enumeration; squared bias, and variance of such an average, by
        quadrature at `TEMPERATURES`.

    Raises:
        ValueError: If there is not enough noise, or the temperature is not positive.

    Example:
        >>> bias_and_variance(0.0, torch.zeros(2, 3, dtype=DOUBLE), 1.0, 2).estimates.shape
        torch.Size([3])
    """
    if not 1 <= samples <= len(logistic_noise):
        raise ValueError(f"samples must be between 1 and {len(logistic_noise)}, got {samples!r}")
    exact, squared_bias, variance = relaxed_moments(logit)
    estimates = relaxed_gradient(logit, logistic_noise[:samples], temperature)
    return Bias(estimates, exact, squared_bias, variance / samples)


def _loss(bits: Tensor) -> Tensor:
    return ((bits - TARGET) ** 4).sum(-1)
