"""Mutations of JSON and of tables: leaves, keys, numbers, depth, text that is no JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.mutate_bytes import INTEGERS, any_bytes, odd_name

from isoconv.train.receipt import receipt_digest

__all__ = ["any_json", "any_lines", "any_receipt", "any_table", "changed_value"]

_Path = tuple[Any, ...]
_MARK = "\ue000mark\ue000"
"""Stands in a value where text that Python's writer of JSON does not write is put afterwards."""

_MUCH = 10_000
"""Characters of what is no more made a thousand times as long."""
_RAW = (
    "NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1E400", "9" * 5000, "1" + "0" * 400,
    "[" * 100_000, "[" * 300 + "]" * 300, '{"a":' * 100_000, '{"a":' * 260 + "1" + "}" * 260,
    '"\\ud800"', '"\\u0000"', "nul", "tru", "0x10", "01", "1.", "'a'", "[1,]", '{"a":1,}', "",
    '"\\u001b[2J"', '"a\nb"', "[" + "0," * 200_000 + "0]", "1e-999", "\ufeff1",
)  # fmt: skip


def _paths(value: Any, path: _Path = ()) -> Iterator[_Path]:
    yield path
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _at(value: Any, path: _Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _longer(old: Any) -> Any:
    """A thousand times as much, unless one of these was made of it before."""
    return old * (1000 if len(json.dumps(old)) < _MUCH else 2)


def _odd(draw: random.Random, old: Any) -> Any:
    """Another value for an old one."""
    numbers: tuple[Any, ...] = (*INTEGERS, -(2**63), 10**12, 10**15, 10**19, 10**30)
    near: tuple[Any, ...] = ()
    if type(old) in (int, float):
        near = (old + 1, old - 1, -old, old * 2, float(old), old * 10**12, old + 0.5, str(old))
    elif isinstance(old, str):
        near = (
            old + "x",
            old[:-1],
            old.upper(),
            odd_name(draw, old),
            _longer(old),
            [old],
            old + "\n",
        )
    elif isinstance(old, list):
        near = (old + old, old[:-1], old[::-1], [old], _longer(old), dict.fromkeys(map(str, old)))
    elif isinstance(old, dict):
        near = (list(old), {**old, "more": 1}, {"type": old}, {"same": 0}, [old])
    if near and draw.random() < 0.5:
        return draw.choice(near)
    return draw.choice((
        None, True, False, 0, 1, -1, 0.5, -1.5, 1e308, 5e-324, "", "a", "\x1b[2J", "\u202e", "ä",
        [], {}, [[]], [None], {"": None}, [0] * 9, ["a"] * 3, {"a": {"b": {}}}, "0x1p+99999",
        "0x1.8p+0", "nan", "inf", "a" * 100_000, "\ud800", "\0", draw.choice(numbers),
        draw.choice(numbers), float(draw.choice(numbers)), str(draw.choice(numbers)),
        [draw.choice(numbers)] * draw.choice((1, 2, 4)), {"same": draw.choice(numbers)},
        {"function": "relu"}, {"type": "Linear"},
    ))  # fmt: skip


def changed_value(draw: random.Random, value: Any) -> Any:
    """A value of which one to three places were changed, removed, added or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 1, 2, 3))):
        paths = [path for path in _paths(value) if path]
        if not paths:
            return _odd(draw, value)
        path = draw.choice(paths)
        outer, key = _at(value, path[:-1]), path[-1]
        what = draw.random()
        if what < 0.6:
            outer[key] = _odd(draw, outer[key])
        elif what < 0.7:
            del outer[key]
        elif what < 0.8:
            other = _at(value, draw.choice(paths))
            outer[key] = copy.deepcopy(other)
        elif isinstance(outer, dict):
            new = odd_name(draw, str(key)) if what < 0.9 else str(key) + draw.choice("x_ .")
            outer[new] = outer[key] if what < 0.9 else outer.pop(key)
        else:
            outer.insert(key, _odd(draw, outer[key]))
    return value


def _text(value: Any, compact: bool = False) -> bytes:
    indent = None if compact else 2
    text = json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _raw(draw: random.Random, value: Any, compact: bool) -> bytes:
    """Text that no value gives: at a place of the value, or a key that stands twice."""
    value = copy.deepcopy(value)
    paths = [path for path in _paths(value) if path]
    if not paths:
        return draw.choice(_RAW).encode("utf-8", "surrogatepass")
    path = draw.choice(paths)
    outer, key = _at(value, path[:-1]), path[-1]
    if isinstance(outer, dict) and draw.random() < 0.2:
        again = json.dumps(draw.choice((None, outer[key])))
        outer[key] = _MARK
        new = f"{json.dumps(outer[key], ensure_ascii=False)}, {json.dumps(key)}: {again}"
    else:
        outer[key] = _MARK
        new = draw.choice(_RAW)
    text = _text(value, compact).decode("utf-8", "surrogatepass")
    return text.replace(json.dumps(_MARK, ensure_ascii=False), new).encode("utf-8", "surrogatepass")


def _encoded(draw: random.Random, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    return draw.choice((
        text.encode("utf-16"), b"\xef\xbb\xbf" + content, content + b"\0", content + b"{}",
        content.replace(b'"', b'"\xff', 1), text.encode("utf-32"), content.replace(b"\n", b"\r\n"),
        b"", b"null", b"[]", b"{}", b"0", b'""', content[: len(content) // 2],
    ))  # fmt: skip


def any_json(draw: random.Random, content: bytes, compact: bool = False) -> bytes:
    """A mutant of a JSON file."""
    what = draw.random()
    if what < 0.1:
        return any_bytes(draw, content)
    if what < 0.16:
        return _encoded(draw, content)
    value = json.loads(content)
    if what < 0.36:
        return _raw(draw, value, compact)
    return _text(changed_value(draw, value), compact)


def any_receipt(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a receipt, mostly with a digest that fits."""
    if draw.random() < 0.25:
        return any_json(draw, content)
    value = changed_value(draw, json.loads(content))
    if isinstance(value, dict):
        value["digest"] = _signed(value)
    return _text(value)


def _signed(value: dict[str, Any]) -> str:
    try:
        return receipt_digest(value)
    except (ValueError, TypeError, AttributeError):
        return "0" * 64


def any_lines(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a file of one JSON value a line."""
    lines = content.split(b"\n")
    place = draw.randrange(len(lines))
    if draw.random() < 0.3 or not lines[place].strip():
        return _lines_moved(draw, lines)
    lines[place] = any_json(draw, lines[place], compact=True)
    return b"\n".join(lines)


def _lines_moved(draw: random.Random, lines: list[bytes]) -> bytes:
    ways: tuple[Callable[[], list[bytes]], ...] = (
        lambda: lines[::-1],
        lambda: lines[1:],
        lambda: lines[:-1],
        lambda: lines + lines,
        lambda: [*lines, b"", b""],
        lambda: lines * 300,
        lambda: [any_bytes(draw, b"\n".join(lines))],
        lambda: [b"\r".join(lines)],
        lambda: [b""],
        lambda: [line + b" " for line in lines],
    )
    return b"\n".join(draw.choice(ways)())


def any_table(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a file of comma-separated values."""
    rows = [line.split(b",") for line in content.split(b"\n")]
    row = draw.randrange(len(rows))
    what = draw.random()
    if what < 0.3:
        return any_bytes(draw, content)
    if what < 0.4:
        return _lines_moved(draw, content.split(b"\n"))
    place = draw.randrange(len(rows[row]))
    rows[row][place] = draw.choice((
        b"", b'"', b'"a', b'""', b"a,b", b"\xff", b"\x1b[2J", b"\0", b"\r", b'"a\nb"', b"train",
        b"x" * 140_000, odd_name(draw, "train").encode("utf-8", "surrogateescape"), b"2" * 64,
    ))  # fmt: skip
    return b"\n".join(b",".join(line) for line in rows)
