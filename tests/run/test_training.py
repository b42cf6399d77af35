"""Native training steps against the written arithmetic, carried out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.run.steps import (
    BATCH,
    SAMPLES,
    SEED,
    SHAPE,
    SHARD,
    S,
    digest,
    engine_for,
    everything,
    make_data,
    make_step,
    rates,
    train,
)

from isoconv import nn
from isoconv.arithmetic.sums import square_norm_blocks, tree_sum
from isoconv.compile.layout import FlatLayout
from isoconv.compile.target import target_named
from isoconv.data import Augmentation
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.operation import Array
from isoconv.ops.interpret import interpret
from isoconv.run.step import StepGraph
from isoconv.train.graphs import Preparation
from isoconv.train.optim import SGD, AdamW


class Reenactment:
    """The same steps, written out: shards by the references, the tree, clipping, the update."""

    def __init__(self, step: StepGraph, model: nn.Sequential, data: dict[str, Array]) -> None:
        self.step, self.data = step, {**data, "samples": np.arange(len(data["labels"]))}
        self.layout = FlatLayout(step.parameters)
        self.vectors = {"parameter": self.flat(model.weights)}
        self.vectors |= {f"slot:{s}": np.zeros(step.size, np.float32) for s in step.slots}
        self.states = {name: model.weights[name].copy() for name in step.states}

    def flat(self, arrays: dict[str, Array]) -> Array:
        """Arrays by name as one vector, with zeros between them."""
        vector = np.zeros(self.layout.size, np.float32)
        for name in self.layout.shapes:
            vector[self.layout.slice(name)] = arrays[name].ravel()
        return vector

    def named(self, vector: Array) -> dict[str, Array]:
        """The arrays of a vector."""
        return {
            name: vector[self.layout.slice(name)].reshape(shape)
            for name, shape in self.layout.shapes.items()
        }

    def run(self, epoch: int, rows: Array, hyper: Array, shard_size: int) -> Array:
        """One step on these rows of the data; returns the metrics."""
        inverse = np.float32(1.0 / len(rows))
        given = {
            **self.named(self.vectors["parameter"]), **self.states, **self.step.constants,
            "inverse_batch": inverse, "key": np.array([SEED, epoch], np.uint64).view(np.int64),
        }  # fmt: skip
        wanted = {node.attrs.name for _, node in self.step.shard.inputs()}
        shards = []
        for first in range(0, len(rows), shard_size):
            own = rows[first : first + shard_size]
            taken = {name: array[own] for name, array in self.data.items()}
            arrays = {
                name: np.asarray(a) for name, a in {**given, **taken}.items() if name in wanted
            }
            shards.append(interpret(self.step.shard, arrays, images=len(own)))
        sums = {name: tree_sum([shard[name] for shard in shards]) for name in shards[0]}
        metrics = np.array([sums[f"metric:{name}"] for name in self.step.metrics], np.float32)
        if np.isfinite(metrics[0]):
            self.update(sums, hyper, inverse)
        return metrics

    def update(self, sums: dict[str, Array], hyper: Array, inverse: np.float32) -> None:
        """Clipping, the optimizer, and the running statistics."""
        gradient = self.flat({name: sums[f"grad:{name}"] for name in self.step.parameters})
        scale = np.float32(1)
        if self.step.clip_norm is not None:
            limit = np.float32(self.step.clip_norm)
            norm = np.sqrt(square_norm_blocks(gradient))
            scale = limit / norm if norm > limit else scale
        done: list[dict[str, Array]] = []
        start = 0
        for update, row in zip(
            self.step.updates, hyper.reshape(len(self.step.updates), -1), strict=True
        ):
            end = start + update[update.output("parameter")].spec.size
            arrays = {name: vector[start:end] for name, vector in self.vectors.items()}
            arrays |= {"gradient": gradient[start:end], "gradient_scale": np.asarray(scale)}
            arrays |= dict(zip(self.step.hyper, map(np.asarray, row), strict=True))
            done.append(interpret(update, arrays, images=1))
            start = end
        self.vectors = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
        for name, momentum in self.step.momenta.items():
            fresh = np.float32(momentum) * (sums[f"state:{name}"] * inverse)
            self.states[name] = np.float32(1.0 - momentum) * self.states[name] + fresh

    def everything(self) -> list[tuple[str, bytes]]:
        """All that a step changes, in bytes, as `everything` gives it for an engine."""
        parts = [self.named(self.vectors["parameter"]), self.states]
        parts += [self.named(self.vectors[f"slot:{slot}"]) for slot in self.step.slots]
        return [(name, array.tobytes()) for part in parts for name, array in part.items()]


@pytest.mark.parametrize(
    ("optimizer", "clip_norm"),
    [
        (SGD(0.1, momentum=0.9, weight_decay=0.01), 1.5),
        (SGD(0.1), None),
        (SGD(0.1, momentum=0.5, nesterov=True), 1e-3),
        (AdamW(0.01), None),
    ],
    ids=["momentum, decay, clipped", "plain", "nesterov, much clipped", "adamw"],
)
def test_steps_are_the_written_arithmetic(optimizer: SGD | AdamW, clip_norm: float | None) -> None:
    """Two epochs, each with a last short batch: all weights, statistics, vectors and metrics."""
    step, model = make_step(optimizer, clip_norm)
    data = make_data()
    by_hand = Reenactment(step, model, data)
    order = np.random.default_rng(5)
    with engine_for(step, model, data) as engine:
        for epoch in range(2):
            rows = order.permutation(SAMPLES)
            engine.begin_epoch(epoch, rows)
            hyper = np.array(
                [optimizer.hyper_row(3 * epoch + i, 0.05) for i in range(3)], np.float32
            )
            found = engine.steps(0, hyper)
            expected = [
                by_hand.run(epoch, rows[i * BATCH : (i + 1) * BATCH], hyper[i], SHARD)
                for i in range(3)
            ]
            assert found.tobytes() == np.stack(expected).tobytes()
            assert everything(engine) == by_hand.everything()


def test_layers_that_learn_at_a_rate_of_their_own_or_not_at_all() -> None:
    """Each group follows its own scalars; a frozen layer keeps weights and statistics."""
    optimizer = AdamW(0.01)
    groups = (("0.weight",), ("6.weight", "6.bias"))
    step, model = make_step(optimizer, frozen=("1",), groups=groups)
    assert list(step.states) == ["1.running_mean", "1.running_var", "1.weight", "1.bias"]
    assert not step.momenta
    data, rows = make_data(), np.arange(SAMPLES)
    by_hand = Reenactment(step, model, data)
    with engine_for(step, model, data) as engine:
        engine.begin_epoch(0, rows)
        hyper = np.array(
            [[*optimizer.hyper_row(i, 0.001), *optimizer.hyper_row(i, 0.05)] for i in range(3)],
            np.float32,
        )
        found = engine.steps(0, hyper)
        expected = [
            by_hand.run(0, rows[i * BATCH : (i + 1) * BATCH], hyper[i], SHARD) for i in range(3)
        ]
        assert found.tobytes() == np.stack(expected).tobytes()
        assert everything(engine) == by_hand.everything()
        for name, array in engine.states().items():
            assert array.tobytes() == model.weights[name].tobytes()
        with pytest.raises(ShapeError, match="have a column for each of"):
            engine.steps(0, hyper[:, :4])


def test_augmented_steps() -> None:
    """Images changed at random, by a table that is another one in each epoch."""
    from isoconv.data import table

    augmentation = Augmentation(crop_padding=1, flip=True)
    preparation = Preparation(SHAPE, "uint8", None, augmentation)
    step, model = make_step(preparation=preparation)
    data = make_data()
    samples = np.arange(SAMPLES)
    tables = [table(augmentation, SEED, epoch, samples, *SHAPE[:2]) for epoch in range(2)]
    assert tables[0].tobytes() != tables[1].tobytes()
    given = tables[0].copy()
    with engine_for(step, model, {**data, "augmentation": given}) as engine:
        by_hand = Reenactment(step, model, data)
        for epoch in range(2):
            engine.begin_epoch(epoch, samples, {"augmentation": tables[epoch]})
            by_hand.data["augmentation"] = tables[epoch]
            found = engine.steps(0, rates(1))
            expected = by_hand.run(epoch, samples[:BATCH], rates(1)[0], SHARD)
            assert found.tobytes() == expected.tobytes()
        assert everything(engine) == by_hand.everything()
    assert given.tobytes() == tables[0].tobytes(), "the caller's array was changed"


@pytest.fixture(scope="module")
def baseline() -> tuple[StepGraph, nn.Sequential, str]:
    """A step, its model and the digest of a short training on one thread."""
    step, model = make_step()
    return step, model, train(step, model, threads=1)


def wide() -> nn.Sequential:
    """Layers with many channels and of every kind that threads can share."""
    return S(
        nn.Conv2d(40, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.AvgPool2d(2, stride=1),
        nn.DepthwiseConv2d(3, padding=1), nn.Conv2d(24, 3, groups=2, stride=2, padding=1),
        nn.MaxPool2d(2, stride=1), nn.Flatten(), nn.Linear(70), nn.Tanh(), nn.Linear(4),
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "shard"), [(9, 9), (8, 3), (7, 2)])
def test_shards_that_all_threads_run(batch: int, shard: int) -> None:
    """One shard for all threads, and some left over: the same bits as on one thread."""
    found = []
    for threads in (1, 2, 3, 6):
        step, model = make_step(model=wide())
        settings = {"batch_size": batch, "shard_size": shard, "threads": threads}
        with engine_for(step, model, None, **settings) as engine:
            engine.begin_epoch(0, np.arange(SAMPLES))
            found.append(digest(engine, engine.steps(0, rates(SAMPLES // batch + 1))))
    assert len(set(found)) == 1


@pytest.mark.parametrize("threads", [2, 3, 5, 7, 16])
def test_threads(baseline: tuple[StepGraph, nn.Sequential, str], threads: int) -> None:
    """Any number of threads, more than the five shards too, gives the same bits."""
    step, model, expected = baseline
    assert train(step, model, threads=threads) == expected


def test_again(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """The same again is the same again."""
    step, model, expected = baseline
    assert train(step, model, threads=1) == expected


@pytest.mark.parametrize("per_call", [1, 2])
def test_steps_per_call(baseline: tuple[StepGraph, nn.Sequential, str], per_call: int) -> None:
    """Many steps in one native call are one step in each of many."""
    step, model, expected = baseline
    assert train(step, model, per_call=per_call) == expected


def test_fusion(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """Kernel by kernel, node by node: the same bits."""
    step, model, expected = baseline
    assert train(step, model, fusion=False) == expected


@pytest.mark.parametrize("target", ["avx2", "sse", "generic"])
def test_targets(baseline: tuple[StepGraph, nn.Sequential, str], target: str) -> None:
    """Another instruction set, with and without fused multiply-add: the same bits."""
    try:
        target_named(target)
    except ArgumentError as error:
        pytest.skip(str(error))
    step, model, expected = baseline
    assert train(step, model, target=target) == expected


def test_what_is_part_of_the_arithmetic(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """Shards, seed and order do change the result: the comparisons above can fail."""
    step, model, expected = baseline
    assert train(step, model, shard_size=3) != expected
    assert train(step, model, seed=1) != expected


def test_shards_are_no_larger_than_a_batch(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """A shard size beyond the batch's is the batch's."""
    step, model, _ = baseline
    whole = train(step, model, shard_size=BATCH)
    assert train(step, model, shard_size=1000) == whole


def test_two_engines(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """Engines in one process do not disturb each other, step by step in turn."""
    step, model, expected = baseline
    other_step, other_model = make_step(SGD(0.5))
    with engine_for(step, model) as engine, engine_for(other_step, other_model) as other:
        rows = []
        for epoch in range(2):
            for one in (engine, other):
                one.begin_epoch(epoch, np.random.default_rng(epoch).permutation(SAMPLES))
            for first in range(3):
                rows.append(engine.steps(first, rates(3)[first : first + 1]))
                other.steps(first, rates(3)[first : first + 1])
        assert digest(engine, np.concatenate(rows)) == expected


def test_going_on_elsewhere(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """What an engine gives out is all that another one needs to go on."""
    step, model, _ = baseline
    with engine_for(step, model) as engine, engine_for(step, model, threads=3) as other:
        engine.begin_epoch(0, np.arange(SAMPLES))
        engine.steps(0, rates(2))
        other.begin_epoch(0, np.arange(SAMPLES))
        other.load(engine.parameters(), engine.states(), engine.slots())
        assert engine.steps(2, rates(1)).tobytes() == other.steps(2, rates(1)).tobytes()
        assert everything(engine) == everything(other)


def test_memory_grows_with_the_shard_alone(baseline: tuple[StepGraph, nn.Sequential, str]) -> None:
    """A thread's arena is the same for every batch size, and larger for larger shards."""
    step, model, _ = baseline
    sizes = {}
    for batch, shard in ((4, 2), (9, 2), (23, 2), (23, 8)):
        with engine_for(step, model, batch_size=batch, shard_size=shard) as engine:
            sizes[batch, shard] = engine.arena_bytes
    assert sizes[4, 2] == sizes[9, 2] == sizes[23, 2] < sizes[23, 8]


