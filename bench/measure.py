"""The measurements: each yields rows for the results as they come."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench import cluster, fashion_mnist, packed
from bench.crew import Crew, Entry, Side
from bench.libraries import ISOCONV, REASSOCIATED, Peer
from bench.networks import build, describe
from bench.results import row_of
from bench.small import measure as small
from bench.small.sets import SETS
from bench.timing import ROOT, Timing, WorkerError
from bench.worker import Array
from bench.workloads import (
    DIRECTIONS,
    IMPORTED,
    LAYERS,
    ORDERED,
    PREDICTIONS,
    SIMPLE,
    STEPS,
    Layer,
    Prediction,
    Simple,
    Step,
)
from isoconv import nn
from isoconv.exchange import save_onnx
from isoconv.run.ceilings import Ceilings, measure_ceilings

__all__ = ["MEASUREMENTS", "NAMES", "step_request"]


Rows = Iterator[dict[str, Any]]


def layers(crew: Crew) -> Rows:
    """Convolutions in all directions."""
    for layer in _chosen(crew, LAYERS):
        random = np.random.RandomState(0)
        arrays = _arrays(random, layer.arrays)
        arrays["w"] *= np.float32(0.1)
        for direction in DIRECTIONS:
            request = {**asdict(layer), "direction": direction}
            sides = crew.compare("layer", request, arrays)
            work = f"{layer.name} [{layer.batch}], {direction}"
            gflops = layer.flops / sides["isoconv"].timing.median / 1e9
            yield row_of(
                work, sides, 1.1, least=0.9, layer=layer.name, direction=direction,
                gflops=round(gflops, 1), large=layer.large,
            )  # fmt: skip


def pointwise(crew: Crew) -> Rows:
    """Pooling, normalisation and the like."""
    for simple in _chosen(crew, SIMPLE):
        random = np.random.RandomState(0)
        arrays = _arrays(random, simple.arrays)
        request = {**asdict(simple), "shards": crew.setting.threads}
        sides = crew.compare("simple", request, arrays)
        yield row_of(f"{simple.name} [{simple.batch}]", sides, 1.5)


def steps(crew: Crew) -> Rows:
    """Training steps beside all others."""
    for together in _together(_chosen(crew, STEPS)):
        request, arrays = step_request(together[0])
        for step, sides in _compared(crew, "step", together, request, arrays):
            yield row_of(f"{step.name} [{step.batch}]", sides, step.goal)


def predict(crew: Crew) -> Rows:
    """Predictions."""
    for together in _together(_chosen(crew, PREDICTIONS)):
        request, arrays = _prediction_request(together[0])
        for prediction, sides in _compared(crew, "predict", together, request, arrays):
            yield row_of(f"{prediction.name} [{prediction.batch}]", sides, 1.0)


def imported(crew: Crew) -> Rows:
    """Predictions of networks in ONNX files, the same file for all."""
    for prediction in _chosen(crew, IMPORTED):
        request, arrays = _imported_request(prediction)
        sides = crew.compare("imported", request, arrays)
        yield row_of(f"{prediction.name} [{prediction.batch}]", sides, 1.0, least=0.9)


def scaling(crew: Crew) -> Rows:
    """Each training step on one thread and on two, in turn; and what the machine itself allows."""
    seconds = 0.1 if crew.setting.quick else 1.0
    ceilings = [measure_ceilings(count, seconds=seconds) for count in [*_THREADS.values()] * 3]
    for step in _chosen(crew, STEPS):
        request, arrays = step_request(step)
        entries = [Entry(name, ISOCONV, "", count) for name, count in _THREADS.items()]
        sides = crew.measure("step", entries, request, arrays)
        one, two = (sides[name].timing.median for name in _THREADS)
        work = f"{step.name} [{step.batch}]"
        yield {**_plain(work, sides, goal=1.9), "ratio": round(one / two, 3)}
    ceilings += [measure_ceilings(count, seconds=seconds) for count in [*_THREADS.values()] * 3]
    crew.notes.append(
        f"The machine itself, by the median of {len(ceilings) // 2} turns before and after: "
        f"{_grown(ceilings, 'gflops')} GFLOP/s in registers, {_grown(ceilings, 'cache')} GB/s from "
        f"each core's own cache, {_grown(ceilings, 'memory')} GB/s from memory"
    )


def _grown(ceilings: list[Ceilings], name: str) -> str:
    """One of the ceilings on one thread and on two, and their ratio."""
    one, two = (
        statistics.median(getattr(c, name) for c in ceilings if c.threads == count)
        for count in _THREADS.values()
    )
    return f"{one:.0f} → {two:.0f} ({two / one:.2f})"


def order(crew: Crew) -> Rows:
    """Training steps beside the same kernels with LLVM free to reorder their arithmetic."""
    pace = crew.setting.pace
    if not crew.setting.quick:
        # Differences of a few percent: more turns than beside libraries that do other things.
        pace = replace(pace, blocks=3 * pace.blocks)
    for step in _chosen(crew, ORDERED):
        request, arrays = step_request(step)
        entries = [
            Entry(peer.label(variant), peer, variant, crew.setting.threads)
            for peer in (ISOCONV, REASSOCIATED)
            for variant in peer.variants
        ]
        sides = crew.measure("step", entries, {**request, "weights": True}, arrays, pace)
        changed = {name: side.changed for name, side in sides.items()}
        if len(changed) > 1 and not any(changed.values()):
            crew.notes.append(f"reordering changed no bit of {step.name}")
        work = f"{step.name} [{step.batch}]"
        yield row_of(work, sides, 0.97, changed=changed)


def memory(crew: Crew) -> Rows:
    """Peak resident memory of processes that train ResNet-20."""
    step = next(step for step in STEPS if step.network == "resnet20")
    # Kernels are compiled beforehand, as from the second training on.
    _peak(crew, ISOCONV, "", *step_request(replace(step, batch=32, batches=1)))
    for batch, goal in ((128, 2.0), (1024, 5.0)):
        request, arrays = step_request(replace(step, batch=batch, batches=1))
        values = {}
        for peer in (ISOCONV, *(peer for peer in crew.chosen() if peer.name == "torch")):
            for variant in peer.variants:
                label = peer.label(variant)
                try:
                    values[label] = _peak(crew, peer, variant, request, arrays)
                except WorkerError as error:
                    crew.notes.append(f"{label} is left out of memory [{batch}]: {error}")
        others = {name: value for name, value in values.items() if name != "isoconv"}
        best = min(others, key=lambda name: others[name]) if others else None
        yield {
            "work": f"peak memory of training {step.name} [{batch}]", "unit": "MiB",
            "values": values, "spread": {}, "best_other": best,
            "ratio": None if best is None else round(others[best] / values["isoconv"], 3),
            "goal": goal,
        }  # fmt: skip


def startup(crew: Crew) -> Rows:
    """Import; the first step of ResNet-20 with an empty kernel cache and with a full one."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2 if crew.setting.quick else 5):
            place = {**os.environ, "XDG_CACHE_HOME": str(Path(folder) / str(turn))}
            for name in ("cold", "warm"):
                done = subprocess.run(
                    [sys.executable, "-m", "bench.startup", str(crew.setting.threads)],
                    cwd=ROOT, env=place, stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
                answer = json.loads(done.stdout)
                found.setdefault("import", []).append(answer["import"])
                found.setdefault("import all", []).append(answer["import all"])
                found.setdefault(name, []).append(answer["first step"])
    for name, work, goal in (
        ("import", "import isoconv", 0.15),
        ("import all", "import isoconv with all that a training needs", None),
        ("cold", "first step of ResNet-20 [128], cold kernel cache", 2.0),
        ("warm", "first step of ResNet-20 [128], warm kernel cache", 0.3),
    ):
        timing = Timing(found[name])
        yield {
            "work": work, "unit": "s", "values": {"isoconv": round(timing.median, 4)},
            "spread": {"isoconv": round(timing.spread, 3)}, "best_other": None, "ratio": None,
            "goal": None, "most": goal,
        }  # fmt: skip


_THREADS = {"1 thread": 1, "2 threads": 2}

MEASUREMENTS: dict[str, Callable[[Crew], Rows]] = {
    "layers": layers,
    "pointwise": pointwise,
    "steps": steps,
    "predict": predict,
    "imported": imported,
    "memory": memory,
    "packed": packed.measure,
    "cluster": cluster.measure,
    "startup": startup,
    "scaling": scaling,
    "order": order,
    "fashion-mnist": fashion_mnist.measure,
    "small": small.measure,
}
"""By the names that the command line takes."""


def _names(work: Layer | Simple | Step | Prediction) -> tuple[str, ...]:
    """What a row goes by: its own name, and that of its network."""
    return (work.name, work.network) if isinstance(work, (Step, Prediction)) else (work.name,)


_OF_STEPS = tuple(map(_names, STEPS))
NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "layers": tuple(map(_names, LAYERS)),
    "pointwise": tuple(map(_names, SIMPLE)),
    "steps": _OF_STEPS,
    "predict": tuple(map(_names, PREDICTIONS)),
    "imported": tuple(map(_names, IMPORTED)),
    "scaling": _OF_STEPS,
    "order": tuple(map(_names, ORDERED)),
    "small": tuple((name,) for name in SETS),
}
"""What each row goes by, of the measurements whose rows can be chosen."""


