"""Files of PyTorch's: read to the number, and nothing of them executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import exchange, memory
from isoconv.errors import ArgumentError, CheckpointError, NotEnoughMemoryError
from isoconv.exchange.pickled import read_pickle
from isoconv.exchange.torch_tensors import MAKERS, Storage
from isoconv.graph.operation import Array

FILES = Path(__file__).parent / "torch_files"


def ramp(*shape: int) -> Array:
    """Eighths from -1 on, as `make_torch_files` has them."""
    return (np.arange(np.prod(shape, dtype=int), dtype=np.float32) / 8 - 1).reshape(shape)


EXPECTED: dict[str, Array] = {
    "plain": ramp(2, 3),
    "transposed": ramp(3, 2).T,
    "channels_last": ramp(2, 3, 4, 5),
    "part": ramp(4, 6)[1:3, 2:],
    "column": ramp(4, 6)[:, 1],
    "every_second": ramp(9)[1::2],
    "repeated": np.repeat(ramp(3, 1), 4, axis=1),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "double": ramp(3).astype(np.float64),
    "half": ramp(3),
    "bfloat16": ramp(2, 3).T,
    "long": np.arange(4),
    "byte": np.arange(4, dtype=np.uint8),
    "bool": np.array([True, False]),
    "parameter": ramp(2),
}


@pytest.mark.parametrize("name", ["tensors.pt", "tensors.pth", "protocol4.pt"])
def test_every_kind_of_tensor(name: str) -> None:
    """Views, transposes and repeats are what PyTorch sees; 16 bits are widened; order is kept."""
    found = exchange.load_torch(FILES / name)
    assert list(found) == list(EXPECTED)
    for key, array in EXPECTED.items():
        assert found[key].dtype == array.dtype, key
        assert found[key].flags.c_contiguous, key
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_safetensors_of_16_bits(tmp_path: Path) -> None:
    """They are widened, too: PyTorch's bfloat16 are the upper halves of float32."""
    wide = ramp(2, 3)
    upper = (wide.view(np.uint32) >> 16).astype("<u2")
    data = wide.astype("<f2").tobytes() + upper.tobytes()
    entries = {
        name: {"dtype": kind, "shape": [2, 3], "data_offsets": [start, start + 12]}
        for name, kind, start in (("half", "F16", 0), ("brain", "BF16", 12))
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    for array in exchange.load_torch(tmp_path / "x.safetensors").values():
        assert array.dtype == np.float32
        assert (array == wide).all()


@pytest.mark.parametrize(("left", "told"), [
    (-1_200_000, "the file must be whole, and is cut off: 0.8 of 2.0 MB of its arrays are there"),
    (20, "it is cut off: 12 of 72 bytes of its header"),
])  # fmt: skip
def test_safetensors_that_are_cut_off(left: int, told: str, tmp_path: Path) -> None:
    """How much is there, as much as can be known."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [2000000], "data_offsets": [0, 2000000]}})
    content = struct.pack("<Q", 72) + header.encode() + bytes(2_000_000)
    (tmp_path / "x.safetensors").write_bytes(content[:left])
    for read in (exchange.load_torch, ic.load):
        with pytest.raises(CheckpointError) as caught:
            read(tmp_path / "x.safetensors")
        assert told in str(caught.value)


@pytest.mark.parametrize("ending", ["pt", "pth"])
def test_weights_within_others(ending: str) -> None:
    """A dictionary of tensors is found in a checkpoint; of two the one that is asked for."""
    plain = exchange.load_torch(FILES / f"network.{ending}")
    nested = exchange.load_torch(FILES / f"nested.{ending}")
    assert list(plain) == list(nested)
    assert all((plain[name] == nested[name]).all() for name in plain)
    assert exchange.load_torch(FILES / f"two.{ending}", "ema")["a"].shape == (3,)
    for key in (None, "other"):
        with pytest.raises(ArgumentError, match="'model', 'ema'") as caught:
            exchange.load_torch(FILES / f"two.{ending}", key)
        assert caught.value.fields["argument"] == "key"


def test_whole_networks_are_refused() -> None:
    """The classes are named, and the message says how to save weights."""
    with pytest.raises(CheckpointError, match=r"BatchNorm2d.*nothing was executed") as caught:
        exchange.load_torch(FILES / "whole.pt")
    assert "torch.save(model.state_dict(), path)" in str(caught.value)
    assert caught.value.path == FILES / "whole.pt"


# Files that were made to do harm


class Harm:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def archive(content: bytes, data: dict[str, bytes] | None = None, **settings: Any) -> bytes:
    """A file of the newer format around a pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **settings) as file:
        file.writestr("x/data.pkl", content)
        for name, part in (data or {"0": bytes(16)}).items():
            file.writestr(f"x/data/{name}", part)
    return stream.getvalue()


