"""Groups that break a rule are found, and the message says which group and which node."""

from __future__ import annotations

from dataclasses import replace

import pytest

import isoconv.ops as ops
from isoconv.errors import GraphError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.fuse import fuse
from isoconv.graph.groups import (
    Group,
    asks_for_sign,
    readers_outside,
    verify_groups,
)
from isoconv.graph.ir import Graph
from isoconv.graph.sign_masks import with_sign_masks

SAME = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
HALF = ops.WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))


def block() -> Graph:
    """Convolution, ReLU, pooling; the sum of what was pooled; and ReLU's gradient.

    Nodes: 0 images, 1 weights, 2 convolution, 3 ReLU, 4 pooling, 5 sum, 6 gradient by ReLU's
    result, 7 gradient by its input.
    """
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (4, 4, 3)), b.input("parameter", "w", (3, 3, 3, 8))
    y = b.add("relu", b.add("conv", x, w, attrs=SAME))
    pooled = b.add("max_pool", y, attrs=HALF)
    total = b.add("sum", pooled, attrs=ops.Sum(1, batched=False))
    dy = b.input("dataset", "dy", (4, 4, 8))
    dx = b.add("relu_grad", y, dy)
    return b.graph([("total", total), ("dx", dx)])


CONV, POOL, TOTAL, BACK = Group(2, (3,), (), (3,)), Group(4, (), (), (4,)), Group(
    -1, (), (5,), (5,)), Group(-1, (7,), (), (7,))  # fmt: skip
SOUND = (CONV, POOL, TOTAL, BACK)


def test_sound_groups() -> None:
    """What fusion makes keeps the rules, and so do groups written by hand."""
    graph = block()
    verify_groups(graph, fuse(graph))
    verify_groups(graph, SOUND)
    verify_groups(graph, (CONV, BACK, POOL, TOTAL))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (SOUND[:3], r"node 7 \(relu_grad\).*every node must be in a group"),
        ((*SOUND, Group(6, (), (), (6,))), r"node 6 \(input\).*inputs belong to no group.*\[4\]"),
        ((*SOUND, Group(8, (), (), ())), "group 4 holds node 8 of a graph of 8"),
        ((*SOUND, Group(4, (), (), ())), r"node 4 \(max_pool\).*pointwise, and none of them"),
        ((*SOUND, Group(-1, (7,), (), ())), r"node 7 .*stored by \[3\]"),
        ((*SOUND, Group(-1, (), (), ())), "a group has nodes"),
        ((replace(CONV, pointwise=(3, 3)), *SOUND[1:]), "each of them once"),
        ((CONV, replace(POOL, stored=(4, 3)), *SOUND[2:]), r"group 1 .*own; got \[3\]"),
        ((CONV, Group(-1, (4,), (), (4,)), *SOUND[2:]), r"nodes \[4\] are neither pointwise"),
        ((CONV, Group(4, (), (5,), (4, 5)), BACK), "a group with an anchor has no sums"),
        ((POOL, CONV, TOTAL, BACK), "group 0 .*node 4 reads 3, which no earlier group stores"),
        ((replace(CONV, stored=()), *SOUND[1:]), "node 4 reads 3, which no earlier group stores"),
        ((replace(CONV, stored=(2, 3)), *SOUND[1:]), "group 0 stores node 2, which is no output"),
        ((*SOUND[:3], replace(BACK, stored=())), r"every output is stored; nodes \[7\] are not"),
        ((replace(CONV, stored=(), sign_masks=(3,)), *SOUND[1:]), "node 4 reads 3, which no"),
        ((CONV, replace(POOL, sign_masks=(4,)), TOTAL, BACK), ""),
    ],
)  # fmt: skip
def test_broken_groups(groups: tuple[Group, ...], said: str) -> None:
    """Each rule, broken by hand."""
    if not said:
        # Where the pooled values are positive may be stored too: another group reads the value.
        verify_groups(block(), groups)
        return
    with pytest.raises(GraphError, match=said):
        verify_groups(block(), groups)


