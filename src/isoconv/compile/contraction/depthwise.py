"""Depthwise convolution: every channel has one filter of its own.

Forward, and the gradient by the input with reversed index maps:

    for n, position..., channel c:
        acc = +0.0
        for kernel position m, row-major:                    # the chain, in this order
            acc = fma(source[n, where(position, m), c], weight[m, c], acc)
        result[n, position, c] = epilogue(acc)

Gradient by the kernel:

    for kernel position m, channel c:
        acc = +0.0
        for n, position:                                     # the chain, in this order
            acc = fma(source[n, where(position, m), c], gradient[n, position, c], acc)
        result[m, c] = acc
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.compile.contraction.index_maps import Axis, Taps, products
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand


@dataclass(frozen=True, slots=True)
class DepthwiseSpec(Specification):
    """A depthwise convolution, or its gradient by the input.

    Attributes:
        dtype: float32 or float64.
        axes: spatial axes.
        taps: per axis (count, first, step): tap t is the kernel's position first + t * step.
        kernel: sizes of the kernel per axis.
        channels: number of channels.
        source: strides per spatial axis, then the channel's (1); zeros around it are padding.
        weights: buffer of the weights, shape (kernel..., channels).
        domain: of the epilogue: spatial sizes of the whole result, then channels.
        epilogue: pointwise work on the result, and where it is stored.
        buffers: number of pointers.
    """

    dtype: str
    axes: tuple[Axis, ...]
    taps: Taps
    kernel: tuple[int, ...]
    channels: int
    source: Operand
    weights: int
    domain: Domain
    epilogue: Expression
    buffers: int

    heavy: ClassVar[bool] = True

    def flops(self, images: int) -> int:
        """Two for each product."""
        return 2 * images * products(self.axes) * self.channels

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "forward"

    @property
    def gradient_title(self) -> str:
        """What it does with reversed index maps."""
        return "gradient by input"


@dataclass(frozen=True, slots=True)
class DepthwiseWeightSpec(Specification):
    """The gradient of a depthwise convolution by its kernel.

    Attributes:
        dtype: float32 or float64.
        axes: spatial axes; ``positions`` are those of the gradient, taps those of the kernel.
        channels: number of channels.
        source: the input; strides per spatial axis, then the channel's (1).
        gradient: the gradient of the output, likewise.
        result: buffer of the result, shape (kernel..., channels).
        offset: element of that buffer where the result begins.
        buffers: number of pointers.
    """

    dtype: str
    axes: tuple[Axis, ...]
    channels: int
    source: Operand
    gradient: Operand
    result: int
    offset: int
    buffers: int

    heavy: ClassVar[bool] = True

    def flops(self, images: int) -> int:
        """Two for each product."""
        return 2 * images * products(self.axes) * self.channels

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "gradient by weight"
