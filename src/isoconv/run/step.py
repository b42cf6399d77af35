"""A training step, planned: the kernels of its parts and the memory they work in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from isoconv.compile.calls import Call, Lowered
from isoconv.compile.layout import Buffer, FlatLayout, Placement, dense_placement
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.native.runtime import HyperSpec, MetricsSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.reduction.clip import BLOCK, ClipBlocksSpec, ClipFactorSpec
from isoconv.compile.target import Target
from isoconv.errors import ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.operation import Array
from isoconv.ops.pointwise import Constant


@dataclass(frozen=True)
class StepGraph:
    """What one step of training computes.

    Attributes:
        shard: work on one shard; outputs ``grad:<parameter>``, ``state:<state>`` and
            ``metric:<metric>``, all sums over the shard's images.
        updates: work on the flat vectors, for each group of parameters that lie behind one another;
            inputs ``parameter``, ``gradient``, ``slot:<name>`` and scalars, outputs ``parameter``
            and ``slot:<name>``.
        size: length of the flat vectors.
        parameters: shape of each parameter that is learned, in the order in which they lie.
        states: shape of each state, and of each parameter that stays as it is.
        momenta: share of the new value in each state's running mean; what has none stays as it is.
        slots: the optimizer's vectors.
        hyper: scalars of an update; ``steps``' table has a column for each, group by group.
        metrics: names, the loss first.
        clip_norm: largest global norm of the gradient; the update then has a scalar
            ``gradient_scale``.
        constants: arrays for further scalar inputs of the shard graph.
    """

    shard: Graph
    updates: tuple[Graph, ...]
    size: int
    parameters: Mapping[str, tuple[int, ...]]
    states: Mapping[str, tuple[int, ...]]
    momenta: Mapping[str, float]
    slots: tuple[str, ...]
    hyper: tuple[str, ...]
    metrics: tuple[str, ...]
    clip_norm: float | None = None
    constants: Mapping[str, Array] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """Columns of ``steps``' table."""
        return len(self.hyper) * len(self.updates)


