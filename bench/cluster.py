"""Two workers of a Ray cluster on this machine, beside as many threads of one process."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.crew import Crew
from bench.networks import build
from bench.nodes import Nodes
from bench.timing import Timing
from bench.workloads import Step
from isoconv import __version__
from isoconv.cluster.executor import ClusterExecutor
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.run.executor import Executor
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import add_pair
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD

__all__ = ["WORKS", "measure"]

WORKS = (
    Step("ResNet-20", "resnet20", 512, (32, 32, 3), goal=0.9, batches=2),
    Step("VGG-11", "vgg11", 128, (32, 32, 3), goal=0.9, batches=2),
)
"""Many images and few sums; few images and many sums."""
STORE = 700 * 2**20
"""Bytes of a node's object store: data, and eight times the weights of VGG-11."""


def measure(crew: Crew) -> Iterator[dict[str, Any]]:
    """Steps of both in turn, which end with the same bits; and what the parts of a step cost."""
    if find_spec("ray") is None:
        crew.notes.append("cluster is left out: it needs Ray (pip install 'isoconv[cluster]')")
        return
    crew.versions |= {"isoconv": __version__, "ray": version("ray")}
    quick, workers = crew.setting.quick, crew.setting.threads
    with Nodes(STORE) as nodes:
        nodes.have(workers)
        for full in WORKS:
            load = os.getloadavg()[0]
            if load > 2 * workers:
                crew.notes.append(
                    f"{full.name}: others were at work on the machine before (load {load:.1f}): "
                    "its times tell little"
                )
            work = replace(full, batches=1) if quick else full
            training = _Training.of(work)
            turns, seconds = (1, 0.0) if quick else (5, 2.0)
            yield _row(work, training, nodes.address, workers, turns, seconds)


@dataclass(frozen=True)
class _Training:
    """What all who run the steps are given."""

    step: Any
    data: dict[str, Array]
    weights: tuple[dict[str, Array], dict[str, Array]]
    hyper: Array
    settings: dict[str, Any]
    shards: int

    @classmethod
    def of(cls, work: Step) -> _Training:
        """Some batches of images, and the work's network."""
        draw = np.random.default_rng(0)
        count = work.batch * work.batches
        images = draw.standard_normal((count, *work.input_shape), np.float32)
        labels = draw.integers(0, work.classes, count, np.int32)
        model = build(work.network, work.classes, work.input_shape).build(work.input_shape)
        optimizer = SGD(0.01, momentum=0.9)
        step = build_step(model, Preparation(work.input_shape, "float32"), Loss(), optimizer)
        hyper = np.array([optimizer.hyper_row(1, 0.01)] * work.batches, np.float32)
        settings = {"batch_size": work.batch, "shard_size": work.shard, "seed": 0, "target": None}
        return cls(
            step, {"images": images, "labels": labels}, (model.parameters(), model.states()),
            hyper, settings, -(-work.batch // work.shard),
        )  # fmt: skip

    def begin(self, engine: Executor) -> None:
        """The first weights and the first epoch."""
        engine.load(*self.weights)
        engine.begin_epoch(0, np.arange(len(self.data["labels"])))


def _row(
    work: Step, training: _Training, address: str, workers: int, turns: int, seconds: float
) -> dict[str, Any]:
    """Turns of an epoch, as many epochs as fill the seconds; the first turn is not counted."""
    threads = f"{workers} threads"
    engine = TrainingEngine(training.step, training.data, threads=workers, **training.settings)
    cluster = ClusterExecutor(
        training.step, training.data, threads=1, address=address, **training.settings
    )
    sides: dict[str, Executor] = {"isoconv": cluster, threads: engine}
    found = {side: Timing() for side in sides}
    repeat = 1
    try:
        for side in sides.values():
            training.begin(side)
        for turn in range(turns + 1):
            for name, side in sides.items():
                begin = time.perf_counter()
                for _ in range(repeat):
                    side.steps(0, training.hyper)
                each = (time.perf_counter() - begin) / repeat / work.batches
                if turn:
                    found[name].seconds.append(each)
            # Both do as many steps, so that they end with the same weights.
            repeat = max(1, round(seconds / (work.batches * each)))
        if len({storage.digest(dict(side.weights())) for side in sides.values()}) != 1:
            raise ValueError(f"{work.name}: a cluster must end with the weights of one process")
        facts = cluster.facts()
        if [each["steps"] for each in facts["workers"]] != [facts["steps"]] * workers:
            raise ValueError(
                f"{work.name}: {workers} workers must run all steps; got {facts['workers']}"
            )
    finally:
        cluster.close()
        engine.close()
    costs = _costs(training, address)
    values = {side: round(timing.median * 1e3, 3) for side, timing in found.items()}
    return {
        "work": f"{work.name} [{work.batch}], {workers} workers", "unit": "ms", "values": values,
        "spread": {side: round(timing.spread, 3) for side, timing in found.items()},
        "best_other": threads, "ratio": round(values[threads] / values["isoconv"], 3),
        "goal": work.goal,
        "overhead_ms": round(values["isoconv"] - values[threads], 3),
        "workers": facts["workers"],
        "bytes_per_worker": facts["bytes_per_step"] // workers,
        "ring_bytes_per_worker": 2 * (workers - 1) * costs["sums_bytes"] // workers,
        "costs": costs,
    }  # fmt: skip


def _costs(training: _Training, address: str) -> dict[str, Any]:
    """What the parts of a step cost on one thread, by processor time; a call by the clock."""
    engine = TrainingEngine(training.step, training.data, threads=1, **training.settings)
    shards = range(training.shards)
    try:
        training.begin(engine)
        (total,) = engine.sums(0, shards).values()
        whole = _processor(lambda: engine.sums(0, shards))
        return {
            "name": f"{training.shards} shards of {training.settings['shard_size']} images",
            "shards": training.shards,
            "shard_seconds": whole / training.shards,
            "sums_bytes": total.nbytes,
            "add_seconds": _processor(lambda: add_pair(total, total)),
            "update_seconds": _processor(lambda: engine.update(0, total, training.hyper[0])),
            **_calls(address),
        }
    finally:
        engine.close()


def _processor(work: Callable[[], object]) -> float:
    """The middle of seconds of the processor, of work on one thread."""
    found = []
    for _ in range(6):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return statistics.median(found[1:])


class _Idle:
    """What a worker is where it has nothing to do."""

    def nothing(self) -> None:
        """Answer."""


def _calls(address: str) -> dict[str, float]:
    """Seconds of a call of a worker to its answer, and of the caller's processor for one of many.

    The first is the least by the clock.
    """
    import ray

    ray.init(address=address, log_to_driver=False, configure_logging=False)
    try:
        idle = ray.remote(_Idle).options(num_cpus=1).remote()
        found = []
        for _ in range(200):
            begin = time.perf_counter()
            ray.get(idle.nothing.remote())
            found.append(time.perf_counter() - begin)
        begin = time.process_time()
        for answer in [idle.nothing.remote() for _ in range(1000)]:
            ray.get(answer)
        driver = (time.process_time() - begin) / 1000
        return {"call_seconds": min(found), "driver_seconds": driver}
    finally:
        ray.shutdown()
