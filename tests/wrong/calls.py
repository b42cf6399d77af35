"""A call of something public, of which `test_wrong_values.py` spoils each argument in turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Call", "Table"]


class Call:
    """A call with all its arguments.

    Args:
        function: what is called.
        star: for ``*args``.
        _then: what is done with the result, where the result alone has asked nothing of the
            arguments yet, as a layer before it is built.
        given: all other arguments by name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        /,
        *star: Any,
        _then: Callable[[Any], Any] | None = None,
        **given: Any,
    ) -> None:
        self.function = function
        self.star = star
        self.given = given
        self.then = _then

    @property
    def arguments(self) -> list[str]:
        """The names of all arguments, those too that have a default; "*" for further ones."""
        names = []
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                names += ["*"] if self.star else []
            elif parameter.kind is not parameter.VAR_KEYWORD:
                names.append(name)
        return names

    def parameter(self, argument: str) -> str:
        """What the function calls an argument; of "*" the name behind the star."""
        if argument != "*":
            return argument
        parameters = inspect.signature(self.function).parameters.values()
        return next(each.name for each in parameters if each.kind is each.VAR_POSITIONAL)

    def run(self, **changed: Any) -> Any:
        """Call with some arguments changed; "*" changes the first of the further ones."""
        star = (changed.pop("*"), *self.star[1:]) if "*" in changed else self.star
        given = {**self.given, **changed}
        first = self.arguments[: self.arguments.index("*")] if star else []
        result = self.function(*(given.pop(name) for name in first), *star, **given)
        return result if self.then is None else self.then(result)


Table = dict[str, Callable[["Any"], Call]]
"""Name → what makes a call, each time anew, from a place (see ``test_wrong_values.py``)."""
