"""The table of operators: which function makes layers of which operator, from which version on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isoconv.exchange.onnx.building import Given, Use

Convert = Callable[[Use], Sequence[Given]]
"""Gives what stands for the first results of a node."""

_TABLE: dict[str, dict[int, Convert]] = {}


def converts(*operators: str, since: int = 1) -> Callable[[Convert], Convert]:
    """Enter a function as the one that makes layers of operators with these names.

    Args:
        *operators: their names.
        since: version of ONNX's set of operators from which on it does, until a later entry.
    """

    def entered(function: Convert) -> Convert:
        for operator in operators:
            _TABLE.setdefault(operator, {})[since] = function
        return function

    return entered


def converter_for(operator: str, opset: int) -> Convert | None:
    """The function for an operator in some version; None where there is none."""
    entries = _TABLE.get(operator, {})
    return entries.get(max((since for since in entries if since <= opset), default=0))


def known_operators() -> tuple[str, ...]:
    """Names of all operators that become layers."""
    return tuple(sorted(_TABLE))
