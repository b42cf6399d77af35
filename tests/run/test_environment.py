"""A floating-point environment that another library changed reaches no result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.compile.environment import DEFAULT, FLUSH, UPWARD, control, needs_x86
from tests.run.steps import SAMPLES, engine_for, everything, make_step, rates

import isoconv.ops as ops
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.run.evaluate import evaluate
from isoconv.run.inference import Predictor

pytestmark = needs_x86
STATES = {"flush": DEFAULT | FLUSH, "upward": DEFAULT | UPWARD}


@pytest.fixture(params=list(STATES))
def changed(request: pytest.FixtureRequest) -> Iterator[Callable[[], int]]:
    """Switches the environment; it is put back after the test."""
    yield lambda: control(STATES[request.param])
    control(DEFAULT)


def tiny_graph() -> tuple[Graph, Graph]:
    """A convolution, statistics and pointwise work."""
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (4, 5, 3)), b.input("parameter", "w", (2, 2, 3, 9))
    geometry = ops.ConvGeometry((2, 2), (1, 1), ((0, 1), (0, 0)), (1, 1))
    y = b.add("tanh", b.add("conv", x, w, attrs=geometry))
    half = b.add("scale", y, attrs=ops.Constant(0.3))
    return b.graph([("y", y), ("half", half)]), b.graph(
        [("sum", b.add("sum", half, attrs=ops.Sum(1, batched=False)))]
    )


def tiny_arrays() -> dict[str, Array]:
    """Numbers whose products and sums are subnormal."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((6, 4, 5, 3)).astype(np.float32) * np.float32(2.0**-70)
    w = draw.standard_normal((2, 2, 3, 9)).astype(np.float32) * np.float32(2.0**-66)
    x[:, :2] *= np.float32(2.0**-70)
    return {"x": x, "w": w}


def bits(results: dict[str, Array]) -> dict[str, bytes]:
    """Results as bytes."""
    return {name: array.tobytes() for name, array in results.items()}


def test_evaluate(changed: Callable[[], int]) -> None:
    """Subnormal results stay as they are, and the caller's environment too."""
    arrays = tiny_arrays()
    for graph in tiny_graph():
        expected = evaluate(graph, arrays, 6)
        values = next(iter(expected.values()))
        assert ((values != 0) & (np.abs(values) < np.finfo(np.float32).tiny)).any()
        state = changed()
        try:
            found = evaluate(graph, arrays, 6)
            assert control() == state
        finally:
            control(DEFAULT)
        assert bits(found) == bits(expected)


def test_predictions(changed: Callable[[], int]) -> None:
    """On threads begun before and after the change."""
    graph, _ = tiny_graph()
    arrays = tiny_arrays()
    given = {"w": arrays["w"]}, {"x": arrays["x"]}
    with Predictor(graph, threads=2, shard_size=2) as before:
        expected = bits(before.run(*given))
        state = changed()
        try:
            with Predictor(graph, threads=2, shard_size=2) as after:
                found = [bits(predictor.run(*given)) for predictor in (before, after)]
            assert control() == state
        finally:
            control(DEFAULT)
    assert found == [expected, expected]


def test_training(changed: Callable[[], int]) -> None:
    """Steps whose gradients, vectors and weights are partly subnormal."""
    step, model = make_step(clip_norm=None)
    order = np.arange(SAMPLES)
    hyper = rates(3, np.float32(1e-40))
    weights = {name: array * np.float32(1e-38) for name, array in model.parameters().items()}
    results = []
    switches: list[Callable[[], int]] = [lambda: DEFAULT, changed]
    for switch in switches:
        with engine_for(step, model) as engine:
            weights = {
                name: array * np.float32(1e-38) for name, array in model.parameters().items()
            }
            engine.load(weights, model.states())
            state = switch()
            try:
                engine.begin_epoch(0, order)
                rows = engine.steps(0, hyper)
                assert control() == state
            finally:
                control(DEFAULT)
            results.append((rows.tobytes(), everything(engine)))
            parameters = engine.parameters()
    assert results[0] == results[1]
    sizes = np.abs(parameters["0.weight"])
    assert ((sizes > 0) & (sizes < np.finfo(np.float32).tiny)).any()