# A loss that is not finite ----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_loss_that_is_not_finite(bad: int, value: float, threads: int) -> None:
    """The run stops at that step, tells its metrics last, and leaves everything as before it."""
    step, model = make_step(preparation=Preparation(SHAPE, "float32"))
    data = make_data()
    data["images"] = data["images"].astype(np.float32)
    with engine_for(step, model, dict(data), threads=threads) as engine:
        engine.begin_epoch(0, np.arange(SAMPLES))
        if bad:
            engine.steps(0, rates(3)[:bad])
        expected = everything(engine)
    data["images"][bad * BATCH + 4, 3, 2, 1] = value
    with engine_for(step, model, data, threads=threads) as engine:
        engine.begin_epoch(0, np.arange(SAMPLES))
        rows = engine.steps(0, rates(3))
        assert len(rows) == bad + 1
        assert np.isfinite(rows[:-1]).all()
        assert not np.isfinite(rows[-1, 0])
        assert everything(engine) == expected
        engine.begin_epoch(1, np.arange(SAMPLES)[::-1].copy())
        assert len(engine.steps(2, rates(1))) == 1


def test_the_loss_alone_decides() -> None:
    """A last short batch that fails is told like any other, after whole batches in one call."""
    step, model = make_step(SGD(1e30), clip_norm=None)
    with engine_for(step, model) as engine:
        engine.begin_epoch(0, np.arange(SAMPLES))
        rows = engine.steps(0, np.full((3, 1), 1e30, np.float32))
        assert 1 <= len(rows) <= 3
        assert np.isfinite(rows[0, 0])
        assert not np.isfinite(rows[-1, 0])
