"""Pickles read without running anything: an interpreter of the instructions that weights need.

A pickle is a program that may call whatever Python has. This interpreter knows numbers, texts,
containers, and the names that it is given; of every other class or function it makes a note, and
neither imports nor calls it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

Makers = Mapping[str, Any]
"""What names stand for, ``"module.name"``: a function is called with the arguments that a pickle
gives it, any other value is itself."""

LONGEST = 8 * 2**20
"""Bytes of a pickle; that of a network with a thousand layers has a few hundred thousand."""
LONGEST_NAME = 1000
"""Bytes of a line in a pickle, which is a part of a name, and of both parts."""
MOST_PARTS = 32
"""Of a key that is a tuple: it is looked at anew wherever it is used."""
MOST_UNKNOWN = 1000
"""Different names that are noted."""
_PLAIN = (str, bytes, int, float, bool, type(None))


class Unknown:
    """What a class that is not known would have made.

    Args:
        name: of the class.
    """

    def __init__(self, name: str) -> None:
        self.name = name


class _Bounded:
    """A stream of which a pickle gets so many bytes at most."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = LONGEST

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        self._left -= size
        if self._left < 0:
            raise ValueError(f"its pickle must have at most {LONGEST:,} bytes; it has more")
        return self._stream.read(size)

    def readline(self) -> bytes:
        """Up to the next end of a line."""
        line = self._stream.readline(LONGEST_NAME + 1)
        if len(line) > LONGEST_NAME:
            raise ValueError(f"names in a pickle must have at most {LONGEST_NAME} bytes")
        if b"\\" in line:
            # Python's own reader of lines would take it for the beginning of an escape.
            raise ValueError("names in a pickle must have no backslash")
        self._left -= len(line)
        return line


def read_pickle(
    stream: IO[bytes], makers: Makers, stored: Callable[[Any], Any], unknown: dict[str, None]
) -> Any:
    """The value of the pickle that a stream goes on with.

    Args:
        stream: is behind the pickle afterwards.
        makers: what names stand for.
        stored: what a value outside of the pickle (a persistent id) stands for.
        unknown: gets the names that are none of those, as keys.

    Raises:
        ValueError: it is truncated, or no pickle, or does what no weights need.

    Example:
        >>> import io, pickle
        >>> read_pickle(io.BytesIO(pickle.dumps({"a": [1, (2.5,)]}, 2)), {}, repr, {})
        {'a': [1, (2.5,)]}
        >>> names = {}
        >>> made = read_pickle(io.BytesIO(pickle.dumps(io.StringIO, 2)), {}, repr, names)
        >>> list(names)
        ['_io.StringIO']
    """
    return _Machine(makers, stored, unknown).run(pickletools.genops(_Bounded(stream)))  # type: ignore[arg-type]


