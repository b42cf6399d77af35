"""How values lie: transpositions and reshapes written down, elements moved where they must be."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
from tests.exchange.onnx.graphs import made, node, random, written

from isoconv.exchange import from_onnx
from isoconv.exchange.onnx.layouts import in_order, of_shape

SIDES = (4, 6, 9)


def divided(dice: np.random.RandomState, count: int) -> list[int]:
    """So many elements as a shape of a few axes."""
    sides: list[int] = []
    while count > 1 and len(sides) < 4:
        choices = [side for side in range(2, count + 1) if count % side == 0]
        sides.append(int(dice.choice(choices)))
        count //= sides[-1]
    sides.append(count)
    dice.shuffle(sides)
    return sides


@pytest.mark.parametrize("seed", range(12))
def test_any_chain_of_moves_is_that_of_numpy(seed: int, tmp_path: Path) -> None:
    """Transpositions, reshapes and activations in any order give NumPy's elements in its order."""
    dice = np.random.RandomState(seed)
    wanted = images = random(seed, 2, *SIDES)
    nodes, arrays, last = [], {}, "x"
    for number in range(7):
        name = f"v{number}"
        what = dice.choice(("transpose", "reshape", "relu"))
        if what == "transpose":
            order = [0, *(1 + dice.permutation(wanted.ndim - 1))]
            nodes.append(node("Transpose", last, name, perm=order))
            wanted = wanted.transpose(order)
        elif what == "reshape":
            sides = divided(dice, prod(SIDES))
            arrays[f"shape{number}"] = np.array([0, *sides])
            nodes.append(node("Reshape", f"{last} shape{number}", name))
            wanted = wanted.reshape(2, *sides)
        else:
            nodes.append(node("LeakyRelu", last, name, alpha=0.5))
            wanted = np.where(wanted > 0, wanted, wanted / 2)
        last = name
    # Each row of the result is one of an image in ONNX's order.
    arrays["flat"] = np.array([0, prod(SIDES)])
    nodes.append(node("Reshape", f"{last} flat", "whole"))
    nodes.append(node("Softmax", "whole", "y"))
    model = from_onnx(written(tmp_path, made(nodes, ("N", *SIDES), arrays)))
    # A file that brings the last axis forward at once is taken for one with channels last.
    assert model.input_shape in ((6, 9, 4), SIDES)
    given = images if model.input_shape == SIDES else images.transpose(0, 2, 3, 1)
    found = model.predict(given, finish="none")
    shares = np.exp(wanted.reshape(2, -1).astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    assert np.allclose(found, shares, 1e-5, 0)


def test_a_reshape_across_axes_moves_elements() -> None:
    """A layout knows which reshapes only name axes anew, and which would join parts of several."""
    maps = of_shape((1, 6, 4, 4), (2, 3, 1))
    shuffled = maps.reshaped((1, 2, 3, 4, 4))
    assert shuffled is not None
    assert (shuffled.sizes, shuffled.shape) == ((1, 2, 3, 4, 4), (4, 4, 6))
    assert shuffled.transposed((0, 2, 1, 3, 4)).sizes == (1, 3, 2, 4, 4)
    whole = maps.reshaped((1, 96))
    assert whole is not None
    assert whole.shape == (4, 4, 6)
    assert of_shape((1, 6, 4), (2, 1)).reshaped((1, 4, 6)) is None


def test_an_array_is_put_in_the_order_of_a_tensor() -> None:
    """An array of the value's axes has the tensor's; axes that it lacks have one element."""
    layout = of_shape((1, 3, 2, 2), (2, 3, 1))
    array = np.arange(12).reshape(1, 3, 2, 2)
    moved = in_order(array, layout.axes, layout.memory)
    assert np.array_equal(moved, array[0].transpose(1, 2, 0))
    channels = in_order(np.arange(3).reshape(1, 3, 1, 1), layout.axes, layout.memory)
    assert (channels.shape, channels.ravel().tolist()) == ((1, 1, 3), [0, 1, 2])
