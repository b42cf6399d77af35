"""ONNX files of strangers: whole, or refused with one error before anything is computed."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from tests.exchange.onnx.graphs import made, node, random, written

from isoconv.errors import CheckpointError, IsoconvError
from isoconv.exchange import from_onnx
from isoconv.exchange.onnx import wire
from isoconv.exchange.onnx.reader import open_onnx


def small(**changes: Any) -> Any:
    """A convolution and an activation."""
    settings = {
        "nodes": [node("Conv", "x w", "c"), node("Relu", "c", "y")],
        "sides": (1, 3, 5, 5), "arrays": {"w": random(1, 4, 3, 2, 2)}, **changes,
    }  # fmt: skip
    return made(**settings)


KINDS = ["float32", "float64", "float16", "uint8", "int8", "uint16", "int16", "int32", "int64",
         "uint32", "uint64", "bool"]  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_are_read_in_every_way_of_writing(kind: str, packed: bool, tmp_path: Path) -> None:
    """Arrays of each kind come out as they went in, from raw bytes and from fields of a kind."""
    array = np.array([[0, 1, 2], [100, 3, 7]]).astype(kind)
    if kind.startswith("int"):
        array[0, 0] = -5
    tensor = numpy_helper.from_array(array, "a")
    if packed:
        tensor = helper.make_tensor("a", tensor.data_type, array.shape, array.ravel().tolist())
    model = small()
    model.graph.initializer.append(tensor)
    found = open_onnx(written(tmp_path, model)).arrays["a"]
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_halves_of_float32_are_read(tmp_path: Path) -> None:
    """bfloat16 is the upper half of a float32 number."""
    model = small()
    values = [1.0, -2.5, 0.15625]
    model.graph.initializer.append(helper.make_tensor("a", TensorProto.BFLOAT16, (3,), values))
    found = open_onnx(written(tmp_path, model)).arrays["a"]
    assert found.dtype == np.float32
    assert found.tolist() == values


def outside(folder: Path, location: str = "weights.bin", **changes: str) -> Any:
    """A model whose weights lie in a file beside it."""
    model = small()
    external_data_helper.convert_model_to_external_data(
        model, location="weights.bin", size_threshold=0
    )
    (folder / "weights.bin").write_bytes(b"." * 7 + random(1, 4, 3, 2, 2).tobytes())
    (tensor,) = model.graph.initializer
    external_data_helper.set_external_data(tensor, location, offset=7, length=192)
    tensor.ClearField("raw_data")
    for entry in tensor.external_data:
        entry.value = changes.get(entry.key, entry.value)
    return model


def test_external_data_are_read(tmp_path: Path) -> None:
    """Weights in a file beside the model are those that stand there, from the offset on."""
    found = open_onnx(written(tmp_path, outside(tmp_path))).arrays["w"]
    assert np.array_equal(found, random(1, 4, 3, 2, 2))


def _link(folder: Path) -> Any:
    (folder / "link.bin").symlink_to("/proc/version")
    return outside(folder, "link.bin")


def _nan(_: Path) -> Any:
    array = random(1, 4, 3, 2, 2)
    array[1, 2, 0, 1] = np.nan
    return small(arrays={"w": array})


def _named_twice(_: Path) -> Any:
    return small(nodes=[node("Relu", "x", "y"), node("Tanh", "x", "y")], arrays={})


def _circle(_: Path) -> Any:
    return small(nodes=[node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")],
                 arrays={})  # fmt: skip


def _sparse(_: Path) -> Any:
    model = small()
    values = helper.make_tensor("s", TensorProto.FLOAT, (1,), [1.0])
    places = helper.make_tensor("p", TensorProto.INT64, (1,), [1])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    return model


def _function(_: Path) -> Any:
    model = small()
    opset = [helper.make_opsetid("", 17)]
    own = helper.make_function("own", "Twice", ["x"], ["y"], [node("Add", "x x", "y")], opset)
    model.functions.append(own)
    return model


def _huge(_: Path) -> Any:
    model = small()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**31 - 1] * 3)
    return model


def _short(_: Path) -> Any:
    model = small()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-1]
    return model


FAULTS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda _: small(opset=5), "its operators must be of a version from 6 to 28; got 5"),
    (lambda _: small(opset=99), "its operators must be of a version from 6 to 28; got 99"),
    (
        lambda f: outside(f, "../weights.bin"),
        "must lie in the model's folder; got '../weights.bin'",
    ),
    (lambda f: outside(f, "/etc/passwd"), "must lie in the model's folder; got '/etc/passwd'"),
    (lambda f: outside(f, ""), "must lie in the model's folder; got ''"),
    (_link, "must lie in the model's folder; got 'link.bin'"),
    (
        lambda f: outside(f, "no.bin"),
        "array 'w': external data must lie beside the model; 'no.bin' is missing",
    ),
    (
        lambda f: outside(f, length="9" * 15),
        "must have 192 bytes; got a length of 999,999,999,999,999",
    ),
    (lambda f: outside(f, offset="-1"), "the offset of its external data must be a whole number"),
    (lambda f: outside(f, offset="70"), "must have 192 bytes from 70 on; weights.bin has 129"),
    (_nan, "array 'w': weights must be finite; it holds NaN or infinity"),
    (
        lambda _: small(arrays={"w": np.full((4, 3, 2, 2), 1e200)}),
        "array 'w': weights must be at most 3.4e+38 in size, the greatest float32 number",
    ),
    (
        lambda _: small(
            nodes=[node("Clip", "x low", "y")], arrays={"low": np.array(np.inf, np.float32)}
        ),
        "Clip 'of y': its min must leave numbers; got inf",
    ),
    (_named_twice, "Tanh 'of y': each value must have a name of its own; 'y'"),
    (_circle, "its graph must have no cycle; nodes read each other's results in one"),
    (_sparse, "its arrays must be dense; it has sparse initializers"),
    (_function, "it must have no functions of its own"),
    (_huge, "array 'w': its shape must be one that fits into memory; got [2147483647, "),
    (_short, "array 'w': it must have 192 bytes, as float32 of shape [4, 3, 2, 2]; got 191"),
    (lambda _: small(arrays={}), "Conv 'of c': what it reads must be there; 'w' is not"),
    (lambda _: small(outputs="z"), "result 'z': a node must give it; none does"),
]


@pytest.mark.parametrize(("spoiled", "text"), FAULTS)
def test_what_is_wrong_with_a_file_is_told(
    spoiled: Callable[[Path], Any], text: str, tmp_path: Path
) -> None:
    """A file that cannot be a network is refused with the place, the rule and what is there."""
    path = written(tmp_path, spoiled(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        from_onnx(path)
    assert text in str(caught.value)
    assert caught.value.path == path


OTHERS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "it is a pointer of Git LFS",
    b"\n<!DOCTYPE html><html><body>Not found</body></html>": r"it is a web page \(HTML\)",
    b"{'model': 1}\n": "it is text",
    b"PK\3\4\0\0": "it is an archive",
}


@pytest.mark.parametrize("content", OTHERS)
def test_a_file_of_another_kind_is_named(content: bytes, tmp_path: Path) -> None:
    """What is no ONNX file is called what it is."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"it must be an ONNX file; {OTHERS[content]}"):
        from_onnx(path)


