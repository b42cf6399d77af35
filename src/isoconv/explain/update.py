"""From a gradient to a new weight: the tree over shards, clipping, one step of the optimizer.

All of it is the arithmetic of a training step: the same tree, the same blocks of the square norm,
and the optimizer's own update graph, of which each node is a line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from isoconv.arithmetic.sums import NORM_BLOCK, partial_sum, tree_sum
from isoconv.compile.layout import FlatLayout
from isoconv.explain.blocks import Block, blocks_of, number
from isoconv.explain.clipping import factor_term, norm_term
from isoconv.explain.explanation import Part
from isoconv.explain.formulas import worked
from isoconv.explain.network import Network
from isoconv.explain.parts import backward_parts
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array, operation
from isoconv.graph.terms import Element, Index, Number, Tree
from isoconv.train.optim import Optimizer

_SHOWN = {"gradient_scale": "clip", "learning_rate": "rate"}
"""Shorter names of what an update takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a step of training starts from, beside weights and images.

    Attributes:
        optimizer: how the weights follow their gradients.
        step: how many steps are behind it.
        learning_rate: of this step, in float64.
        slots: the optimizer's vectors by slot and parameter; zeros where there are none.
        clip_norm: the greatest norm of the gradient; None: it is not clipped.
        learned: the learning rate of each parameter that learns, in the order in which they lie;
            None where all do at the same.
    """

    optimizer: Optimizer
    step: int
    learning_rate: float
    slots: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    clip_norm: float | None = None
    learned: Mapping[str, float] | None = None

    def learns(self, parameter: str) -> bool:
        """Whether the step changes this parameter."""
        return self.learned is None or parameter in self.learned


class Shards:
    """A batch in its shards: a network for each, whose gradients meet in the tree.

    Args:
        networks: one for each shard, of the same model, in the order of the images.
        size: images of a shard; the last one may have fewer.
    """

    def __init__(self, networks: Sequence[Network], size: int) -> None:
        self.networks = tuple(networks)
        self.size = size

    @property
    def count(self) -> int:
        """How many images there are."""
        return self.networks[0].batch

    def gradient(self, index: int, of: str | int) -> Array:
        """The gradient by a value without an image axis: the shards' own, added by the tree."""
        return tree_sum([network.gradient(index, of) for network in self.networks])

    def parts(self, index: int, of: str | int, element: Index) -> list[Part]:
        """How an element of it comes to be: each shard's part, and the tree over them."""
        found: list[Part] = []
        many = len(self.networks) > 1
        for at, network in enumerate(self.networks):
            position = network.flow(of).nodes.get(index)
            if position is None:
                continue
            own = backward_parts(network, position, element)
            first = at * self.size
            which = f"shard {at} (images {first} … {first + network.count - 1}): " if many else ""
            found += [replace(part, title=which + part.title) for part in own]
        if many and found:
            found.append(self._tree(index, of, element))
        return found

    def _tree(self, index: int, of: str | int, element: Index) -> Part:
        values = np.array([network.gradient(index, of)[element] for network in self.networks])
        term = Tree(tuple(Element(0, (at,)) for at in range(len(values))))
        blocks = blocks_of(term, [values], [lambda at: f"shard {at[0]}"], values.dtype)
        return Part("the shards together", "One binary tree over the shards' numbers.", (),
                    tuple(blocks), blocks[-1].value)  # fmt: skip


