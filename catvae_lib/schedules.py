"""Numbers that move with the step: temperature, KL weight and learning rate, each a small pure object."""

import math
from dataclasses import dataclass

from catvae_lib import _validate


@dataclass(frozen=True)
class TemperatureSchedule:
    r"""The temperature at step t: $\max(\lambda_\text{floor}, \lambda_\text{start} e^{-rt})$.

    With start 1 it is the schedule of Jang et al. (2016). A KL weight may follow the same formula.

    Args:
        start: Value at step 0.
        floor: Smallest value.
        rate: Decay r per step; 0 keeps the start.
        every: The value moves only every so many steps.

    Raises:
        ValueError: If start or floor is not positive, the floor exceeds the start, the rate is negative or
            every is below 1.

    Example:
        >>> schedule = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
        >>> schedule(0), schedule(23_104) > 0.5, schedule(23_105)
        (1.0, True, 0.5)
    """

    start: float = 1.0
    floor: float = 1.0
    rate: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        _validate.rate("start", self.start)
        _validate.rate("floor", self.floor)
        _validate.plain("rate", self.rate)
        _validate.count("every", self.every)
        if self.floor > self.start:
            raise ValueError(f"floor must not exceed start {self.start}, got {self.floor}")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"rate must be at least 0 and finite, got {self.rate}")

    @classmethod
    def constant(cls, value: float) -> "TemperatureSchedule":
        """Make a schedule that never moves."""
        return cls(start=value, floor=value)

    @classmethod
    def exponential(cls, start: float, floor: float, rate: float, every: int = 1) -> "TemperatureSchedule":
        """Make a schedule that falls by exp(-rate) a step until it reaches the floor."""
        return cls(start, floor, rate, every)

    @classmethod
    def reaching_floor(cls, start: float, floor: float, steps: int) -> "TemperatureSchedule":
        """Make an exponential schedule that reaches its floor after so many steps: annealing that fits."""
        _validate.count("steps", steps)
        _validate.rate("start", start)
        _validate.rate("floor", floor)
        return cls(start, floor, math.log(start / floor) / steps)

    def __call__(self, step: int) -> float:
        """Return the value at a step, counted from 0."""
        _validate.count("step", step, minimum=0)
        return max(self.floor, self.start * math.exp(-self.rate * (step - step % self.every)))


@dataclass(frozen=True)
class LearningRateSchedule:
    r"""The learning rate at step t: up a ramp of `warmup` steps, then down half a cosine to 0 at `steps`.

    $\eta(t) = \eta\,\frac{t + 1}{W + 1}$ for $t < W$, then $\frac{\eta}{2}\left(1 + \cos\pi\frac{t - W}{T -
    W}\right)$ (Loshchilov and Hutter 2017). After T steps it is 0.

    Args:
        peak: The largest rate $\eta$.
        steps: T, or None for a rate that stays at its peak.
        warmup: W, steps of the ramp.

    Raises:
        ValueError: If the peak is not positive, a count is negative, or the ramp is not shorter than the
            whole.

    Example:
        >>> schedule = LearningRateSchedule(peak=0.1, steps=100)
        >>> schedule(0), round(schedule(50), 12), schedule(100)
        (0.1, 0.05, 0.0)
    """

    peak: float
    steps: int | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        _validate.rate("peak", self.peak)
        _validate.count("warmup", self.warmup, minimum=0)
        if self.steps is not None:
            _validate.count("steps", self.steps)
            if self.warmup >= self.steps:
                raise ValueError(f"warmup must be less than the {self.steps} steps, got {self.warmup}")

    @classmethod
    def constant(cls, rate: float) -> "LearningRateSchedule":
        """Make a schedule that never moves."""
        return cls(rate)

    def __call__(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0."""
        _validate.count("step", step, minimum=0)
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if self.steps is None:
            return self.peak
        done = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        return 0.5 * self.peak * (1 + math.cos(math.pi * done))
