"""Files that PyTorch wrote, read without PyTorch: ``.pt`` and ``.pth``, and safetensors."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from isoconv.checks import check_path, check_text
from isoconv.data.archive import DAMAGED, Bounded
from isoconv.errors import ArgumentError, CheckpointError, IsoconvError, in_file, turned
from isoconv.exchange.pickled import read_pickle
from isoconv.exchange.torch_tensors import MAKERS, Storage, Tensor, array_of
from isoconv.files import PIECE, open_file, read_file
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.nn import storage as safetensors
from isoconv.nn.storage import Saved, listed
from isoconv.printable import printable

__public__ = {"isoconv.exchange": ["load_torch"]}

MAGIC = 0x1950A86A20F9469CFC6C
"""The first value of a file of the older format."""
PROTOCOL = 1001
"""The second."""
MEMBERS = 100_000
"""Entries of the largest archive that is read."""
MOST_LOOKED_INTO = 10_000
"""Dictionaries that are looked into."""
MOST_LEVELS = 8
LONGEST_KEY = 200
"""Characters of the name of a dictionary in another."""
_ZIP, _PICKLE, _TAR = b"PK\x03\x04", b"\x80", b"ustar"
_ENCRYPTED = 0x1
_WHOLE = (
    "it holds a whole network, not its weights alone, and to make it would run a stranger's "
    "program; in PyTorch save the weights: torch.save(model.state_dict(), path)"
)
_ORDERS = {"little": "<", "big": ">"}

Content = Callable[[Storage], bytes | bytearray]
"""Gives the bytes of a storage, as many as it has."""


def load_torch(path: str | Path, key: str | None = None) -> dict[str, Array]:
    """The weights in a file of PyTorch's, by PyTorch's names and in PyTorch's layout.

    ``.pt`` and ``.pth`` files, as ``torch.save`` writes them and as it did before 2020, and
    safetensors. PyTorch is not needed, and nothing of the file is executed: its pickle is read by
    an interpreter that knows tensors, storages, ordered dictionaries, plain containers, numbers.
    Tensors that are not contiguous are put in row-major order; float16 and bfloat16 become float32,
    which holds each of their numbers. Where the weights stand in a dictionary within others, as in
    ``{"state_dict": …, "epoch": 3}``, they are found.

    `load_into` puts them into a model.

    Args:
        path: of the file.
        key: where the weights stand, where there are several: ``"state_dict"``, or
            ``"models.teacher"`` for a dictionary in a dictionary.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        ArgumentError: there are several dictionaries of weights, or none at ``key``; the message
            lists those that there are.
        CheckpointError: the file cannot be read, is damaged, or holds anything but weights; the
            classes that are not known are named.
        NotEnoughMemoryError: there is not enough memory for it.

    Example:
        >>> import tempfile
        >>> import isoconv as ic
        >>> model = ic.nn.Sequential(ic.nn.Conv2d(4, 3)).build((8, 8, 1))
        >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> ic.exchange.save_torch(model, file)
        >>> {name: array.shape for name, array in ic.exchange.load_torch(file).items()}
        {'0.bias': (4,), '0.weight': (4, 1, 3, 3)}
    """
    path = check_path("path", path)
    key = None if key is None else check_text("key", key)
    with _told(path), open_file(path) as file:
        found = _weights(file, path, key)
    return _of_safetensors(safetensors.read_saved(path), path, key) if found is None else found


def whole_file(path: Path) -> bytes:
    """The bytes of a file of PyTorch's, where they are asked for more than what `weights_in` reads.

    Raises:
        CheckpointError: the file cannot be read.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    with _told(path):
        return read_file(path)


def weights_in(content: bytes, path: Path) -> dict[str, Array]:
    """The weights in the bytes of a file, which stands at a path for messages; see `load_torch`."""
    with _told(path):
        found = _weights(io.BytesIO(content), path, None)
    return (
        _of_safetensors(safetensors.saved_in(content, path), path, None) if found is None else found
    )


