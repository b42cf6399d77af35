"""Convolutions and poolings in symbols: the worked examples word for word, and every setting."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import isoconv as ic
from isoconv.errors import ArgumentError, IsoconvError, ShapeError

MATRICES = r"""
X = \begin{bmatrix}
x_{00} & x_{01} & x_{02} \\
x_{10} & x_{11} & x_{12} \\
x_{20} & x_{21} & x_{22}
\end{bmatrix}, \quad
K = \begin{bmatrix}
w_{00} & w_{01} \\
w_{10} & w_{11}
\end{bmatrix}, \quad
grad\_output = \begin{bmatrix}
a & b \\
c & d
\end{bmatrix}, \quad
Y = \begin{bmatrix}
y_{00} & y_{01} \\
y_{10} & y_{11}
\end{bmatrix}
"""
RESULT = r"""
\begin{aligned}
y_{00} &= x_{00} \cdot w_{00} + x_{01} \cdot w_{01} + x_{10} \cdot w_{10} + x_{11} \cdot w_{11} \\
y_{01} &= x_{01} \cdot w_{00} + x_{02} \cdot w_{01} + x_{11} \cdot w_{10} + x_{12} \cdot w_{11} \\
y_{10} &= x_{10} \cdot w_{00} + x_{11} \cdot w_{01} + x_{20} \cdot w_{10} + x_{21} \cdot w_{11} \\
y_{11} &= x_{11} \cdot w_{00} + x_{12} \cdot w_{01} + x_{21} \cdot w_{10} + x_{22} \cdot w_{11}
\end{aligned}
"""
BY_KERNEL = r"""
\begin{aligned}
\frac{\partial L}{\partial w_{00}} &= a \cdot x_{00} + b \cdot x_{01} + c \cdot x_{10} + d \cdot x_{11} \\
\frac{\partial L}{\partial w_{01}} &= a \cdot x_{01} + b \cdot x_{02} + c \cdot x_{11} + d \cdot x_{12} \\
\frac{\partial L}{\partial w_{10}} &= a \cdot x_{10} + b \cdot x_{11} + c \cdot x_{20} + d \cdot x_{21} \\
\frac{\partial L}{\partial w_{11}} &= a \cdot x_{11} + b \cdot x_{12} + c \cdot x_{21} + d \cdot x_{22}
\end{aligned}
"""  # noqa: E501 - the lines of the notes
# The notes give four of the nine.
BY_INPUT = (
    r"\frac{\partial L}{\partial x_{00}} &= a \cdot w_{00} \\",
    r"\frac{\partial L}{\partial x_{01}} &= a \cdot w_{01} + b \cdot w_{00} \\",
    r"\frac{\partial L}{\partial x_{10}} &= a \cdot w_{10} + c \cdot w_{00} \\",
    r"\frac{\partial L}{\partial x_{11}} &= "
    r"a \cdot w_{11} + b \cdot w_{10} + c \cdot w_{01} + d \cdot w_{00} \\",
)
FLIPPED = r"Y(i, j) = \sum_{m} \sum_{n} X(i - m, j - n) \cdot K(m, n)"
CHANNELS = r"Y(i, j) = \sum_{c} \sum_{m} \sum_{n} X_c(i - m, j - n) \cdot K_c(m, n)"
SIZE = r"O = \left\lfloor \frac{I + 2P - K}{S} \right\rfloor + 1"

WINDOWS = (
    r"\begin{bmatrix} 1 & 5 \\ 9 & 2 \end{bmatrix} \Rightarrow \text{max} = 9 \Rightarrow "
    r"\text{assign } a \text{ to position of 9}",
    r"\begin{bmatrix} 5 & 4 \\ 2 & 1 \end{bmatrix} \Rightarrow \text{max} = 5 \Rightarrow "
    r"\text{assign } b \text{ to position of 5}",
    r"\begin{bmatrix} 9 & 2 \\ 6 & 3 \end{bmatrix} \Rightarrow \text{max} = 9 \Rightarrow "
    r"\text{assign } c \text{ to position of 9}",
    r"\begin{bmatrix} 2 & 1 \\ 3 & 2 \end{bmatrix} \Rightarrow \text{max} = 3 \Rightarrow "
    r"\text{assign } d \text{ to position of 3}",
)
POOLED = r"X = \begin{bmatrix} 1 & 5 & 4 \\ 9 & 2 & 1 \\ 6 & 3 & 2 \end{bmatrix}"
LARGEST = r"Y = \begin{bmatrix} 9 & 5 \\ 9 & 3 \end{bmatrix}"
GRAD = r"grad\_output = \begin{bmatrix} a & b \\ c & d \end{bmatrix}"
MAX_GRADIENT = (
    r"\frac{\partial L}{\partial X} = "
    r"\begin{bmatrix} 0 & b & 0 \\ a + c & 0 & 0 \\ 0 & d & 0 \end{bmatrix}"
)
MEANS = r"Y = \begin{bmatrix} 4.25 & 3 \\ 5 & 2 \end{bmatrix}"
SHARES = r"""
\frac{\partial L}{\partial X} =
\begin{bmatrix}
\frac{a}{4} & \frac{a}{4} + \frac{b}{4} & \frac{b}{4} \\
\frac{a}{4} + \frac{c}{4} & \frac{a}{4} + \frac{b}{4} + \frac{c}{4} + \frac{d}{4} & \frac{b}{4} + \frac{d}{4} \\
\frac{c}{4} & \frac{c}{4} + \frac{d}{4} & \frac{d}{4}
\end{bmatrix}
"""  # noqa: E501 - the lines of the notes
GLOBAL = r"output\_c = \frac{1}{H \times W} \sum_{i=1}^{H} \sum_{j=1}^{W} X_c(i, j)"


def words(latex: str) -> str:
    """LaTeX with single spaces for any space."""
    return " ".join(latex.split())


@pytest.mark.parametrize("text", [MATRICES, RESULT, BY_KERNEL, *BY_INPUT, SIZE])
@pytest.mark.parametrize("form", ["to_latex", "to_markdown", "_repr_latex_"])
def test_convolution_as_the_notes_write_it(form: str, text: str) -> None:
    """X, K, grad_output, Y, and the three lists, word for word."""
    assert words(text) in words(getattr(ic.symbols.conv(), form)())


@pytest.mark.parametrize("text", [*WINDOWS, POOLED, LARGEST, GRAD, MAX_GRADIENT])
def test_max_pooling_as_the_notes_write_it(text: str) -> None:
    """Four windows, their maxima, who takes which gradient, and the matrix of all."""
    values = [[1, 5, 4], [9, 2, 1], [6, 3, 2]]
    assert words(text) in words(ic.symbols.max_pool(values, 2, stride=1).to_latex())
    assert words(text) in words(ic.symbols.max_pool().to_latex())


@pytest.mark.parametrize("text", [POOLED, MEANS, GRAD, SHARES])
def test_average_pooling_as_the_notes_write_it(text: str) -> None:
    """The means, and the quarters of each gradient."""
    values = [[1, 5, 4], [9, 2, 1], [6, 3, 2]]
    assert words(text) in words(ic.symbols.avg_pool(values, 2, stride=1).to_latex())


def test_global_pooling_as_the_notes_write_it() -> None:
    """The formula, the sum, and the even shares."""
    sheet = ic.symbols.global_avg_pool()
    assert GLOBAL in sheet.to_latex()
    assert sheet.equations() == {"output": "(1 + 5 + 4 + 9 + 2 + 1 + 6 + 3 + 2)/9 = 3.6666667"}
    assert r"\frac{a}{9} & \frac{a}{9} & \frac{a}{9} \\" in sheet.to_latex()


def test_formulas_of_the_notes() -> None:
    """With the kernel turned, the formula has X(i - m, j - n), with several channels Σ_c too."""
    assert FLIPPED in ic.symbols.conv(flip=True).to_latex()
    assert CHANNELS in ic.symbols.conv(flip=True, channels=3, of="y").to_latex()
    assert "y00 is Y(1, 1)" in ic.symbols.conv(flip=True).to_text()


def test_text() -> None:
    """The whole text of the smallest case."""
    assert ic.symbols.conv((3,), (2,)).to_text() == (
        "Convolution: input 3, kernel 2\n"
        "\n"
        "X = [x0  x1  x2]    K = [w0  w1]    grad_output = [a  b]    Y = [y0  y1]\n"
        "\n"
        "O = floor((I + 2P - K) / S) + 1 = floor((3 + 2·0 - 2) / 1) + 1 = 2\n"
        "Y(i) = Σ_m X(i + m) · K(m)\n"
        'The engine adds the terms of ∂L/∂x in another order (order="engine" shows it).\n'
        "\n"
        "y0 = x0·w0 + x1·w1\n"
        "y1 = x1·w0 + x2·w1\n"
        "\n"
        "∂L/∂w0 = a·x0 + b·x1\n"
        "∂L/∂w1 = a·x1 + b·x2\n"
        "\n"
        "∂L/∂x0 = a·w0\n"
        "∂L/∂x1 = a·w1 + b·w0\n"
        "∂L/∂x2 = b·w1"
    )


def test_engine_order() -> None:
    """The chain of the gradient by the input goes by kernel positions; what differs is said."""
    sheet = ic.symbols.conv(order="engine")
    assert sheet.equations()["∂L/∂x11"] == "d·w00 + c·w01 + b·w10 + a·w11"
    assert "the order in which the engine adds them" in sheet.to_text()
    same = ic.symbols.conv(of=("y", "w"))
    assert "The engine adds the terms in the order in which they stand." in same.to_text()
    both = ic.symbols.conv(channels=2).to_text()
    assert "adds the terms of y and ∂L/∂x in another order" in both


def test_padding_and_order() -> None:
    """Products with padding are left out and said to be, or written."""
    hidden, seen = (ic.symbols.conv((3,), (3,), padding=1, show_padding=s) for s in (False, True))
    assert hidden.equations()["y0"] == "x0·w1 + x1·w2"
    assert seen.equations()["y0"] == "0·w0 + x0·w1 + x1·w2"
    assert "not written" in hidden.to_text()
    assert "not written" not in seen.to_text()
    assert "X = [0  x0  x1  x2  0]" in seen.to_text()


def test_indices() -> None:
    """One channel is not written; with more than ten positions commas stand between."""
    sheet = ic.symbols.conv((2, 12), (1, 2), channels=2, of="y")
    assert sheet.equations()["y0,10"] == "x0,10,0·w000 + x0,11,0·w010 + x0,10,1·w001 + x0,11,1·w011"
    assert "x_{0,10,0} \\cdot w_{000}" in sheet.to_latex()
    assert "Indices: x row, column, channel; w row, column, channel; y row, column." in str(sheet)


def test_long_sums() -> None:
    """A sum of 27 products stands in lines of at most 100 columns, in LaTeX in rows of nine."""
    sheet = ic.symbols.conv((3, 3), (3, 3), channels=3, of="y")
    *_, first, second, third, last = sheet.to_text().splitlines()
    assert first.startswith("y00 = x000·w000 + x010·w010 + ")
    assert all(line.startswith("      + x") for line in (second, third, last))
    assert max(map(len, sheet.to_text().splitlines())) <= 100
    joined = " ".join(line.strip() for line in (first, second, third, last))
    assert joined == f"y00 = {sheet.equations()['y00']}"
    assert sheet.to_latex().count(" \\\\\n&\\quad + x_{00") == 2


def test_letters_run_out() -> None:
    """More results than letters are called g with the result's index."""
    few, many = (ic.symbols.conv((side,), (1,), of="w").equations() for side in (21, 22))
    assert few["∂L/∂w0"].startswith("a·x0 + b·x1")
    assert few["∂L/∂w0"].endswith("v·x20")
    assert many["∂L/∂w0"].startswith("g0·x0 + g1·x1")
    assert not set("lwxy") & set(re.sub(r"·x\d+", "", few["∂L/∂w0"]))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"padding": "same"}, "floor((3 + 0 + 1 - 2) / 1) + 1 = 3"),
        ({"input_size": (5, 5), "dilation": 2}, "floor((5 + 2·0 - (2·(2 - 1) + 1)) / 1) + 1 = 3"),
        ({"input_size": (5, 3)}, "width: O = floor((I + 2P - K) / S) + 1 = floor((3 + 2·0 - 2)"),
        ({"stride": 2}, "Y(i, j) = Σ_m Σ_n X(2·i + m, 2·j + n) · K(m, n)"),
        ({"padding": 1}, "Y(i, j) = Σ_m Σ_n X(i + m - 1, j + n - 1) · K(m, n)"),
        ({"flip": True, "padding": 1}, "X(i - m, j - n)"),
        ({"flip": True, "stride": 2}, "X(2·i - m + 1, 2·j - n + 1)"),
        ({"filters": 2, "channels": 2}, "Y_o(i, j) = Σ_c Σ_m Σ_n X_c(i + m, j + n) · K_c,o(m, n)"),
        ({"groups": 2}, "Y_o(i, j) = Σ_m Σ_n X_g(i + m, j + n) · K_o(m, n)"),
    ],
)
def test_sizes_and_formula(settings: dict[str, Any], line: str) -> None:
    """The size's formula is filled in, and the sum's has the settings."""
    assert line in ic.symbols.conv(of="y", **settings).to_text()


