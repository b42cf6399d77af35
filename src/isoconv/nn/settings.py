"""Settings as people write them, made into one entry per axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from isoconv.checks import LARGEST, check_count, check_flag, check_shape, refusal, whole
from isoconv.errors import ShapeError
from isoconv.nn.tensor import Tensor, check_tensors
from isoconv.ops.geometry import same_padding

if TYPE_CHECKING:
    from isoconv.nn.module import Module


def added(default: Any, *, kw_only: bool = False) -> Any:
    """The field of a setting that a layer did not always have.

    Records and receipts leave it out where it has its default, so that those of models from before
    stay as they are.

    Args:
        default: its value where nobody gives one.
        kw_only: whether it is given by name alone, so that settings behind it keep their places.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Layer:
        ...     size: int
        ...     frozen: bool = added(False)
        >>> added_settings(Layer)
        {'frozen': False}
    """
    return field(default=default, kw_only=kw_only, metadata={"added": True})


def added_settings(kind: type) -> dict[str, Any]:
    """The settings of a class that are `added`, with their defaults."""
    known = fields(kind) if is_dataclass(kind) else ()
    return {each.name: each.default for each in known if "added" in each.metadata}


PerAxis = int | tuple[int, ...]
"""One number for all axes, or one per axis."""
PaddingSetting = (
    int | tuple[int, ...] | tuple[tuple[int, int], ...] | Literal["same", "same_lower", "valid"]
)
"""One number, one per axis, a pair (before, after) per axis, or "same", "same_lower", "valid"."""
Axes = int | tuple[int, ...]
"""One axis of an image's shape or several; negative ones count from the end."""

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
"""What lies beyond the ends of an axis."""
PADDING_MODES = get_args(PaddingMode)

SMALL = 64
"""Up to this shorter side images are taken for small ones."""
AXES = {0: "(C,)", 1: "(L, C)", 2: "(H, W, C)", 3: "(D, H, W, C)"}


def check_rank(kind: str, rank: int, x: Tensor) -> None:
    """See that a value is a tensor with ``rank`` spatial axes and one of channels.

    Raises:
        ArgumentError: it is no tensor.
        ShapeError: it has other axes.
    """
    check_tensors(kind, x=x)
    shape = x.shape
    if len(shape) != rank + 1:
        hint = "; flatten it first" if rank == 0 and len(shape) > 1 else ""
        text = f"{kind} takes inputs of shape {AXES[rank]}; got shape {shape}{hint}"
        raise ShapeError(text, argument="x", value=x)


def image_shape(
    input_shape: tuple[int, ...] | None, usual: tuple[int, int, int] = (224, 224, 3)
) -> tuple[int, int, int]:
    """The shape of the images that a ready model is for.

    Args:
        input_shape: ``(H, W, C)``, or None for the usual one.
        usual: the one of the model's paper.

    Raises:
        ShapeError: another shape.
    """
    if input_shape is None:
        return usual
    height, width, channels = check_shape("input_shape", input_shape, axes=3, of="(H, W, C)")
    return height, width, channels


def is_small(input_shape: tuple[int, ...] | None) -> bool:
    """Whether a ready model takes images for small ones, such as CIFAR's, and halves them later.

    Args:
        input_shape: as in `image_shape`.

    Example:
        >>> is_small((64, 80, 3)), is_small(None)
        (True, False)
    """
    height, width, _ = image_shape(input_shape)
    return min(height, width) <= SMALL


def with_bias(kind: str, y: Tensor, bias: Tensor | None) -> Tensor:
    """A result with its bias, one number for each channel, added where there is one.

    Raises:
        ArgumentError: the bias is no tensor.
        ShapeError: it has another shape than ``(O,)``.
    """
    if bias is None:
        return y
    check_tensors(kind, bias=bias)
    if bias.shape != y.shape[-1:]:
        raise ShapeError(
            f"{kind} takes a bias of shape (O,), one number for each of the {y.shape[-1]} "
            f"channels; got shape {bias.shape}",
            argument="bias",
            value=bias,
        )
    return y + bias


def filters_and_groups(filters: int, groups: int, channels: int) -> tuple[int, int]:
    """The filters of a convolution layer and its groups.

    Args:
        filters: number of output channels.
        groups: how many groups these and the input's channels are cut into.
        channels: of the input.

    Raises:
        ArgumentError: they are no numbers from 1.
        ShapeError: the groups do not divide both.

    Example:
        >>> filters_and_groups(8, 2, channels=6)
        (8, 2)
    """
    count, cut = check_count("filters", filters, most=LARGEST), check_count("groups", groups)
    if channels % cut or count % cut:
        raise ShapeError(
            f"groups must divide the input channels and the filters: groups={cut}, "
            f"input channels {channels}, filters {count}",
            argument="groups",
            value=groups,
        )
    return count, cut


