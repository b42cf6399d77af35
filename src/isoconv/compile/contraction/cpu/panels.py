"""Panels of a block's source and gradient, copied when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from isoconv.compile.contraction.cpu.weight_tiles import Elements
from isoconv.compile.contraction.cpu.weight_walk import Block, Seen
from isoconv.compile.contraction.panels import panel_map
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec, WeightSchedule
from isoconv.compile.layout import dense_strides
from isoconv.compile.native.loops import Kernel, Value


class PanelCopies:
    """Emits the copying.

    Args:
        k: the kernel.
        spec: the sum.
        schedule: how.
        memory: where the panels go.
        operands: where the source and the gradient lie.
    """

    def __init__(
        self,
        k: Kernel,
        spec: ContractWeightSpec,
        schedule: WeightSchedule,
        memory: Value,
        operands: tuple[Value, Value],
    ) -> None:
        self.k, self.spec, self.tile, self.rows = k, spec, schedule.tile, schedule.rows
        self.memory = memory
        self.source, self.gradient = operands
        self.map = panel_map(spec, schedule)
        self.flags = k.at(memory, self.map.flags, "uint8")
        self.units, self.image = _row_major([p.count for p in self.map.places], self.map.width)
        self.per_tap = [p.per_tap * u for p, u in zip(self.map.places, self.units, strict=True)]

    def begin(self) -> None:
        """No panel of the block that begins is there yet."""
        k = self.k
        with k.loop(0, self.map.gradient_panels + self.map.source_panels) as number:
            k.store(k.const(0), k.at(self.flags, number, "int64"))

    def of_source(self, block: Block, group: Value, elements: Elements) -> Seen:
        """The panel of a tile's channels, as the tile's kernel position meets it."""
        k, spec, reached = self.k, self.spec, self.map.places
        first = k.at(self.memory, self.map.source, spec.dtype)
        begins = (block.images[0], block.rows[0])
        with self._once(k.add(elements.part, self.map.gradient_panels)):
            strides = spec.source.strides[:-1]
            corner = k.add(
                k.mul(group, spec.channels),
                elements.start,
                k.mul(block.rows[0], spec.axes[0].in_step * strides[0]),
                *(p.first * stride for p, stride in zip(reached, strides, strict=True)),
            )
            steps = tuple(p.step * stride for p, stride in zip(reached, strides, strict=True))
            seen = Seen(k.at(self.source, corner, spec.dtype), steps, spec.source.image)
            into = k.at(first, k.mul(elements.part, self.map.source_panel), spec.dtype)
            # The first axis' places beyond those that each row has for itself.
            shared = reached[0].count - self.rows * reached[0].per_position
            counts = [
                k.add(k.mul(self._rows_of(block), reached[0].per_position), shared),
                *(p.count for p in reached[1:]),
            ]
            vectors = -(-len(elements.offsets) // self.tile.lanes)
            self._copy(block, counts, seen, Seen(into, self.units, self.image, begins), vectors)
        corner = k.add(
            elements.shift, *(p.corner * u for p, u in zip(reached, self.units, strict=True))
        )
        strides = tuple(p.per_position * u for p, u in zip(reached, self.units, strict=True))
        return Seen(k.at(first, corner, spec.dtype), strides, self.image, begins)

    def of_gradient(
        self, block: Block, number: Value, filters: Value, column: Value, vectors: int
    ) -> Seen:
        """The panel of a block of filters.

        Args:
            block: images and rows.
            number: of the block of filters.
            filters: its first one, in its group.
            column: the same one, among those of all groups.
            vectors: of filters.
        """
        k, spec = self.k, self.spec
        inner = [axis.positions for axis in spec.axes[1:]]
        strides, image = _row_major([self.rows, *inner], vectors * self.tile.lanes)
        into = k.at(self.memory, k.mul(filters, self.map.positions), spec.dtype)
        panel = Seen(into, strides, image, (block.images[0], block.rows[0]))
        with self._once(number):
            steps = spec.gradient.strides[:-1]
            corner = k.add(column, k.mul(block.rows[0], steps[0]))
            seen = Seen(k.at(self.gradient, corner, spec.dtype), steps, spec.gradient.image)
            self._copy(block, [self._rows_of(block), *inner], seen, panel, vectors)
        return panel

    def _rows_of(self, block: Block) -> Value:
        return self.k.builder.sub(block.rows[1], block.rows[0])

    @contextmanager
    def _once(self, panel: Value) -> Iterator[None]:
        """What is done where the panel of this number is not there yet."""
        k = self.k
        flag = k.at(self.flags, panel, "int64")
        there = k.load_scalar(flag, "int64")
        with k.when(k.builder.icmp_signed("==", there, k.const(0))):
            yield
            k.store(k.const(1), flag)

    def _copy(
        self, block: Block, counts: Sequence[Value | int], source: Seen, into: Seen, vectors: int
    ) -> None:
        """Vectors at each of so many places of the block's images.

        The last vector of a place may hold more than the panel is wide; what comes next is stored
        over that.
        """
        k, dtype, lanes = self.k, self.spec.dtype, self.tile.lanes

        def along(axis: int, read: Value, write: Value) -> None:
            if axis < len(counts):
                with k.loop(0, counts[axis]) as place:
                    along(
                        axis + 1,
                        k.at(read, k.mul(place, source.strides[axis]), dtype),
                        k.at(write, k.mul(place, into.strides[axis]), dtype),
                    )
                return
            for lane in range(0, vectors * lanes, lanes):
                value = k.load_vector(k.at(read, lane, dtype), dtype, lanes, invariant=True)
                k.store(value, k.at(write, lane, dtype))

        with k.loop(*block.images) as image:
            along(
                0,
                k.at(source.base, k.mul(image, source.image), dtype),
                k.at(into.base, k.mul(into.image_of(k, image), into.image), dtype),
            )


def _row_major(sides: Sequence[int], unit: int) -> tuple[tuple[int, ...], int]:
    """Elements from one to the next along each axis of these sizes, and of them all."""
    strides = tuple(unit * stride for stride in dense_strides(sides))
    return strides, sides[0] * strides[0]
