"""A model as a table: layers, output shapes, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from isoconv.cards import Carded
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import operation
from isoconv.nn.shown import summary_card
from isoconv.nn.trace import Trace
from isoconv.nn.traced import trace_model

if TYPE_CHECKING:
    from rich.table import Table

    from isoconv.nn.module import Module

__public__ = {"isoconv.nn": ["Summary"]}

HEADINGS = ("layer", "kind", "output", "parameters", "multiply-adds")


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One use of a layer.

    Attributes:
        name: its path.
        kind: its class, and its algorithm if it is not the direct one.
        output: shape of its result for one image.
        parameters: learned numbers; 0 when an earlier row has counted them.
        multiply_adds: of its convolutions and linear layers, for one image.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Carded, card=summary_card):
    """The table of a model; ``str`` gives it as text, rich prints it with lines.

    Attributes:
        input_shape: shape of one image.
        rows: one for each use of a layer, in order.
        parameters: learned numbers in all.
        multiply_adds: for one image in all.

    Example:
        >>> from isoconv import nn
        >>> print(nn.Sequential(nn.Conv2d(8, 3), nn.ReLU()).summary((28, 28, 1)))
        layer  kind    output       parameters  multiply-adds
        0      Conv2d  (26, 26, 8)          80         48,672
        1      ReLU    (26, 26, 8)           0              0
        total                               80         48,672
    """

    input_shape: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    multiply_adds: int

    def cells(self) -> list[tuple[str, str, str, str, str]]:
        """The rows as text, the total last."""
        rows = [
            (row.name, row.kind, str(row.output), f"{row.parameters:,}", f"{row.multiply_adds:,}")
            for row in self.rows
        ]
        return [*rows, ("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}")]

    def __str__(self) -> str:
        cells = [HEADINGS, *self.cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
        lines = []
        for row in cells:
            left = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
            right = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        return "\n".join(lines)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(show_footer=True)
        *_, total = self.cells()
        for place, (heading, foot) in enumerate(zip(HEADINGS, total, strict=True)):
            table.add_column(heading, foot, justify="right" if place > 2 else "left")
        for row in self.cells()[:-1]:
            table.add_row(*row)
        return table


def summarize(model: Module, input_shape: Sequence[int]) -> Summary:
    """Trace a model in inference mode and count; see ``Module.summary``.

    Raises:
        ShapeError: the input or a layer's settings do not fit; the message names the layer.
    """
    traced = trace_model(model, input_shape, training=False)
    trace = traced.trace
    sizes = _parameter_sizes(trace)
    rows = []
    for call in trace.calls:
        own = {name: size for name, (owner, size) in sizes.items() if owner is call.module}
        work = sum(multiply_adds(trace.builder, index) for index in call.nodes)
        for name in own:
            del sizes[name]
        if call.inner and not own and not work:
            continue
        name = type(call.module).__name__
        algorithm = getattr(call.module, "algorithm", "direct")
        if algorithm != "direct":
            name += f" {algorithm}"
        rows.append(LayerRow(call.path, name, call.output, sum(own.values()), work))
    return Summary(
        trace.builder.spec(traced.input).shape,
        tuple(rows),
        sum(row.parameters for row in rows),
        sum(row.multiply_adds for row in rows),
    )


def multiply_adds(builder: GraphBuilder, index: int) -> int:
    """Multiply-adds of one node for one image; 0 where the operation counts none."""
    node = builder[index]
    counted = operation(node.op).multiply_adds
    inputs = (builder.spec(source) for source in node.inputs)
    return 0 if counted is None else counted(node.spec, *inputs)


def _parameter_sizes(trace: Trace) -> dict[str, tuple[Module, int]]:
    return {name: (trace.owners[name], prod(spec.shape)) for name, spec in trace.parameters.items()}
