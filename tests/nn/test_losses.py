"""Losses against their formulas, their gradients beside slopes, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.run.graphs import check, dtype_of

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.operation import Array
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)

DRAW = np.random.default_rng(5)
LOGITS = DRAW.normal(size=(3, 4, 5, 6)) * 2
LABELS = DRAW.integers(-1, 6, (3, 4, 5)).astype(np.int32)
LABELS[2] = -1
WEIGHT = np.array([0.5, 1, 2, 0, 3, 1.5])
SHARES = DRAW.random((3, 4, 5, 6))


def softmax(x: Array) -> Array:
    """The exponentials of each row, divided by their sum."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def surprise(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Of each place, -log of what the softmax gives its class, or a smoothed target."""
    logs = np.log(softmax(logits))
    hot = np.eye(logits.shape[-1])[labels]
    target = (1 - smoothing) * hot + smoothing / logits.shape[-1]
    return -np.asarray((target * logs).sum(-1))


def over_labels(each: Array, weight: Array | float = 1.0) -> Array:
    """The mean over the places of each image that have a label."""
    known = LABELS >= 0
    axes = (1, 2)
    total = np.where(known, each * weight, 0).sum(axes)
    return np.asarray(total / np.maximum(known.sum(axes), 1))


def error(x: Array) -> Array:
    """How far from the targets."""
    return np.abs(x - SHARES)


def overlap(p: Array, t: Array) -> Array:
    """Dice's of each class, its mean."""
    both, size = (2 * (p * t)).sum((1, 2)), (p + t).sum((1, 2))
    return 1 - np.asarray(((both + 0.5) / (size + 0.5)).mean(-1))


def weighted(*_: Any) -> Array:
    """The weight of each place's class."""
    return WEIGHT[LABELS]