def symbols_of(names: dict[str, float], text: str) -> float:
    """The value of a sum of products in symbols."""
    found = 0.0
    for term in [] if text == "0" else text.split(" + "):
        product = 1.0
        for factor in term.split("·"):
            product *= names[factor] if factor in names else float(factor)
        found += product
    return found


def named_values(sheet: Any, title: str, letter: str, array: np.ndarray) -> dict[str, float]:
    """The values of an array by its elements' names, read off its matrices."""
    matrices = {
        name: rows
        for name, rows in sheet.to_dict()["matrices"].items()
        if name.split("_")[0] == title or (title == "grad_output" and name.startswith(title))
    }
    planes = [np.array(rows).reshape(-1) for rows in matrices.values()]
    lead = array.shape[:-1] if letter != "w" else array.shape[:-2]
    values = np.moveaxis(array.reshape(*lead, -1), -1, 0)
    if letter == "w":
        values = array.reshape(*lead, *array.shape[-2:])
        values = np.moveaxis(np.moveaxis(values, -1, 0), -1, 1).reshape(-1, *lead)
    return {
        name: float(value)
        for plane, numbers in zip(planes, values, strict=True)
        for name, value in zip(plane, numbers.reshape(-1), strict=True)
    }


def in_lists(array: np.ndarray, *, kernel: bool = False) -> list[float]:
    """An array's elements in the order of the lists."""
    axes = (-1, -2) if kernel else (-1,)
    rest = [axis for axis in range(array.ndim) if axis - array.ndim not in axes]
    order = [axis % array.ndim for axis in axes] + rest
    return array.transpose(order).reshape(-1).tolist()


