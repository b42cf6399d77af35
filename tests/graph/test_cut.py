"""What is the same for a sample in every step stands before the cut, and nothing else does."""

from __future__ import annotations

import numpy as np
from tests.run.graphs import random_arrays

from isoconv import nn
from isoconv.graph.cut import cut_behind
from isoconv.graph.ir import Graph
from isoconv.ops.interpret import interpret

FIXED = {"images", "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}


def network(frozen: tuple[str, ...]) -> Graph:
    """Two branches from a frozen layer, batch statistics, dropout, and a layer that learns."""
    body = nn.Residual(nn.Sequential(nn.Conv2d(3, 1), nn.ReLU()), nn.Dropout(0.5))
    model = nn.Sequential(
        nn.Conv2d(3, 2), nn.BatchNorm2d(), body, nn.GlobalAvgPool2d(), nn.Linear(2)
    )
    trace = nn.Trace(model, training=True, frozen=frozen)
    return trace.builder.graph([("y", model(trace.images((4, 4, 1))).index)])


def test_both_parts_are_the_whole() -> None:
    """The values at the cut, handed on, give the same bits as the graph in one piece."""
    graph = network(("0", "1"))
    cut = cut_behind(graph, FIXED)
    assert cut is not None
    assert [name for name, _ in cut.before.outputs] == ["cut:0"]
    arrays = random_arrays(graph, 3)
    arrays["1.running_var"] = abs(arrays["1.running_var"])
    own = {node.attrs.name: arrays[node.attrs.name] for _, node in cut.before.inputs()}
    assert set(own) == FIXED
    rows = interpret(cut.before, own, images=3)
    rest = {node.attrs.name: {**arrays, **rows}[node.attrs.name] for _, node in cut.after.inputs()}
    assert "images" not in rest
    (whole,), (parts,) = (
        [*interpret(part, given, images=3).values()]
        for part, given in ((graph, arrays), (cut.after, rest))
    )
    assert np.isfinite(whole).all()
    assert whole.tobytes() == parts.tobytes()


def test_what_depends_on_other_images_or_on_chance_stays_behind() -> None:
    """Statistics of a shard are no image's own; without a fixed weight nothing is cut."""
    cut = cut_behind(network(("0",)), FIXED)
    assert cut is not None
    assert {node.op for node in cut.before.nodes} == {"input", "conv", "add"}
    assert cut_behind(network(("0", "1")), {"images"}) is None
    assert cut_behind(network(("0", "1")), FIXED - {"images"}) is None
    trace = nn.Trace(layer := nn.Conv2d(2, 1))
    only = trace.builder.graph([("y", layer(trace.images((2, 2, 1))).index)])
    assert cut_behind(only, {"images", "weight", "bias"}) is None
