"""The worked examples of the notes, on the engine itself: forward and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.notes import BY_INPUT, BY_KERNEL, FORWARD

import isoconv as ic
from isoconv.errors import ShapeError

Array = NDArray[Any]

DTYPES = ("float32", "float64")
SEEDS = (0, 1, 2)

POOLED = ((1, 5, 4), (9, 2, 1), (6, 3, 2))


def value(formula: str, symbols: dict[str, float]) -> float:
    """A sum of products of symbols; the numbers are small and whole, so nothing is rounded."""
    total = 0.0
    for term in formula.split(" + "):
        product = 1.0
        for symbol in term.split():
            product *= symbols[symbol]
        total += product
    return total


def matrix(formulas: dict[str, str], symbols: dict[str, float]) -> list[list[float]]:
    """The formulas' values as a square matrix, in the order in which they are written."""
    values = [value(formula, symbols) for formula in formulas.values()]
    side = {4: 2, 9: 3}[len(values)]
    return [values[row * side : (row + 1) * side] for row in range(side)]


def numbers_for(seed: int) -> dict[str, float]:
    """A whole number for every symbol of the notes."""
    names = [*BY_INPUT, *BY_KERNEL, "a", "b", "c", "d"]
    drawn = np.random.default_rng(seed).integers(-50, 50, len(names))
    return dict(zip(names, drawn.tolist(), strict=True))


def image(values: Any, dtype: str) -> Array:
    """One image of one channel."""
    plane = np.array(values, dtype)
    return plane[None, :, :, None]


def convolution(symbols: dict[str, float], dtype: str) -> tuple[Array, Array, Array]:
    """Input ``(1, 3, 3, 1)``, kernel ``(2, 2, 1, 1)`` and grad_output ``(1, 2, 2, 1)``."""
    x = image([[symbols[f"x{i}{j}"] for j in range(3)] for i in range(3)], dtype)
    w = np.array([[symbols[f"w{i}{j}"] for j in range(2)] for i in range(2)], dtype)
    dy = image([[symbols["a"], symbols["b"]], [symbols["c"], symbols["d"]]], dtype)
    return x, w[:, :, None, None], dy


