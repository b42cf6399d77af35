"""The memory that the threads of a training share: data, parameters, states, scalars, sums.

Arrays from outside are checked on their way in; what goes out are copies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isoconv.compile.layout import FlatLayout
from isoconv.compile.reduction.clip import BLOCK
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array
from isoconv.rows import Rows, rows_behind
from isoconv.run.binder import address_of
from isoconv.run.mapped import before_reading, have_read
from isoconv.run.memory import aligned_bytes, aligned_copy
from isoconv.run.script import Place
from isoconv.run.step import StepPlan
from isoconv.run.step_schedule import SumsBuffer

_PARAMETERS: Place = "parameter", "parameter"
_STATES: Place = "state", "state"
_SUMS: Place = "sums", "sums"


class StepMemory:
    """What threads share.

    Args:
        plan: of the step.
        data: an array for each data-set input of the shard graph but ``samples``.
        seed: seed of what layers draw.

    Attributes:
        hyper: the scalars of a step's update.
        gradient_scale: one number, by which clipping shortens the gradient.
        squares: square norms of the gradient's blocks.

    Raises:
        ArgumentError: an input without an array.
        ShapeError: an array of another shape than the graph's.
        DTypeError: an array of another dtype than the graph's.
    """

    def __init__(self, plan: StepPlan, data: Mapping[str, Array], seed: int) -> None:
        self._plan = plan
        self._slots = {slot: ("parameter", f"slot:{slot}") for slot in plan.step.slots}
        self._samples = sample_count(data)
        self._sums: dict[SumsBuffer, Array] = {}
        self.hyper = _zeros(plan.step.columns + 1)
        self.gradient_scale = aligned_copy(np.ones(1, np.float32))
        self.squares = _zeros(-(-plan.step.size // BLOCK))
        self._order = aligned_copy(np.arange(self._samples))
        self._rows: dict[str, Rows] = {}
        self._arrays: dict[Place, Array] = {
            _PARAMETERS: _zeros(plan.step.size),
            _STATES: _zeros(plan.states.size),
            ("scalar", "inverse_batch"): aligned_copy(np.ones(1, np.float32)),
            ("scalar", "gradient_scale"): self.gradient_scale,
            ("scalar", "hyper"): self.hyper,
            ("scalar", "key"): aligned_copy(np.array([seed, 0], np.uint64).view(np.int64)),
        }
        self._arrays |= {slot: _zeros(plan.step.size) for slot in self._slots.values()}
        given = {**data, "samples": np.arange(self._samples)}
        for _, node in plan.step.shard.inputs("dataset"):
            name = node.attrs.name
            self._arrays["dataset", name] = _checked(name, given, node.spec)
            self._arrays["order", name] = self._order
            rows = rows_behind(given[name])
            if rows is not None:
                before_reading(rows)
                self._rows[name] = rows
                self._arrays["order", name] = aligned_copy(rows.numbers)
        for name, array in plan.step.constants.items():
            self._arrays["scalar", name] = aligned_copy(np.asarray(array))

    def places(self, sums: Array | None = None) -> dict[Place, int]:
        """Addresses of all of it; of sums those that are given."""
        found = {place: address_of(array) for place, array in self._arrays.items()}
        return found if sums is None else {**found, _SUMS: address_of(sums)}

    def sums(self, buffer: SumsBuffer) -> Array:
        """A vector of sums; there are as many as the tree needs."""
        if buffer not in self._sums:
            self._sums[buffer] = _zeros(self._plan.sums.size)
        return self._sums[buffer]

    def row_bytes(self) -> dict[str, int]:
        """Bytes of a row of each data set."""
        return {
            name: array.nbytes // len(array)
            for (region, name), array in self._arrays.items()
            if region == "dataset"
        }

    def load(
        self,
        parameters: Mapping[str, Array],
        states: Mapping[str, Array],
        slots: Mapping[str, Mapping[str, Array]] | None,
    ) -> None:
        """Set parameters, states and the optimizer's vectors (zeros where not given)."""
        _fill(self._arrays[_PARAMETERS], self._plan.layout, parameters)
        _fill(self._arrays[_STATES], self._plan.states, states)
        for slot, place in self._slots.items():
            self._arrays[place][...] = 0
            if slots is not None:
                _fill(self._arrays[place], self._plan.layout, slots[slot])

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return _named(self._arrays[_PARAMETERS], self._plan.layout)

    def states(self) -> dict[str, Array]:
        """Copies of the states by name."""
        return _named(self._arrays[_STATES], self._plan.states)

    def slots(self) -> dict[str, dict[str, Array]]:
        """Copies of the optimizer's vectors, by slot and parameter."""
        return {
            slot: _named(self._arrays[place], self._plan.layout)
            for slot, place in self._slots.items()
        }

    def begin_epoch(self, epoch: int, order: Array, tables: Mapping[str, Array]) -> None:
        """Set what changes from epoch to epoch; tables lie elsewhere from then on.

        Raises:
            ArgumentError: an order or a table that does not fit.
            DataFileError: a file that rows lie in was changed.
            ShapeError: the same of its shape.
        """
        samples = self._samples
        if order.shape != (samples,) or order.dtype != np.int64:
            raise ShapeError(
                f"order must be int64 of shape ({samples},); got {order.dtype} {order.shape}"
            )
        if samples and not (order.min() >= 0 and order.max() < samples):
            text = f"order must hold rows from 0 to {samples - 1}"
            raise ArgumentError(text, argument="order", value=order)
        for name, table in tables.items():
            held = self._arrays.get(("dataset", name))
            if held is None:
                text = f"the graph has no data-set input {name!r} to replace"
                raise ArgumentError(text, argument=f"tables[{name!r}]", value=table)
            if held.shape != table.shape or held.dtype != table.dtype:
                raise ShapeError(
                    f"table {name!r} must stay {held.dtype} {held.shape}; "
                    f"got {table.dtype} {table.shape}"
                )
        self._order[...] = order
        for name, rows in self._rows.items():
            before_reading(rows)
            self._arrays["order", name][...] = rows.numbers[order]
        self._arrays["scalar", "key"][1] = epoch
        for name, table in tables.items():
            # The caller's arrays stay as they are.
            self._arrays["dataset", name] = np.ascontiguousarray(table)

    @property
    def at_once(self) -> int:
        """Samples that one native call may read."""
        return min((rows.at_once for rows in self._rows.values()), default=2**62)

    def expect(self, first: int, count: int) -> None:
        """So many samples of the epoch's order, from this one on, are read next."""
        for name, rows in self._rows.items():
            rows.expect(self._arrays["order", name][first : first + count])

    def have_read(self) -> None:
        """See that what was read was what it should be.

        Raises:
            DataFileError: a file that rows lie in was changed meanwhile.
        """
        for rows in self._rows.values():
            have_read(rows)

    def set_images(self, images: int) -> None:
        """How many images the next steps have."""
        self._arrays["scalar", "inverse_batch"][0] = np.float32(1.0 / images)


