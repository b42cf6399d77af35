"""A network as a graph of named layers, each of which says whose results it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

from isoconv.checks import (
    check_count,
    check_flag,
    check_shape,
    check_text,
    entries,
    refusal,
    shown,
)
from isoconv.errors import ArgumentError, as_given
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {"isoconv.nn": ["[A-Z]*"]}

Step = tuple[str, Module, *tuple[str, ...]]
"""The name of a layer, the layer, and the names of what it reads."""


@dataclass(eq=False, repr=False)
class Network(Module):
    """Layers with names, each with the names of what it reads: a directed acyclic graph.

    What models of other libraries become (docs/onnx.md). A layer reads inputs of the network and
    layers before it; its name is that of its weights, too.

    Args:
        steps: for each layer its name, the layer, and the names of what it reads, in the order of
            the layer's arguments. A layer that stands in several steps has one set of weights.
        inputs: names of what the network is called with.
        output: name of the layer whose result is the network's; None for the last one.

    Input shape:
        ``(...)`` each, float32, what the layers that read it take.

    Output shape:
        What the layer `output` gives.

    Source:
        No formula: the layers compute.

    Raises:
        ArgumentError: a name that is empty or stands for two values, something that is no layer,
            or a name that stands for no input and no layer before: so no layer reads itself, not
            by way of others either.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Network((
        ...     ("narrow", nn.Conv2d(4, 1), "x"),
        ...     ("wide", nn.Conv2d(4, 3, padding=1), "x"),
        ...     ("sum", nn.Add(), "narrow", "wide"),
        ... ))
        >>> sorted(model.build((8, 8, 3)).weights)
        ['narrow.bias', 'narrow.weight', 'wide.bias', 'wide.weight']
    """

    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ("x",)
    output: str | None = None

    def __post_init__(self) -> None:
        for argument in ("steps", "inputs"):
            found = getattr(self, argument)
            if not isinstance(found, (tuple, list)) or not found:
                raise refusal(argument, "be a list with at least one entry", found)
        steps = entries("steps", self.steps)
        for argument, step in steps.items():
            if not isinstance(step, (tuple, list)) or len(step) < 3:
                raise refusal(argument, "be a name, a layer, and names of what it reads", step)
            if not isinstance(step[1], Module):
                text = f"{argument} must have a layer behind its name; got {shown(step[1])}"
                raise ArgumentError(text, argument=argument, value=step[1])
        known: set[str] = set()
        read = [name for step in self.steps for name in step[2:]]
        for argument, name in entries("inputs", self.inputs).items():
            known.add(_name(argument, name, known))
            if name not in read:
                raise refusal(argument, "be read by a step", name)
        for argument, (name, _, *reads) in steps.items():
            for each in reads:
                if not isinstance(each, str) or each not in known:
                    text = f"{argument}, {name!r}, must read inputs and steps before it"
                    raise ArgumentError(f"{text}; got {shown(each)}", argument=argument, value=each)
            known.add(_name(argument, name, known))
        if self.output is not None and check_text("output", self.output) not in known:
            raise refusal("output", "be the name of a step or of an input", self.output)

    def children(self) -> Iterator[tuple[str, Module]]:
        """The layers by their names."""
        for name, layer, *_ in self.steps:
            yield name, layer

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """As many tensors as there are inputs to what the layer `output` gives."""
        given = (x, *others)
        check_tensors("Network", x=x, **entries("others", others))
        if len(given) != len(self.inputs):
            text = f"the network takes {len(self.inputs)} inputs, {', '.join(self.inputs)}"
            raise ArgumentError(f"{text}; got {len(given)}", argument="others", value=others)
        values = dict(zip(self.inputs, given, strict=True))
        last = self.inputs[-1]
        for name, layer, *reads in self.steps:
            values[name] = layer(*(values[read] for read in reads))
            last = name
        return values[last if self.output is None else self.output]

    def line(self) -> str:
        """Its class, and the number of its layers."""
        return f"Network({len(self.steps)} steps)"


def _name(argument: str, name: Any, known: set[str]) -> str:
    if not check_text(argument, name) or name in known:
        raise refusal(argument, "have a name of its own", name)
    return str(name)


@dataclass(eq=False, repr=False)
class Constant(Module):
    """An array of a network's own: the same for every image, whatever is read.

    Args:
        shape: of the array, without an image axis.
        learned: whether training changes it.

    Input shape:
        ``(...)``, any shape, float32; nothing of it is used.

    Output shape:
        That of the array.

    Source:
        No formula: nothing is computed.

    Raises:
        ShapeError: when traced: a shape that is none.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Network((("c", nn.Constant((3,)), "x"), ("sum", nn.Multiply(), "x", "c")))
        >>> model.build((8, 8, 3)).weights["c.value"].shape
        (3,)
    """

    shape: tuple[int, ...]
    learned: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the array's."""
        check_tensors("Constant", x=x)
        shape = check_shape("shape", self.shape)
        if check_flag("learned", self.learned):
            return x.trace.parameter(self, "value", shape, "zeros")
        return x.trace.state(self, "value", shape, 0.0, 0.0)


@dataclass(eq=False, repr=False)
class Apply(Module):
    """A function of tensors as a layer: it has a name, and what it reads is said by names.

    Args:
        function: of `isoconv.nn.functional`, so that the layer can be stored in files.
        settings: what it is given behind the tensors, in its order.
        result: which of several results the layer gives, from 0; None for a function of one.

    Input shape:
        ``(...)`` each, float32, what the function takes.

    Output shape:
        What the function gives.

    Source:
        No formula: the function computes.

    Raises:
        ArgumentError: when traced: something that is no function, settings that it does not take,
            or another number of results.

    Example:
        >>> from isoconv import nn
        >>> layer = nn.Apply(nn.functional.power, (2.0,)).build((3,))
        >>> layer.predict([[1.0, 2.0, 3.0]], finish="none").tolist()
        [[1.0, 4.0, 9.0]]
    """

    function: Callable[..., Any]
    settings: tuple[Any, ...] = ()
    result: int | None = None

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Tensors to what the function makes of them."""
        check_tensors("Apply", x=x, **entries("others", others))
        if not callable(self.function) or isinstance(self.function, type):
            raise refusal("function", "be a function of tensors", self.function)
        if not isinstance(self.settings, (tuple, list)):
            raise refusal("settings", "be values in a row", self.settings)
        given = (x, *others, *self.settings)
        try:
            names = list(signature(self.function).bind(*given).arguments)[len(others) + 1 :]
        except TypeError as error:
            rule = f"be what the function takes behind {len(others) + 1} tensors ({error})"
            raise refusal("settings", rule, self.settings) from error
        with as_given(dict.fromkeys(names, "settings"), settings=self.settings):
            y = self.function(*given)
        if isinstance(y, tuple):
            place = self.result if self.result is None else check_count("result", self.result, 0)
            if place is None or place >= len(y):
                raise refusal("result", f"be one of the function's {len(y)}, from 0", self.result)
            y = y[place]
        elif self.result is not None:
            raise refusal("function", "give several tensors", self.function)
        if not isinstance(y, Tensor):
            raise refusal("function", "give back a tensor", self.function)
        return y

    def line(self) -> str:
        """Its class, the function's name, and its settings."""
        more = "".join(f", {setting!r}" for setting in self.settings)
        more += "" if self.result is None else f", result={self.result}"
        return f"Apply({getattr(self.function, '__name__', 'function')}{more})"