HOT = (LABELS[..., None] == np.arange(6)).astype(float)
Tensors = Callable[[nn.Tensor, nn.Tensor, nn.Tensor, nn.Tensor], nn.Tensor]
CASES: dict[str, tuple[Tensors, Array]] = {
    "cross_entropy": (
        lambda x, y, _, __: F.cross_entropy(x, y), over_labels(surprise(LOGITS, LABELS)),
    ),
    "weighted cross_entropy": (
        lambda x, y, w, _: F.cross_entropy(x, y, 0.2, w),
        over_labels(surprise(LOGITS, LABELS, 0.2), weighted()),
    ),
    "focal": (
        lambda x, y, _, __: F.focal(x, y),
        over_labels((1 - np.exp(-surprise(LOGITS, LABELS))) ** 2 * surprise(LOGITS, LABELS)),
    ),
    "weighted focal, gamma 1": (
        lambda x, y, w, _: F.focal(x, y, 1, w),
        over_labels((1 - np.exp(-surprise(LOGITS, LABELS))) * surprise(LOGITS, LABELS), weighted()),
    ),
    "dice": (
        lambda x, y, _, __: F.dice(F.softmax(x), F.one_hot(y, 6), 0.5),
        overlap(softmax(LOGITS), HOT),
    ),
    "l1": (lambda x, _, __, t: F.l1(x, t), error(LOGITS).mean((1, 2, 3))),
    "smooth_l1": (
        lambda x, _, __, t: F.smooth_l1(x, t, 0.8),
        np.where((d := error(LOGITS)) < 0.8, d**2 / 1.6, d - 0.4).mean((1, 2, 3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes(name: str, dtype: str) -> None:
    """Of maps with places that have no label, on the kernels; slopes along a random direction."""
    function, wanted = CASES[name]
    arrays: dict[str, Array] = {
        "x": LOGITS.astype(dtype), "labels": LABELS, "weight": WEIGHT.astype(dtype),
        "t": SHARES.astype(dtype), "dy": np.array([1.0, -2.0, 3.0], dtype),
    }  # fmt: skip
    trace = nn.Trace(dtype=dtype_of(arrays["x"]))
    given = {
        key: trace.input("parameter" if key == "weight" else "dataset", key,
                         a.shape if key == "weight" else a.shape[1:], dtype_of(a))
        for key, a in arrays.items()
    }  # fmt: skip
    y = function(given["x"], given["labels"], given["weight"], given["t"])
    flows = differentiate(trace.builder, {y.index: given["dy"].index}, [given["x"].index])
    graph = trace.builder.graph([("y", y.index), ("dx", flows[given["x"].index])])

    def run(x: Array) -> dict[str, Array]:
        used = {node.attrs.name: {**arrays, "x": x}[node.attrs.name] for _, node in graph.inputs()}
        return check(graph, used, 3)

    found = run(arrays["x"])
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-5 if dtype == "float32" else 1e-12)
    if dtype == "float64":
        step = np.random.default_rng(6).normal(size=LOGITS.shape) * 1e-6
        ahead, behind = run(LOGITS + step)["y"], run(LOGITS - step)["y"]
        slope = np.sum((ahead - behind) * arrays["dy"]) / 2
        np.testing.assert_allclose(np.sum(found["dx"] * step), slope, rtol=1e-5)


def test_one_label_for_an_image() -> None:
    """Weights multiply each image's loss; the mean over the images does not know of them."""
    x, labels = LOGITS[0, 0].astype(np.float32), np.array([0, 3, 5, 2, 4], np.int32)
    plain = ic.cross_entropy(x, labels)
    found = ic.cross_entropy(x, labels, weight=WEIGHT.astype(np.float32))
    np.testing.assert_allclose(found, plain * WEIGHT[labels], rtol=1e-6)


def test_labels_of_maps_on_arrays() -> None:
    """-1 is a place without a label in a map; of an image, and other numbers nowhere."""
    found = ic.cross_entropy(LOGITS, LABELS)
    np.testing.assert_allclose(found, over_labels(surprise(LOGITS, LABELS)), rtol=1e-12)
    for labels in (LABELS - 1, np.where(LABELS < 0, 6, LABELS)):
        with pytest.raises(ic.errors.DataError, match="labels must lie in 0 … 5"):
            ic.cross_entropy(LOGITS, labels)
    wrong = np.zeros((2, 3, 4), np.int32)
    wrong[1, 0, 2] = 9
    with pytest.raises(ic.errors.DataError, match=r"label \(1, 0, 2\) is 9") as caught:
        ic.cross_entropy(np.zeros((2, 3, 4, 6), np.float32), wrong)
    assert caught.value.row == 1, "the image, not the place among all"
    with pytest.raises(ic.errors.DataError, match="label 0 is -1"):
        ic.cross_entropy(LOGITS[0, 0], [-1, 0, 0, 0, 0])


def test_what_is_refused() -> None:
    """Settings without a finite slope or a sense, weights of another shape, shapes that differ."""
    trace = nn.Trace()
    x, t = trace.images((4, 5)), trace.input("dataset", "t", (4, 4))
    labels = trace.input("dataset", "labels", (4,), "int32")
    weight = trace.input("parameter", "weight", (4,))
    refused: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: F.focal(x, labels, 0.5), ArgumentError, "gamma must be 0 or at least 1; got 0.5"),
        (lambda: F.cross_entropy(x, labels, 0, weight), ShapeError, r"must have shape \(5,\)"),
        (lambda: F.cross_entropy(t, labels, weight=t), ShapeError, "one for each class"),
        (lambda: F.dice(x, t), ShapeError, "dice compares values of one shape"),
        (lambda: F.dice(x, x, 0), ArgumentError, "smooth must be a finite number above 0"),
        (lambda: F.smooth_l1(x, x, 0), ArgumentError, "beta must be a finite number above 0"),
        (lambda: F.l1(x, t), ShapeError, "l1 compares"),
    ]  # fmt: skip
    for call, kind, rule in refused:
        with pytest.raises(kind, match=rule):
            call()
