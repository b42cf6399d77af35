"""Where a window goes: kernel, stride, padding, dilation, and the sizes that follow.

One record serves ranks 0 to 3; rank 0 is a linear layer, a convolution with nowhere to slide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isoconv.checks import check_count, check_flag, refusal, whole
from isoconv.errors import ArgumentError, ShapeError

__public__ = {"isoconv": ["output_size", "same_padding"], "isoconv.ops": ["[A-Z]*"]}

Pairs = tuple[tuple[int, int], ...]


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
) -> int:
    r"""Output size along one axis, by the formula of the notes (``docs/glossary.md``).

    ``O = floor((I + P_before + P_after - (dilation * (K - 1) + 1)) / S) + 1``; with equal padding
    on both sides and no dilation this is :math:`\lfloor (I + 2P - K) / S \rfloor + 1`.

    With ``ceil_mode`` the division rounds up, but a last window that would start in the padding
    after the input is left out.

    Raises:
        ShapeError: the kernel is larger than the padded input.
        ArgumentError: a size, stride or dilation that is no whole number or below 1, or a negative
            padding.

    Example:
        >>> output_size(28, kernel=5, stride=1, padding=2)
        28
        >>> output_size(7, kernel=3, stride=2)
        3
    """
    size, kernel = check_count("size", size), check_count("kernel", kernel)
    stride, dilation = check_count("stride", stride), check_count("dilation", dilation)
    before, after = _padding_pair(padding)
    ceil_mode = check_flag("ceil_mode", ceil_mode)
    extent = dilation * (kernel - 1) + 1
    room = size + before + after - extent
    if room < 0:
        raise ShapeError(
            f"the kernel must fit into the padded input: kernel size {kernel} with dilation "
            f"{dilation} covers {extent}, the input has {size} + {before} + {after} = "
            f"{size + before + after}"
        )
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def _padding_pair(padding: object) -> tuple[int, int]:
    """Padding of one axis, one number or a pair, as (before, after)."""
    pair = padding if isinstance(padding, (tuple, list)) else (padding, padding)
    sides = [number for side in pair if (number := whole(side)) is not None]
    if not len(sides) == len(pair) == 2:
        raise refusal("padding", "be a whole number or a pair (before, after)", padding)
    if min(sides) < 0:
        raise refusal("padding", "not be negative", padding)
    return sides[0], sides[1]


def same_padding(
    size: int, kernel: int, stride: int = 1, dilation: int = 1, *, lower: bool = False
) -> tuple[int, int]:
    """Padding (before, after) that gives ``ceil(size / stride)`` outputs.

    The whole is ``max(0, (outputs - 1) · stride + dilation · (kernel - 1) + 1 - size)``, half of it
    on each side; an odd one comes after, as in TensorFlow's ``SAME`` and ONNX's ``SAME_UPPER``.

    Args:
        size: of the input.
        kernel: its size.
        stride: step.
        dilation: distance between kernel elements.
        lower: the odd one comes before, as in ONNX's ``SAME_LOWER``.

    Raises:
        ArgumentError: a size, stride or dilation that is no whole number or below 1.

    Example:
        >>> same_padding(28, kernel=5)
        (2, 2)
        >>> same_padding(28, kernel=3, stride=2), same_padding(28, kernel=3, stride=2, lower=True)
        ((0, 1), (1, 0))
    """
    lower = check_flag("lower", lower)
    size, kernel = check_count("size", size), check_count("kernel", kernel)
    stride, dilation = check_count("stride", stride), check_count("dilation", dilation)
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size)
    half = total // 2
    return (total - half, half) if lower else (half, total - half)


def _other_rank(rank: int, sides: Sequence[int]) -> ShapeError:
    text = f"the input must have {rank} axes to slide along; got {tuple(sides)}"
    return ShapeError(text, argument="sides", value=sides)


def _check(rank: int, values: Mapping[str, Sequence[int]], padding: Pairs) -> None:
    for name, value in values.items():
        if len(value) != rank:
            raise refusal(name, f"have {rank} entries, one per axis", tuple(value), ShapeError)
        if min(value, default=1) < 1:
            raise refusal(name, "be at least 1 on every axis", tuple(value))
    if len(padding) != rank:
        raise refusal("padding", f"have {rank} pairs, one per axis", padding, ShapeError)
    if any(min(pair) < 0 for pair in padding):
        raise refusal("padding", "not be negative", padding)


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """How a kernel moves over the input.

    Attributes:
        kernel: kernel size per axis.
        stride: step per axis.
        padding: zeros (before, after) per axis.
        dilation: distance between kernel elements per axis.
        groups: channels are cut into this many groups that do not see each other.
        flip: False for cross-correlation, True for convolution as mathematics defines it: the
            kernel is turned around on every axis, so that ``kernel[m]`` meets the input at
            offset ``(K - 1 - m) * dilation``.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]
    groups: int = 1
    flip: bool = False

    def __post_init__(self) -> None:
        sides = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        _check(len(self.kernel), sides, self.padding)
        if self.groups < 1:
            raise refusal("groups", "be at least 1", self.groups)

    @property
    def rank(self) -> int:
        """Number of axes the kernel slides along."""
        return len(self.kernel)

    def output_sides(self, sides: Sequence[int]) -> tuple[int, ...]:
        """Output size per axis for an input of these sizes."""
        if len(sides) != self.rank:
            raise _other_rank(self.rank, sides)
        return tuple(
            output_size(side, k, s, p, d)
            for side, k, s, p, d in zip(
                sides, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    @staticmethod
    def linear() -> ConvGeometry:
        """Rank 0: every input channel meets every output channel once."""
        return ConvGeometry((), (), (), ())


@dataclass(frozen=True, slots=True)
class WindowGeometry:
    """How a pooling window moves over the input.

    Padding is not part of the data: max pooling ignores it, average pooling counts it only with
    ``count_include_pad``. Less than the kernel's extent, so that every window meets the input.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        sides = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        _check(len(self.kernel), sides, self.padding)
        for k, d, pair in zip(self.kernel, self.dilation, self.padding, strict=True):
            if max(pair) > d * (k - 1):
                raise ArgumentError(
                    "pooling padding must be less than the kernel's extent: padding "
                    f"{self.padding}, kernel {self.kernel}, dilation {self.dilation}",
                    argument="padding",
                    value=self.padding,
                )

    def output_sides(self, sides: Sequence[int]) -> tuple[int, ...]:
        """Output size per axis for an input of these sizes."""
        if len(sides) != len(self.kernel):
            raise _other_rank(len(self.kernel), sides)
        return tuple(
            output_size(side, k, s, p, d, ceil_mode=self.ceil_mode)
            for side, k, s, p, d in zip(
                sides, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