def _what(path: Path) -> str:
    return f"{printable(path)} cannot be read as weights of PyTorch"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong within the block is told of a file."""
    try:
        with in_file(path):
            yield
    except IsoconvError:
        raise
    except zipfile.BadZipFile as error:
        # The file begins as an archive does: what is missing is its end.
        text = f"{_what(path)}: it is cut off or damaged ({error})"
        raise CheckpointError(text, path=path) from error
    except DAMAGED as error:
        raise turned(error, CheckpointError, _what(path), path=path) from error


def _weights(file: BinaryIO, path: Path, key: str | None) -> dict[str, Array] | None:
    """The weights in an open file of PyTorch's own formats; None where it has another."""
    start = file.read(512)
    file.seek(0)
    if start.startswith(_ZIP):
        return _from_zip(file, key, _what(path))
    if start.startswith(_PICKLE):
        return _from_legacy(file, key, _what(path))
    if start[257:262] == _TAR:
        raise ValueError("it is of a format from before 2017; save it again with PyTorch")
    return None


def _of_safetensors(saved: Saved, path: Path, key: str | None) -> dict[str, Array]:
    found = _at(_weights_in(saved.arrays), key, _what(path))
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in found.items()
    }


# The two formats


def _from_zip(file: BinaryIO, key: str | None, what: str) -> dict[str, Array]:
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(cast(BinaryIO, Bounded(file))) as archive:
        members = _members(archive, size)
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it is an archive without PyTorch's data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        unknown: dict[str, None] = {}
        with archive.open(members[pickles[0]]) as stream:
            value = read_pickle(stream, MAKERS, Storage.of, unknown)
        _check_known(unknown)

        def read(name: str, size: int, least: int = 0) -> bytearray:
            member = members.get(folder + name)
            if member is None:
                raise ValueError(f"its archive has no {name}")
            if not least <= member.file_size <= size:
                raise ValueError(
                    f"{name} in its archive must have {least:,} to {size:,} bytes; it has "
                    f"{member.file_size:,}"
                )
            with archive.open(member) as stream:
                return _pieces(stream, member.file_size)

        order = "little"
        if folder + "byteorder" in members:
            order = read("byteorder", 10).decode("ascii", "replace")
        if order not in _ORDERS:
            raise ValueError("its numbers are in no known order of bytes")
        return _arrays(
            _at(_weights_in(value), key, what),
            lambda storage: read(f"data/{storage.key}", storage.size, storage.size),
            _ORDERS[order],
            what,
        )


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries of an archive by name, each of which says truly how long it is."""
    entries = archive.infolist()
    if len(entries) > MEMBERS:
        raise ValueError(f"its archive must have at most {MEMBERS:,} entries; it has more")
    found = {entry.filename: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError("its archive has entries of the same name")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED or entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("its archive is packed or encrypted, as PyTorch writes none")
        if not entry.file_size == entry.compress_size <= size:
            raise ValueError(f"{printable(entry.filename)} in its archive has an impossible size")
    return found


def _from_legacy(file: BinaryIO, key: str | None, what: str) -> dict[str, Array]:
    """Five pickles, one behind the other, and the storages behind them."""
    unknown: dict[str, None] = {}

    def following() -> Any:
        return read_pickle(file, MAKERS, Storage.of, unknown)

    if following() != MAGIC:
        raise ValueError("it is a pickle, and none of PyTorch's")
    if following() != PROTOCOL:
        raise ValueError(f"it is of another format than {PROTOCOL}")
    system = following()
    little = system.get("little_endian") if isinstance(system, dict) else None
    if not isinstance(little, bool):
        raise ValueError("its numbers are in no known order of bytes")
    value, keys = following(), following()
    _check_known(unknown)
    if not isinstance(keys, list) or not all(isinstance(each, str) for each in keys):
        raise ValueError("it does not say which storages follow")
    weights = _at(_weights_in(value), key, what)
    places = _places(file, keys, _storages(value), "<" if little else ">")

    def read(storage: Storage) -> bytearray:
        file.seek(places[storage.key])
        return _pieces(file, storage.size)

    if any(each.storage.key not in places for each in weights.values()):
        raise ValueError("it has a tensor whose storage is not there")
    return _arrays(weights, read, "<" if little else ">", what)


def _storages(value: Any) -> dict[str, Storage]:
    """All storages that a value's tensors lie in, by key."""
    found: dict[str, Storage] = {}
    for part in _inside(value):
        if isinstance(part, Tensor):
            known = found.setdefault(part.storage.key, part.storage)
            if known != part.storage:
                raise ValueError("two of its tensors tell different things of their storage")
    return found


