"""Convolution: the notes' worked example, SciPy as an oracle, the adjoint identity, the order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.signal import convolve2d, correlate2d
from tests.ops.geometries import convolutions

import isoconv.ops  # noqa: F401  (fills the table)
from isoconv.arithmetic.fma import fma
from isoconv.errors import DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.geometry import ConvGeometry

SQUARE = ConvGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))


def run(op: str, attrs: Any, a: Array, b: Array) -> Array:
    """The reference of one of the three operations."""
    return operation(op).reference(attrs, a, b, images=len(a))


def conv(attrs: ConvGeometry, x: Array, w: Array) -> Array:
    """Forward."""
    return run("conv", attrs, x, w)


def grad_input(attrs: ConvGeometry, sides: tuple[int, ...], dy: Array, w: Array) -> Array:
    """Gradient by the input."""
    return run("conv_grad_input", ConvGradInput(attrs, sides), dy, w)


def grad_weight(attrs: ConvGeometry, x: Array, dy: Array) -> Array:
    """Gradient by the kernel."""
    return run("conv_grad_weight", attrs, x, dy)


# -- the notes' worked example ---------------------------------------------------------------


@pytest.fixture
def notes() -> tuple[Array, Array, Array]:
    """A 3×3 input, a 2×2 kernel and the gradient (a, b, c, d), all whole numbers."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.integers(-9, 10, (n, n)).astype(np.float32) for n in (3, 2, 2))
    return x, w, dy


def test_notes_forward(notes: tuple[Array, Array, Array]) -> None:
    """y00 = x00 w00 + x01 w01 + x10 w10 + x11 w11, and so on."""
    x, w, _ = notes
    y = conv(SQUARE, x[None, :, :, None], w[:, :, None, None])[0, :, :, 0]
    assert y[0, 0] == x[0, 0] * w[0, 0] + x[0, 1] * w[0, 1] + x[1, 0] * w[1, 0] + x[1, 1] * w[1, 1]
    assert y[0, 1] == x[0, 1] * w[0, 0] + x[0, 2] * w[0, 1] + x[1, 1] * w[1, 0] + x[1, 2] * w[1, 1]
    assert y[1, 0] == x[1, 0] * w[0, 0] + x[1, 1] * w[0, 1] + x[2, 0] * w[1, 0] + x[2, 1] * w[1, 1]
    assert y[1, 1] == x[1, 1] * w[0, 0] + x[1, 2] * w[0, 1] + x[2, 1] * w[1, 0] + x[2, 2] * w[1, 1]


def test_notes_gradient_by_kernel(notes: tuple[Array, Array, Array]) -> None:
    """dL/dw00 = a x00 + b x01 + c x10 + d x11, and so on."""
    x, _, dy = notes
    (a, b), (c, d) = dy
    dw = grad_weight(SQUARE, x[None, :, :, None], dy[None, :, :, None])[:, :, 0, 0]
    assert dw[0, 0] == a * x[0, 0] + b * x[0, 1] + c * x[1, 0] + d * x[1, 1]
    assert dw[0, 1] == a * x[0, 1] + b * x[0, 2] + c * x[1, 1] + d * x[1, 2]
    assert dw[1, 0] == a * x[1, 0] + b * x[1, 1] + c * x[2, 0] + d * x[2, 1]
    assert dw[1, 1] == a * x[1, 1] + b * x[1, 2] + c * x[2, 1] + d * x[2, 2]


def test_notes_gradient_by_input(notes: tuple[Array, Array, Array]) -> None:
    """dL/dx00 = a w00, dL/dx11 = a w11 + b w10 + c w01 + d w00, and so on."""
    _, w, dy = notes
    (a, b), (c, d) = dy
    dx = grad_input(SQUARE, (3, 3), dy[None, :, :, None], w[:, :, None, None])[0, :, :, 0]
    assert dx[0, 0] == a * w[0, 0]
    assert dx[0, 1] == a * w[0, 1] + b * w[0, 0]
    assert dx[1, 0] == a * w[1, 0] + c * w[0, 0]
    assert dx[1, 1] == a * w[1, 1] + b * w[1, 0] + c * w[0, 1] + d * w[0, 0]
    assert dx[2, 2] == d * w[1, 1]


