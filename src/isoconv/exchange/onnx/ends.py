"""What goes into a network of an ONNX file, and what comes out: how both lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from isoconv.checks import check_shape, shown
from isoconv.errors import ArgumentError
from isoconv.exchange.onnx.building import Building, Value
from isoconv.exchange.onnx.layouts import Layout, of_shape
from isoconv.exchange.onnx.reader import Node, OnnxFile, refused
from isoconv.exchange.onnx.writing import RECORD
from isoconv.printable import printable
from isoconv.wording import either


def needed_for(file: OnnxFile, output: str | None) -> OnnxFile:
    """A file without nodes and inputs that a result does not need.

    Args:
        file: that was read.
        output: name of the result; None for all that the file has.

    Raises:
        ArgumentError: nothing has that name.
    """
    if output is not None and not any(output in node.outputs for node in file.nodes):
        raise _no_result(file, output)
    wanted = {given.name for given in file.outputs} if output is None else {output}
    nodes = []
    for node in reversed(file.nodes):
        if wanted.intersection(node.outputs) - {""}:
            wanted.update(node.inputs)
            nodes.append(node)
    inputs = tuple(given for given in file.inputs if given.name in wanted)
    return replace(file, nodes=tuple(nodes[::-1]), inputs=inputs or file.inputs)


def image_of(file: OnnxFile, input_shape: Sequence[int] | None) -> tuple[str, Layout]:
    """The input for images: its name, and how images lie.

    Args:
        file: of what the result needs.
        input_shape: of one image, where the file leaves sides free.

    Raises:
        CheckpointError: there are several.
        ArgumentError: sides are free and no input shape is given.
    """
    if len(file.inputs) != 1:
        listed = ", ".join(printable(given.name) for given in file.inputs) or "none"
        raise refused(file.path, [f"it must have one input, that of images; it has {listed}"])
    (given,) = file.inputs
    sides = given.sides
    shape = None if input_shape is None else check_shape("input_shape", input_shape)
    if sides is None:
        sides = ("N", *("?" for _ in shape or ()))
    rank = len(sides)
    order = list(range(1, rank))
    if rank >= 3 and not channels_last_in(file):
        order = order[1:] + order[:1]
    known = [side if isinstance(side, int) and side > 0 else None for side in sides]
    wanted = [known[axis] for axis in order]
    told = "(" + ", ".join(str(sides[axis]) for axis in order) + ("," * (rank == 2)) + ")"
    if shape is None:
        if None in wanted:
            raise ArgumentError(
                f"{file.path} leaves sides of its images free, {told}: "
                + either("give them, input_shape=(H, W, C)", "export it with sides that are given"),
                argument="input_shape",
            )
        shape = tuple(side for side in wanted if side is not None)
    if len(shape) != len(order) or any(
        w not in (None, s) for w, s in zip(wanted, shape, strict=True)
    ):
        raise ArgumentError(
            f"input_shape must be as {file.path} has it, {told}; got {shown(shape)}",
            argument="input_shape",
            value=input_shape,
        )
    sizes = [1] * rank
    for axis, side in zip(order, shape, strict=True):
        sizes[axis] = side
    return given.name, of_shape(sizes, order)


_KEEPS_AXES = (
    "Abs", "Add", "Cast", "Clip", "DequantizeLinear", "Div", "Elu", "Exp", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Max", "Min", "Mul", "Neg", "Pad",
    "Pow", "QuantizeLinear", "Relu", "Sigmoid", "Slice", "Softmax", "Sqrt", "Sub", "Tanh",
)  # fmt: skip
"""Operators that take axes as they come, and leave them so."""
_NO_MATTER = ("Shape", "Size", "Constant")
"""Operators that say nothing of how the axes of a value are meant."""


def channels_last_in(file: OnnxFile) -> bool:
    """Whether images have their channels last in the file, and are transposed there at once.

    So it is where all nodes that look at their axes are transpositions that bring the last axis to
    the channels' place.

    Args:
        file: with one input, of what the result needs.
    """
    if RECORD in file.metadata:
        # Written here, where images have their channels first, also where they are moved at once.
        return False
    readers: dict[str, list[Node]] = {}
    for node in file.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    looking = _looking(file.inputs[0].name, lambda name: readers.get(name, ()), _given_by)
    orders = [node.attributes.get("perm", ()) for node in looking if node.operator == "Transpose"]
    return len(orders) == len(looking) > 0 and all(
        len(order) > 2 and order[1] == len(order) - 1 for order in orders
    )


def _transposed_last(file: OnnxFile, output: str) -> bool:
    """Whether a result has its channels last in the file, transposed there at the end."""
    makers = {name: node for node in file.nodes for name in node.outputs if name}

    def read(node: Node) -> list[str]:
        return [name for name in node.inputs if name not in file.arrays]

    looking = _looking(output, lambda name: [makers[name]] if name in makers else (), read)
    orders = [node.attributes.get("perm", ()) for node in looking if node.operator == "Transpose"]
    return len(orders) == len(looking) > 0 and all(order and order[-1] == 1 for order in orders)


def _given_by(node: Node) -> Sequence[str]:
    return node.outputs


def _looking(
    start: str,
    at: Callable[[str], Sequence[Node]],
    onward: Callable[[Node], Sequence[str]],
) -> list[Node]:
    """The nearest nodes to a value that are more than elementwise.

    Args:
        start: name of the value.
        at: which nodes are next to a value.
        onward: which values lie beyond a node.
    """
    found: list[Node] = []
    ahead, seen = [start], {""}
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in at(name):
            if node.operator in _KEEPS_AXES:
                ahead += onward(node)
            elif node.operator not in _NO_MATTER:
                found.append(node)
    return found


def result_of(file: OnnxFile, made: Building, output: str | None) -> Value:
    """What stands for the result, as layers here give it.

    Args:
        file: that was read.
        made: its nodes as layers.
        output: name of the result; None for the only one.

    Raises:
        CheckpointError: the file has no result, or is for batches of several images.
        ArgumentError: there are several results, or none of that name.
    """
    names = [given.name for given in file.outputs]
    if not names:
        raise refused(file.path, ["it must have a result"])
    if output is None and len(names) > 1:
        listed = ", ".join(map(printable, names))
        raise ArgumentError(
            f"{file.path} has {len(names)} results; "
            + either("say which with output=…", "export it with one (Python takes output=…)")
            + f": {listed}",
            argument="output",
        )
    found = made.values.get(names[0] if output is None else output)
    if not isinstance(found, Value):
        raise _no_result(file, output or names[0])
    if (batch := batch_of(file)) > 1 and found.sizes[:1] == (batch,):
        raise refused(file.path, [for_batch(batch)])
    ours = output is None and RECORD in file.metadata
    last = not ours and _transposed_last(file, names[0] if output is None else output)
    order = _order(found.sizes, len(made.values[file.inputs[0].name].sizes), ours=ours, last=last)
    return made.lying(found, found.layout.lying(order))


def _no_result(file: OnnxFile, output: str) -> ArgumentError:
    listed = ", ".join(printable(given.name) for given in file.outputs)
    return ArgumentError(
        f"output must be the result of a layer of {file.path}, such as {listed}; got "
        f"{shown(output)}",
        argument="output",
        value=output,
    )


def batch_of(file: OnnxFile) -> int:
    """How many images the file says that it takes at once; 1 where it leaves that free."""
    first = next((given.sides[0] for given in file.inputs if given.sides), 1)
    return first if isinstance(first, int) else 1


def for_batch(batch: int) -> str:
    """What is to be done about a file that is for several images at once."""
    return f"it is for batches of {batch}: export it with a batch of one, or a free batch axis"


def _order(sizes: Sequence[int], images: int, *, ours: bool, last: bool) -> Sequence[int]:
    """The axes of a result as layers here give it: without that of images, channels of maps last.

    It is a map where it has as many axes as the images; where these are rows, from four axes on.

    Args:
        sizes: of the result in the file.
        images: how many axes they have in the file.
        ours: whether the file was written here, where the last axis always became the second.
        last: whether the file has the channels of the result last.
    """
    rank = len(sizes)
    if rank < 2 or (sizes[0] != 1 and not ours):
        return range(rank)
    first = (*range(2, rank), 1)
    if ours:
        return first
    if prod(sizes[2:]) == 1:
        return (1,)
    is_map = rank == images if images > 2 else rank > 3
    return first if is_map and not last else range(1, rank)
