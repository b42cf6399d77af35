"""isoconv's side of the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import isoconv as ic
from bench.libraries.isoconv_operations import WORK, Operation
from bench.networks import build
from bench.worker import SHOWN, Array, Library, Prepared, serve
from isoconv import nn
from isoconv.exchange import from_onnx
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph
from isoconv.nn import functional as F  # noqa: N812 - as everybody calls it
from isoconv.ops import BatchNorm, ConvGeometry, ConvGradInput, Epsilon, Padding
from isoconv.run.training import TrainingEngine
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss

__all__ = ["IsoconvLibrary"]

NATIVE_SECONDS = 0.004
"""Least time of a native call on single operations; shorter ones are repeated inside it."""


class IsoconvLibrary(Library):
    """Kernels, training engine and ``Module.predict``."""

    def versions(self) -> dict[str, str]:
        """The version of isoconv; what it stands on is written with the machine."""
        return {"isoconv": ic.__version__}

    def layer(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A convolution in one direction."""
        return _operation(_layer_graph(request, arrays), arrays, request["threads"])

    def simple(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """Pooling, normalisation and the like."""
        return _operation(_simple_graph(request, arrays), arrays, request["threads"])

    def step(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """The training engine."""
        images, batch = arrays["images"], request["batch"]
        shape = images.shape[1:]
        start = time.perf_counter()
        model = build(request["network"], request["classes"], shape)
        model.load_weights({name: arrays[name] for name in model.weights})
        optimizer = ic.optim.SGD(0.01, momentum=0.9)
        step = build_step(model, Preparation(shape, "float32"), Loss(), optimizer)
        engine = TrainingEngine(
            step, {"images": images, "labels": arrays["labels"]}, batch_size=batch,
            shard_size=request["shard"], threads=request["threads"],
        )  # fmt: skip
        engine.load(model.parameters(), model.states())
        row = np.array([optimizer.hyper_row(1, 0.01)], np.float32)
        losses = [float(engine.steps(0, row)[0, 0]) / batch]
        ready = time.perf_counter() - start
        losses.append(float(engine.steps(0, row)[0, 0]) / batch)
        # As the trainer does, several steps in one native call.
        batches = len(images) // batch
        rows = np.repeat(row, batches, axis=0)

        facts = {"arena_mib": round(engine.arena_bytes / 2**20, 1), "first_step": round(ready, 2)}
        results = {"losses": np.array(losses)}
        if request.get("weights"):
            every = engine.parameters().values()
            results[SHOWN] = np.concatenate([array.ravel() for array in every])
        return Prepared(lambda: _run(engine, rows), results, facts, batches)

    def predict(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """``model.predict``, from NumPy to NumPy, as a user calls it."""
        images = arrays["images"]
        model = build(request["network"], request["classes"], images.shape[1:])
        model.load_weights({name: arrays[name] for name in model.weights})
        model.finish = "none"
        threads = request["threads"]

        def work() -> None:
            model.predict(images, threads=threads)

        return Prepared(work, {"scores": model.predict(images, threads=threads)})

    def imported(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """``model.predict`` of an imported network; how long the import took is told."""
        images, path = arrays["images"], Path(request["folder"]) / "network.onnx"
        path.write_bytes(arrays["network"].tobytes())
        start = time.perf_counter()
        model = from_onnx(path)
        facts = {"imported_in": round(time.perf_counter() - start, 3)}
        threads = request["threads"]

        def work() -> None:
            model.predict(images, threads=threads)

        return Prepared(work, {"scores": model.predict(images, threads=threads)}, facts)


def _run(engine: TrainingEngine, rows: Array) -> None:
    engine.steps(0, rows)


def _operation(graph: Graph, arrays: dict[str, Array], threads: int) -> Prepared:
    operation = Operation(graph, arrays, threads)
    results = operation.results()
    once = _seconds(operation.run)
    # A training step is one native call; here, too, what Python needs for a call must not count.
    inner = max(1, min(200, round(NATIVE_SECONDS / once)))
    packing = _seconds(lambda: operation.pack(inner)) / inner
    facts = {"packing_ms": round(packing * 1e3, 4), "turns": inner}
    return Prepared(lambda: operation.run(inner), results, facts, inner)


def _seconds(work: Callable[[], None]) -> float:
    """The middle one of some repetitions."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return sorted(found)[2]


def _layer_graph(request: dict[str, Any], arrays: dict[str, Array]) -> Graph:
    rank = len(request["kernel"])
    padding = ((request["padding"], request["padding"]),) * rank
    geometry = ConvGeometry(
        tuple(request["kernel"]), (request["stride"],) * rank, padding, (1,) * rank,
        request["groups"],
    )  # fmt: skip
    b = GraphBuilder()
    given = {}
    for name in ("x", "dy"):
        with b.layer("bring"):
            given[name] = b.copy(b.input("dataset", name, arrays[name].shape[1:]))
    w = b.input("parameter", "w", arrays["w"].shape)
    with b.layer(WORK):
        if request["direction"] == "forward":
            result = b.add("conv", given["x"], w, attrs=geometry)
        elif request["direction"] == "gradient by input":
            attrs = ConvGradInput(geometry, tuple(request["sides"]))
            result = b.add("conv_grad_input", given["dy"], w, attrs=attrs)
        else:
            result = b.add("conv_grad_weight", given["x"], given["dy"], attrs=geometry)
    return b.graph([("result", result)])


def _simple_graph(request: dict[str, Any], arrays: dict[str, Array]) -> Graph:
    trace = nn.Trace()
    b = trace.builder
    given: dict[str, nn.Tensor] = {}
    for name, array in arrays.items():
        batched = name in ("x", "other", "dy")
        shape = array.shape[1:] if batched else array.shape
        given[name] = trace.input("dataset" if batched else "parameter", name, shape)
        if batched:
            with b.layer("bring"):
                given[name] = _moved(given[name])
    if request["op"] == "relu_add":
        return _relu_add_graph(given, backward=request["backward"])
    result, wanted = _simple_result(request, given)
    if not request["backward"]:
        return b.graph([("result", result.index)])
    gradients = differentiate(
        b, {result.index: given["dy"].index}, [given[name].index for name in wanted]
    )
    return b.graph([(f"d{name}", gradients[given[name].index]) for name in wanted])


def _moved(x: nn.Tensor) -> nn.Tensor:
    """The same value from a kernel of its own; a copy would become part of the work."""
    return x.trace.add("pad", x, attrs=Padding(((0, 0),) * (len(x.shape) - 1)))


def _relu_add_graph(given: dict[str, nn.Tensor], *, backward: bool) -> Graph:
    """ReLU(x + y) or its gradient, as in a training step.

    There the gradient comes long after the result, and reads what the forward pass has left for it.
    The sum's gradient is the same for both; in the gradient's row x stands for the result.
    """
    x, trace = given["x"], given["x"].trace
    b = trace.builder
    if backward:
        with b.layer("bring"):
            result = F.relu(x)
            # It cannot be there before the result, and is as it was given.
            both = F.concatenate(given["dy"], result)
            later = _moved(F.slice_channels(both, 0, x.shape[-1]))
        with b.layer(WORK):
            gradient = trace.add("relu_grad", result, later)
        return b.graph([("dx", gradient.index)])
    with b.layer(WORK):
        result = F.relu(x + given["other"])
    with b.layer("store"):
        gradient = trace.add("relu_grad", result, _moved(result))
    return b.graph([("result", result.index), ("dx", gradient.index)])


def _simple_result(
    request: dict[str, Any], given: dict[str, nn.Tensor]
) -> tuple[nn.Tensor, tuple[str, ...]]:
    """The result, and by what it is differentiated."""
    x, settings, trace = given["x"], request["settings"], given["x"].trace
    if request["op"] == "batch_norm":
        # The backward pass finds the statistics that the forward pass has left.
        with trace.builder.layer("bring" if request["backward"] else WORK):
            mean, variance = F.moments(x)
            inverse = trace.add("inverse_std", variance, attrs=Epsilon(1e-5))
        with trace.builder.layer(WORK):
            attrs = BatchNorm(training=True, size=prod(x.shape[:-1]))
            gamma, beta = given["gamma"], given["beta"]
            result = trace.add("batch_norm", x, mean, inverse, gamma, beta, attrs=attrs)
        return result, ("x", "gamma", "beta")
    with trace.builder.layer(WORK):
        if request["op"] == "global_avg_pool":
            return F.global_avg_pool(x), ("x",)
        function = F.max_pool2d if request["op"] == "max_pool" else F.avg_pool2d
        return function(x, settings["kernel"], settings["stride"], settings["padding"]), ("x",)


if __name__ == "__main__":
    serve(IsoconvLibrary())