def learned_bias(layer: Module, x: Tensor, count: int, wanted: bool) -> Tensor | None:
    """A layer's bias, a learned number for each of so many channels, where one is wanted."""
    if not check_flag("bias", wanted):
        return None
    return x.trace.parameter(layer, "bias", (count,), "zeros")


def per_axis(name: str, value: PerAxis, rank: int, least: int = 1) -> tuple[int, ...]:
    """One whole number per axis.

    Raises:
        ArgumentError: not whole numbers, too few or too many of them, or one below ``least``.

    Example:
        >>> per_axis("stride", 2, rank=2)
        (2, 2)
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    values = tuple(number for entry in given if (number := whole(entry)) is not None)
    if not len(given) == len(values) == rank:
        rule = "a whole number" if rank == 1 else f"a whole number or {rank} of them"
        raise refusal(name, f"be {rule}", value)
    if min(values, default=least) < least:
        raise refusal(name, f"be at least {least} on every axis", value)
    if max(values, default=least) > LARGEST:
        raise refusal(name, f"be at most {LARGEST} on every axis", value)
    return values


def axes_of(name: str, value: Axes | None, rank: int, *, ordered: bool = False) -> tuple[int, ...]:
    """Axes of an image's shape of so many, from 0 on in increasing order; None for all.

    Args:
        name: of the setting, for the message.
        value: one axis or several, none twice; negative ones are counted from the end.
        rank: how many axes there are.
        ordered: the order in which they are given stays.

    Raises:
        ArgumentError: what is no axis, or the same one twice.

    Example:
        >>> axes_of("axes", (-1, 0), rank=3)
        (0, 2)
    """
    every = tuple(range(rank)) if value is None else value
    given = tuple(every) if isinstance(every, (tuple, list)) else (every,)
    numbers = [number for entry in given if (number := whole(entry)) is not None]
    places = [number % rank for number in numbers if -rank <= number < rank]
    if not len(places) == len(given) == len(set(places)):
        raise refusal(name, f"be different axes of the input, which has {rank}", value)
    return tuple(places if ordered else sorted(places))


def axis_of(name: str, value: object, rank: int) -> int:
    """One axis of an image's shape of so many, from 0 on.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> axis_of("axis", -1, rank=3)
        2
    """
    number = whole(value)
    if number is None or not -rank <= number < rank:
        raise refusal(name, f"be an axis of the input, which has {rank}", value)
    return number % rank


def padding_pairs(
    value: PaddingSetting,
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Padding (before, after) per axis.

    ``"valid"`` is none; ``"same"`` gives ``ceil(size / stride)`` outputs, an odd one after, and
    ``"same_lower"`` an odd one before; see `same_padding`.

    Raises:
        ArgumentError: another text, the wrong number of entries, or a negative one.

    Example:
        >>> padding_pairs("same", (28, 28), (5, 5), (1, 1), (1, 1))
        ((2, 2), (2, 2))
        >>> padding_pairs((1, 2), (28, 28), (3, 3), (1, 1), (1, 1))
        ((1, 1), (2, 2))
    """
    rank = len(sides)
    if isinstance(value, str) and value == "valid":
        return ((0, 0),) * rank
    if isinstance(value, str) and value in ("same", "same_lower"):
        return tuple(
            same_padding(side, k, s, d, lower=value == "same_lower")
            for side, k, s, d in zip(sides, kernel, stride, dilation, strict=True)
        )
    entries = (value,) * rank if not isinstance(value, (tuple, list)) else tuple(value)
    pairs = [_pair(entry) for entry in entries] if len(entries) == rank else []
    valid = [pair for pair in pairs if pair is not None]
    if len(valid) != rank:
        raise refusal(
            "padding",
            f'be "same", "same_lower", "valid", a number from 0, {rank} of them, or {rank} pairs '
            "(before, after)",
            value,
        )
    return tuple(valid)


def _pair(entry: object) -> tuple[int, int] | None:
    """An entry as (before, after), or None when it is neither a number nor a pair from 0."""
    pair = entry if isinstance(entry, (tuple, list)) else (entry, entry)
    numbers = [number for side in pair if (number := whole(side)) is not None]
    zeros = [number for number in numbers if 0 <= number <= LARGEST]
    return (zeros[0], zeros[1]) if len(zeros) == len(pair) == 2 else None
