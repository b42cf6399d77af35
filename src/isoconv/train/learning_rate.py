"""Learning-rate schedules: a factor for each step, in float64 from the library's own primitives.

The learning rate of a step is the optimizer's ``learning_rate`` times the factor. Steps are counted
from 0 over the whole run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from isoconv.arithmetic.elementary import cos_turns
from isoconv.checks import check_count, check_kind, check_number, settle
from isoconv.errors import ArgumentError

__public__ = {"isoconv.schedule": ["Constant", "Cosine", "OneCycle", "Step", "WarmUp"]}

_MOST = 2**53
"""Steps of a run that float64 still tells apart."""


@runtime_checkable
class Schedule(Protocol):
    """What the trainer asks of a schedule."""

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step.

        Args:
            step: number of the step in the run, from 0 to ``total - 1``.
            total: steps of the whole run.
            per_epoch: steps of one epoch.

        Raises:
            ArgumentError: numbers that are not whole, or a step outside the run.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """The same learning rate throughout.

    Example:
        >>> Constant().at(5, 10)
        1.0
    """

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """1."""
        _checked(step, total, per_epoch)
        return 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """The learning rate is multiplied by a factor every so many epochs.

    ``factor ** (step // (every * per_epoch))``, the power by repeated multiplication.

    Args:
        every: epochs between two changes.
        factor: above 0.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> [Step(every=2, factor=0.5).at(step, 6) for step in range(6)]
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        every = check_count("every", self.every)
        settle(self, every=every, factor=check_number("factor", self.factor, above=0))

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step; see `Schedule.at`."""
        step, _, per_epoch = _checked(step, total, per_epoch)
        result = 1.0
        for _ in range(step // (self.every * per_epoch)):
            result *= self.factor
        return result


@dataclass(frozen=True, slots=True)
class Cosine:
    """Half a wave of the cosine, from 1 down towards ``final``.

    ``final + (1 - final) * ((1 + cos(π step / total)) / 2)``; at the end of the run, after the
    last step, it would be ``final``. Source: I. Loshchilov and F. Hutter, "SGDR: stochastic
    gradient descent with warm restarts", ICLR 2017, without restarts.

    Args:
        final: the factor at the end, 0 to 1.

    Raises:
        ArgumentError: ``final`` outside its range.

    Example:
        >>> [Cosine().at(step, 4) for step in (0, 2)]
        [1.0, 0.5]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        settle(self, final=check_number("final", self.final, least=0, most=1))

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step; see `Schedule.at`."""
        step, total, _ = _checked(step, total, per_epoch)
        return _wave(1.0, float(self.final), step, total)


@dataclass(frozen=True, slots=True)
class OneCycle:
    """Up to the full learning rate, then down to almost nothing, both along a cosine.

    With ``rise = int(peak * total)`` steps: from ``start`` to 1 over the first ``rise`` steps, then
    from 1 to ``final`` over the rest. Source: L. N. Smith and N. Topin, "Super-convergence", 2018.

    Args:
        peak: part of the run before the full learning rate is reached, 0 to below 1.
        start: factor of the first step, 0 to 1.
        final: factor at the end, 0 to 1.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> [OneCycle(peak=0.5, start=0.5, final=0.0).at(step, 4) for step in range(4)]
        [0.5, 0.75, 1.0, 0.5]
    """

    peak: float = 0.3
    start: float = 0.04
    final: float = 1e-4

    def __post_init__(self) -> None:
        settle(
            self,
            peak=check_number("peak", self.peak, least=0, below=1),
            start=check_number("start", self.start, least=0, most=1),
            final=check_number("final", self.final, least=0, most=1),
        )

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step; see `Schedule.at`."""
        step, total, _ = _checked(step, total, per_epoch)
        rise = int(self.peak * total)
        if step < rise:
            return _wave(float(self.start), 1.0, step, rise)
        return _wave(1.0, float(self.final), step - rise, total - rise)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Grows evenly to the full learning rate, then follows another schedule.

    In the first n steps the factor is ``(step + 1) / n``; after them it is that of ``then`` for
    ``step - n`` of ``total - n`` steps. Give either ``epochs`` (n is then
    ``int(epochs * per_epoch)``) or ``steps``. Source: P. Goyal et al., "Accurate, large minibatch
    SGD", 2017.

    Args:
        epochs: length of the warm-up in epochs, above 0.
        then: what follows.
        steps: length of the warm-up in steps, at least 1.

    Raises:
        ArgumentError: a setting outside its range, or not exactly one length.

    Example:
        >>> [WarmUp(steps=2, then=Cosine()).at(step, 6) for step in (0, 1, 2, 4)]
        [0.5, 1.0, 1.0, 0.5]
    """

    epochs: float | None = None
    then: Schedule = Constant()
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ArgumentError(
                "a warm-up lasts either epochs or steps; "
                f"got epochs={self.epochs!r}, steps={self.steps!r}",
                argument="epochs" if self.epochs is None else "steps",
                value=self.epochs if self.epochs is None else self.steps,
            )
        if self.epochs is not None:
            settle(self, epochs=check_number("epochs", self.epochs, above=0))
        if self.steps is not None:
            settle(self, steps=check_count("steps", self.steps))
        check_kind("then", self.then, Schedule, "a schedule")  # type: ignore[type-abstract]

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step; see `Schedule.at`."""
        step, total, per_epoch = _checked(step, total, per_epoch)
        length = int((self.epochs or 0) * per_epoch) if self.steps is None else self.steps
        if step < length:
            return (step + 1) / length
        return self.then.at(step - length, total - length, per_epoch)


SCHEDULES: tuple[type[Schedule], ...] = (Constant, Cosine, OneCycle, Step, WarmUp)
"""The library's own."""


def _checked(step: int, total: int, per_epoch: int) -> tuple[int, int, int]:
    """See that a step lies in its run; quickly, as it is asked for each step of a training."""
    known = type(step) is type(total) is type(per_epoch) is int
    if known and 0 <= step < total <= _MOST and per_epoch > 0:
        return step, total, per_epoch
    total = check_count("total", total, most=_MOST)
    per_epoch = check_count("per_epoch", per_epoch)
    return check_count("step", step, least=0, below=total), total, per_epoch


def _wave(first: float, last: float, step: int, length: int) -> float:
    """From first to last along half a cosine, ``length`` steps long."""
    height = (1.0 + float(cos_turns(0.5 * (step / length)))) / 2.0
    return last + (first - last) * height
