"""Resizing beside ONNX's own reference and PyTorch's values; what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tests.run.graphs import numbers

from isoconv import nn
from isoconv.errors import ArgumentError, IsoconvError, ShapeError
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.run.evaluate import evaluate

NAMES = {
    "coordinates": "coordinate_transformation_mode",
    "rounding": "nearest_mode",
    "policy": "keep_aspect_ratio_policy",
}


def resized(x: Array, **settings: Any) -> Array:
    """What the kernels make of images ``(N, H, W, C)``."""
    trace = nn.Trace()
    y = functional.resize(trace.images(x.shape[1:]), **settings)
    return evaluate(trace.builder.graph([("y", y.index)]), {"images": x}, len(x))["y"]


def expected(
    x: Array, size: Any = None, scale: Any = None, region: Any = None, **named: Any
) -> Any:
    """What ONNX's reference makes of them."""
    attributes = {NAMES.get(name, name): value for name, value in named.items()}
    inputs: dict[str, Any] = {"x": x}
    if region is not None:
        inputs["roi"] = np.array(region, np.float64).T.ravel()
    if scale is not None:
        inputs["scales"] = np.array(scale, np.float32)
    else:
        inputs["sizes"] = np.array(size, np.int64)
    kinds = {"x": TensorProto.FLOAT, "roi": TensorProto.DOUBLE, "scales": TensorProto.FLOAT,
             "sizes": TensorProto.INT64}  # fmt: skip
    names = [name if name in inputs else "" for name in kinds][: 3 if size is None else 4]
    node = helper.make_node("Resize", names, ["y"], axes=[1, 2], **attributes)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(name, kinds[name], None) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    results: Any = ReferenceEvaluator(model).run(None, inputs)
    return results[0]


COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
               "asymmetric")  # fmt: skip
AMOUNTS: tuple[dict[str, Any], ...] = (
    {"size": (7, 3)}, {"scale": (1.5, 2.25)}, {"scale": (0.625, 0.5)},
)  # fmt: skip


def cases() -> Iterator[dict[str, Any]]:
    """Each formula for positions with each mode, larger and smaller, and what only some have."""
    for coordinates, amount in itertools.product(COORDINATES, AMOUNTS):
        both = {"coordinates": coordinates, **amount}
        yield {"mode": "linear", **both}
        yield {"mode": "cubic", **both}
        yield {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": True, **both}
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            yield {"mode": "nearest", "rounding": rounding, **both}
    for mode, excluded in itertools.product(("linear", "cubic"), (False, True)):
        yield {"mode": mode, "antialias": True, "exclude_outside": excluded, "size": (2, 3)}
        yield {"mode": mode, "antialias": True, "scale": (0.6, 1.75)}
    crop = {"coordinates": "tf_crop_and_resize", "region": ((0.4, 0.7), (-0.25, 1.25)),
            "extrapolation_value": 10.5}  # fmt: skip
    for mode in ("nearest", "linear", "cubic"):
        yield {"mode": mode, "size": (4, 5), **crop}
        yield {"mode": mode, "size": (1, 3), **crop}
        yield {"mode": mode, "size": (2, 2), **crop, "region": ((2.0, 3.0), (0.0, 1.0))}
        yield {"mode": mode, "size": (3, 4), **crop, "region": ((0.9, 0.1), (0.0, 0.5))}
    for policy, mode in itertools.product(("not_larger", "not_smaller"), ("nearest", "linear")):
        yield {"mode": mode, "policy": policy, "size": (9, 7)}
        yield {"mode": mode, "policy": policy, "size": (3, 2)}


@pytest.mark.slow
def test_onnx() -> None:
    """As ONNX's reference has it, which computes in float64."""
    x = numbers((1, 5, 4, 2)) / 100
    for case in cases():
        found, wanted = resized(x, **case), expected(x, **case)
        assert found.shape == wanted.shape, case
        if case["mode"] == "nearest":
            np.testing.assert_array_equal(found, wanted.astype(np.float32), str(case))
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=str(case))


X = np.array([[1, 5, 4], [9, 2, 1], [6, 3, 2]], np.float32)[None, :, :, None]
TORCH: tuple[tuple[dict[str, Any], list[float]], ...] = (
    # torch.nn.functional.interpolate of X, PyTorch 2.13, row-major.
    ({"size": (4, 2), "mode": "bilinear"}, [2.0, 4.25, 5.28125, 2.375, 6.5, 1.625, 5.25, 2.25]),
    (
        {"size": (4, 2), "mode": "bilinear", "align_corners": True},
        [1.0, 4.0, 6.333333, 2.0, 8.0, 1.333333, 6.0, 2.0],
    ),
    (
        {"scale_factor": 1.4, "mode": "bicubic"},
        [
            -0.01277,
            3.298286,
            5.504292,
            4.236154,
            6.176817,
            4.435718,
            2.584355,
            2.154518,
            9.645705,
            5.0414,
            0.890609,
            0.93586,
            6.236155,
            4.364429,
            2.408163,
            2.0,
        ],
    ),
    ({"size": (2, 5), "mode": "nearest"}, [1.0, 1.0, 5.0, 5.0, 4.0, 9.0, 9.0, 2.0, 2.0, 1.0]),
    ({"size": (2, 5), "mode": "nearest-exact"}, [1.0, 1.0, 5.0, 4.0, 4.0, 6.0, 6.0, 3.0, 2.0, 2.0]),
    (
        {"size": (2, 4), "mode": "bicubic", "align_corners": True},
        [1.0, 3.851852, 5.129628, 4.0, 6.0, 4.055557, 2.351851, 2.0],
    ),
)