def clip_part(shards: Shards, of: str | int, start: Start) -> Part:
    """The factor by which a gradient that is too long is shortened, from the whole gradient.

    Args:
        shards: the batch.
        of: what is differentiated.
        start: says the greatest norm that is left as it is, and which parameters learn.
    """
    network, limit = shards.networks[0], start.clip_norm or math.inf
    places = network.parameters
    if start.learned is not None:
        places = {name: network.parameters[name] for name in start.learned}
    layout = FlatLayout({name: network.value(at).shape for name, at in places.items()})
    flat = np.zeros(-(-layout.size // NORM_BLOCK) * NORM_BLOCK, np.float32)
    own = {name: shards.gradient(at, of).ravel() for name, at in places.items()}
    for name, gradient in own.items():
        flat[layout.slice(name)] = gradient
    with np.errstate(all="ignore"):
        sums = partial_sum((flat * flat).reshape(-1, NORM_BLOCK), axis=1)
    term = norm_term([Element(0, (at,)) for at in range(len(sums))])
    total, norm = blocks_of(term, [sums], [lambda at: f"squares of block {at[0]}"], np.float32)
    words = (
        f"the squares of all {np.concatenate(list(own.values())).size:,} elements of the gradient, "
        f"in blocks of {NORM_BLOCK:,}, each in eight partial sums; the blocks by the tree"
    )
    total, norm = replace(total, text=words), replace(norm, name="norm")
    factor = factor_term(norm.value, limit)
    clip = blocks_of(factor, [np.array([norm.value])], [lambda _: "norm"], np.float32)[-1]
    if isinstance(factor, Number):
        text = f"1, for the norm is not greater than {number(np.float32(limit))}"
        clip = replace(clip, text=text)
    clip = replace(clip, name="clip")
    return Part(
        f"clipping to the norm {number(np.float32(limit))}",
        "clip = limit / norm where norm > limit, else 1.",
        (),
        (total, norm, clip),
        clip.value,
    )


def update_part(
    start: Start, parameter: str, element: Index, weight: Any, gradient: Any, clip: Any = None
) -> Part:
    """One step of the optimizer for one weight: each rounding a line, the last the new weight.

    Args:
        start: what the step starts from.
        parameter: full name of the weight's array.
        element: which weight.
        weight: its value.
        gradient: its gradient.
        clip: the factor by which the gradient is shortened, if it is clipped.
    """
    optimizer = start.optimizer
    rate = start.learning_rate if start.learned is None else start.learned[parameter]
    row = optimizer.hyper_row(start.step, rate)
    with np.errstate(over="ignore"):
        given: dict[str, Any] = {
            name: np.float32(each) for name, each in zip(optimizer.hyper, row, strict=True)
        }
    given |= {"parameter": weight, "gradient": gradient}
    if clip is not None:
        given["gradient_scale"] = clip
    for slot in optimizer.slots:
        own = start.slots.get(slot, {}).get(parameter)
        given[f"slot:{slot}"] = np.float32(0) if own is None else np.float32(own[element])
    graph = optimizer.update_graph(1, start.clip_norm is not None)
    blocks, new = _lines(graph, given)
    named = [f"{_name(name)} = {number(each)}" for name, each in given.items()]
    return Part(
        f"step {start.step + 1} of {type(optimizer).__name__}, each line rounded once",
        str(optimizer),
        tuple(named),
        tuple(blocks),
        new,
    )


def _lines(graph: Graph, given: Mapping[str, Any]) -> tuple[list[Block], Any]:
    """The nodes of an update as blocks, and the new weight."""
    results = {at: f"new {_name(name)}" for name, at in graph.outputs}
    values: list[Array] = []
    names: list[str] = []
    blocks: list[Block] = []
    for at, node in enumerate(graph.nodes):
        if node.op == "input":
            values.append(np.asarray(given[node.attrs.name]).reshape(node.spec.shape))
            names.append(_name(node.attrs.name))
            continue
        entry = operation(node.op)
        operands = [values[source] for source in node.inputs]
        with np.errstate(all="ignore"):
            value = np.asarray(entry.reference(node.attrs, *operands, images=1))
        values.append(value)
        names.append(results.get(at, f"t{len(blocks) + 1}"))
        scalar = value.reshape(-1)[0]
        called = [names[source] for source in node.inputs]
        plain = [each.reshape(-1)[0] for each in operands]
        text = worked(entry, node.attrs, called, plain, scalar)
        if text is None:
            read = ", ".join(f"{n} = {number(v)}" for n, v in zip(called, plain, strict=True))
            text = f"{entry.summary} {read}; {number(scalar)}"
        blocks.append(Block("formula", names[-1], text, (), scalar))
    return blocks, values[graph.output("parameter")].reshape(-1)[0]


def _name(name: str) -> str:
    plain = name.removeprefix("slot:")
    return _SHOWN.get(plain, "weight" if plain == "parameter" else plain)