def _places(
    file: BinaryIO, keys: list[str], storages: Mapping[str, Storage], order: str
) -> dict[str, int]:
    """Where the bytes of each storage begin."""
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    found: dict[str, int] = {}
    for each in keys:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("it is truncated")
        (count,) = struct.unpack(f"{order}q", head)
        storage = storages.get(each)
        if storage is None or each in found or count != storage.count:
            raise ValueError("its storages are others than its tensors tell")
        found[each] = file.tell()
        if found[each] + storage.size > end:
            raise ValueError("it is truncated")
        file.seek(storage.size, os.SEEK_CUR)
    return found


def _pieces(stream: IO[bytes], size: int) -> bytearray:
    """So many bytes."""
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        piece = stream.read(min(PIECE, size - done))
        if not piece:
            raise ValueError("it is truncated")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return content


# What is in them


def _check_known(unknown: Iterable[str]) -> None:
    names = [printable(name) for name in unknown]
    if names:
        why = f"; {_WHOLE}" if any(_is_network(name) for name in names) else ""
        raise ValueError(
            f"weights are tensors, containers and numbers; it names {listed(names)}, of which "
            f"nothing was executed{why}"
        )


def _is_network(name: str) -> bool:
    """Whether a class is a layer of PyTorch's, or of a compiled network."""
    return name.startswith(("torch.nn.modules.", "__torch__."))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _inside(value: Any) -> Iterator[Any]:
    """A value and all in it, each object once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (dict, list, tuple)):
            if id(part) in seen:
                continue
            seen.add(id(part))
            waiting.extend(part.values() if isinstance(part, dict) else part)
        yield part


def _weights_in(value: Any) -> dict[str, dict[str, Any]]:
    """Dictionaries of nothing but tensors, by where they stand within others."""
    found: dict[str, dict[str, Any]] = {}
    seen: set[int] = {id(value)}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        place, part, level = waiting.pop()
        if not isinstance(part, dict):
            continue
        if part and all(_is_tensor(each) and isinstance(name, str) for name, each in part.items()):
            found[place] = part
            continue
        inside = []
        for name, each in part.items():
            if isinstance(name, str) and isinstance(each, dict) and id(each) not in seen:
                seen.add(id(each))
                inside.append((f"{place}.{name[:LONGEST_KEY]}".lstrip("."), each, level + 1))
        if level < MOST_LEVELS:
            waiting.extend(reversed(inside))
        if len(seen) > MOST_LOOKED_INTO:
            raise ValueError(f"it must have at most {MOST_LOOKED_INTO:,} dictionaries in others")
    return found


def _at(found: Mapping[str, dict[str, Any]], key: str | None, what: str) -> dict[str, Any]:
    """The one dictionary of weights, or that at a key."""
    if key is not None and key in found:
        return found[key]
    if key is None and len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise CheckpointError(f"{what}: there is no dictionary from names to tensors in it")
    there = listed([repr(printable(place)) for place in found])
    rule = (
        "key must say which weights are meant" if key is None else "key must be one that is there"
    )
    raise ArgumentError(f"{rule}: {there}; got {key!r}", argument="key", value=key)


def _arrays(
    weights: Mapping[str, Any], content: Content, order: str, what: str
) -> dict[str, Array]:
    """Arrays of tensors, whose storages are read one by one."""
    by_storage: dict[Storage, list[str]] = {}
    total, largest = 0, 0
    for name, tensor in weights.items():
        by_storage.setdefault(tensor.storage, []).append(name)
        total += tensor.size
        largest = max(largest, tensor.storage.size)
    check_memory(what.partition(" cannot")[0], {"its arrays": total, "a storage": largest},
                 "a smaller file")  # fmt: skip
    made: dict[str, Array] = {}
    for storage, names in by_storage.items():
        kept = content(storage)
        made.update({name: array_of(weights[name], kept, order) for name in names})
    return {name: made[name] for name in weights}