def test_torch() -> None:
    """`upsample` gives PyTorch's values."""
    for settings, wanted in TORCH:
        trace = nn.Trace()
        y = functional.upsample(trace.images((3, 3, 1)), **settings)
        found = evaluate(trace.builder.graph([("y", y.index)]), {"images": X}, 1)["y"]
        np.testing.assert_allclose(found.ravel(), wanted, rtol=0, atol=1e-5, err_msg=str(settings))


def test_the_written_chain() -> None:
    """Two axes, one after the other: each result is its taps' products, added by FMA in order."""
    from isoconv.arithmetic.fma import fma
    from isoconv.ops.sampling import positions, taps

    x = numbers((2, 5, 4, 3))
    y = x
    for axis, size in ((1, 7), (2, 9)):
        side = y.shape[axis]
        rows = taps(positions(side, size, size / side, "half_pixel"), side, "cubic")
        moved = np.moveaxis(y, axis, 0)
        chains = []
        for row in rows:
            total = np.zeros_like(moved[0])
            for place, weight in row:
                total = fma(np.float32(weight), moved[place], total)
            chains.append(total)
        y = np.moveaxis(np.array(chains), 0, axis)
    assert resized(x, size=(7, 9), mode="cubic").tobytes() == y.tobytes()


def test_what_stays_is_not_computed() -> None:
    """An axis of the same size adds nothing, and exact places are taken as they are."""
    trace = nn.Trace()
    x = trace.images((5, 4, 3))
    assert functional.resize(x, size=(5, 4), mode="linear") is x
    y = functional.resize(x, size=(3, 4), mode="cubic", coordinates="align_corners")
    assert [node.op for node in trace.builder.graph([("y", y.index)]).nodes] == ["input", "take"]


REFUSED: tuple[tuple[dict[str, Any], type[IsoconvError], str], ...] = (
    ({}, ArgumentError, "size must be given, or else a scale; got None"),
    ({"size": 3, "scale": 2}, ArgumentError, "size must be given, or else a scale; got 3"),
    ({"size": (3,)}, ArgumentError, "size must be a whole number or 2"),
    ({"scale": 0}, ArgumentError, "scale must be a number above 0"),
    ({"scale": 0.1}, ShapeError, r"scale must leave 1 to 1048576 places of each side of \(5, 4\)"),
    ({"size": 2**19, "mode": "cubic"}, ShapeError, "size must mix at most 1048576 places"),
    ({"scale": 2, "mode": "area"}, ArgumentError, "mode must be one of nearest, linear, cubic"),
    ({"scale": 2, "policy": "not_larger"}, ArgumentError, 'policy must be "stretch" with a scale'),
    ({"scale": 2, "region": ((0, 1), (0, 1))}, ArgumentError, "region must be given with"),
    ({"scale": 2, "coordinates": "tf_crop_and_resize", "region": ((0, 1),)}, ArgumentError,
     "region must be 2 pairs of numbers"),
)  # fmt: skip


@pytest.mark.parametrize(("settings", "kind", "text"), REFUSED)
def test_refused(settings: dict[str, Any], kind: type[IsoconvError], text: str) -> None:
    """The argument and its rule are named."""
    with pytest.raises(kind, match=text):
        functional.resize(nn.Trace().images((5, 4, 3)), **settings)


def test_upsampling_learns() -> None:
    """A network that makes small maps large again trains, the same on any number of threads."""
    import isoconv as ic

    images = numbers((6, 6, 6, 2)) / 100
    digests = set()
    for threads in (1, 2):
        model = nn.Sequential(
            nn.Conv2d(4, 3, 2, padding=1), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.PixelShuffle(2), nn.Pad(1, "circular"),
            nn.Resize((4, 4), antialias=True, mode="cubic"), nn.Flatten(), nn.Linear(2),
        ).build((6, 6, 2), seed=3)  # fmt: skip
        trainer = ic.Trainer(model, batch_size=3, shard_size=1, threads=threads)
        trainer.fit((images, [0, 1, 0, 1, 1, 0]), epochs=2)
        digests.add(model.digest())
    assert len(digests) == 1