def test_notes_channels() -> None:
    """64 filters of shape (3, 3, 3) turn an RGB image into 64 channels."""
    geometry = ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    x, w = TensorSpec((32, 32, 3)), TensorSpec((3, 3, 3, 64), batched=False)
    assert operation("conv").infer(geometry, x, w) == TensorSpec((32, 32, 64))


# -- SciPy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_scipy(flip: bool) -> None:
    """Without flip it is SciPy's correlate2d, with flip its convolve2d, summed over channels."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 7, 8, 3)), rng.normal(size=(3, 2, 3, 4))
    geometry = ConvGeometry((3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), flip=flip)
    oracle = convolve2d if flip else correlate2d
    expected = np.stack(
        [
            [
                sum(oracle(image[:, :, c], w[:, :, c, o], "valid") for c in range(3))
                for o in range(4)
            ]
            for image in x
        ]
    )
    np.testing.assert_allclose(conv(geometry, x, w), np.moveaxis(expected, 1, -1), rtol=1e-12)


def test_scipy_gradients() -> None:
    """By input a full convolution of dy with w; by kernel a correlation of x with dy."""
    rng = np.random.default_rng(2)
    x, w, dy = rng.normal(size=(6, 7)), rng.normal(size=(3, 2)), rng.normal(size=(4, 6))
    geometry = ConvGeometry((3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    dx = grad_input(geometry, (6, 7), dy[None, :, :, None], w[:, :, None, None])
    np.testing.assert_allclose(dx[0, :, :, 0], convolve2d(dy, w, "full"), rtol=1e-12, atol=1e-13)
    dw = grad_weight(geometry, x[None, :, :, None], dy[None, :, :, None])
    np.testing.assert_allclose(dw[:, :, 0, 0], correlate2d(x, dy, "valid"), rtol=1e-12)


# -- every setting, against plain loops ------------------------------------------------------


def by_loops(geometry: ConvGeometry, x: Array, w: Array) -> Array:
    """The definition with one Python loop for each index."""
    sides = geometry.output_sides(x.shape[1:-1])
    inner, outer = w.shape[-2:]
    y = np.zeros((len(x), *sides, outer), x.dtype)
    for p in np.ndindex(*sides):
        for m in np.ndindex(*geometry.kernel):
            place = []
            for axis in range(geometry.rank):
                k, d = geometry.kernel[axis], geometry.dilation[axis]
                offset = (k - 1 - m[axis] if geometry.flip else m[axis]) * d
                start = p[axis] * geometry.stride[axis] - geometry.padding[axis][0]
                place.append(start + offset)
            if any(not 0 <= i < side for i, side in zip(place, x.shape[1:-1], strict=True)):
                continue
            for o in range(outer):
                group = o // (outer // geometry.groups)
                for c in range(inner):
                    term = x[(slice(None), *place, group * inner + c)] * w[(*m, c, o)]
                    y[(slice(None), *p, o)] += term
    return y


@settings(max_examples=25, deadline=None)
@given(convolutions())
def test_settings_against_loops(drawn: tuple[ConvGeometry, tuple[int, ...], int, int]) -> None:
    """Ranks 0 to 3, strides, asymmetric padding, dilation, groups, flip."""
    geometry, sides, inner, outer = drawn
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, *sides, inner * geometry.groups))
    w = rng.normal(size=(*geometry.kernel, inner, outer * geometry.groups))
    np.testing.assert_allclose(conv(geometry, x, w), by_loops(geometry, x, w), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(convolutions())
def test_adjoint_identity(drawn: tuple[ConvGeometry, tuple[int, ...], int, int]) -> None:
    """<conv(x, w), dy> = <x, grad_input(dy, w)> = <w, grad_weight(x, dy)>."""
    geometry, sides, inner, outer = drawn
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, *sides, inner * geometry.groups))
    w = rng.normal(size=(*geometry.kernel, inner, outer * geometry.groups))
    y = conv(geometry, x, w)
    dy = rng.normal(size=y.shape)
    expected = np.sum(y * dy)
    by_input = np.sum(x * grad_input(geometry, sides, dy, w))
    by_kernel = np.sum(w * grad_weight(geometry, x, dy))
    np.testing.assert_allclose([by_input, by_kernel], expected, rtol=1e-11, atol=1e-11)


def test_linear_layer_is_rank_zero() -> None:
    """A kernel with no axes is the product of matrices."""
    rng = np.random.default_rng(5)
    x, w, dy = rng.normal(size=(4, 7)), rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    geometry = ConvGeometry.linear()
    np.testing.assert_allclose(conv(geometry, x, w), x @ w, rtol=1e-12)
    np.testing.assert_allclose(grad_input(geometry, (), dy, w), dy @ w.T, rtol=1e-12)
    np.testing.assert_allclose(grad_weight(geometry, x, dy), x.T @ dy, rtol=1e-12)


def test_depthwise() -> None:
    """With as many groups as channels each channel has kernels of its own."""
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=(1, 5, 5, 3)), rng.normal(size=(3, 3, 1, 3))
    y = conv(ConvGeometry((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), groups=3), x, w)
    for c in range(3):
        expected = correlate2d(x[0, :, :, c], w[:, :, 0, c], "valid")
        np.testing.assert_allclose(y[0, :, :, c], expected, rtol=1e-12)


# -- the order of arithmetic -----------------------------------------------------------------

EACH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def chain(pairs: list[tuple[Any, Any]], dtype: Any) -> Any:
    """Fused multiply-adds one by one from +0.0."""
    total = np.zeros((), dtype)
    for a, b in pairs:
        total = fma(np.asarray(a, dtype), np.asarray(b, dtype), total)
    return total


@EACH
def test_order_of_forward(dtype: Any) -> None:
    """Kernel position row-major, then input channel."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(1, 4, 4, 3)).astype(dtype)
    w = rng.normal(size=(2, 2, 3, 2)).astype(dtype)
    y = conv(SQUARE, x, w)
    # All of them: a single element can have the same bits in another order.
    for i, j, o in np.ndindex(3, 3, 2):
        pairs = [
            (x[0, i + m, j + n, c], w[m, n, c, o]) for m in (0, 1) for n in (0, 1) for c in range(3)
        ]
        assert y[0, i, j, o].tobytes() == chain(pairs, dtype).tobytes()


