"""What functions and layers of a kind have alike: written once, read and called under each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from textwrap import dedent, indent
from typing import Any, ParamSpec, TypeVar

_Documented = TypeVar("_Documented", bound=Callable[..., Any])
_Taken = ParamSpec("_Taken")
_Given = TypeVar("_Given")

_SECTIONS = ("Args", "Input shape", "Output shape", "Returns", "Source", "Raises", "Example")
"""In the order in which they stand."""
_SECTION = re.compile(rf"^({'|'.join(_SECTIONS)}):\n((?:    .*(?:\n|\Z)|\n)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^(\w+): .*\n(?:    .*(?:\n|\Z))*", re.MULTILINE)
_CALLED = re.compile(r"\b\w+(?=\()")
_QUOTED = re.compile(r"``.*?``")
_RANKED = re.compile(r"(`\w+)2d`")
_AXES = {
    1: {
        "i·W + j": "i", "H', W'": "L'", "H, W": "L", "O, O'": "O", "kh, kw": "k",
        "H'": "L'", "H": "L", "kh": "k",
    },
    3: {
        "i·W + j": "(h·H + i)·W + j", "H', W'": "D', H', W'", "H, W": "D, H, W",
        "O, O'": "O, O', O''", "kh, kw": "kd, kh, kw",
    },
}  # fmt: skip
"""What shapes along height and width say along other numbers of axes."""
_WORDS = {
    rank: re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, words))})(?![\w'])")
    for rank, words in _AXES.items()
}


def like(other: Callable[..., Any], rank: int = 2) -> Callable[[_Documented], _Documented]:
    """A decorator: the sections that a documentation lacks are those of another one.

    Of the arguments it has its own alone, and in the example its own name.

    Args:
        other: a function or a layer, along height and width if it has spatial axes.
        rank: how many spatial axes what is decorated has: shapes name these, and ``…2d`` is the
            function or layer of as many.

    Example:
        >>> def double(x):
        ...     '''``2 x``.
        ...
        ...     Args:
        ...         x: ``(H, W, C)``.
        ...     '''
        >>> @like(double, rank=1)
        ... def triple(x):
        ...     '''``3 x``.'''
        >>> print(triple.__doc__)
        ``3 x``.
        <BLANKLINE>
        Args:
            x: ``(L, C)``.
    """

    def documented(value: _Documented) -> _Documented:
        head, own = _parts(value.__doc__ or "")
        told = {
            name: _told_of(value, name, text, other.__name__, rank)
            for name, text in _parts(other.__doc__ or "")[1].items()
            if name not in own
        }
        sections = {**told, **own}
        texts = [f"{name}:\n{sections[name]}" for name in _SECTIONS if sections.get(name)]
        # Python leaves documentation out when it is asked to (-OO).
        value.__doc__ = "\n\n".join([head, *texts]) if head else None
        return value

    return documented


def ranked(
    rank: int, other: Callable[_Taken, _Given], general: Callable[..., _Given]
) -> Callable[[Callable[[], None]], Callable[_Taken, _Given]]:
    """A decorator: a function that takes what its namesake along other axes takes.

    As `dataclass` does with a constructor, it makes the function: with the other one's signature,
    and ``general(rank, …)`` of all arguments as its result. Name and documentation are those of
    what is decorated, which takes nothing.

    Args:
        rank: how many spatial axes it has.
        other: the function along other axes.
        general: of the number of axes and all arguments, in their order.

    Example:
        >>> def area2d(side, scale=1):
        ...     return scale * side**2
        >>> @ranked(3, area2d, lambda rank, side, scale: scale * side**rank)
        ... def area3d():
        ...     '''Of a cube.'''
        >>> area3d(2), area3d(2, scale=10)
        (8, 80)
    """

    def made(named: Callable[[], None]) -> Callable[_Taken, _Given]:
        name, taken = named.__name__, ", ".join(_arguments(other))
        source = f"""
def make(general):
    def {name}({taken}):
        return general({rank}, {taken})
    return {name}
"""
        found: dict[str, Any] = {}
        exec(source, named.__globals__, found)  # noqa: S102 - of the other's parameters' names alone
        function = found["make"](general)
        for each in ("__defaults__", "__kwdefaults__", "__annotations__"):
            setattr(function, each, getattr(other, each))
        function.__qualname__, function.__doc__ = named.__qualname__, named.__doc__
        # Where its text is looked for, and what is not to be asked for its parameters.
        function.__wrapped__, function.__signature__ = named, inspect.signature(other)
        return function  # type: ignore[no-any-return]

    return made


@lru_cache
def _parts(documentation: str) -> tuple[str, dict[str, str]]:
    """What a documentation says before its sections, and these."""
    text = inspect.cleandoc(documentation)
    first = _SECTION.search(text)
    head = text[: first.start()] if first else text
    return head.rstrip(), {name: body.rstrip() for name, body in _SECTION.findall(text)}


def _told_of(value: Callable[..., Any], section: str, text: str, name: str, rank: int) -> str:
    """A section of another documentation as it is true of this function or layer."""
    if section in ("Args", "Input shape"):
        entries = [*_ARGUMENT.finditer(dedent(text) + "\n")]
        if entries:
            known = _arguments(value)
            own = "".join(entry[0] for entry in entries if entry[1] in known)
            text = indent(own.rstrip(), "    ")
    if section == "Example":
        return _CALLED.sub(lambda at: value.__name__ if at[0] == name else at[0], text)
    if rank == 2:
        return text
    words, pattern = _AXES[rank], _WORDS[rank]
    quoted = _QUOTED.sub(lambda span: pattern.sub(lambda at: words[at[0]], span[0]), text)
    return _RANKED.sub(rf"\g<1>{rank}d`", quoted)


def _arguments(value: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what a function, or a layer's constructor, takes: its signature takes longer."""
    code = (value.__init__ if isinstance(value, type) else value).__code__  # type: ignore[misc]
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names