_Work = TypeVar("_Work", Layer, Simple, Step, Prediction)


def _chosen(crew: Crew, works: Iterable[_Work]) -> Iterator[_Work]:
    """What is measured of it."""
    return (work for work in works if crew.setting.wants(*_names(work)))


_Network = TypeVar("_Network", Step, Prediction)


def _together(works: Iterable[_Network]) -> list[list[_Network]]:
    """Grouped by what the other libraries do in them: isoconv's algorithm is nothing to them."""
    groups: dict[tuple[object, ...], list[_Network]] = {}
    for work in works:
        common = (work.network.removesuffix("_winograd"), work.batch, work.input_shape)
        groups.setdefault(common, []).append(work)
    return list(groups.values())


def _compared(
    crew: Crew,
    kind: str,
    together: list[_Network],
    request: dict[str, Any],
    arrays: dict[str, Array],
) -> Iterator[tuple[_Network, dict[str, Side]]]:
    """Each of them and its sides: in the same turns isoconv does all of them, the others the first.

    Args:
        crew: who does it.
        kind: of the work.
        together: networks that are the same to the others, and have the same weights.
        request: the first one's.
        arrays: what it takes.
    """
    ours: list[Entry] = [
        Entry(
            f"{ISOCONV.name} {work.network}", ISOCONV, "", crew.setting.threads,
            {"name": work.name, "network": work.network},
        )
        for work in together
    ]  # fmt: skip
    sides = crew.measure(kind, [*ours, *crew.others(kind)], request, arrays)
    own = [sides.pop(entry.label) for entry in ours]
    for work, side in zip(together, own, strict=True):
        yield work, {ISOCONV.name: side, **sides}


