"""Which samples a run was given: kept as a list, recognised later."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoconv.data import Dataset, Samples
from isoconv.data.samples import Sample, changes_of_parts, sample_digests
from isoconv.errors import DataError


def dataset(values: list[int], labels: list[int], paths: list[str] | None = None) -> Dataset:
    """Images of one pixel, of classes a, b and c."""
    pixels = np.array(values, np.uint8).reshape(-1, 1, 1)
    data = Dataset.from_arrays(pixels, labels, ["a", "b", "c"])
    return replace(data, paths=tuple(paths or ()))


def test_digests_are_the_written_order() -> None:
    """SHA-256 over a line of dtype and shape and the values, little-endian."""
    data = Dataset.from_arrays(np.array([[[1.5, -2.0]], [[0, 1]]], np.float32), [0, 1])
    expected = [
        hashlib.sha256(b"image float32 1x2x1\n" + image.astype("<f4").tobytes()).hexdigest()
        for image in data.images
    ]
    assert sample_digests(data) == expected


# Names of files as Python gives them: any bytes but NUL and the slash, and text of any kind.
file_names = st.binary(max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HOSTILE = ["", ",", '"', '""', "\n", "\r", "\r\n", 'a"b,c\nd', " x ", "é", os.fsdecode(b"\xe9\xff"),
           "part,class,sha256,path", "\x1b[2J", "\u2028", "=1+1"]  # fmt: skip
names = st.sampled_from(HOSTILE) | file_names | texts


@given(
    st.lists(
        st.builds(
            Sample,
            st.sampled_from(["train", "validation", "test"]),
            names,
            st.text("0123456789abcdef", min_size=64, max_size=64),
            names,
        ),
        max_size=8,
    )
)
def test_list_round_trip(rows: list[Sample]) -> None:
    """Whatever names there are, the list comes back from its bytes."""
    samples = Samples(rows)
    assert Samples.read(samples.content(), "samples.csv").rows == tuple(rows)
    assert len(samples) == len(rows)


def test_list_is_readable() -> None:
    """A line for each sample; only names that need them have quotes; odd bytes are as they are."""
    rows = [
        Sample("train", "cat", "0" * 64, "cat/1.png"),
        Sample("test", 'a "b", c', "1" * 64, os.fsdecode(b"caf\xe9")),
    ]
    expected = b"part,class,sha256,path\ntrain,cat,%b,cat/1.png\n" % (b"0" * 64)
    expected += b'test,"a ""b"", c",%b,caf\xe9\n' % (b"1" * 64)
    assert Samples(rows).content() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with the line part,class,sha256,path"),
        (b"part,class,path\n", "must begin with the line"),
        (b"part,class,sha256,path\ntrain,a,0\n", "line 2: expected part,class,sha256,path; got"),
        (b"part,class,sha256,path\ntrain,a,0,p\nother,a,0,p\n", r"line 3: .*got \['other'"),
        (b'part,class,sha256,path\ntrain,"a,0,p\n', "cannot be read: unexpected end of data"),
        (b'part,class,sha256,path\ntrain,"a"b,0,p\n', "cannot be read: "),
    ],
)
def test_damaged_lists_are_refused(content: bytes, message: str) -> None:
    """What is no such list is an error that names it and the line."""
    with pytest.raises(DataError, match=f"samples.csv.*{message}"):
        Samples.read(content, "samples.csv")


def test_rows_of_parts() -> None:
    """Each sample has its part, class, digest and path; without paths its number."""
    first = dataset([1, 2], [0, 2], ["x", "y"])
    second = Dataset.from_arrays(np.zeros((1, 1, 1), np.uint8), np.array([0.5], np.float32))
    rows = Samples.of({"train": first, "test": second}).rows
    assert [(row.part, row.class_name, row.path) for row in rows] == [
        ("train", "a", "x"),
        ("train", "c", "y"),
        ("test", "", "0"),
    ]
    assert [row.sha256 for row in rows] == sample_digests(first) + sample_digests(second)


def test_membership() -> None:
    """Images are recognised by their values, in whatever order, class or place."""
    train, test = dataset([1, 2, 3, 3], [0, 0, 1, 1]), dataset([3, 9], [1, 2])
    samples = Samples.of({"train": train, "test": test})
    seen = samples.membership(dataset([3, 2, 7], [0, 1, 2]))
    assert seen.parts == (frozenset({"train", "test"}), frozenset({"train"}), frozenset())
    assert seen.numbers("train").tolist() == [0, 1]
    assert (seen.count("train"), seen.count("test"), seen.count("validation")) == (2, 1, 0)
    assert not seen.same
    assert samples.membership(dataset([9, 3, 3, 3, 2, 1], [0] * 6)).same
    assert not samples.membership(dataset([9, 3, 3, 2, 1, 1], [0] * 6)).same


def test_select_finds_the_parts_again() -> None:
    """The parts of a run come out of all samples of the source, in their order."""
    whole = dataset([1, 2, 3, 4], [0, 1, 2, 0], list("pqrs"))
    samples = Samples.of({"train": whole.subset([2, 0]), "test": whole.subset([1])})
    parts = samples.select(whole.subset([3, 2, 1, 0]))
    assert parts is not None
    assert parts["train"].paths == ("r", "p")
    assert parts["test"].paths == ("q",)
    assert "validation" not in parts
    for changed in (
        dataset([1, 2, 9], [0, 1, 2], list("pqr")),
        dataset([1, 2, 3], [0, 1, 1], list("pqr")),
        dataset([1, 2, 3], [0, 1, 2], list("pqx")),
    ):
        assert samples.select(changed) is None


def test_changes_are_told() -> None:
    """New, moved, changed, reclassified and missing samples each have their line."""
    before = dataset([1, 2, 3, 4, 5], [0, 0, 1, 1, 2], ["keep", "move\n", "alter", "class", "lose"])
    samples = Samples.of({"train": before})
    now = dataset([1, 2, 8, 4, 7], [0, 0, 1, 2, 2], ["keep", "moved", "alter", "class", "new"])
    assert samples.changes(before) == []
    assert samples.changes(now) == [
        "lose (class 'c') of the train part is not in the data any more",
        r"moved (class 'a') was move\n (class 'a')",
        "alter (class 'b') holds another picture than in training",
        "class (class 'c') was of class 'b'",
        "new (class 'c') is new",
    ]


def test_changes_over_all_parts() -> None:
    """A file is gone though its image is there once more; what was split anew shares a line."""
    paths = ["p", "q", "r", "s", "t"]
    whole = dataset([1, 2, 2, 4, 5], [0, 1, 1, 0, 2], paths)
    known = Samples.of({"train": whole.subset([0, 1, 2]), "test": whole.subset([3, 4])})

    def changes(train: list[int], test: list[int]) -> list[str]:
        return changes_of_parts(known, {"train": whole.subset(train), "test": whole.subset(test)})

    assert changes([0, 1, 2], [3, 4]) == []
    assert changes([3, 0], [4, 1]) == [
        "r (class 'b') of the train part is not in the data any more",
        "2 samples lie in another part than in training: first s (class 'a'), test then, train now",
    ]
    # Without paths each part counts its own.
    bare = dataset([1, 2], [0, 1]), dataset([3], [2])
    parts = dict(zip(("train", "test"), bare, strict=True))
    less = {**parts, "train": bare[0].subset([0])}
    (line,) = changes_of_parts(Samples.of(parts), less)
    assert line == "1 (class 'b') of the train part is not in the data any more"