def chain() -> Graph:
    """Nodes: 0 x, 1 p, 2 softmax of x, 3 its negative, 4 the sum of that, 5 another sum."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (6,)), b.input("parameter", "p", (2,))
    negative = b.add("neg", b.add("softmax", x))
    outputs = [
        b.add("sum", negative, attrs=ops.Sum(1, batched=False)),
        b.add("sum", negative, attrs=ops.Sum(0, batched=True)),
        b.add("square", p),
        b.add("exp", b.add("sum", negative, attrs=ops.Sum(1, batched=False))),
    ]
    # A sum is an output and is read once more.
    return b.graph([(f"y{number}", index) for number, index in enumerate(outputs)])


def test_what_one_kernel_can_do() -> None:
    """Work behind an anchor that takes none, two shapes or kinds of sums, a sum in its own pass."""
    graph = chain()
    ops_of = [node.op for node in graph.nodes]
    assert ops_of == ["input", "input", "softmax", "neg", "sum", "sum", "square", "exp"]
    softmax, negative, total, other, square, power = range(2, 8)
    last = [Group(-1, (square,), (), (square,)), Group(-1, (power,), (), (power,))]
    first = Group(softmax, (), (), (softmax,))
    sums = Group(-1, (negative,), (total,), (negative, total))
    beside = Group(-1, (), (other,), (other,))
    verify_groups(graph, [first, sums, beside, *last])
    whole = Group(softmax, (negative,), (), (negative,))
    with pytest.raises(GraphError, match="softmax takes no pointwise work behind it"):
        verify_groups(graph, [whole, Group(-1, (), (total,), (total,)), beside, *last])
    mixed = replace(sums, pointwise=(negative, square), stored=(negative, total, square))
    with pytest.raises(GraphError, match="a group runs over one shape"):
        verify_groups(graph, [first, mixed, beside, last[1]])
    both = Group(-1, (negative,), (total, other), (total, other))
    with pytest.raises(GraphError, match="sums are of one kind"):
        verify_groups(graph, [first, both, *last])


def test_a_sum_is_whole_behind_its_pass() -> None:
    """What reads a sum over all images cannot be in the group that still adds it up."""
    b = GraphBuilder()
    x = b.input("dataset", "x", ())
    y = b.add("neg", x)
    total = b.add("sum", y, attrs=ops.Sum(0, batched=False))
    z = b.add("mul", y, total)
    graph = b.graph([("z", z)])
    verify_groups(graph, [Group(-1, (y,), (total,), (y, total)), Group(-1, (z,), (), (z,))])
    with pytest.raises(GraphError, match="node 3 reads 2, which is not made before it there"):
        verify_groups(graph, [Group(-1, (y, z), (total,), (z,))])


def test_a_sum_of_a_sum_is_another_pass() -> None:
    """A sum within a sum's own pass would read a number that is not whole yet."""
    b = GraphBuilder()
    over = ops.Sum(0, batched=False)
    p = b.input("parameter", "p", ())
    first = b.add("sum", p, attrs=over)
    second = b.add("sum", first, attrs=over)
    graph = b.graph([("second", second)])
    apart = [Group(-1, (), (first,), (first,)), Group(-1, (), (second,), (second,))]
    verify_groups(graph, apart)
    with pytest.raises(GraphError, match="node 2 reads 1, which is not made before it there"):
        verify_groups(graph, [Group(-1, (), (first, second), (second,))])


def test_repeated_work() -> None:
    """Pointwise work may stand in several groups if none of them stores it."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6,))
    y = b.add("neg", b.add("softmax", x))
    graph = b.graph([("a", b.add("exp", y)), ("b", b.add("softmax", y)), ("c", b.add("tanh", y))])
    softmax, negative, exp, again, tanh = range(1, 6)
    groups = [
        Group(softmax, (), (), (softmax,)),
        Group(-1, (negative, exp), (), (exp,)),
        Group(-1, (negative,), (), (negative,)),
        Group(again, (), (), (again,)),
        Group(-1, (negative, tanh), (), (tanh,)),
    ]
    with pytest.raises(GraphError, match=r"node 2 \(neg\).*it is in \[1, 2, 4\], stored by \[2\]"):
        verify_groups(graph, groups)


def test_signs_for_those_who_ask() -> None:
    """Bits are enough for ReLU's gradient, and not for a reader of the value."""
    b = GraphBuilder()
    x, dy = b.input("dataset", "x", (4, 4, 8)), b.input("dataset", "dy", (4, 4, 8))
    y = b.add("relu", x)
    pooled = b.add("max_pool_grad", y, b.input("dataset", "dz", (2, 2, 8)), attrs=HALF)
    graph = b.graph([("dx", b.add("relu_grad", y, b.add("add", pooled, dy)))])
    groups = fuse(graph)
    verify_groups(graph, groups)
    (relu,) = [i for i, node in enumerate(graph.nodes) if node.op == "relu"]
    number = next(n for n, group in enumerate(groups) if relu in group.nodes)
    bits = [*groups]
    bits[number] = replace(groups[number], stored=(), sign_masks=(relu,))
    with pytest.raises(GraphError, match=f"reads {relu}, which no earlier group stores"):
        verify_groups(graph, bits)
    verify_groups(graph, with_sign_masks(graph, groups, lambda _: True))


def test_who_asks_for_signs() -> None:
    """ReLU's gradient asks for the sign of its first input and reads its second."""
    b = GraphBuilder()
    y, dy = b.input("dataset", "y", (3,)), b.input("dataset", "dy", (3,))
    dx = b.add("relu_grad", y, dy)
    both = b.add("relu_grad", y, y)
    graph = b.graph([("dx", dx), ("both", both), ("more", b.add("add", dx, y))])
    assert asks_for_sign(graph, Group(-1, (dx,), (), (dx,)), y)
    assert not asks_for_sign(graph, Group(-1, (dx,), (), (dx,)), dy)
    assert not asks_for_sign(graph, Group(-1, (both,), (), (both,)), y)
    more = graph.output("more")
    assert not asks_for_sign(graph, Group(-1, (dx, more), (), (more,)), y)
    assert not asks_for_sign(graph, Group(-1, (more,), (), (more,)), dy)


def test_readers_outside() -> None:
    """Who reads a value and does not make it, in the order of the groups."""
    readers = readers_outside(block(), SOUND)
    assert readers[3] == [POOL, BACK]
    assert readers[4] == [TOTAL]
    assert 2 not in readers
