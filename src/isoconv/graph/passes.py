"""Passes, and the switch that has each one's result checked.

A pass makes a graph, or something for a graph: gradients, groups of nodes, what is done once. It
is decorated with the rules that hold for its result. While checking is switched on they are
checked after each run, so that a fault shows behind the pass that made it and not where somebody
stumbles over it. Checking is off unless somebody switches it on: the tests do for all that they
run, and so does ``isoconv --debug``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from isoconv.errors import GraphError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class _Switch:
    on = False


def check_passes(on: bool) -> None:
    """Switch the checks of all passes on or off, in this process.

    Example:
        >>> before = passes_are_checked()
        >>> check_passes(True)
        >>> passes_are_checked()
        True
        >>> check_passes(before)
    """
    _Switch.on = on


def passes_are_checked() -> bool:
    """Whether the result of every pass is checked."""
    return _Switch.on


def checked_pass(
    rules: Callable[..., object],
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Make a function a pass.

    Args:
        rules: called with the pass's result and then with what the pass was given; raises
            GraphError if the result breaks a rule.

    Returns:
        A decorator. The decorated pass, while passes are checked, raises GraphError with its own
        name in front of the rule that its result breaks.

    Example:
        >>> from isoconv.graph.ir import Graph
        >>> from isoconv.graph.verify import verify
        >>> @checked_pass(lambda result, graph: verify(result))
        ... def cut(graph):
        ...     return Graph(graph.nodes[:1], graph.outputs)
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(function)
        def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            result = function(*args, **kwargs)
            if _Switch.on:
                try:
                    rules(result, *args, **kwargs)
                except GraphError as error:
                    error.within(f"after {function.__qualname__}")
                    raise
            return result

        return run

    return decorate