def sample_count(data: Mapping[str, Array]) -> int:
    """Rows of the data-set arrays, which have as many each."""
    counts = {name: len(array) for name, array in data.items()}
    if len(set(counts.values())) != 1:
        raise ShapeError(f"all data-set arrays must have one row for each sample; got {counts}")
    return next(iter(counts.values()))


def _zeros(size: int) -> Array:
    return aligned_bytes(4 * size).view(np.float32)


def _checked(name: str, data: Mapping[str, Array], spec: TensorSpec) -> Array:
    """A data-set array as native code reads it: of rows what they are rows of."""
    if name not in data:
        text = f"every data-set input needs an array: {name!r} is missing"
        raise ArgumentError(text, argument=f"data[{name!r}]")
    rows = rows_behind(data[name])
    array = np.ascontiguousarray(data[name]) if rows is None else rows.base
    if array.shape[1:] != spec.shape:
        sides = ", ".join(map(str, spec.shape))
        raise ShapeError(f"{name!r} must have shape (N, {sides}); got {array.shape}")
    if array.dtype != spec.dtype:
        raise DTypeError(f"{name!r} must be {spec.dtype}; got {array.dtype}")
    return array


def _fill(vector: Array, layout: FlatLayout, arrays: Mapping[str, Array]) -> None:
    """Put named arrays into their flat vector."""
    for name, shape in layout.shapes.items():
        if name not in arrays:
            text = f"every parameter and state needs an array: {name!r} is missing"
            raise ArgumentError(text, argument=f"arrays[{name!r}]")
        array = np.asarray(arrays[name])
        if array.shape != tuple(shape):
            raise ShapeError(f"{name!r} must have shape {tuple(shape)}; got {array.shape}")
        vector[layout.slice(name)] = array.ravel()


def _named(vector: Array, layout: FlatLayout) -> dict[str, Array]:
    """Copies of the arrays that a flat vector holds."""
    return {
        name: vector[layout.slice(name)].reshape(shape).copy()
        for name, shape in layout.shapes.items()
    }