class StepPlan:
    """What the engine needs to know of a step before it has any memory.

    Attributes:
        layout: the parameters in their flat vector.
        states: the states in theirs.
        sums: gradients, statistics and metrics, as a shard leaves them; the gradients lie as the
            parameters do.
        shard: kernel calls of a shard, and those before all shards.
        memory: where buffers of these lie in memory of their own.
        update: kernel calls of the update.
        update_memory: the same of them.
        reduction: the kernel that adds two vectors of sums.
        metrics: the kernel that copies the metrics and looks at the loss.
        hyper: the kernel that fetches a step's scalars.
        clip: the kernels of clipping, or None.
    """

    def __init__(self, step: StepGraph, shard_size: int, target: Target, *, fusion: bool) -> None:
        self.step = step
        self.shard_size = shard_size
        self.target = target
        self.layout = FlatLayout(step.parameters)
        self.states = FlatLayout(step.states)
        updated = 0
        for graph in step.updates:
            updated += _length(graph)
        if not self.layout.size == step.size == updated:
            raise ShapeError(
                f"the updates must be for {self.layout.size} elements; got {step.size}, {updated}"
            )
        self.sums = FlatLayout(
            {
                **{f"grad:{name}": shape for name, shape in step.parameters.items()},
                **{f"state:{name}": step.states[name] for name in step.momenta},
                **{f"metric:{name}": () for name in step.metrics},
            }
        )
        self.shard = self._lower_shard(fusion=fusion)
        self.memory = make_plan([*self.shard.prepare, *self.shard.shard], shard_size)
        # Both replace what they read, which is sound because each is one fused pass per vector.
        self.update = [*self._lower_update(), *self._lower_states()]
        self.update_memory = make_plan(self.update, 1)
        self.reduction = reduction(self.sums.size)
        self.metrics = MetricsSpec(
            tuple(self.sums.offsets[f"metric:{name}"] for name in step.metrics)
        )
        self.hyper = HyperSpec(step.columns)
        self.clip: tuple[ClipBlocksSpec, ClipFactorSpec] | None = None
        if step.clip_norm is not None:
            limit = float(np.float32(step.clip_norm))
            self.clip = ClipBlocksSpec(step.size), ClipFactorSpec(-(-step.size // BLOCK), limit)

    def specs(self) -> list[Specification]:
        """Every kernel of the step."""
        calls = [*self.shard.prepare, *self.shard.shard, *self.update]
        specs: list[Specification] = [call.kernel for call in calls]
        return [*specs, self.reduction, self.metrics, self.hyper, *(self.clip or ())]

    def _lower_shard(self, *, fusion: bool) -> Lowered:
        shard = self.step.shard
        outputs = {
            name: _vector_place("sums", self.sums, name, shard[index].spec)
            for name, index in shard.outputs
        }
        return lower(
            shard,
            self.target,
            capacity=self.shard_size,
            inputs={node.attrs.name: self._place(node.attrs.kind, node.attrs.name, node.spec)
                    for _, node in shard.inputs()},
            outputs=outputs,
            fusion=fusion,
        )  # fmt: skip

    def _place(self, kind: str, name: str, spec: TensorSpec) -> Placement:
        """Where an input of the shard graph lies."""
        if kind == "parameter" and name in self.layout.shapes:
            return _vector_place(kind, self.layout, name, spec)
        if kind in ("parameter", "state"):
            return _vector_place("state", self.states, name, spec)
        return dense_placement(Buffer(kind, name, 0), spec)

    def _lower_update(self) -> list[Call]:
        """The optimizer over the flat vectors, group by group; its results replace what it read."""
        calls: list[Call] = []
        start = column = 0
        for graph in self.step.updates:
            size = _length(graph)
            places = {
                "gradient_scale": _scalar_place("gradient_scale", 0),
                "gradient": _part("sums", "sums", start, size),
            }
            for number, name in enumerate(self.step.hyper, column):
                places[name] = _scalar_place("hyper", number)
            for name in ("parameter", *(f"slot:{slot}" for slot in self.step.slots)):
                places[name] = _part("parameter", name, start, size)
            lowered = lower(
                graph,
                self.target,
                capacity=1,
                inputs=places,
                outputs={name: places[name] for name, _ in graph.outputs},
            )
            calls += lowered.shard
            start, column = start + size, column + len(self.step.hyper)
        return calls

    def _lower_states(self) -> list[Call]:
        """Running statistics: ``(1 - m) * old + m * (sum / N)``."""
        if not self.step.momenta:
            return []
        b = GraphBuilder()
        inverse = b.input("scalar", "inverse_batch", ())
        inputs: dict[str, Placement] = {"inverse_batch": _scalar_place("inverse_batch", 0, 4)}
        outputs: dict[str, Placement] = {}
        results: list[tuple[str, int]] = []
        for name, momentum in self.step.momenta.items():
            shape = self.step.states[name]
            old = b.input("state", f"state:{name}", shape)
            new = b.input("state", f"sum:{name}", shape)
            kept = b.add("scale", old, attrs=Constant(1.0 - momentum))
            fresh = b.add("scale", b.add("mul", new, inverse), attrs=Constant(momentum))
            results.append((name, b.add("add", kept, fresh)))
            spec = TensorSpec(shape, "float32", batched=False)
            place = _vector_place("state", self.states, name, spec)
            inputs[f"state:{name}"] = outputs[name] = place
            inputs[f"sum:{name}"] = _vector_place("sums", self.sums, f"state:{name}", spec)
        lowered = lower(b.graph(results), self.target, capacity=1, inputs=inputs, outputs=outputs)
        return lowered.shard


def _length(update: Graph) -> int:
    """Elements of the vectors that an update works on."""
    return update[update.output("parameter")].spec.size


def _scalar_place(name: str, column: int, bytes_: int = 0) -> Placement:
    return Placement(Buffer("scalar", name, bytes_), "float32", (), 0, column)


def _part(region: str, name: str, start: int, size: int) -> Placement:
    """So many elements of a flat vector."""
    return Placement(Buffer(region, name, 4 * size, start=4 * start), "float32", (1,), 0, 0)


def _vector_place(region: str, layout: FlatLayout, name: str, spec: TensorSpec) -> Placement:
    """A named part of a flat vector, as a buffer of its own."""
    buffer = Buffer(region, region, 4 * spec.size, start=4 * layout.offsets[name])
    return dense_placement(buffer, spec)


def reduction(size: int) -> PointwiseSpec:
    """The kernel of ``left = left + right``, on vectors of so many float32."""
    left, right = Operand(0, "float32", (1,)), Operand(1, "float32", (1,))
    steps = (Step("add", (0, 1), None, "float32"),)
    expression = Expression((left, right), "", steps, ((2, left),))
    return PointwiseSpec(Domain((size,), batched=False), expression, 2)
