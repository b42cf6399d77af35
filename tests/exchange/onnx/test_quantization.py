"""Quantised networks give the bytes that ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.exchange.onnx.graphs import Array, made, node, random, witness, written

from isoconv import nn
from isoconv.errors import CheckpointError, DataWarning
from isoconv.exchange import from_onnx
from isoconv.nn import functional


def whole(seed: int, low: int, high: int, *shape: int, kind: Any = np.int8) -> Array:
    """Whole numbers, the same each time."""
    return np.random.RandomState(seed).randint(low, high, shape).astype(kind)


def number(value: float, kind: Any = np.float32) -> Array:
    """A single number of a kind."""
    return np.array(value, kind)


def in_bytes() -> Any:
    """A network of bytes: scales for each filter, groups, a matrix."""
    scale = abs(random(1, 6)) / 50 + np.float32(0.01)
    arrays = {
        "sx": number(0.05), "zx": number(120, np.uint8), "w": whole(2, -128, 128, 6, 2, 3, 3),
        "sw": scale, "zw": np.zeros(6, np.int8), "sy": number(0.3), "zy": number(90, np.uint8),
        "bias": whole(3, -900, 900, 6, kind=np.int32), "m": whole(4, 0, 256, 6, 5, kind=np.uint8),
        "sm": number(0.02), "zm": number(130, np.uint8), "sz": number(0.9),
        "zz": number(103, np.uint8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x sx zx", "q"),
        node("QLinearConv", "q sx zx w sw zw sy zy bias", "c", group=2, strides=[2, 1],
             pads=[1, 0, 1, 2]),
        node("DequantizeLinear", "c sy zy", "d"),
        node("GlobalAveragePool", "d", "g"),
        node("Flatten", "g", "f"),
        node("QuantizeLinear", "f sy zy", "p"),
        node("QLinearMatMul", "p sy zy m sm zm sz zz", "o"),
        node("DequantizeLinear", "o sz zz", "y"),
    ]  # fmt: skip
    return made(nodes, (1, 4, 9, 8), arrays)


def between_floats() -> Any:
    """Floats brought to bytes and back around a convolution of dequantised weights."""
    arrays = {
        "s": number(0.03), "z": number(7, np.uint8), "w": whole(2, -128, 128, 5, 3, 2, 2),
        "sw": abs(random(1, 5)) + np.float32(0.1), "zw": whole(3, -9, 9, 5),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w sw zw", "v", axis=0),
        node("Conv", "d v", "y"),
    ]
    return made(nodes, (1, 3, 6, 5), arrays)


def by_the_image() -> Any:
    """Scales that follow from each image, and the sums themselves."""
    arrays = {
        "w": whole(2, -128, 128, 5, 3, 2, 2), "zw": number(3, np.int8), "sw": number(0.02),
    }  # fmt: skip
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("ConvInteger", "q w z zw", "i", pads=[1, 1, 0, 0]),
        node("Cast", "i", "c", to=1),
        node("Mul", "s sw", "sc"),
        node("Mul", "c sc", "y"),
    ]
    return made(nodes, (1, 3, 6, 5), arrays)


def in_rows() -> Any:
    """Rows of whole numbers times a matrix."""
    arrays = {"m": whole(4, -128, 128, 5, 7), "zm": whole(5, -9, 9, 7), "shape": np.array([6, 5])}
    nodes = [
        node("Reshape", "x shape", "r"),
        node("DynamicQuantizeLinear", "r", "q s z"),
        node("MatMulInteger", "q m z zm", "i"),
        node("Cast", "i", "c", to=1),
        node("Mul", "c s", "y"),
    ]
    return made(nodes, (1, 2, 3, 5), arrays)


MODELS = {
    "in bytes": (in_bytes, (4, 9, 8)),
    "between floats": (between_floats, (3, 6, 5)),
    "by the image": (by_the_image, (3, 6, 5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_as_onnx_runtime(name: str, tmp_path: Path) -> None:
    """The same results, image by image, up to the rounding of what comes after the sums."""
    make, shape = MODELS[name]
    path = written(tmp_path, make())
    model = from_onnx(path)
    images = random(9, 3, *shape) * 3
    wanted = np.concatenate([witness(path, image[None]) for image in images])
    found = model.predict(np.moveaxis(images, 1, -1), finish="none")
    found = np.moveaxis(found, -1, 1) if found.ndim > 2 else found
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_rows_as_onnx_runtime(tmp_path: Path) -> None:
    """Whole sums of products with a matrix whose columns have zero points of their own."""
    path = written(tmp_path, in_rows())
    image = random(9, 1, 2, 3, 5)
    found = from_onnx(path, input_shape=(3, 5, 2)).predict(np.moveaxis(image, 1, -1), finish="none")
    np.testing.assert_allclose(found.reshape(6, 7), witness(path, image), rtol=1e-5)


def test_a_graph_without_results(tmp_path: Path) -> None:
    """It is refused in words."""
    model = in_bytes()
    del model.graph.output[:]
    with pytest.raises(CheckpointError, match="it must have a result"):
        from_onnx(written(tmp_path, model))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"zy": number(3, np.int32)}, "its result must be of int8"),
        ({"zw": np.zeros(5, np.int8)}, "a zero point does not fit weights"),
        ({"sy": random(1, 6)}, "scales must be one number each"),
        ({"w": random(2, 6, 2, 3, 3)}, "must be whole numbers"),
    ],
)
def test_what_is_refused(change: dict[str, Array], text: str, tmp_path: Path) -> None:
    """Kinds, scales and zero points that do not fit are named with their node."""
    model = in_bytes()
    kept = [each for each in model.graph.initializer if each.name not in change]
    others = made([], (1,), change).graph.initializer
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *others])
    with pytest.raises(CheckpointError, match=text):
        from_onnx(written(tmp_path, model))


QUANTISED = {
    "a map": (nn.QuantizedConv2d(4, (3, 2), 2, "same", (1, 2), 1, True, 3, "uint8", 5), (9, 8, 2)),
    "groups": (nn.QuantizedConv1d(4, 3, 2, ((1, 0),), 2, 2, False, 7, "int8", -9), (9, 2)),
    "a volume": (nn.QuantizedConv3d(4, 2, 2, 1, 2, 2, True, 3, "int8", 5), (4, 3, 5, 2)),
    "rows": (nn.QuantizedLinear(4, True, 3, "uint8", 5), (4, 3)),
    "sums": (nn.QuantizedConv2d(4, 3, input_zero_point=200), (5, 6, 2)),
    "sums of rows": (nn.QuantizedLinear(4), (7,)),
    "16 bits": (nn.QuantizedConv2d(4, 3, dtype="int16", zero_point=-70), (5, 6, 2)),
    "a zero beyond": (nn.QuantizedConv2d(4, 3, input_zero_point=-3, dtype="uint8"), (5, 6, 2)),
}
_OPERATORS = {
    "sums": "ConvInteger", "sums of rows": "ConvInteger", "16 bits": "ConvInteger",
    "a zero beyond": "Conv",
}  # fmt: skip
"""As which layers go out, where it is not QLinearConv: a result of int8 needs such weights, too."""


@pytest.mark.parametrize(("low", "high"), [(-60, 60), (-20, 200), (0, 255), (40, 100)])
@pytest.mark.parametrize("name", QUANTISED)
def test_layers_go_out(name: str, low: int, high: int, tmp_path: Path) -> None:
    """As quantised operators, to what ONNX Runtime gives, and back to the same bits.

    Weights are of both kinds, and of one that needs a zero point.
    """
    layer, shape = QUANTISED[name]
    model = nn.Sequential(
        nn.Apply(functional.divide, (0.05,)), nn.Apply(functional.round),
        nn.Apply(functional.add, (90.0,)), nn.Clip(0.0, 255.0), layer,
    ).build(shape, fresh=True)  # fmt: skip
    draw = np.random.default_rng(high)
    arrays = {key: draw.integers(-900, 900, a.shape) for key, a in model.weights.items()}
    arrays["4.weight"] = draw.integers(low, high, arrays["4.weight"].shape)
    found: dict[str, Array] = {key: array.astype(np.float32) for key, array in arrays.items()}
    if "4.multiplier" in found:
        found["4.multiplier"] = draw.random(4).astype(np.float32) / 100 + np.float32(0.001)
    model.load_weights(found)
    model.finish = "none"
    path, images = tmp_path / "model.onnx", random(9, 3, *shape) * 3
    if name == "a zero beyond":
        with pytest.warns(DataWarning, match=r"and 4 \(its input is not known to be bytes\) comp"):
            model.to_onnx(path)
    else:
        model.to_onnx(path)
    wanted = model.predict(images)
    held = [each.op_type for each in onnx.load(path).graph.node]
    mixed = getattr(layer, "dtype", "") == "int8" and high > 127
    assert ("ConvInteger" if mixed else _OPERATORS.get(name, "QLinearConv")) in held
    assert "QuantizeLinear" in held
    assert from_onnx(path).predict(images, finish="none").tobytes() == wanted.tobytes()
    if name == "a zero beyond":
        return
    given = np.moveaxis(images, -1, 1) if images.ndim > 2 else images
    seen = witness(path, given, "images")
    seen = np.moveaxis(seen, 1, -1) if seen.ndim > 2 else seen
    # It scales in float32, and rounds before the zero point is added.
    assert abs(seen - wanted).max() <= 1
    assert (seen != wanted).mean() < 0.02
    assert len(np.unique(wanted)) > 10


@pytest.mark.parametrize(
    ("before", "weight", "reason"),
    [
        ([], 1, "its input is not known to be bytes"),
        (
            [nn.Apply(functional.round), nn.Clip(0.0, 254.0)],
            1,
            "its input is not known to be bytes",
        ),
        ([nn.Apply(functional.round), nn.Clip(0.0, 255.0)], 300, "its weights do not fit into 8 b"),
        ([nn.Apply(functional.round), nn.Clip(-128.0, 127.0)], 200, "its weights go beyond 127"),
        ([nn.Apply(functional.round), nn.Clip(0.0, 255.0)], 250, "int32 may not hold its sums"),
    ],
)
def test_layers_in_float64_are_named(
    before: list[nn.Module], weight: int, reason: str, tmp_path: Path
) -> None:
    """With what they lack; of whole numbers the file gives the same bits when it comes back."""
    sides = (40_000,) if reason.startswith("int32") else (40,)
    layer = nn.QuantizedLinear(2, bias=False)
    model = nn.Sequential(*before, nn.Sequential(layer), nn.ReLU()).build(sides)
    name = f"{len(before)}.0"
    array = np.full((*sides, 2), weight, np.float32)
    model.load_weights({f"{name}.weight": array})
    model.finish = "none"
    path = tmp_path / "model.onnx"
    with pytest.warns(DataWarning) as told:
        model.to_onnx(path)
    (said,) = (str(each.message) for each in told)
    assert f"{path.name}: ONNX Runtime may not run it" in said
    assert f" {name} ({reason}" in said
    images = np.rint(random(3, 2, 40) * 9)
    if sides == (40,):
        back = from_onnx(path).predict(images, finish="none")
        assert back.tobytes() == model.predict(images).tobytes()
