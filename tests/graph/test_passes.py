"""Every pass over a graph is checked in the tests, and a pass that breaks a rule is named."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.run.graphs import random_arrays

import isoconv
from isoconv import nn
from isoconv.errors import GraphError
from isoconv.graph import fuse, recompute, sign_masks
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.cut import cut_behind
from isoconv.graph.ir import Graph, InputAttrs, Node, TensorSpec
from isoconv.graph.operation import Operation, operation
from isoconv.graph.passes import check_passes, checked_pass, passes_are_checked
from isoconv.graph.verify import verify
from isoconv.run.evaluate import evaluate
from isoconv.run.inference import Predictor
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD

SOURCES = Path(isoconv.__file__).parent


# What is run: the library's own ways in, which go through every pass ------------------------------


def train() -> None:
    """The graphs of a training step, on the kernels."""
    model = nn.Sequential(
        nn.Conv2d(16, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16), nn.ReLU(), nn.Linear(4),
    )  # fmt: skip
    step = build_step(model, Preparation((6, 6, 2), "float32"), Loss(), SGD(0.1))
    evaluate(step.shard, random_arrays(step.shard, 3), 3)


def trace() -> None:
    """The graph of a layer."""
    nn.trace_model(nn.Sequential(nn.MaxPool2d(2)), (6, 6, 16), training=True)


def scale() -> None:
    """Images times the exponential of a step's scalar, on the kernels."""
    b = GraphBuilder()
    x, rate = b.input("dataset", "x", (3,)), b.input("scalar", "rate", ())
    graph = b.graph([("y", b.add("mul", x, b.add("exp", rate)))])
    evaluate(graph, random_arrays(graph, 2), 2)


def cut() -> None:
    """A network whose first layer does not change."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(2))
    traced = nn.trace_model(model, (5, 5, 1), training=True)
    graph = traced.builder.graph([("y", traced.output)])
    cut_behind(graph, {"images", "0.weight", "0.bias"})


# How each pass is broken --------------------------------------------------------------------------


def break_trace_model(patch: pytest.MonkeyPatch) -> None:
    """A layer's node says that it is smaller than it is."""
    add = GraphBuilder.add

    def wrong(b: GraphBuilder, op: str, *inputs: int, attrs: Any = None) -> int:
        index = add(b, op, *inputs, attrs=attrs)
        if op == "max_pool":
            b._nodes[index] = dataclasses.replace(b[index], spec=TensorSpec((1, 3, 16)))
        return index

    patch.setattr(GraphBuilder, "add", wrong)


def break_differentiate(patch: pytest.MonkeyPatch) -> None:
    """A gradient rule leaves behind a node that its operation does not allow."""

    def known(name: str) -> Operation:
        entry = operation(name)
        if name != "max_pool":
            return entry

        def gradient(b: GraphBuilder, node: int, dy: int) -> Any:
            spec = b.spec(node)
            b._append(Node("relu_grad", (node, node), None, dataclasses.replace(spec, shape=(7,))))
            assert entry.gradient is not None
            return entry.gradient(b, node, dy)

        return dataclasses.replace(entry, gradient=gradient)

    patch.setattr("isoconv.graph.autodiff.operation", known)


def break_graph(patch: pytest.MonkeyPatch) -> None:
    """Nodes are put into the graph in the wrong order."""
    backwards = lambda values: sorted(values, reverse=True)  # noqa: E731
    patch.setattr("isoconv.graph.builder.sorted", backwards, raising=False)


def break_with_gathered(patch: pytest.MonkeyPatch) -> None:
    """What is gathered is said to be something else than the rows."""

    def wrong(
        op: str, inputs: tuple[int, ...], attrs: Any, spec: TensorSpec, name: str = ""
    ) -> Node:
        return Node(op, inputs, attrs, dataclasses.replace(spec, shape=(1, *spec.shape)), name)

    patch.setattr("isoconv.compile.lower.driver.Node", wrong)


def break_fuse(patch: pytest.MonkeyPatch) -> None:
    """Groups come in an order in which they cannot run."""
    build = fuse._Fusion.build
    patch.setattr(fuse._Fusion, "build", lambda fusion: build(fusion)[::-1])


