"""Optimizers: how parameters follow their gradients.

An optimizer is a record of settings. It writes its update as a graph of pointwise operations on
the flat vector of all parameters; each operation is rounded on its own, so the formula below is
the arithmetic, operation by operation.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from isoconv.checks import LARGEST_SINGLE, check_count, check_flag, check_number, refusal, settle
from isoconv.errors import ArgumentError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph
from isoconv.ops import Constant
from isoconv.wording import named, setting

__public__ = {"isoconv.optim": ["SGD", "Adam", "AdamW"]}

_single = functools.partial(check_number, most=LARGEST_SINGLE)

_STEPS = 2**32
"""More than any training has; powers are taken step by step."""


@runtime_checkable
class Optimizer(Protocol):
    """What the trainer asks of an optimizer."""

    @property
    def learning_rate(self) -> float:
        """The rate that the schedule's factor multiplies."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the vectors that are kept from step to step beside the parameters."""

    @property
    def hyper(self) -> tuple[str, ...]:
        """Names of the scalars that the update takes in each step."""

    def hyper_row(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """The scalars of one step, in the order of `hyper`."""

    def update_graph(self, size: int, clip: bool) -> Graph:
        """The update of flat vectors of this length."""


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent.

    With the gradient g, the learning rate r, the momentum μ and the weight decay λ, in this
    order, each operation rounded to float32::

        g = g * scale                      if gradients are clipped
        g = g + λ * p                      if λ is not 0
        v = μ * v + g                      if μ is not 0; v starts at 0
        d = v,  or  g + μ * v  (Nesterov),  or  g  when μ is 0
        p = p - r * d

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep
    learning", ICML 2013, in the form in which the learning rate stands outside the velocity.

    Args:
        learning_rate: r, above 0.
        momentum: μ, from 0 to below 1.
        nesterov: looks ahead along the velocity; needs a momentum.
        weight_decay: λ, at least 0; it acts on every parameter.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> SGD(0.1, momentum=0.9).slots
        ('velocity',)
    """

    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        settle(
            self,
            learning_rate=_single("learning_rate", self.learning_rate, above=0),
            momentum=check_number("momentum", self.momentum, least=0, below=1),
            nesterov=check_flag("nesterov", self.nesterov),
            weight_decay=_single("weight_decay", self.weight_decay, least=0),
        )
        if self.nesterov and not self.momentum:
            text = f"{named('nesterov')} needs a momentum above 0; got {setting('momentum', '0')}"
            raise ArgumentError(text, argument="nesterov", value=True)

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, if there is a momentum."""
        return ("velocity",) if self.momentum else ()

    @property
    def hyper(self) -> tuple[str, ...]:
        """The learning rate."""
        return ("learning_rate",)

    def hyper_row(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """The learning rate of the step."""
        return (_checked(step, learning_rate)[1],)

    def update_graph(self, size: int, clip: bool) -> Graph:
        """The update of flat float32 vectors.

        Args:
            size: their length.
            clip: whether the gradient is multiplied by the scalar ``gradient_scale`` first.

        Returns:
            A graph with the outputs ``parameter`` and ``slot:velocity``.
        """
        u = _Update(size, clip)
        p, g = u.parameter, u.gradient
        if self.weight_decay:
            g = u.add(g, u.scaled(p, self.weight_decay))
        if not self.momentum:
            return u.build(u.sub(p, u.mul(g, u.scalar("learning_rate"))), {})
        v = u.add(u.scaled(u.slot("velocity"), self.momentum), g)
        d = u.add(g, u.scaled(v, self.momentum)) if self.nesterov else v
        return u.build(u.sub(p, u.mul(d, u.scalar("learning_rate"))), {"velocity": v})


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam: steps scaled by running means of the gradient and of its square.

    With t = 1, 2, … the number of the step, each operation rounded to float32::

        g = g * scale                      if gradients are clipped
        g = g + λ * p                      if λ is not 0
        m = β1 * m + (1 - β1) * g          m and v start at 0
        v = β2 * v + (1 - β2) * (g * g)
        p = p - (r * (m * c1)) / (sqrt(v * c2) + ε)

    The corrections ``c1 = 1 / (1 - β1^t)`` and ``c2 = 1 / (1 - β2^t)`` are computed in float64,
    the powers by repeated multiplication, and rounded.

    Source: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Args:
        learning_rate: r, above 0.
        beta1: β1, from 0 to below 1.
        beta2: β2, from 0 to below 1.
        eps: ε, above 0 in float32.
        weight_decay: λ, at least 0, added to the gradient (L2); it acts on every parameter.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> Adam().hyper
        ('learning_rate', 'correction1', 'correction2')
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_adam(self)

    @property
    def slots(self) -> tuple[str, ...]:
        """The running means of the gradient and of its square."""
        return ("mean", "square")

    @property
    def hyper(self) -> tuple[str, ...]:
        """The learning rate and the two corrections."""
        return ("learning_rate", "correction1", "correction2")

    def hyper_row(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """The learning rate and the corrections of a step, counted from 0."""
        step, learning_rate = _checked(step, learning_rate)
        return (learning_rate, *_corrections(self, step))

    def update_graph(self, size: int, clip: bool) -> Graph:
        """The update of flat float32 vectors.

        Args:
            size: their length.
            clip: whether the gradient is multiplied by the scalar ``gradient_scale`` first.

        Returns:
            A graph with the outputs ``parameter``, ``slot:mean`` and ``slot:square``.
        """
        u = _Update(size, clip)
        g = u.gradient
        if self.weight_decay:
            g = u.add(g, u.scaled(u.parameter, self.weight_decay))
        return _adam_update(u, self, u.parameter, g)


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with weight decay that does not pass through the running means.

    First ``p = p - (r λ) * p`` if λ is not 0, with r λ computed in float64 and rounded; then as
    `Adam` without decay.

    Source: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Args:
        learning_rate: r, above 0.
        beta1: β1, from 0 to below 1.
        beta2: β2, from 0 to below 1.
        eps: ε, above 0 in float32.
        weight_decay: λ, at least 0; it acts on every parameter.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> AdamW().hyper
        ('learning_rate', 'decay', 'correction1', 'correction2')
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        _check_adam(self)

    @property
    def slots(self) -> tuple[str, ...]:
        """The running means of the gradient and of its square."""
        return ("mean", "square")

    @property
    def hyper(self) -> tuple[str, ...]:
        """The learning rate, the share that decays (if any does) and the two corrections."""
        decay = ("decay",) if self.weight_decay else ()
        return ("learning_rate", *decay, "correction1", "correction2")

    def hyper_row(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """The scalars of a step, counted from 0."""
        step, learning_rate = _checked(step, learning_rate)
        decay = (learning_rate * self.weight_decay,) if self.weight_decay else ()
        return (learning_rate, *decay, *_corrections(self, step))

    def update_graph(self, size: int, clip: bool) -> Graph:
        """The update of flat float32 vectors.

        Args:
            size: their length.
            clip: whether the gradient is multiplied by the scalar ``gradient_scale`` first.

        Returns:
            A graph with the outputs ``parameter``, ``slot:mean`` and ``slot:square``.
        """
        u = _Update(size, clip)
        p = u.parameter
        if self.weight_decay:
            p = u.sub(p, u.mul(p, u.scalar("decay")))
        return _adam_update(u, self, p, u.gradient)


OPTIMIZERS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW)
"""The library's own."""


class _Update:
    """An update graph being written."""

    def __init__(self, size: int, clip: bool) -> None:
        clip = check_flag("clip", clip)
        self.builder = GraphBuilder()
        self.size = check_count("size", size)
        self.parameter = self._vector("parameter")
        self.gradient = self._vector("gradient")
        if clip:
            self.gradient = self.mul(self.gradient, self.scalar("gradient_scale"))

    def _vector(self, name: str) -> int:
        return self.builder.input("parameter", name, (self.size,))

    def slot(self, name: str) -> int:
        return self._vector(f"slot:{name}")

    def scalar(self, name: str) -> int:
        return self.builder.input("scalar", name, ())

    def add(self, x: int, y: int) -> int:
        return self.builder.add("add", x, y)

    def sub(self, x: int, y: int) -> int:
        return self.builder.add("sub", x, y)

    def mul(self, x: int, y: int) -> int:
        return self.builder.add("mul", x, y)

    def scaled(self, x: int, value: float) -> int:
        return self.builder.add("scale", x, attrs=Constant(float(value)))

    def build(self, parameter: int, slots: dict[str, int]) -> Graph:
        kept = [(f"slot:{name}", index) for name, index in slots.items()]
        return self.builder.graph([("parameter", parameter), *kept])


def _adam_update(u: _Update, settings: Adam | AdamW, p: int, g: int) -> Graph:
    beta1, beta2 = settings.beta1, settings.beta2
    m = u.add(u.scaled(u.slot("mean"), beta1), u.scaled(g, 1.0 - beta1))
    square = u.scaled(u.builder.add("square", g), 1.0 - beta2)
    v = u.add(u.scaled(u.slot("square"), beta2), square)
    step = u.mul(u.mul(m, u.scalar("correction1")), u.scalar("learning_rate"))
    root = u.builder.add("sqrt", u.mul(v, u.scalar("correction2")))
    size = u.builder.add("offset", root, attrs=Constant(float(settings.eps)))
    return u.build(u.sub(p, u.builder.add("div", step, size)), {"mean": m, "square": v})


def _check_adam(settings: Adam | AdamW) -> None:
    settle(
        settings,
        learning_rate=_single("learning_rate", settings.learning_rate, above=0),
        beta1=check_number("beta1", settings.beta1, least=0, below=1),
        beta2=check_number("beta2", settings.beta2, least=0, below=1),
        eps=_single("eps", settings.eps, above=0),
        weight_decay=_single("weight_decay", settings.weight_decay, least=0),
    )
    if not np.float32(settings.eps) > 0:
        raise refusal("eps", "be above 0 in float32", settings.eps)


def _checked(step: int, learning_rate: float) -> tuple[int, float]:
    """A step's number and rate, checked; quickly, as they are asked for each step of a training."""
    known = type(step) is int and type(learning_rate) is float
    if known and 0 <= step < _STEPS and -math.inf < learning_rate < math.inf:
        return step, learning_rate
    learning_rate = check_number("learning_rate", learning_rate)
    return check_count("step", step, least=0, below=_STEPS), learning_rate


def _corrections(settings: Adam | AdamW, step: int) -> tuple[float, float]:
    first = _power_of(float(settings.beta1)).at(step + 1)
    second = _power_of(float(settings.beta2)).at(step + 1)
    return 1.0 / (1.0 - first), 1.0 / (1.0 - second)


class _Power:
    """Powers of a number by repeated multiplication; going on from the last one is one step."""

    def __init__(self, base: float) -> None:
        self._base = base
        # Both at once: threads need no lock, and a forked process finds what belongs together.
        self._last = (0, 1.0)

    def at(self, exponent: int) -> float:
        reached, value = self._last
        if exponent < reached:
            reached, value = 0, 1.0
        for _ in range(exponent - reached):
            power = value * self._base
            if power == value:
                # It has become 0, or as small as it gets: nothing changes any more.
                break
            value = power
        self._last = (exponent, value)
        return value


@functools.lru_cache(maxsize=64)
def _power_of(base: float) -> _Power:
    return _Power(base)
