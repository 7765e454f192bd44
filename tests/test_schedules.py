"""Schedules against their formulas, at the steps where they turn."""

import itertools
import math

import pytest

from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule

# Temperature (its formula, `every`, `reaching_floor` and refusals: test_training.py)


def test_temperature_starts_at_its_start_falls_and_rests_on_its_floor() -> None:
    schedule = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
    assert schedule(0) == 1.0
    values = [schedule(step) for step in range(0, 23_105, 35)]
    assert all(later < earlier for earlier, later in itertools.pairwise(values))
    # ln 2 / 3e-5 = 23104.9: the floor is reached at the next whole step, and never before
    assert [schedule(step) == 0.5 for step in (23_103, 23_104, 23_105, 23_106)] == [False, False, True, True]


def test_temperature_that_moves_in_strides_meets_the_smooth_one_where_it_moves() -> None:
    smooth = TemperatureSchedule.exponential(start=2.0, floor=0.1, rate=1e-3)
    strides = TemperatureSchedule.exponential(start=2.0, floor=0.1, rate=1e-3, every=7)
    for step in range(3500):
        assert strides(step) == smooth(7 * (step // 7))
    assert len({strides(step) for step in range(3500)}) == math.ceil(math.log(20) / 7e-3) + 1  # and the floor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.5, 10), "start must be positive and finite, got 0.0"),
        ((1.0, -0.5, 10), "floor must be positive and finite, got -0.5"),
        ((1.0, 0.5, 0), "steps must be at least 1, got 0"),
        ((0.5, 1.0, 10), "floor must not exceed start 0.5, got 1.0"),
    ],
)
def test_bad_annealing_is_refused(arguments: tuple[float, float, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TemperatureSchedule.reaching_floor(*arguments)


# Learning rate


def test_rate_without_ramp_starts_at_its_peak_and_falls_along_half_a_cosine() -> None:
    """cos(pi / 3) = 1/2, cos(pi / 2) = 0, cos(2 pi / 3) = -1/2: 3/4, 1/2 and 1/4 of the peak."""
    schedule = LearningRateSchedule(peak=0.4, steps=600)
    assert schedule(0) == 0.4
    assert [schedule(step) for step in (200, 300, 400)] == pytest.approx([0.3, 0.2, 0.1], rel=1e-14)
    values = [schedule(step) for step in range(601)]
    assert all(later < earlier for earlier, later in itertools.pairwise(values))
    assert values[599] > 0
    assert schedule(600) == schedule(601) == schedule(10**9) == 0.0


def test_rate_climbs_a_straight_ramp_to_its_peak_and_then_falls() -> None:
    schedule = LearningRateSchedule(peak=0.6, steps=105, warmup=5)
    ramp = [schedule(step) for step in range(6)]
    assert ramp == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], rel=1e-14)  # never 0: each step learns
    assert max(schedule(step) for step in range(106)) == schedule(5) == 0.6
    assert schedule(55) == pytest.approx(0.3, rel=1e-14)  # halfway between the ramp's end and the last step
    fall = [schedule(step) for step in range(5, 106)]
    assert all(later < earlier for earlier, later in itertools.pairwise(fall))
    assert fall[-1] == 0.0


def test_rate_without_an_end_stays_at_its_peak() -> None:
    assert {LearningRateSchedule.constant(0.3)(step) for step in (0, 1, 10**9)} == {0.3}
    ramp = LearningRateSchedule(0.3, warmup=2)
    assert [ramp(step) for step in (0, 1, 2, 10**9)] == pytest.approx([0.1, 0.2, 0.3, 0.3], rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"peak": 0.0}, ValueError, "peak must be positive and finite, got 0.0"),
        ({"peak": math.nan}, ValueError, "peak must not be NaN, got nan"),
        ({"peak": 0.1, "steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"peak": 0.1, "steps": 1.5}, TypeError, "steps must be an int, got float"),
        ({"peak": 0.1, "warmup": -1}, ValueError, "warmup must be at least 0, got -1"),
        ({"peak": 0.1, "steps": 5, "warmup": 5}, ValueError, "warmup must be less than the 5 steps, got 5"),
    ],
)
def test_bad_rates_are_refused(arguments: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LearningRateSchedule(**arguments)  # type: ignore[arg-type]
