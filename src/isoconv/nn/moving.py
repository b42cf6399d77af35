"""Values in another order or under another shape: functions on tensors, and layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isoconv.checks import refusal, whole
from isoconv.errors import ShapeError, as_given
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import Axes, axes_of, axis_of
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Permutation, Take

__public__ = {
    "isoconv.nn": ["[A-Z]*[a-z]"],
    "isoconv.nn.functional": ["flip", "squeeze", "take", "transpose", "unsqueeze"],
}

MOST_PLACES = 2**20
"""Of an axis whose places are listed one by one."""


def transpose(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The axes of a value in another order: ``Y[i] = X[j]`` with ``j[axes[d]] = i[d]``.

    Args:
        x: any shape.
        axes: for each axis of the result the axis of x that it is, without that of the images;
            each once, negative ones counted from the end.

    Returns:
        ``(S_axes[0], S_axes[1], ...)`` of x with sides S.

    Raises:
        ArgumentError: not each axis once.

    Example:
        >>> from isoconv.nn import Trace
        >>> transpose(Trace().images((28, 20, 3)), (2, 0, 1)).shape
        (3, 28, 20)
    """
    check_tensors("transpose", x=x)
    order = axes_of("axes", axes, len(x.shape), ordered=True)
    if axes is None or len(order) < len(x.shape):
        raise refusal("axes", f"name each of the {len(x.shape)} axes", axes)
    if order == tuple(range(len(order))):
        return x
    wide = [axis for axis in order if x.shape[axis] != 1]
    if wide == sorted(wide):
        # Only sides of 1 go elsewhere, and all elements stay.
        return x.reshape(*(x.shape[axis] for axis in order))
    return apply("transpose", x=x, attrs=Permutation(order))


def take(x: Tensor, indices: Sequence[int], axis: int = -1) -> Tensor:
    """Places of one axis by their numbers: ``Y[..., i, ...] = X[..., indices[i], ...]``.

    The gradient of a place is the sum of those that took it, in their order.

    Args:
        x: any shape.
        indices: numbers of places, from 0, in any order and more than once; -1 for zeros.
        axis: which, without that of the images; negative ones are counted from the end.

    Returns:
        The shape of x with ``len(indices)`` in place of the axis.

    Raises:
        ArgumentError: indices that are no list of whole numbers from -1, or an axis that there is
            not.
        ShapeError: an index beyond the axis.

    Example:
        >>> from isoconv.nn import Trace
        >>> take(Trace().images((28, 20, 3)), (2, 1, 0)).shape
        (28, 20, 3)
    """
    check_tensors("take", x=x)
    place = axis_of("axis", axis, len(x.shape))
    given = indices if isinstance(indices, (tuple, list, range)) else ()
    places = tuple(found for index in given if (found := whole(index)) is not None)
    if not len(given) == len(places) > 0 or min(places) < -1 or len(places) > MOST_PLACES:
        rule = f"be a list of whole numbers from -1, of 1 to {MOST_PLACES}"
        raise refusal("indices", rule, indices)
    if max(places) >= x.shape[place]:
        rule = f"lie within the {x.shape[place]} places of the axis"
        raise refusal("indices", rule, indices, ShapeError)
    return taken_places(x, place, places)


def taken_places(x: Tensor, axis: int, places: tuple[int, ...]) -> Tensor:
    """As `take`, of what was checked; all of them in order are the value itself."""
    if places == tuple(range(x.shape[axis])):
        return x
    return apply("take", x=x, attrs=Take(axis - len(x.shape), places))


def flip(x: Tensor, axes: Axes) -> Tensor:
    """Axes backwards: ``Y[..., i, ...] = X[..., S - 1 - i, ...]``.

    Args:
        x: any shape.
        axes: one or several, without that of the images; negative ones are counted from the end.

    Returns:
        The shape of x.

    Raises:
        ArgumentError: axes that there are not.

    Example:
        >>> from isoconv.nn import Trace
        >>> flip(Trace().images((28, 20, 3)), 1).shape
        (28, 20, 3)
    """
    check_tensors("flip", x=x)
    for axis in axes_of("axes", axes, len(x.shape)):
        x = taken_places(x, axis, tuple(reversed(range(x.shape[axis]))))
    return x


