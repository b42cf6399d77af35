"""Whole steps of training by terms: every node, forward, backward and in the optimizer's update."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.compile.places import same_bits
from tests.ops.by_terms import check_node
from tests.run.graphs import random_arrays

import isoconv as ic
from isoconv import nn
from isoconv.data import Augmentation
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate
from isoconv.train.graphs import Normalisation, Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import Optimizer

IMAGES, SHAPE, CLASSES = 5, (8, 8, 3), 6


class Branching(nn.Module):
    """Ways that meet by a sum and side by side, strides, groups, dilation, an odd Winograd."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm()
        self.grouped = nn.Conv2d(6, (3, 2), stride=2, padding=1, groups=3)
        self.dilated = nn.Conv2d(4, 3, padding=2, dilation=2)
        self.winograd = nn.Conv2d(4, 3, padding=1, algorithm="winograd")
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(CLASSES)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """Logits."""
        x = functional.relu(self.norm(self.first(x)))
        y = functional.gelu(self.grouped(x))
        z = functional.max_pool2d(self.dilated(y), 3, stride=1, padding=1)
        z = z + functional.silu(self.winograd(z))
        y = functional.avg_pool2d(y, 3, stride=1, padding=1)
        joined = functional.concatenate(y, z)
        return self.head(self.drop(functional.flatten(joined)))


def whole(graph: Graph) -> Graph:
    """The graph with every value among its outputs, so that none is fused away."""
    computed = [i for i, node in enumerate(graph.nodes) if node.op != "input"]
    return replace(graph, outputs=tuple((f"value {i}", i) for i in computed))


def check_all(graph: Graph, arrays: dict[str, Array], images: int, most: int) -> set[str]:
    """Every node by terms, by its reference and by its kernel; returns the operations met."""
    graph = whole(graph)
    expected = interpret(graph, arrays, images)
    native = evaluate(graph, arrays, images)
    for name, array in expected.items():
        if array.dtype.kind == "f":
            same_bits(native[name], array)
        else:
            np.testing.assert_array_equal(native[name], array)
    values = [arrays[node.attrs.name] if node.op == "input" else native[f"value {i}"]
              for i, node in enumerate(graph.nodes)]  # fmt: skip
    met = set()
    for at, node in enumerate(graph.nodes):
        if node.op == "input":
            continue
        operands = [values[i] for i in node.inputs]
        check_node(graph, at, operands, values[at], images, most)
        met.add(node.op)
    return met


def given(graph: Graph, seed: int = 3) -> dict[str, Array]:
    """Arrays for every input of a step: bytes, a table of augmentation, labels, weights."""
    arrays = random_arrays(graph, IMAGES, seed)
    if arrays["labels"].dtype.kind == "f":  # targets from 0 to 1
        arrays["labels"] = 1 / (1 + np.abs(arrays["labels"]))
    draw = np.random.default_rng(seed)
    arrays["images"] = draw.integers(0, 256, arrays["images"].shape).astype(np.uint8)
    if arrays["labels"].dtype == np.int32:
        arrays["labels"] = draw.integers(0, CLASSES, IMAGES).astype(np.int32)
    if "augmentation" in arrays:
        table = draw.integers(-1, 2, (IMAGES, 9)).astype(np.float32)
        table[:, 2] = draw.integers(0, 2, IMAGES)
        table[:, 3:7] = (1, 3, 2, 4)
        table[:, 7:] = (0.8, 0.6)
        arrays["augmentation"] = table
    arrays["inverse_batch"] = np.array(1 / IMAGES, np.float32)
    return {name: np.asarray(array) for name, array in arrays.items()}


LOSSES = {"cross_entropy": Loss("cross_entropy", 0.1), "mse": Loss("mse"), "bce": Loss("bce")}


@pytest.mark.parametrize("name", LOSSES)
def test_every_node_of_a_step(name: str) -> None:
    """Images to loss and back to every weight: terms, references and kernels have the same bits."""
    constants = Normalisation(
        np.array([0.02, 0.01, 0.03], np.float32), np.array([-1, 0.5, -2], np.float32)
    )
    changes = Augmentation(crop_padding=1, flip=True, rotation=10)
    preparation = Preparation(SHAPE, "uint8", constants, changes)
    model = Branching().build(SHAPE)
    graph = build_step(model, preparation, LOSSES[name], ic.optim.SGD(0.1)).shard
    met = check_all(graph, given(graph), IMAGES, most=6)
    assert {"augment", "batch_norm", "conv", "conv_grad_input", "conv_grad_weight", "dropout",
            "max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad", "sum", "concat",
            "winograd_input", "winograd_input_grad", "winograd_product",
            "winograd_product_grad_weight", "winograd_weight", "winograd_weight_grad",
            "winograd_output", "winograd_output_grad"} <= met  # fmt: skip


def test_every_node_of_a_step_with_drawn_windows() -> None:
    """From the key to the weights, along two axes and three."""
    model = nn.Sequential(
        nn.Conv2d(5, 3), nn.FractionalMaxPool2d((3, 2), (4, 5)), nn.ReLU(),
        nn.Reshape((4, 5, 5, 1)), nn.FractionalMaxPool3d(2, output_ratio=0.6), nn.Flatten(),
        nn.Linear(CLASSES),
    ).build(SHAPE)  # fmt: skip
    preparation = Preparation(SHAPE, "uint8", None)
    graph = build_step(model, preparation, LOSSES["cross_entropy"], ic.optim.SGD(0.1)).shard
    met = check_all(graph, given(graph), IMAGES, most=40)
    assert {"uniform_like", "fractional_max_pool", "fractional_max_pool_grad"} <= met


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": ic.optim.SGD(0.1),
    "decay": ic.optim.SGD(0.1, weight_decay=1e-2),
    "momentum": ic.optim.SGD(0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": ic.optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": ic.optim.Adam(1e-2, weight_decay=1e-2),
    "adamw": ic.optim.AdamW(1e-2, weight_decay=1e-1),
}


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_node_of_an_update(name: str, clip: bool) -> None:
    """A step of each optimizer, with momentum, decay and the factor of clipping."""
    optimizer = OPTIMIZERS[name]
    graph = optimizer.update_graph(37, clip)
    arrays = random_arrays(graph, 1, seed=5)
    with np.errstate(all="ignore"):
        row = np.asarray(optimizer.hyper_row(4, 0.05), np.float32)
    arrays |= {each: value.reshape(()) for each, value in zip(optimizer.hyper, row, strict=True)}
    if "slot:square" in arrays:
        arrays["slot:square"] = np.abs(arrays["slot:square"])
    check_all(graph, arrays, 1, most=37)