def by_definition(x: Array, w: Array) -> Array:
    """Y(i, j) = Σ_c Σ_m Σ_n X_c(i - m, j - n) K_c(m, n) where every index lies in the input."""
    height, width, channels = x.shape
    rows, columns, _ = w.shape
    y = np.zeros((height - rows + 1, width - columns + 1), x.dtype)
    for i in range(rows - 1, height):
        for j in range(columns - 1, width):
            for c in range(channels):
                for m in range(rows):
                    for n in range(columns):
                        place = i - rows + 1, j - columns + 1
                        y[place] += x[i - m, j - n, c] * w[m, n, c]
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_convolution(dtype: str, seed: int) -> None:
    """y00 = x00 w00 + x01 w01 + x10 w10 + x11 w11, and the three others."""
    symbols = numbers_for(seed)
    x, w, _ = convolution(symbols, dtype)
    y = ic.conv2d(x, w)
    assert y.shape == (1, 2, 2, 1)
    assert y.dtype == dtype
    assert y[0, :, :, 0].tolist() == matrix(FORWARD, symbols)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_convolution_gradients(dtype: str, seed: int) -> None:
    """∂L/∂w and ∂L/∂x of all four and all nine elements."""
    symbols = numbers_for(seed)
    x, w, dy = convolution(symbols, dtype)
    dx, dw = ic.gradients(ic.conv2d, dy, x, w)
    assert dx.dtype == dw.dtype == dtype
    assert dw[:, :, 0, 0].tolist() == matrix(BY_KERNEL, symbols)
    assert dx[0, :, :, 0].tolist() == matrix(BY_INPUT, symbols)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias(dtype: str) -> None:
    """A bias is added to every position, and its gradient is a + b + c + d."""
    symbols = numbers_for(0)
    x, w, dy = convolution(symbols, dtype)
    bias = np.array([7], dtype)
    assert (ic.conv2d(x, w, bias) - ic.conv2d(x, w) == 7).all()
    *_, db = ic.gradients(ic.conv2d, dy, x, w, bias)
    assert db.tolist() == [sum(symbols[name] for name in "abcd")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_true_convolution(dtype: str) -> None:
    """The notes' formula with X(i - m, j - n) is the worked example with the kernel turned."""
    x, w, dy = convolution(numbers_for(0), dtype)
    y = ic.conv2d(x, w, flip=True)
    assert (y[0, :, :, 0] == by_definition(x[0], w[..., 0])).all()
    turned = np.ascontiguousarray(w[::-1, ::-1])
    assert (y == ic.conv2d(x, turned)).all()
    dx, dw = ic.gradients(ic.conv2d, dy, x, w, flip=True)
    dx_turned, dw_turned = ic.gradients(ic.conv2d, dy, x, turned)
    assert (dx == dx_turned).all()
    assert (dw == dw_turned[::-1, ::-1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_channels(dtype: str) -> None:
    """Y(i, j) = Σ_c Σ_m Σ_n X_c(i - m, j - n) K_c(m, n); filters stack up as output channels."""
    random = np.random.default_rng(3)
    x = random.integers(-9, 9, (1, 5, 6, 3)).astype(dtype)
    w = random.integers(-9, 9, (3, 3, 3, 4)).astype(dtype)
    y = ic.conv2d(x, w, flip=True)
    assert y.shape == (1, 3, 4, 4)
    for filter_number in range(4):
        assert (y[0, ..., filter_number] == by_definition(x[0], w[..., filter_number])).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling(dtype: str) -> None:
    """The four windows' maxima are 9, 5, 9 and 3."""
    y = ic.max_pool2d(image(POOLED, dtype), 2, stride=1)
    assert y[0, :, :, 0].tolist() == [[9, 5], [9, 3]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling_gradient(dtype: str) -> None:
    """The 9 wins two windows and takes a + c; 5 takes b, 3 takes d, the rest nothing."""
    a, b, c, d = 1, 20, 300, 4000
    (dx,) = ic.gradients(
        ic.max_pool2d, image([[a, b], [c, d]], dtype), image(POOLED, dtype), kernel_size=2, stride=1
    )
    assert dx[0, :, :, 0].tolist() == [[0, b, 0], [a + c, 0, 0], [0, d, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pooling(dtype: str) -> None:
    """The four windows' averages are 4.25, 3, 5 and 2."""
    y = ic.avg_pool2d(image(POOLED, dtype), 2, stride=1)
    assert y[0, :, :, 0].tolist() == [[4.25, 3], [5, 2]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pooling_gradient(dtype: str) -> None:
    """Every input takes a quarter of each output that it contributed to."""
    a, b, c, d = 4, 80, 1200, 16000
    (dx,) = ic.gradients(
        ic.avg_pool2d, image([[a, b], [c, d]], dtype), image(POOLED, dtype), kernel_size=2, stride=1
    )
    assert dx[0, :, :, 0].tolist() == [
        [a / 4, a / 4 + b / 4, b / 4],
        [a / 4 + c / 4, a / 4 + b / 4 + c / 4 + d / 4, b / 4 + d / 4],
        [c / 4, c / 4 + d / 4, d / 4],
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_global_average(dtype: str) -> None:
    """output_c = 1 / (H W) ΣΣ X_c(i, j), and every position takes 1 / (H W) of the gradient."""
    x = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(dtype)
    y = ic.global_avg_pool(x)
    assert y.shape == (2, 3)
    assert y.tolist() == [[22.5, 23.5, 24.5], [70.5, 71.5, 72.5]]
    dy = np.array([[16, 32, 48], [64, 80, 96]], dtype)
    (dx,) = ic.gradients(ic.global_avg_pool, dy, x)
    assert dx.shape == x.shape
    assert (dx == dy[:, None, None, :] / 16).all()


def test_global_average_of_the_pooled_matrix() -> None:
    """The mean of the notes' matrix is 33 / 9."""
    assert ic.global_avg_pool(image(POOLED, "float64")).tolist() == [[33 / 9]]


@pytest.mark.parametrize("size", [3, 28, 32, 224])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size(size: int, kernel: int, padding: int, stride: int) -> None:
    """O = floor((I + 2P - K) / S) + 1."""
    expected = (size + 2 * padding - kernel) // stride + 1
    assert ic.output_size(size, kernel, stride, padding) == expected


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding", "expected"),
    [(3, 2, 1, 0, 2), (7, 3, 2, 0, 3), (8, 3, 2, 1, 4), (5, 5, 1, 2, 5)],
)
def test_output_size_is_what_convolution_gives(
    side: int, kernel: int, stride: int, padding: int, expected: int
) -> None:
    """Height and width follow the formula separately."""
    x = np.zeros((1, side, side + 1, 1), np.float32)
    w = np.zeros((kernel, kernel, 1, 1), np.float32)
    y = ic.conv2d(x, w, stride=stride, padding=padding)
    width = ic.output_size(side + 1, kernel, stride, padding)
    assert y.shape == (1, expected, width, 1)


def test_kernel_must_fit() -> None:
    """A kernel larger than the padded input has no output size."""
    with pytest.raises(ShapeError, match="the kernel must fit into the padded input"):
        ic.output_size(3, kernel=5)