def break_recompute(patch: pytest.MonkeyPatch) -> None:
    """Groups stop storing what others read, and those do not repeat the work."""
    build = recompute._Recomputation.build

    def wrong(self: recompute._Recomputation) -> Any:
        self.repeated = [set() for _ in self.groups]
        return build(self)

    patch.setattr(recompute._Recomputation, "build", wrong)


def break_with_sign_masks(patch: pytest.MonkeyPatch) -> None:
    """Where values are positive is stored for readers that ask for the values themselves."""
    patch.setattr(sign_masks, "asks_for_sign", lambda *_: True)


def break_hoisted(patch: pytest.MonkeyPatch) -> None:
    """What follows from the images is taken for what follows from weights."""
    patch.setattr("isoconv.graph.hoist._FIXED", frozenset({"parameter", "state", "scalar"}))


def break_cut_behind(patch: pytest.MonkeyPatch) -> None:
    """The rest of the graph asks for what nobody gives."""
    patch.setattr("isoconv.graph.cut.InputAttrs", lambda kind, name: InputAttrs(kind, f"{name}x"))


BROKEN = {
    "trace_model": (break_trace_model, trace, "the node says"),
    "differentiate": (break_differentiate, train, "relu_grad.*the node says"),
    "GraphBuilder.graph": (break_graph, train, "inputs must come before their reader"),
    "with_gathered": (break_with_gathered, train, "copy.*the node says"),
    "fuse": (break_fuse, train, "no earlier group stores"),
    "recompute": (break_recompute, train, "no earlier group stores"),
    "with_sign_masks": (break_with_sign_masks, train, "no earlier group stores"),
    "cut_behind": (break_cut_behind, cut, "must be the same on both sides"),
    "hoisted": (break_hoisted, scale, "parameters and states alone"),
}
"""Name of a pass → (what breaks it, what is run, what is said)."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pass_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run is sound; with one pass broken, the error names that pass and the rule."""
    wound, run, said = BROKEN[name]
    run()
    wound(monkeypatch)
    with pytest.raises(GraphError, match=f"^after {re.escape(name)}: .*{said}"):
        run()


@pytest.mark.slow
def test_every_pass_is_broken_here() -> None:
    """No function that is a pass is left out above."""
    passes = {
        node.name
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "checked_pass"
    }
    assert passes == {name.rpartition(".")[2] for name in BROKEN}


@pytest.mark.slow
def test_graphs_are_made_by_passes_alone() -> None:
    """Outside of passes no file of the library makes a graph or groups."""
    makers = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Graph", "Group")
    }
    assert makers == {
        "graph/builder.py", "graph/cut.py", "compile/lower/driver.py", "graph/fuse.py",
    }  # fmt: skip


# The switch ---------------------------------------------------------------------------------------


def test_the_tests_check() -> None:
    """The switch is on here, and off in a process of which nobody asked it."""
    assert passes_are_checked()
    program = "import sys; from isoconv.graph import passes; sys.exit(passes.passes_are_checked())"
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 0


def test_switched_off() -> None:
    """A pass that is not checked gives back what it made, right or wrong."""

    @checked_pass(lambda result, _: verify(result))
    def cut(graph: Graph) -> Graph:
        return Graph((), graph.outputs)

    b = GraphBuilder()
    graph = b.graph([("x", b.input("dataset", "x", (3,)))])
    check_passes(False)
    try:
        assert cut(graph) == Graph((), (("x", 0),))
    finally:
        check_passes(True)
    with pytest.raises(GraphError, match=r"^after .*cut: output 'x' must be one of the"):
        cut(graph)


def test_debug_switches_it_on() -> None:
    """``isoconv --debug`` has the passes checked, and says the broken one's name."""
    from isoconv.cli import app

    check_passes(False)
    try:
        app(["models"], standalone_mode=False)
        assert not passes_are_checked()
        app(["--debug", "models"], standalone_mode=False)
        assert passes_are_checked()
    finally:
        check_passes(True)


def test_predictor_takes_a_sound_graph_alone() -> None:
    """A graph made by hand is checked when a kernel is wanted for it."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    graph = b.graph([("y", b.add("neg", x))])
    nodes = list(graph.nodes)
    nodes[1] = dataclasses.replace(nodes[1], spec=TensorSpec((4,)))
    with pytest.raises(GraphError, match=r"^after with_gathered: node 1 \(neg\)"):
        Predictor(Graph(tuple(nodes), graph.outputs), threads=1)