@pytest.mark.slow
@settings(deadline=None)
@given(
    rank=st.integers(1, 2),
    data=st.data(),
    order=st.sampled_from(["notes", "engine"]),
    flip=st.booleans(),
)
def test_sums_are_those_of_the_engine(
    rank: int, data: st.DataObject, order: Literal["notes", "engine"], flip: bool
) -> None:
    """With whole numbers for all symbols each sum is what the engine computes."""
    draw = data.draw
    axes = st.lists(st.integers(1, 4), min_size=rank, max_size=rank).map(tuple)
    size, kernel = draw(axes.map(lambda a: tuple(2 + e for e in a))), draw(axes)
    groups = draw(st.integers(1, 2))
    chosen: dict[str, Any] = {
        "stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 2)),
        "dilation": draw(st.integers(1, 2)), "groups": groups, "flip": flip,
    }  # fmt: skip
    channels, filters = (groups * draw(st.integers(1, 2)) for _ in range(2))
    try:
        sheet = ic.symbols.conv(size, kernel, **chosen, channels=channels, filters=filters,
                                order=order, show_padding=draw(st.booleans()))  # fmt: skip
    except IsoconvError as error:
        assume(not re.search("must fit|at most (400|10,000)", str(error)))
        raise
    function = (ic.conv1d, ic.conv2d)[rank - 1]
    random = np.random.default_rng(1)
    x = random.integers(-9, 9, (1, *size, channels)).astype(np.float32)
    w = random.integers(-9, 9, (*kernel, channels // groups, filters)).astype(np.float32)
    y = function(x, w, **chosen)
    g = random.integers(-9, 9, y.shape).astype(np.float32)
    dx, dw = ic.gradients(function, g, x, w, **chosen)
    bare = ic.symbols.conv(size, kernel, **chosen, channels=channels, filters=filters)
    names = {
        **named_values(bare, "X", "x", x[0]), **named_values(bare, "K", "w", w),
        **named_values(bare, "grad_output", "g", g[0]),
    }  # fmt: skip
    found = [symbols_of(names, text) for text in sheet.equations().values()]
    assert found == in_lists(y[0]) + in_lists(dw, kernel=True) + in_lists(dx[0])


def test_transposed() -> None:
    """A transposed convolution is the gradient by the input, forward, and its gradients follow."""
    sheet = ic.symbols.conv_transpose((2, 2), (3, 3), stride=2, padding=1)
    x, w = np.arange(4, dtype=np.float32) + 1, np.arange(9, dtype=np.float32) + 1
    image, kernel = x.reshape(1, 2, 2, 1), w.reshape(3, 3, 1, 1)
    big = np.zeros((1, 3, 3, 1), np.float32)
    (y, _) = ic.gradients(ic.conv2d, image, big, kernel, stride=2, padding=1)
    names = {f"x{i}{j}": image[0, i, j, 0] for i in range(2) for j in range(2)}
    names |= {f"w{i}{j}": kernel[i, j, 0, 0] for i in range(3) for j in range(3)}
    equations = sheet.equations()
    for i in range(3):
        for j in range(3):
            assert symbols_of(names, equations[f"y{i}{j}"]) == y[0, i, j, 0]
    assert "O = S·(I - 1) + D·(K - 1) + 1 - 2P = 2·(2 - 1) + 1·(3 - 1) + 1 - 2·1 = 3" in str(sheet)
    assert equations["∂L/∂x00"] == "a·w11 + b·w12 + d·w21 + e·w22"
    assert equations["∂L/∂w11"] == "a·x00 + c·x01 + g·x10 + i·x11"


@pytest.mark.parametrize("pool", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("settings", [{"padding": 1}, {"stride": 2, "ceil_mode": True}, {}])
def test_poolings_are_those_of_the_engine(pool: str, settings: dict[str, object]) -> None:
    """Results and gradients are the engine's, also with padding and a window over the end."""
    values = np.random.default_rng(2).integers(-9, 9, (5, 4)).astype(np.float32)
    sheet = getattr(ic.symbols, pool)(values, 2, **settings).to_dict()["matrices"]
    function = getattr(ic, f"{pool}2d")
    y = function(values[None, ..., None], kernel_size=2, **settings)
    assert np.array_equal(np.array(sheet["Y"], np.float32), y[0, ..., 0])
    g = np.arange(y.size, dtype=np.float32).reshape(y.shape) * 4
    (dx,) = ic.gradients(function, g, values[None, ..., None], kernel_size=2, **settings)
    names = dict(zip(np.array(sheet["grad_output"]).ravel(), g.ravel().tolist(), strict=True))

    def value(text: str) -> float:
        parts = [each.partition("/") for each in text.split(" + ")]
        return float(sum(names.get(a, 0.0) / float(b or 1) for a, _, b in parts))

    assert [[value(text) for text in row] for row in sheet["∂L/∂X"]] == dx[0, ..., 0].tolist()


def test_without_values() -> None:
    """Symbols stand where no values are; of a maximum it is said what is missing."""
    assert ic.symbols.max_pool(input_size=(2, 2)).equations() == {"y00": "max(x00, x01, x10, x11)"}
    assert "give values=" in ic.symbols.max_pool(input_size=(2, 2)).to_text()
    assert ic.symbols.avg_pool(input_size=(2,)).equations() == {"y0": "(x0 + x1)/2"}
    assert ic.symbols.global_avg_pool(input_size=(3,)).equations() == {"output": "(x0 + x1 + x2)/3"}


def test_negative_values() -> None:
    """A negative number is subtracted."""
    assert ic.symbols.avg_pool([1, -3], 2).equations() == {"y0": "(1 - 3)/2 = -1"}


def test_ascii_and_json() -> None:
    """The text can keep to ASCII, and everything goes through JSON."""
    functions = ("conv", "conv_transpose", "max_pool", "avg_pool", "global_avg_pool")
    for sheet in (getattr(ic.symbols, name)(ascii=True) for name in functions):
        assert sheet.to_text().isascii()
        assert json.dumps(sheet.to_dict(), ensure_ascii=False).isascii()
    found = ic.symbols.conv(of="x").to_dict()
    assert found["equations"][1] == {
        "name": "∂L/∂x01", "text": "a·w01 + b·w00", "terms": [["a", "w01"], ["b", "w00"]],
    }  # fmt: skip
    assert ic.symbols.max_pool().to_dict()["windows"][0] == {
        "window": [["1", "5"], ["9", "2"]], "max": "9", "place": [1, 0, 0], "gradient": "a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ic.symbols.conv((28, 28), (5, 5)),
         r"at most 400 equations are written; an input of 28x28 would give 1,385: give a smaller "
         r'input_size, or fewer lists \(of="y"\)'),
        (lambda: ic.symbols.conv((3, 3), (5, 5)), "must fit.*give a smaller kernel_size"),
        (lambda: ic.symbols.conv((3, 3, 3), (2,)), "input_size must have one or two axes"),
        (lambda: ic.symbols.conv((3,), (3,), channels=60, filters=60),
         "at most 400 equations are written"),
        (lambda: ic.symbols.conv((15,), (1,), channels=400, filters=20, of="y"),
         "at most 10,000 terms are written"),
        (lambda: ic.symbols.conv((10**9, 10**9), (10**9, 10**9), of="y"), "at most 10,000 terms"),
        (lambda: ic.symbols.conv(of="z"), "of must be of y, w, x; got 'z'"),
        (lambda: ic.symbols.conv(order="other"), "order must be"),  # type: ignore[arg-type]
        (lambda: ic.symbols.conv_transpose(padding=3),
         r"for an input of \(2, 2\) with padding \(\(3, 3\), \(3, 3\)\): give less padding"),
        (lambda: ic.symbols.conv_transpose(padding="same"), "give numbers"),
        (lambda: ic.symbols.max_pool([[1, 2]], input_size=(1, 2)), "not both"),
        (lambda: ic.symbols.max_pool([[1, float("nan")]]), "must be finite"),
        (lambda: ic.symbols.max_pool([1e39], 1), "must be finite in float32"),
        (lambda: ic.symbols.max_pool(np.zeros((2, 2, 2))), r"must be one channel, \(H, W\)"),
    ],
)  # fmt: skip
def test_refusals(call: Callable[[], Any], said: str) -> None:
    """What cannot be written is refused in a line that says what to do."""
    with pytest.raises((ArgumentError, ShapeError), match=said):
        call()


def test_groups_must_divide() -> None:
    """Groups that do not divide the channels are named."""
    with pytest.raises(ShapeError, match="groups must divide the channels: 3 is no multiple of 2"):
        ic.symbols.conv(groups=2, channels=3)