def _arrays(random: np.random.RandomState, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    return {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}


def step_request(step: Step) -> tuple[dict[str, Any], dict[str, Array]]:
    """A training step and what it takes: weights, images and labels."""
    random = np.random.RandomState(0)
    model = build(step.network, step.classes, step.input_shape)
    count = step.batch * step.batches
    places = model.summary(step.input_shape).rows[-1].output[:-1]
    arrays = {
        **model.weights,
        "images": random.randn(count, *step.input_shape).astype(np.float32),
        "labels": random.randint(0, step.classes, (count, *places)).astype(np.int32),
    }
    return {**asdict(step), "description": describe(model)}, arrays


def _prediction_request(
    prediction: Prediction,
) -> tuple[dict[str, Any], dict[str, Array]]:
    random = np.random.RandomState(0)
    shape = prediction.input_shape
    model = build(prediction.network, 1000, shape)
    weights = _trained(random, model.weights)
    images = random.randn(prediction.batch, *shape).astype(np.float32)
    request = {**asdict(prediction), "classes": 1000, "description": describe(model)}
    return request, {**weights, "images": images}


def _trained(random: np.random.RandomState, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Statistics as after some training, so that nobody can leave them out."""
    found = dict(weights)
    for name, array in found.items():
        if name.endswith("running_mean"):
            found[name] = (0.1 * random.randn(*array.shape)).astype(np.float32)
        elif name.endswith("running_var"):
            found[name] = (0.75 + 0.5 * random.rand(*array.shape)).astype(np.float32)
    return found


def _imported_request(prediction: Prediction) -> tuple[dict[str, Any], dict[str, Array]]:
    random = np.random.RandomState(0)
    shape = prediction.input_shape
    if prediction.network == "unet":
        model: nn.Module = nn.models.unet(2, shape)
    else:
        model = nn.models.create(prediction.network, 1000, shape)
    model.build(shape, seed=0)
    model.load_weights(_trained(random, model.weights))
    model.finish = "none"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        save_onnx(model, path, preprocessing="beside")
        content = np.frombuffer(path.read_bytes(), np.uint8)
    images = random.randn(prediction.batch, *shape).astype(np.float32)
    return asdict(prediction), {"network": content, "images": images}


def _peak(
    crew: Crew, peer: Peer, variant: str, request: dict[str, Any], arrays: dict[str, Array]
) -> float:
    """MiB of a process of its own that trains some steps."""
    worker = crew.start(peer, crew.setting.threads)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "arrays.npz", **arrays)  # type: ignore[arg-type]
        try:
            worker.ask({
                **request, "prepare": "step", "folder": folder, "as": "memory",
                "threads": crew.setting.threads, "variant": variant, "compiled": False,
            })  # fmt: skip
            worker.ask({"repeat": 3, "as": "memory"})
            return float(worker.ask({})["peak_mib"])
        finally:
            worker.close()


def _plain(work: str, sides: dict[str, Side], goal: float) -> dict[str, Any]:
    return {
        "work": work,
        "unit": "ms",
        "values": {name: round(side.timing.median * 1e3, 4) for name, side in sides.items()},
        "spread": {name: round(side.timing.spread, 3) for name, side in sides.items()},
        "best_other": None,
        "goal": goal,
    }