class _Maker:
    """A known function, by its name."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function


class _Mark:
    """Where the parts of a container begin."""


_MARK = _Mark()


class _Machine:
    """The stack and the memory of a pickle while it is read."""

    def __init__(
        self, makers: Makers, stored: Callable[[Any], Any], unknown: dict[str, None]
    ) -> None:
        self._makers, self._stored, self._unknown = makers, stored, unknown
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, instructions: Iterable[tuple[Any, Any, Any]]) -> Any:
        for opcode, argument, _ in instructions:
            if opcode.name == "STOP":
                value = self._pop()
                if self._stack:
                    raise ValueError("its pickle leaves more than one value")
                return value
            step = _STEPS.get(opcode.name)
            if step is None:
                raise ValueError(f"weights need no {opcode.name} in their pickle")
            step(self, argument)
        raise ValueError("its pickle has no end")

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("its pickle takes what it never made")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _to_mark(self) -> list[Any]:
        items = []
        while self._stack and self._stack[-1] is not _MARK:
            items.append(self._stack.pop())
        if not self._stack:
            raise ValueError("its pickle ends what it never began")
        self._stack.pop()
        return items[::-1]

    # What the instructions do

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def text(self, value: str) -> None:
        # Python 2 wrote texts as bytes.
        self._stack.append(value.encode("latin-1").decode("utf-8"))

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def pop(self, _: Any) -> None:
        self._pop()

    def pop_mark(self, _: Any) -> None:
        self._to_mark()

    def put(self, place: int) -> None:
        self._memo[place] = self._top()

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, place: int) -> None:
        if place not in self._memo:
            raise ValueError("its pickle refers to what it never made")
        self._stack.append(self._memo[place])

    def few(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._stack.append(tuple(items[::-1]))

    def many(self, _: Any) -> None:
        self._stack.append(tuple(self._to_mark()))

    def append(self, _: Any) -> None:
        value = self._pop()
        self._extend([value])

    def appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Unknown):
            raise ValueError("its pickle appends to what is no list")

    def setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def setitems(self, _: Any) -> None:
        self._update(self._to_mark())

    def _update(self, items: list[Any]) -> None:
        target = self._top()
        if len(items) % 2 or not isinstance(target, (dict, Unknown)):
            raise ValueError("its pickle gives entries to what is no dictionary")
        if isinstance(target, dict):
            target.update(zip(map(_key, items[::2]), items[1::2], strict=True))

    def additems(self, _: Any) -> None:
        items, target = self._to_mark(), self._top()
        if not isinstance(target, (set, Unknown)):
            raise ValueError("its pickle adds to what is no set")
        if isinstance(target, set):
            target.update(map(_key, items))

    def frozen(self, _: Any) -> None:
        self._stack.append(frozenset(map(_key, self._to_mark())))

    def named(self, name: str) -> None:
        self._name(name.replace(" ", ".", 1))

    def stack_named(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("its pickle names a class by what is no text")
        if len(name) + len(module) > LONGEST_NAME:
            raise ValueError(f"names in a pickle must have at most {LONGEST_NAME} bytes")
        self._name(f"{module}.{name}")

    def _name(self, name: str) -> None:
        if name in self._makers:
            known = self._makers[name]
            self._stack.append(_Maker(name, known) if callable(known) else known)
            return
        if len(self._unknown) < MOST_UNKNOWN:
            self._unknown.setdefault(name)
        self._stack.append(Unknown(name))

    def call(self, _: Any) -> None:
        arguments, maker = self._pop(), self._pop()
        self._stack.append(self._made(maker, arguments))

    def call_with_names(self, _: Any) -> None:
        names, arguments, maker = self._pop(), self._pop(), self._pop()
        if names:
            raise ValueError("its pickle makes something with arguments by name")
        self._stack.append(self._made(maker, arguments))

    def _made(self, maker: Any, arguments: Any) -> Any:
        if isinstance(maker, Unknown):
            return Unknown(maker.name)
        if not isinstance(maker, _Maker) or not isinstance(arguments, tuple):
            raise ValueError("its pickle calls what is no function")
        try:
            return maker.function(*arguments)
        except TypeError as error:
            raise ValueError(f"{maker.name} is given what it does not take: {error}") from error

    def build(self, _: Any) -> None:
        # What an object knows beside its content, such as the version of each layer.
        self._pop()
        self._top()

    def outside(self, _: Any) -> None:
        self._stack.append(self._stored(self._pop()))


def _key(value: Any) -> Any:
    """A key of a dictionary, which is plain: to hash what is nested may end the process."""
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > MOST_PARTS or not all(isinstance(part, _PLAIN) for part in parts):
        raise ValueError("keys in a pickle of weights must be texts or numbers")
    return value


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.few(count)


def _skip(_: _Machine, __: Any) -> None:
    """What tells of the pickle itself."""


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _skip),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    **dict.fromkeys(
        (
            "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
            "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
        ),
        _Machine.push,
    ),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _Machine.text),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "EMPTY_TUPLE": _tuple_of(0),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _Machine.many,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": _Machine.setitem,
    "SETITEMS": _Machine.setitems,
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": _Machine.additems,
    "FROZENSET": _Machine.frozen,
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.outside,
}  # fmt: skip
"""What each instruction does; all others are refused."""
