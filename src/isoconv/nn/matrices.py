"""Products of matrices: of two values of an image, or of one and a matrix that all images share."""

from __future__ import annotations

from math import prod

from isoconv.checks import entries
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import ConvGeometry

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

_ROWS = ConvGeometry((1,), (1,), ((0, 0),), (1,))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """``Y(…, m, p) = Σ_k A(…, m, k) · B(…, k, p)``, as NumPy's ``matmul`` has it for each image.

    The axes before the last two broadcast; a value with one axis is a row (a) or a column (b),
    whose axis the result lacks. Either may be a parameter that all images share. Every element is
    one chain of fused multiply-adds from +0.0 over k.

    Args:
        a: ``(..., M, K)`` or ``(K,)``.
        b: ``(..., K, P)`` or ``(K,)``.

    Returns:
        ``(..., M, P)``.

    Raises:
        ShapeError: values that do not fit each other.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((8, 28, 3))
        >>> matmul(x, x.transpose(0, 2, 1)).shape
        (8, 28, 28)
    """
    check_tensors("matmul", a=a, b=b)
    if not a.shape or not b.shape or a.shape[-1] != b.shape[-2:][0]:
        raise ShapeError(
            "matmul takes a with as many columns as b has rows; got shapes "
            f"{a.shape} and {b.shape}",
            argument="b",
            value=b,
        )
    rows = a if len(a.shape) > 1 else a.reshape(1, *a.shape)
    columns = b if len(b.shape) > 1 else b.reshape(*b.shape, 1)
    if rows.batched and not columns.batched and len(columns.shape) == 2:
        y = _by_matrix(rows, columns)
    else:
        rank = max(len(rows.shape), len(columns.shape))
        y = apply("matmul", a=rows._lifted(rank), b=columns._lifted(rank))
    lead = y.shape[:-2]
    own = y.shape[-2:][len(a.shape) == 1 : 2 - (len(b.shape) == 1)]
    return y if (*lead, *own) == y.shape else y.reshape(*lead, *own)


def _by_matrix(x: Tensor, weight: Tensor) -> Tensor:
    """A product with a matrix that all images share: a linear layer at each row."""
    *outer, terms = x.shape
    kernel = weight.reshape(1, *weight.shape)
    y = apply("conv", a=x.reshape(prod(outer), terms), b=kernel, attrs=_ROWS)
    return y.reshape(*outer, y.shape[-1])


class MatMul(Module):
    """`matmul` as a layer: the product of several values, multiplied from the left.

    Input shape:
        ``(..., M, K)`` and ``(..., K, P)``, float32.

    Output shape:
        ``(..., M, P)``.

    Source:
        Vaswani et al. 2017, "Attention is all you need".

    Raises:
        ShapeError: when traced: values that do not fit each other.

    Example:
        >>> from isoconv import nn
        >>> class Square(nn.Module):
        ...     def __init__(self):
        ...         self.product = nn.MatMul()
        ...     def forward(self, x):
        ...         return self.product(x, x)
        >>> Square().summary((3, 8, 8)).rows[0].multiply_adds
        1536
    """

    def forward(self, *parts: Tensor) -> Tensor:
        """Several tensors to their product."""
        check_tensors("MatMul", **entries("parts", parts))
        product = parts[0]
        for part in parts[1:]:
            product = matmul(product, part)
        return product