def test_arrays_with_the_same_fault_are_told_once(tmp_path: Path) -> None:
    """Arrays of a kind that is not read stand in one line, without what follows from them."""
    model = small()
    for name in "mnop":
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT4, (2,), [1, 2]))
    model.graph.node.append(node("Add", "y m", "z"))
    with pytest.raises(CheckpointError) as caught:
        from_onnx(written(tmp_path, model))
    end = (
        "network: arrays 'm', 'n', 'o' and 1 more: elements must be floats, whole numbers of 8 to "
        "64 bits, or bool; got int4"
    )
    assert str(caught.value).endswith(end)


def test_several_faults_are_one_error(tmp_path: Path) -> None:
    """All faults of a file stand in one message."""
    model = small(opset=99, outputs="z")
    model.graph.initializer.append(numpy_helper.from_array(np.array([np.nan]), "n"))
    with pytest.raises(CheckpointError, match=r"got 99 .* \| array 'n': .* \| result 'z': "):
        from_onnx(written(tmp_path, model))


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    """Of a file cut off anywhere nothing is read: each cut is one error, and none is a crash."""
    content = small().SerializeToString()
    path = tmp_path / "cut.onnx"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            from_onnx(path)


def test_spoiled_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """A file in which a byte was changed is a network or one of isoconv's errors."""
    content = np.frombuffer(small().SerializeToString(), np.uint8)
    path = tmp_path / "spoiled.onnx"
    dice = np.random.RandomState(0)
    for _ in range(400):
        spoiled = content.copy()
        spoiled[dice.randint(len(content))] = dice.randint(256)
        path.write_bytes(spoiled.tobytes())
        try:
            from_onnx(path)
        except IsoconvError as error:
            assert str(error)  # noqa: PT017 - another exception is the failure


