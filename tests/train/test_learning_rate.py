"""Schedules by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from isoconv.errors import ArgumentError
from isoconv.train.learning_rate import Constant, Cosine, OneCycle, Schedule, Step, WarmUp


def test_constant_is_one() -> None:
    """The learning rate stays."""
    assert [Constant().at(step, 3) for step in range(3)] == [1.0, 1.0, 1.0]


def test_step_counts_epochs() -> None:
    """The factor changes every two epochs of three steps."""
    factors = [Step(2, 0.1).at(step, 18, per_epoch=3) for step in range(18)]
    assert factors == [1.0] * 6 + [0.1] * 6 + [0.1 * 0.1] * 6


def test_cosine_is_half_a_wave() -> None:
    """Start, middle, and every step against libm."""
    assert Cosine().at(0, 10) == 1.0
    assert Cosine().at(5, 10) == 0.5
    for step in range(10):
        wanted = 0.1 + 0.9 * (1 + math.cos(math.pi * step / 10)) / 2
        assert Cosine(final=0.1).at(step, 10) == pytest.approx(wanted, abs=1e-15)


def test_one_cycle_rises_and_falls() -> None:
    """From start to the peak in the first part, then towards final."""
    schedule = OneCycle(peak=0.25, start=0.1, final=0.0)
    factors = [schedule.at(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[25] == 1.0
    assert factors[:26] == sorted(factors[:26])
    assert factors[25:] == sorted(factors[25:], reverse=True)
    assert 0 < factors[99] < 0.001
    assert OneCycle(peak=0.0).at(0, 10) == 1.0


def test_warm_up_is_even_and_then_the_other() -> None:
    """The steps after the warm-up are those of a shorter run."""
    schedule = WarmUp(epochs=2, then=Cosine())
    factors = [schedule.at(step, 12, per_epoch=2) for step in range(12)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == [Cosine().at(step, 8) for step in range(8)]
    assert [WarmUp(steps=2).at(step, 4) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]
    assert WarmUp(epochs=0.5).at(0, 8, per_epoch=4) == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(0),
        lambda: Step(1.5),  # type: ignore[arg-type]
        lambda: Step(1, factor=0),
        lambda: Cosine(final=2),
        lambda: OneCycle(peak=1.0),
        lambda: OneCycle(start=-0.1),
        WarmUp,
        lambda: WarmUp(epochs=1, steps=1),
        lambda: WarmUp(epochs=0),
        lambda: WarmUp(steps=0),
        lambda: WarmUp(epochs=1, then=0.5),  # type: ignore[arg-type]
    ],
)
def test_bad_settings_are_refused(make: Callable[[], object]) -> None:
    """A setting outside its range is an ArgumentError."""
    with pytest.raises(ArgumentError):
        make()


def test_all_are_schedules() -> None:
    """Each has the trainer's method."""
    for schedule in (Constant(), Step(1), Cosine(), OneCycle(), WarmUp(1)):
        assert isinstance(schedule, Schedule)
