"""Modules made of modules, and layers that join several values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isoconv.checks import entries, shown
from isoconv.errors import ArgumentError, ShapeError, as_given
from isoconv.nn.module import Module
from isoconv.nn.settings import added
from isoconv.nn.shaping import concatenate
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {"isoconv.nn": ["[A-Z]*"]}


class _Steps(Module):
    """Modules or functions in a row, named "0", "1", …; what is done with them a subclass says."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        kind = type(self).__name__
        for place, step in enumerate(steps):
            if not callable(step) or isinstance(step, type):
                text = f"{kind} takes modules or functions; step {place} is {shown(step)}"
                raise ArgumentError(text, argument=f"steps[{place}]", value=step)
        self.steps = steps

    def children(self) -> Iterator[tuple[str, Module]]:
        """The steps that are modules, named by their place; then what a subclass adds."""
        for name, child in super().children():
            yield name.removeprefix("steps."), child

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, place: int) -> Callable[[Tensor], Tensor]:
        return self.steps[place]

    def line(self) -> str:
        """Its class and the number of its steps."""
        return f"{type(self).__name__}({len(self.steps)} steps)"

    def __iter__(self) -> Iterator[Callable[[Tensor], Tensor]]:
        return iter(self.steps)


def _result(name: str, step: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a step gives."""
    y = step(x)
    if not isinstance(y, Tensor):
        text = f"a step must give back a Tensor; {name} gave {shown(y)}"
        raise ArgumentError(text, argument=name, value=step)
    return y


class Sequential(_Steps):
    """One step after the other; the steps are named "0", "1", ….

    Args:
        *steps: modules, or functions from a tensor to a tensor.

    Input shape:
        ``(...)``, what the first step takes.

    Output shape:
        What the last step gives.

    Source:
        No formula: the steps compute.

    Raises:
        ArgumentError: a step that cannot be called, or is a class.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(8, 3), nn.functional.relu, nn.Flatten())
        >>> sorted(model.build((28, 28, 1)).weights)
        ['0.bias', '0.weight']
        >>> len(model), model[0]
        (3, Conv2d(filters=8, kernel_size=3))
    """

    def forward(self, x: Tensor) -> Tensor:
        """The input through all steps."""
        check_tensors(type(self).__name__, x=x)
        for name, step in entries("steps", self.steps).items():
            x = _result(name, step, x)
        return x


class Branches(_Steps):
    """Several steps on the same value, their results side by side on the channels.

    ``y = [step_0(x), step_1(x), …]``. An empty `Sequential` passes x on as it is, as in DenseNet,
    where what a block computes stands beside what it read.

    Args:
        *steps: modules, or functions from a tensor to a tensor; at least one.

    Input shape:
        ``(...)``, what every step takes, float32.

    Output shape:
        ``(..., Σ C_i)``; the other axes of the steps' results are equal.

    Source:
        Szegedy et al. 2014, "Going deeper with convolutions".

    Raises:
        ArgumentError: a step that cannot be called, or is a class; when traced: no step.
        ShapeError: when traced: results whose other axes differ.

    Example:
        >>> from isoconv import nn
        >>> dense = nn.Branches(nn.Sequential(), nn.Conv2d(4, 3, padding=1))
        >>> nn.trace_model(dense, (8, 8, 3), training=False).output_tensor.shape
        (8, 8, 7)
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to ``(..., Σ C_i)``."""
        check_tensors("Branches", x=x)
        steps = entries("steps", self.steps)
        return concatenate(*(_result(name, step, x) for name, step in steps.items()))


class Add(Module):
    """The sum of several values, added from the left; shapes broadcast as NumPy's do.

    Input shape:
        ``(...)`` each, float32; usually of one shape.

    Output shape:
        ``(...)``, the shape that they broadcast to.

    Source:
        He et al. 2015, "Deep residual learning for image recognition".

    Raises:
        ShapeError: when traced: shapes that do not broadcast.

    Example:
        >>> from isoconv import nn
        >>> class Joined(nn.Module):
        ...     def __init__(self):
        ...         self.join = nn.Add()
        ...     def forward(self, x):
        ...         return self.join(x, x)
        >>> Joined().summary((8, 8, 3)).rows[0].output
        (8, 8, 3)
    """

    def forward(self, *parts: Tensor) -> Tensor:
        """Several tensors to their sum."""
        check_tensors("Add", **entries("parts", parts))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class Multiply(Module):
    """The product of several values, multiplied from the left.

    Shapes are equal, or one is that of the channels alone, as in squeeze-and-excitation.

    Input shape:
        ``(..., C)`` each, float32; some may be ``(C,)``.

    Output shape:
        ``(..., C)``.

    Source:
        Hu et al. 2017, "Squeeze-and-excitation networks".

    Raises:
        ShapeError: when traced: shapes of another kind.

    Example:
        >>> from isoconv import nn
        >>> class Joined(nn.Module):
        ...     def __init__(self):
        ...         self.join = nn.Multiply()
        ...     def forward(self, x):
        ...         return self.join(x, nn.functional.global_avg_pool(x))
        >>> Joined().summary((8, 8, 3)).rows[0].output
        (8, 8, 3)
    """

    def forward(self, *parts: Tensor) -> Tensor:
        """Several tensors to their product."""
        check_tensors("Multiply", **entries("parts", parts))
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        return product


@dataclass(eq=False, repr=False)
class Concatenate(Module):
    """`concatenate` as a layer: values side by side on one axis, usually the channels.

    Args:
        axis: which, without that of the images; negative ones are counted from the end.

    Input shape:
        ``(..., C_i)`` each, float32; other axes are equal.

    Output shape:
        ``(..., Σ C_i)``.

    Source:
        Szegedy et al. 2014, "Going deeper with convolutions".

    Raises:
        ShapeError: when traced: other axes differ.

    Example:
        >>> from isoconv import nn
        >>> class Joined(nn.Module):
        ...     def __init__(self):
        ...         self.join = nn.Concatenate()
        ...     def forward(self, x):
        ...         return self.join(x, x)
        >>> Joined().summary((8, 8, 3)).rows[0].output
        (8, 8, 6)
    """

    axis: int = added(-1)

    def forward(self, *parts: Tensor) -> Tensor:
        """Tensors ``(spatial..., C_i)`` to ``(spatial..., Σ C_i)``."""
        return concatenate(*parts, axis=self.axis)


@dataclass(eq=False, repr=False)
class Residual(Module):
    """``body(x) + shortcut(x)``; without a shortcut, ``body(x) + x``.

    Args:
        body: what is learned beside the identity.
        shortcut: brings x to the shape of the body's result where it differs; None for identity.

    Input shape:
        ``(...)``, what the body takes, float32.

    Output shape:
        What the body gives.

    Source:
        He et al. 2015, "Deep residual learning for image recognition".

    Raises:
        ArgumentError: a body or a shortcut that is neither a module nor a function.
        ShapeError: when traced: body and shortcut give different shapes.

    Example:
        >>> from isoconv import nn
        >>> block = nn.Residual(nn.Conv2d(8, 3, padding=1), shortcut=nn.Conv2d(8, 1))
        >>> sorted(block.build((8, 8, 3)).weights)
        ['body.bias', 'body.weight', 'shortcut.bias', 'shortcut.weight']
    """

    body: Module
    shortcut: Module | None = None

    def __post_init__(self) -> None:
        for name, part in (("body", self.body), ("shortcut", self.shortcut)):
            optional = name == "shortcut" and part is None
            if not optional and (not callable(part) or isinstance(part, type)):
                text = f"{name} of a Residual must be a module or a function; got {shown(part)}"
                raise ArgumentError(text, argument=name, value=part)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` to ``body(x) + shortcut(x)``."""
        check_tensors("Residual", x=x)
        inner = self.body(x)
        outer = x if self.shortcut is None else self.shortcut(x)
        with as_given(body=self.body, shortcut=self.shortcut):
            _check_equal("Residual", body=inner, shortcut=outer)
        return inner + outer


def _check_equal(kind: str, **parts: Tensor) -> None:
    check_tensors(kind, **parts)
    shapes = [part.shape for part in parts.values()]
    if any(shape != shapes[0] for shape in shapes):
        listed = " and ".join(str(shape) for shape in shapes)
        raise ShapeError(f"{kind} adds values of one shape; got {listed}")
