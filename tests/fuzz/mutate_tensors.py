"""Mutations of safetensors files: the header's fields, the record in it, the tensors' bytes."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from tests.fuzz.mutate_bytes import INTEGERS, any_bytes, odd_name
from tests.fuzz.mutate_json import any_json, changed_value

from isoconv.nn.plain import canonical

__all__ = ["any_tensors"]

_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "U64", "F8_E4M3",
           "F4", "C64", "f32", "", "X", "F128")  # fmt: skip
_Header = dict[str, Any]


def _file(header: bytes, data: bytes, length: int | None = None) -> bytes:
    declared = len(header) if length is None else length
    return (declared % 2**64).to_bytes(8, "little") + header + data


def any_tensors(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a file of weights."""
    size = int.from_bytes(content[:8], "little")
    text, data = content[8 : 8 + size], content[8 + size :]
    what = draw.random()
    if what < 0.1:
        return any_bytes(draw, content)
    if what < 0.15:
        return _file(text, data, draw.choice((*INTEGERS, size + 1, size - 1, size + 8, size // 2)))
    if what < 0.25:
        return _file(any_json(draw, text, compact=True), data)
    header: _Header = json.loads(text)
    if what < 0.55:
        _record_changed(draw, header)
    elif what < 0.65:
        _metadata_changed(draw, header)
    elif what < 0.7:
        data = any_bytes(draw, data)
    else:
        data = _tensor_changed(draw, header, data)
    out = json.dumps(header, separators=(",", ":"), ensure_ascii=draw.random() < 0.7)
    raw = out.encode("utf-8", "surrogatepass")
    return _file(raw + b" " * draw.choice((0, -len(raw) % 8)), data)


def _record_changed(draw: random.Random, header: _Header) -> None:
    """The record of the model: changed, mostly with a digest that fits."""
    notes = header["__metadata__"]
    if draw.random() < 0.2:
        text = any_json(draw, notes["isoconv"].encode(), compact=True)
        notes["isoconv"] = text.decode("utf-8", "replace")
        return
    record = json.loads(notes["isoconv"])
    if draw.random() < 0.6:
        part = draw.choice(("architecture", "trained_on", "normalisation", "input_shape"))
        record[part] = changed_value(draw, record[part])
    else:
        record = changed_value(draw, record)
    if isinstance(record, dict) and draw.random() < 0.9:
        rest = {name: value for name, value in record.items() if name != "digest"}
        try:
            record["digest"] = hashlib.sha256(canonical(rest)).hexdigest()
        except (ValueError, TypeError):
            record["digest"] = ""
    notes["isoconv"] = json.dumps(record, sort_keys=True)


def _metadata_changed(draw: random.Random, header: _Header) -> None:
    notes = header["__metadata__"]
    ways = (
        lambda: header.pop("__metadata__"),
        lambda: notes.update(more="a"),
        lambda: notes.update({odd_name(draw, "isoconv"): ""}),
        lambda: notes.pop("isoconv"),
        lambda: notes.update(isoconv=changed_value(draw, [1])),
        lambda: notes.update(isoconv=draw.choice(("", "[", "[]", "1", "null", "{}", "[" * 9999))),
        lambda: notes.update(isoconv=" " * 5_000_000),
        lambda: header.update(__metadata__=changed_value(draw, notes)),
    )
    draw.choice(ways)()


def _tensor_changed(draw: random.Random, header: _Header, data: bytes) -> bytes:
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    entry, what = header[name], draw.random()
    if what < 0.2:
        entry["dtype"] = draw.choice(_DTYPES)
    elif what < 0.4:
        entry["shape"] = draw.choice((
            [], [0], [-1], [draw.choice(INTEGERS)], [draw.choice(INTEGERS), 2], [1] * 70, None, "a",
            [*entry["shape"], 1], entry["shape"][::-1], [1.0], [True], [0, 2**62], [10**30],
        ))  # fmt: skip
    elif what < 0.6:
        start, end = entry["data_offsets"]
        entry["data_offsets"] = draw.choice((
            [end, start], [start, end + 4], [start - 4, end], [0, 0], [start], [start, end, end],
            [draw.choice(INTEGERS), draw.choice(INTEGERS)], [start, 2**64], None, [0, len(data)],
        ))  # fmt: skip
    elif what < 0.75:
        header[odd_name(draw, name)] = header.pop(name)
    elif what < 0.8:
        del header[name]
    elif what < 0.85:
        header[name + "x"] = dict(entry)
    elif what < 0.9:
        # A tensor more, without elements or with some.
        more = draw.choice((0, 4))
        header[draw.choice(("a", "slot:a", "parameter:", "state:x", "slot:m:x", ""))] = {
            "dtype": "F32", "shape": [more // 4], "data_offsets": [len(data), len(data) + more],
        }  # fmt: skip
        data += bytes(more)
    elif what < 0.95:
        header[name] = changed_value(draw, entry)
    else:
        other = draw.choice(names)
        header[name], header[other] = header[other], header[name]
    return data