def message(number: int, content: bytes) -> bytes:
    """A message inside another one."""
    size, varint = len(content), b""
    while size > 127:
        size, varint = size >> 7, varint + bytes([size & 127 | 128])
    return bytes([number << 3 | 2]) + varint + bytes([size]) + content


def test_many_empty_messages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes, attributes or sides of two bytes each are counted before they fill the memory."""
    monkeypatch.setattr(wire, "MOST_FIELDS", 5000)
    path = tmp_path / "bomb.onnx"
    for inside in (b"\x0a\x00", b"\x0a\x02\x2a\x00", b"\x2a\x02\x08\x01"):
        path.write_bytes(b"\x08\x08" + message(7, inside * 10_000) + message(8, b"\x10\x0d"))
        with pytest.raises(CheckpointError, match="it must have at most 5,000 fields; it"):
            open_onnx(path)


def test_arrays_out_of_nothing_take_no_memory(tmp_path: Path) -> None:
    """A graph that fills an array of a terabyte is refused by what memory there is."""
    nodes = [node("ConstantOfShape", "shape", "w"), node("Conv", "x w", "y")]
    path = written(tmp_path, small(nodes=nodes, arrays={"shape": np.array([2**36, 3, 2, 2])}))
    with pytest.raises(IsoconvError, match=r"needs at least .* of memory"):
        from_onnx(path)


def test_arrays_that_double_one_another_are_counted(tmp_path: Path) -> None:
    """A chain of forty concatenations of one array with itself is refused when it is too large."""
    chain = [node("Concat", f"t{n} t{n}", f"t{n + 1}", axis=0) for n in range(40)]
    arrays = {"t0": np.ones(10, np.float32)}
    path = written(tmp_path, small(nodes=[*chain, node("Add", "x t40", "y")], arrays=arrays))
    with pytest.raises(CheckpointError, match=r"of t2\d.*must not be much larger"):
        from_onnx(path)


BOMBS = {
    r"Gather 'of y': places must be at most 1,048,576; got 4,000,000": [
        node("Gather", "x zeros", "y", axis=3)
    ],
    r"Gather 'of t': .* must not be much larger": [
        node("Gather", "wide zeros", "t"), node("Add", "x t", "y")
    ],
    r"Tile 'of t': .* must not be much larger": [
        node("Tile", "zeros many", "t"), node("Gather", "x t", "y", axis=3)
    ],
    r"Add 'of t': .* must not be much larger": [
        node("ConstantOfShape", "many", "f"), node("Add", "f f", "t"), node("Add", "x t", "y")
    ],
    r"Add 'of y': .* must not be much larger": [
        node("ConstantOfShape", "many", "f"), node("Add", "x f", "y")
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", BOMBS)
def test_what_is_too_large_is_refused_before_it_is_made(text: str, tmp_path: Path) -> None:
    """Nodes that ask for many places or gigabytes are refused at once, and take no memory."""
    arrays = {"zeros": np.zeros(4_000_000, np.int64), "many": np.array([2**28]),
              "wide": np.zeros((1, 999), np.float32)}  # fmt: skip
    path = written(tmp_path, small(nodes=BOMBS[text], sides=(1, 1, 1, 1), arrays=arrays))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=text):
        from_onnx(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 2**19