@EACH
def test_order_of_gradient_by_input(dtype: Any) -> None:
    """Kernel position as it stands in w, then output channel."""
    rng = np.random.default_rng(8)
    w = rng.normal(size=(2, 2, 3, 4)).astype(dtype)
    dy = rng.normal(size=(1, 3, 3, 4)).astype(dtype)
    dx = grad_input(SQUARE, (4, 4), dy, w)
    for i, j, c in np.ndindex(2, 2, 3):
        pairs = [
            (dy[0, 1 + i - m, 1 + j - n, o], w[m, n, c, o])
            for m in (0, 1)
            for n in (0, 1)
            for o in range(4)
        ]
        assert dx[0, 1 + i, 1 + j, c].tobytes() == chain(pairs, dtype).tobytes()


@EACH
def test_order_of_gradient_by_kernel(dtype: Any) -> None:
    """Image, then output position row-major."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(3, 4, 4, 2)).astype(dtype)
    dy = rng.normal(size=(3, 3, 3, 2)).astype(dtype)
    dw = grad_weight(SQUARE, x, dy)
    for m, n, c, o in np.ndindex(2, 2, 2, 2):
        pairs = [(x[i, p + m, q + n, c], dy[i, p, q, o]) for i, p, q in np.ndindex(3, 3, 3)]
        assert dw[m, n, c, o].tobytes() == chain(pairs, dtype).tobytes()


def test_padding_takes_part_as_zeros() -> None:
    """An infinity in the kernel that meets a zero of the padding gives NaN."""
    geometry = ConvGeometry((3,), (1,), ((1, 1),), (1,))
    x = np.ones((1, 3, 1), np.float32)
    w = np.array([math.inf, 1, 1], np.float32).reshape(3, 1, 1)
    assert np.isnan(conv(geometry, x, w)[0, 0, 0])


def test_no_negative_zero() -> None:
    """A chain starts at +0.0, so products of -0.0 end at +0.0."""
    x, w = np.full((1, 1), -0.0, np.float32), np.ones((1, 1), np.float32)
    assert not np.signbit(conv(ConvGeometry.linear(), x, w))[0, 0]


def test_stride_leaves_inputs_untouched() -> None:
    """Inputs that no window meets have gradient +0.0."""
    geometry = ConvGeometry((2,), (3,), ((0, 0),), (1,))
    dx = grad_input(geometry, (7,), np.ones((1, 2, 1)), np.ones((2, 1, 1)))
    assert dx[0, :, 0].tolist() == [1, 1, 0, 1, 1, 0, 0]


# -- bad input -------------------------------------------------------------------------------


def message(op: str, attrs: Any, *specs: TensorSpec) -> str:
    """The text of the error of a shape rule."""
    with pytest.raises((ShapeError, DTypeError)) as caught:
        operation(op).infer(attrs, *specs)
    return str(caught.value)


W = TensorSpec((2, 2, 3, 4), batched=False)


def test_wrong_rank() -> None:
    """An image without channels is named with its shape."""
    assert message("conv", SQUARE, TensorSpec((8, 8)), W) == (
        "conv: x must have 2 spatial axes and one of channels; "
        "got x float32(N, 8, 8), w float32(2, 2, 3, 4)"
    )


def test_wrong_channels() -> None:
    """Channels that differ from the kernel's are named."""
    assert message("conv", SQUARE, TensorSpec((8, 8, 5)), W) == (
        "conv: the input channels must be those of the kernel times groups: 5 != 3 * 1; "
        "got x float32(N, 8, 8, 5), w float32(2, 2, 3, 4)"
    )


