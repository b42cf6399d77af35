"""Gradient rules that many operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoconv.graph.operation import Flows, Gradient

if TYPE_CHECKING:
    from isoconv.graph.builder import GraphBuilder


def by_transpose(op: str) -> Gradient:
    """Of a linear map: ``op``, its transpose, of the cotangent, with the same settings."""

    def gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
        return (b.add(op, dy, attrs=b[node].attrs),)

    return gradient


def by_result(op: str) -> Gradient:
    """``op`` of the result and the cotangent, with the same settings."""

    def gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
        return (b.add(op, node, dy, attrs=b[node].attrs),)

    return gradient


def by_input(op: str) -> Gradient:
    """``op`` of the first input and the cotangent, with the same settings."""

    def gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
        return (b.add(op, b[node].inputs[0], dy, attrs=b[node].attrs),)

    return gradient


def by_itself(b: GraphBuilder, node: int, ddx: int) -> Flows:
    """Of a gradient ``f(y, dy)``, linear in dy and flat in y: the same of ddx, and none for y."""
    source = b[node]
    return None, b.add(source.op, source.inputs[0], ddx, attrs=source.attrs)