def tensor(
    shape: bytes = b"(K\x04t", strides: bytes = b"(K\x01t", offset: bytes = b"K\x00",
    count: bytes = b"K\x04", kind: bytes = b"FloatStorage", key: bytes = b"0", marks: bytes = b"",
) -> bytes:  # fmt: skip
    """A pickle of a dictionary with one tensor, each part of which may be another."""
    name = b"X" + struct.pack("<I", len(key)) + key
    storage = b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\n" + name + b"X\x03\x00\x00\x00cpu"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + count + b"tQ" + offset
    return b"\x80\x02}X\x01\x00\x00\x00a" + made + shape + strides + b"\x89}" + marks + b"tRs."


def test_a_tensor_by_hand(tmp_path: Path) -> None:
    """The pickle that the cases below spoil is a good one."""
    (tmp_path / "x.pt").write_bytes(archive(tensor(), {"0": ramp(4).tobytes()}))
    assert (exchange.load_torch(tmp_path / "x.pt")["a"] == ramp(4)).all()


BIG = b"\x8a\x09" + (2**62).to_bytes(9, "little")
LEGACY = b"".join(
    pickle.dumps(value, 2)
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)  # fmt: skip
BAD = {
    "a call": (archive(pickle.dumps({"a": Harm(os.mkdir, "harm")}, 2)), "posix.mkdir|nt.mkdir"),
    "a call of eval": (archive(pickle.dumps(Harm(eval, "1"), 4)), r"builtins\.eval|__builtin__"),
    "calls in the older format": (
        LEGACY + pickle.dumps({"a": Harm(os.mkdir, "harm"), "b": Harm(print)}, 2)
        + pickle.dumps([], 2), "mkdir, .*print",
    ),
    "more than its storage": (archive(tensor(shape=b"(K\x05t")), "within its storage"),
    "an offset behind it": (archive(tensor(offset=b"K\x01")), "within its storage"),
    "long strides": (archive(tensor(strides=b"(" + BIG[:-1] + b"\x00t")), "within|2\\^62"),
    "a negative stride": (archive(tensor(strides=b"(J\xff\xff\xff\xfft")), "whole number from 0"),
    "a size that overflows": (
        archive(tensor(shape=b"(" + BIG + b"t", strides=b"(K\x00t")), r"2\^62"),
    "a product that overflows": (
        archive(tensor(shape=b"(" + b"J\xff\xff\xff\x7f" * 9 + b"t", strides=b"(" + b"K\x00" * 9
                       + b"t")), "fits into memory"),
    "numbers to be negated": (
        archive(tensor(marks=b"}X\x03\x00\x00\x00neg\x88s")), "marked as negated.*resolve_neg",
    ),
    "no strides": (archive(tensor(strides=b")")), "a stride for each"),
    "a size that is true": (archive(tensor(shape=b"(\x88t")), "whole number from 0"),
    "a storage that lies": (archive(tensor(count=b"K\x7f")), "data/0 in its archive must have 508"),
    "no such storage": (archive(tensor(key=b"../../etc/passwd")), "has no data/"),
    "a compiled network": (archive(b"\x80\x02c__torch__\nNet\n)\x81."), "__torch__.Net.*state_di"),
    "complex numbers": (archive(tensor(kind=b"ComplexFloatStorage")), "torch.ComplexFloatStorage"),
    "no end": (archive(tensor()[:-1]), "pickle exhausted|has no end|truncated"),
    "nothing on the stack": (archive(b"\x80\x02R."), "never made"),
    "an unknown memory": (archive(b"\x80\x02h\x07."), "never made"),
    "a key of keys": (archive(b"\x80\x02})" + b"\x85" * 100_000 + b"Ns."), "texts or numbers"),
    "a long key": (archive(b"\x80\x02}(" + b"N" * 33 + b"tNs."), "texts or numbers"),
    "a long number": (archive(b"\x80\x02\x8b\x00\x00\x00\x00."), "need no LONG4"),
    "an escape": (archive(b"\x80\x02cos\\h\nmkdir\n."), "no backslash"),
    "a long name": (
        archive(b"\x80\x04" + pickle.dumps("a" * 999, 4)[2:-1] * 2 + b"\x93."), "1000 bytes",
    ),
    "instructions for classes": (archive(b"\x80\x02(i__main__\nx\n."), "need no INST"),
    "an extension": (archive(b"\x80\x02\x82\x01."), "need no EXT1"),
    "a number": (archive(pickle.dumps(1, 2)), "no dictionary from names to tensors"),
    "a packed archive": (archive(tensor(), compression=zipfile.ZIP_DEFLATED), "packed"),
    "no pickle": (archive(b"").replace(b"data.pkl", b"data.abc"), "without PyTorch's data.pkl"),
    "another pickle": (pickle.dumps({"a": [1]}, 2), "none of PyTorch's"),
    "an older tar": (b"sys_info".ljust(257, b"\0") + b"ustar".ljust(255, b"\0"), "before 2017"),
    "a truncated archive": (archive(tensor())[:-30], "cannot be read as weights"),
    "a truncated older file": ((FILES / "network.pth").read_bytes()[:-1], "truncated"),
    "no file of weights": (b"hello", "cannot be read"),
    "nothing": (b"", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one clear error that names the file, and runs nothing."""
    monkeypatch.chdir(tmp_path)
    content, said = BAD[case]
    file = tmp_path / "x.pt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        exchange.load_torch(file)
    assert caught.value.path == file
    assert "x.pt" in str(caught.value)
    assert list(tmp_path.iterdir()) == [file]


def test_memory_is_asked_for_before_it_is_taken(tmp_path: Path) -> None:
    """A few bytes repeated by strides of 0 may stand for more than there is."""
    many = archive(tensor(shape=b"(J\x00\x00\x00\x40K\x10t", strides=b"(K\x00K\x00t"))
    (tmp_path / "x.pt").write_bytes(many)
    before = memory.set_limit(2**31)
    try:
        with pytest.raises(NotEnoughMemoryError, match=r"x\.pt needs at least 64"):
            exchange.load_torch(tmp_path / "x.pt")
    finally:
        memory.set_limit(before)


def test_dictionaries_of_python_2(tmp_path: Path) -> None:
    """They are made of a list of pairs, each list once, for else a few bytes could make much."""
    pair = b"](X\x01\x00\x00\x00a" + tensor().partition(b"X\x01\x00\x00\x00a")[2][:-2] + b"e"
    start = b"\x80\x02ccollections\nOrderedDict\nq\x01](" + pair + b"eq\x02\x85R"
    (tmp_path / "x.pt").write_bytes(archive(start + b".", {"0": ramp(4).tobytes()}))
    assert (exchange.load_torch(tmp_path / "x.pt")["a"] == ramp(4)).all()
    again = b"\x80\x02](" + start[2:] + b"h\x01h\x02\x85R" * 2 + b"e."
    (value,) = {len(each) for each in read_pickle(io.BytesIO(again), MAKERS, Storage.of, {})[1:]}
    assert value == 0


def test_containers_that_hold_themselves(tmp_path: Path) -> None:
    """Each is looked into once, however often and deep it stands in others."""
    value: Any = OrderedDict()
    for _ in range(200):
        value = OrderedDict((str(number), value) for number in range(10))
    itself = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."
    for content in (pickle.dumps(value, 2), itself):
        (tmp_path / "x.pt").write_bytes(archive(content))
        with pytest.raises(CheckpointError, match="no dictionary from names"):
            exchange.load_torch(tmp_path / "x.pt")
