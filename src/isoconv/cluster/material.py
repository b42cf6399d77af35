"""The data of a training as its workers get them: packed files where they lie, else copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.cluster.connection import Connection
from isoconv.data.pack_file import PackedRows, Rowed, open_pack
from isoconv.errors import DataFileError, IsoconvError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.rows import rows_behind


@dataclass(frozen=True, slots=True)
class PackPlace:
    """Where images lie that a node may see as the driver does.

    Attributes:
        name: of the array, whose rows these are.
        path: of the packed file.
        size: bytes of it.
        sha256: of the digests of its blocks and its description.
        what: the rows are of: images, or classes of places.
    """

    name: str
    path: str
    size: int
    sha256: str
    what: Rowed = "images"


class SharedRows(PackedRows):
    """Images of a packed file that all nodes see: its blocks are checked as they are read.

    Each node reads its part of each batch. To go through the whole file before the first step, as a
    training on one machine does, would have all nodes read all of it from the one place.
    """

    def ready(self) -> None:
        """See that the file is as it was.

        Raises:
            DataFileError: it is not.
        """
        self.file.check_unchanged()


def unseen(packs: Sequence[PackPlace]) -> dict[str, str]:
    """The packed files that are not here what they are at the driver, and why, by their paths."""
    found = {}
    for pack in packs:
        try:
            _rows(pack, np.zeros(0, np.int64))
        except IsoconvError as error:
            found[pack.path] = str(error)
    return found


def opened(packs: Sequence[PackPlace], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays, with the rows of packed files where there were the numbers of these rows.

    Raises:
        DataFileError: here it is another file.
    """
    return {**arrays, **{pack.name: _rows(pack, arrays[pack.name]) for pack in packs}}


def _rows(pack: PackPlace, numbers: Array) -> Any:
    file = open_pack(Path(pack.path))
    if (file.size, file.sha256) != (pack.size, pack.sha256):
        raise DataFileError(
            f"{pack.path} must be the driver's, {pack.size} bytes of sha256:{pack.sha256}; it has "
            f"{file.size} bytes of sha256:{file.sha256}"
        )
    return SharedRows(file, numbers, pack.what)


class Material:
    """The data, in the driver's hands.

    What a packed file holds is read from there by whoever sees that file. A copy of it is made for
    the first one who does not.

    Args:
        connection: to the cluster.
        data: the data set's arrays.

    Attributes:
        packs: the packed files of which rows are taken.
        kept: bytes that lie in the object store of every node.
    """

    def __init__(self, connection: Connection, data: Mapping[str, Any]) -> None:
        self._put = connection.put
        self._data = data
        self._places: dict[str, PackPlace] = {}
        self._small: dict[str, Array] = {}
        for name, array in data.items():
            rows = rows_behind(array)
            if isinstance(rows, PackedRows):
                file = rows.file
                path = str(file.path.absolute())
                self._places[name] = PackPlace(name, path, file.size, file.sha256, rows.what)
                self._small[name] = rows.numbers
            else:
                # Rows of a larger array as they are counted.
                self._small[name] = np.ascontiguousarray(array)
        self.packs = tuple(self._places.values())
        self.kept = _bytes(self._small.values())
        self._references = {name: self._put(array) for name, array in self._small.items()}
        self._digests: dict[frozenset[str], str] = {}
        self._copies: dict[str, Any] = {}

    def copied(self, paths: Mapping[str, str]) -> int:
        """Bytes of what is copied for who does not see the packed files at these paths."""
        return _bytes(self._data[pack.name] for pack in self.packs if pack.path in paths)

    def given(self, paths: Mapping[str, str]) -> tuple[Any, ...]:
        """What `Worker.prepare` is given of the data by who does not see these packed files.

        Returns:
            Digest and names of the arrays, the packed files that are seen, and references to the
            arrays; of rows of these files their numbers.

        Raises:
            NotEnoughMemoryError: there is no room for a copy on this machine.
        """
        apart = frozenset(pack.name for pack in self.packs if pack.path in paths)
        for name in apart - set(self._copies):
            self._copies[name] = self._put(np.ascontiguousarray(self._data[name]))
        if apart not in self._digests:
            whole = {name: self._data[name] if name in apart else each
                     for name, each in self._small.items()}  # fmt: skip
            self._digests[apart] = storage.digest(whole)
        seen = tuple(pack for pack in self.packs if pack.name not in apart)
        arrays = {**self._references, **{name: self._copies[name] for name in apart}}
        return (self._digests[apart], tuple(arrays), seen, *arrays.values())


def _bytes(arrays: Any) -> int:
    total = 0
    for array in arrays:
        total += array.nbytes
    return total
