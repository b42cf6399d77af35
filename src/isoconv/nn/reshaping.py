"""Values under another shape."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import check_shape
from isoconv.errors import as_given
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, check_tensors

__all__ = ["Reshape"]
__public__ = {"isoconv.nn": ["[A-Z]*"]}


@dataclass(eq=False, repr=False)
class Reshape(Module):
    """The same elements in row-major order (channels fastest) under another shape.

    Args:
        shape: of the result for one image.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``shape``; it has as many elements.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ShapeError: when traced: a shape that is none, or of another number of elements.

    Example:
        >>> from isoconv import nn
        >>> nn.Reshape((16, 12)).summary((8, 8, 3)).rows[0].output
        (16, 12)
    """

    shape: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        check_tensors("Reshape", x=x)
        with as_given(shape=self.shape):
            return x.reshape(*check_shape("shape", self.shape))