def test_kernel_too_large() -> None:
    """A kernel larger than the padded input is named with all sizes."""
    text = message("conv", SQUARE, TensorSpec((1, 8, 3)), W)
    assert text.startswith("conv: the kernel must fit into the padded input: kernel size 2")
    assert text.endswith("the input has 1 + 0 + 0 = 1; got x float32(N, 1, 8, 3), w "
                         "float32(2, 2, 3, 4)")  # fmt: skip


def test_groups_do_not_divide() -> None:
    """Groups must divide the output channels."""
    geometry = ConvGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), groups=3)
    text = message("conv", geometry, TensorSpec((8, 8, 9)), W)
    assert "groups must divide the output channels: 4 % 3 != 0" in text
    text = message("conv_grad_weight", geometry, TensorSpec((8, 8, 9)), TensorSpec((7, 7, 4)))
    assert "groups 3 must divide the channels 9 and 4" in text


def test_wrong_kernel_shape() -> None:
    """The kernel's array must be as large as the geometry says."""
    w = TensorSpec((3, 3, 3, 4), batched=False)
    text = message("conv", SQUARE, TensorSpec((8, 8, 3)), w)
    assert "w must have shape (kernel..., C / groups, O) with kernel (2, 2)" in text


def test_wrong_dtype() -> None:
    """Bytes are refused, and so are two precisions at once."""
    assert message("conv", SQUARE, TensorSpec((8, 8, 3), "uint8"), W) == (
        "conv: x and w must be float32 or float64; got x uint8(N, 8, 8, 3), w float32(2, 2, 3, 4)"
    )
    text = message("conv", SQUARE, TensorSpec((8, 8, 3), "float64"), W)
    assert "x and w must have one dtype" in text


def test_image_axis() -> None:
    """Images have an image axis and kernels have none."""
    assert "x must have an image axis" in message("conv", SQUARE, W, W)
    batched = TensorSpec((2, 2, 3, 4))
    assert "w must have no image axis" in message("conv", SQUARE, TensorSpec((8, 8, 3)), batched)


def test_wrong_cotangent() -> None:
    """A cotangent must have the convolution's output shape."""
    attrs = ConvGradInput(SQUARE, (8, 8))
    text = message("conv_grad_input", attrs, TensorSpec((8, 8, 4)), W)
    assert "dy must have the shape of the convolution's result, (7, 7, 4)" in text
    text = message("conv_grad_weight", SQUARE, TensorSpec((8, 8, 3)), TensorSpec((8, 8, 4)))
    assert "dy must have the convolution's output sizes, (7, 7)" in text
