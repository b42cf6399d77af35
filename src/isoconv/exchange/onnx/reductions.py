"""Reductions of ONNX over any axes as layers."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.exchange.onnx.building import Given, NodeError, Use
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.folding import normal_axes
from isoconv.exchange.onnx.kinds import is_whole
from isoconv.exchange.onnx.layouts import Layout
from isoconv.nn import Reduce

_KINDS = {
    "ReduceL1": "l1", "ReduceL2": "l2", "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp", "ReduceMax": "max", "ReduceMean": "mean",
    "ReduceMin": "min", "ReduceProd": "prod", "ReduceSum": "sum",
    "ReduceSumSquare": "sum_square",
}  # fmt: skip


def _reduced(use: Use, axes: Sequence[int] | None) -> list[Given]:
    x = use.value()
    rank = len(x.sizes)
    if use.node.operator == "ReduceMean" and is_whole(use.kind()):
        raise NodeError(f"it must average floats; got {use.kind()}")
    if not axes and use.setting("noop_with_empty_axes", 0):
        return [x]
    gone = normal_axes(axes or range(rank), rank)
    x, order = use.apart(x, *gone)
    kept = [axis for axis in order if axis not in gone]
    layer = Reduce(_KINDS[use.node.operator], tuple(order.index(axis) for axis in gone))
    keep = use.setting("keepdims", 1)
    sides = [() if axis in gone else x.layout.axes[axis] for axis in range(rank)]
    held = tuple(side for axis, side in enumerate(sides) if keep or axis not in gone)
    return [use.layer(layer, [x], Layout(held, x.layout.lying(kept)))]


@converts(*_KINDS)
def _by_setting(use: Use) -> Sequence[Given]:
    return _reduced(use, use.setting("axes", ()))


@converts("ReduceSum", since=13)
@converts(*_KINDS, since=18)
def _by_input(use: Use) -> Sequence[Given]:
    return _reduced(use, use.whole(1, "axes"))
