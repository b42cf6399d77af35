"""Numbers beside the symbols of a convolution."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cli.command import fail, succeed

import isoconv as ic
from isoconv.explain.symbols_numbers import with_numbers

X = np.array([[1, 2, 3], [4, 5, -6], [7, 8, 9]], np.float32)
W = np.array([[0.1, 0], [-2, 1]], np.float32)
WORDS = ("--padding", 1, "--values", "1,2,3;4,5,-6;7,8,9", "--weights", "0.1,0;-2,1")


def test_a_convolution_ends_with_the_operations_own_numbers() -> None:
    """In numbers as in symbols, and the value of `ic.conv2d`; of gradients what is known."""
    found = with_numbers(ic.symbols.conv((3, 3), (2, 2), padding=1), X, W).equations()
    result = ic.conv2d(X[None, :, :, None], W[:, :, None, None], padding=1)[0, :, :, 0]
    assert found["y11"].endswith(" = 1·0.1 + 2·0 + 4·(-2) + 5·1 = -2.9")
    assert found["y02"] == "x01·w10 + x02·w11 = 2·(-2) + 3·1 = -1"
    assert found["∂L/∂x00"].endswith(" = a·1 + b·(-2) + e·0 + f·0.1")
    for (row, column), value in np.ndenumerate(result):
        assert np.float32(found[f"y{row}{column}"].rpartition(" = ")[2]) == value


def test_a_transposed_convolution_does_too() -> None:
    """The value is that of the convolution's gradient by its input."""
    found = with_numbers(ic.symbols.conv_transpose((3, 3), (2, 2), padding=1), X, W).equations()
    over = np.zeros((1, 2, 2, 1), np.float32)
    kernel = W[:, :, None, None]
    result, _ = ic.gradients(ic.conv2d, X[None, :, :, None], over, kernel, padding=1)
    for (row, column), value in np.ndenumerate(result[0, :, :, 0]):
        assert np.float32(found[f"y{row}{column}"].rpartition(" = ")[2]) == value


def test_what_is_not_given_stays_a_symbol() -> None:
    """Values alone or weights alone have no result; without both the sheet is as it was."""
    sheet = ic.symbols.conv((3,), (2,))
    assert with_numbers(sheet) == sheet
    assert with_numbers(sheet, [1, 2, 3]).equations()["y0"] == "x0·w0 + x1·w1 = 1·w0 + 2·w1"
    by_kernel = with_numbers(sheet, weights=[3, -4]).equations()
    assert by_kernel["y0"] == "x0·w0 + x1·w1 = x0·3 + x1·(-4)"
    assert by_kernel["∂L/∂w0"] == sheet.equations()["∂L/∂w0"]


def test_every_form_has_them() -> None:
    """Text, LaTeX in rows of nine products, Markdown and JSON; and the same by the command."""
    text = succeed("explain", "conv", *WORDS)
    assert "y02 = x01·w10 + x02·w11 = 2·(-2) + 3·1 = -1" in text
    latex = succeed("explain", "conv", *WORDS, "--format", "latex")
    assert "\\\\\n&= 2 \\cdot (-2) + 3 \\cdot 1 = -1 \\\\\n" in latex
    markdown = succeed("explain", "conv", *WORDS, "--format", "markdown")
    assert "\\\\\n&= 2 \\cdot (-2) + 3 \\cdot 1 = -1 \\\\\n" in markdown
    found = json.loads(succeed("explain", "conv", *WORDS, "--json"))
    assert found["equations"][2]["text"].endswith(" = 2·(-2) + 3·1 = -1")
    long = with_numbers(ic.symbols.conv((4, 4), (4, 4), of="y"), -np.ones((4, 4)), np.ones((4, 4)))
    rows = long.to_latex().split("\\begin{aligned}\n")[1].splitlines()[:-2]
    assert [row[:12] for row in rows] == [
        "y_{00} &= x_",
        "&\\quad + x_{",
        "&= -1 \\cdot ",
        "&\\quad - 1 \\",
    ]
    assert rows[-1].endswith("1 = -16")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--values", "1,2"), "--values must have shape (3, 3, 1); got (2, 1)"),
        (("--weights", "1,2|3,4"), "--weights must have 1 planes with a bar between; got 2"),
    ],
)
def test_values_that_do_not_fit_are_refused(words: tuple[str, ...], said: str) -> None:
    """In the words of the command line."""
    assert said in fail("explain", "conv", *words)