def squeeze(x: Tensor, axes: Axes | None = None) -> Tensor:
    """The same elements without axes of a single place.

    Args:
        x: any shape.
        axes: which to leave out, without that of the images, negative ones counted from the end;
            None for all of a single place.

    Returns:
        The shape of x without these sides.

    Raises:
        ArgumentError: axes that there are not.
        ShapeError: an axis of more than one place.

    Example:
        >>> from isoconv.nn import Trace
        >>> squeeze(Trace().images((1, 20, 1)), 0).shape
        (20, 1)
    """
    check_tensors("squeeze", x=x)
    sides = list(enumerate(x.shape))
    if axes is None:
        return x.reshape(*(side for _, side in sides if side != 1))
    gone = axes_of("axes", axes, len(x.shape))
    if any(x.shape[axis] != 1 for axis in gone):
        raise refusal("axes", f"be of one place each, of shape {x.shape}", axes, ShapeError)
    return x.reshape(*(side for axis, side in sides if axis not in gone))


def unsqueeze(x: Tensor, axes: Axes) -> Tensor:
    """The same elements with further axes of a single place.

    Args:
        x: any shape.
        axes: which axes of the result they are, without that of the images; negative ones are
            counted from the end.

    Returns:
        The shape of x with sides of 1 at these places.

    Raises:
        ArgumentError: axes that there are not.

    Example:
        >>> from isoconv.nn import Trace
        >>> unsqueeze(Trace().images((20, 3)), (0, -1)).shape
        (1, 20, 3, 1)
    """
    check_tensors("unsqueeze", x=x)
    count = len(axes) if isinstance(axes, (tuple, list)) else 1
    new = axes_of("axes", axes, len(x.shape) + count)
    if len(new) != count:
        raise refusal("axes", "be named", axes)
    sides = iter(x.shape)
    return x.reshape(*(1 if axis in new else next(sides) for axis in range(len(x.shape) + count)))


@dataclass(eq=False, repr=False)
class Transpose(Module):
    """`transpose` as a layer: the axes of a value in another order.

    Args:
        axes: for each axis of the result the axis of the input that it is, without that of the
            images; each once, negative ones counted from the end.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(moved...)``, the sides in this order.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: not each axis once.

    Example:
        >>> from isoconv import nn
        >>> nn.Transpose((2, 0, 1)).summary((28, 20, 3)).rows[0].output
        (3, 28, 20)
    """

    axes: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to its sides in another order."""
        return transpose(x, self.axes)


@dataclass(eq=False, repr=False)
class Flip(Module):
    """`flip` as a layer: axes backwards.

    Args:
        axes: one or several, without that of the images; negative ones are counted from the end.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: axes that there are not.

    Example:
        >>> from isoconv import nn
        >>> nn.Flip(-1)
        Flip(axes=-1)
    """

    axes: Axes

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return flip(x, self.axes)


@dataclass(eq=False, repr=False)
class Reshape(Module):
    """The same elements in row-major order under another shape, as a layer.

    Args:
        shape: the sides, without the image axis; one may be -1, for what is left.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(sides...)``, as many elements.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ShapeError: when traced: another number of elements.

    Example:
        >>> from isoconv import nn
        >>> nn.Reshape((-1, 3)).summary((28, 20, 3)).rows[0].output
        (560, 3)
    """

    shape: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to another of as many elements."""
        check_tensors("Reshape", x=x)
        if not isinstance(self.shape, (tuple, list)):
            raise refusal("shape", "be a list of sides", self.shape)
        with as_given(shape=self.shape):
            return x.reshape(*self.shape)


@dataclass(eq=False, repr=False)
class Squeeze(Module):
    """`squeeze` as a layer: the same elements without axes of a single place.

    Args:
        axes: which to leave out, without that of the images, negative ones counted from the end;
            None for all of a single place.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(sides...)``, without these.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: axes that there are not.
        ShapeError: when traced: an axis of more than one place.

    Example:
        >>> from isoconv import nn
        >>> nn.Squeeze((0, 1)).summary((1, 1, 3)).rows[0].output
        (3,)
    """

    axes: Axes | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same without some sides of 1."""
        return squeeze(x, self.axes)


@like(Flip)
@dataclass(eq=False, repr=False)
class Unsqueeze(Module):
    """`unsqueeze` as a layer: the same elements with further axes of a single place.

    Args:
        axes: which axes of the result they are, without that of the images; negative ones are
            counted from the end.

    Output shape:
        ``(sides...)``, with sides of 1 at these places.

    Source:
        No formula: values are moved, none is computed.

    Example:
        >>> from isoconv import nn
        >>> nn.Unsqueeze(0).summary((20, 3)).rows[0].output
        (1, 20, 3)
    """

    axes: Axes

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same with some sides of 1."""
        return unsqueeze(x, self.axes)
