"""Errors carry what they know beside their text, through copies, pickles and other errors."""

from __future__ import annotations

import copy
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv
from isoconv import errors, nn
from isoconv.checks import check_count, check_paths, entries, refusal
from isoconv.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DataFileError,
    IsoconvError,
    Known,
    MissingExtraError,
    NotFiniteError,
    ShapeError,
    about,
    as_given,
    in_file,
    turned,
)
from isoconv.graph.passes import check_passes, checked_pass
from isoconv.ops import Constant
from isoconv.ops.check import shape_error
from isoconv.wording import spoken_on_the_command_line

KINDS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, IsoconvError)
]
FULL: Known = {
    "layer": "0.conv", "operation": "conv", "inputs": {"x": (3, 3)}, "argument": "stride",
    "value": (0, 1), "path": Path("run"), "line": 4, "row": 7, "epoch": 2, "step": 3,
    "learning_rate": 0.5,
}  # fmt: skip


def unpickled(error: Any) -> Any:
    """What comes out of a pickle of an error."""
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - of this process alone


def test_the_tree_is_drawn() -> None:
    """The module's documentation draws each error below the one that it is a kind of."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in str(errors.__doc__).splitlines():
        found = re.fullmatch(r"([│├└─ ]*)(\w+Error)(?:\s.*)?", line)
        if found:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else ""
    bases = {
        kind.__name__: "".join(b.__name__ for b in kind.__bases__ if b in KINDS) for kind in KINDS
    }
    assert drawn == bases


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_attributes(kind: type[IsoconvError]) -> None:
    """Every error takes every field by keyword, has None for the others, and changes no text."""
    error = kind("a text", **FULL)
    assert error.fields == FULL
    assert list(error.fields) == list(Known.__annotations__)
    assert {name: getattr(error, name) for name in FULL} == FULL
    assert str(error) == "a text"
    assert repr(error) == f"{kind.__name__}('a text')"
    empty = kind("a text")
    assert empty.fields == {}
    assert all(getattr(empty, name) is None for name in FULL)


def test_a_value_of_none_is_known() -> None:
    """What was given may have been None, which the fields tell from nothing."""
    assert ArgumentError("", value=None).fields == {"value": None}


def test_an_unknown_field_is_a_mistake() -> None:
    """A field that no error has is Python's own error of a call."""
    with pytest.raises(TypeError, match="an error has no field filename; see Known"):
        IsoconvError("a text", filename="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles(kind: type[IsoconvError]) -> None:
    """A copy and what comes out of a pickle have the text, the fields and the notes."""
    error = kind("rate is wrong", **FULL).within("layer 'a'")
    error.add_note("a note")
    for made in (copy.copy(error), copy.deepcopy(error), unpickled(error)):
        assert type(made) is kind
        assert made is not error
        assert str(made) == "layer 'a': rate is wrong"
        assert made.reason == "rate is wrong"
        assert made.fields == FULL
        assert made.__notes__ == ["a note"]


def test_what_cannot_be_pickled_is_shown() -> None:
    """A value that no pickle can hold is its text there, and itself in a copy."""
    lock = threading.Lock()
    error = NotFiniteError("a text", argument="x", value=lock, epoch=3)
    error.run = lambda: None
    found = unpickled(error)
    assert found.value == repr(lock)
    assert found.run == repr(error.run)
    assert (found.argument, found.epoch, str(found)) == ("x", 3, "a text")
    for made in (copy.copy(error), copy.deepcopy(error)):
        assert made.value is lock
        assert made.run is error.run


@pytest.mark.parametrize("kind", [ShapeError, MissingExtraError, DataFileError])
def test_within(kind: type[IsoconvError]) -> None:
    """A place stands in front of the text, and what was known nearer to the fault stays."""
    error = kind("must be 1", argument="x")
    assert error.within("conv", "; got 2", argument="y", operation="conv") is error
    error.within("layer 'a'", layer="a")
    assert str(error) == "layer 'a': conv: must be 1; got 2"
    assert error.reason == "must be 1"
    assert error.fields == {"layer": "a", "operation": "conv", "argument": "x"}
    assert str(error.within(row=3)) == "layer 'a': conv: must be 1; got 2"
    assert error.row == 3


def test_within_keeps_terminals_safe() -> None:
    """What is put around a text is escaped as the text is."""
    assert str(IsoconvError("a").within("\x1b[2J", "\x07")) == r"\x1b[2J: a\x07"


def test_given_values_and_names() -> None:
    """Values and names of arguments are those of the person, once somebody tells them."""
    error = ArgumentError("", argument="w", value=(3, 3))
    error.within(given={"x": 1, "weight": 2}, names={"w": "weight"})
    assert error.fields == {"argument": "weight", "value": 2}
    assert ArgumentError("").within(given={"x": 1}, names={"x": "y"}).fields == {}
    with pytest.raises(ArgumentError) as caught, as_given({"size": "side"}, side="3"):
        check_count("size", 0)
    assert caught.value.fields == {"argument": "side", "value": "3"}
    with pytest.raises(ArgumentError) as caught, about("train", [1]):
        check_count("size", 0)
    assert caught.value.fields == {"argument": "train", "value": [1]}
    with pytest.raises(ArgumentError) as caught, in_file(Path("a")), in_file(Path("b")):
        check_count("size", 0)
    assert caught.value.path == Path("b")


def test_errors_of_another_kind() -> None:
    """An error that tells of another one has its fields, and Python's errors have none."""
    inner = ArgumentError("rate is wrong", argument="rate", value=2, path="inner")
    found = turned(inner, CheckpointError, "run.json cannot be read", path="outer", line=3)
    assert type(found) is CheckpointError
    assert str(found) == "run.json cannot be read: rate is wrong"
    assert found.fields == {"argument": "rate", "value": 2, "path": "inner", "line": 3}
    assert turned(KeyError("x"), DataError, "a").fields == {}


def test_refusals() -> None:
    """A refusal names the argument in Python's words among its fields, whoever is spoken to."""
    error: ArgumentError = refusal("clip_norm", "be above 0", -1.0)
    assert str(error) == "clip_norm must be above 0; got -1.0"
    with spoken_on_the_command_line({"clip_norm": "--clip-norm"}):
        option = refusal("clip_norm", "be above 0", -1.0, ShapeError, got="less")
    assert str(option) == "--clip-norm must be above 0; got less"
    assert type(option) is ShapeError
    assert option.fields == error.fields == {"argument": "clip_norm", "value": -1.0}


def test_entries_are_named_with_their_place() -> None:
    """Of an argument with entries the error names the one that is wrong."""
    assert entries("shape", (3, 4)) == {"shape[0]": 3, "shape[1]": 4}
    with pytest.raises(ArgumentError) as caught:
        check_paths("files", ["a", 3])
    assert (caught.value.argument, caught.value.value) == ("files[1]", 3)


def test_operations_say_what_they_received() -> None:
    """A shape rule's error has the operation and its inputs; one input alone is to blame."""
    trace = nn.Trace()
    x, y = trace.images((4, 3)), trace.input("parameter", "y", (4, 2))
    with pytest.raises(ShapeError) as caught:
        trace.add("add", x, y)
    assert caught.value.operation == "add"
    assert caught.value.argument is None
    assert caught.value.inputs is not None
    assert [spec.shape for spec in caught.value.inputs.values()] == [(4, 3), (4, 2)]
    with pytest.raises(ArgumentError) as wrong:
        trace.add("relu", x, attrs=Constant(1.0))
    assert (wrong.value.operation, wrong.value.argument) == ("relu", "attrs")
    spec = trace.builder.spec(x.index)
    assert shape_error("relu", "x must be flat", x=spec).argument == "x"


def test_layers_are_named() -> None:
    """An error out of a layer is the very one that was raised, with the innermost layer's name."""
    raised: list[DataError] = []

    class Odd(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:  # noqa: ARG002
            raised.append(DataError("odd", argument="x", value=3))
            raise raised[-1]

    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), Odd()))
    with pytest.raises(DataError) as caught:
        model.build((4, 4, 1))
    assert caught.value is raised[0]
    assert caught.value.fields == {"layer": "1.1", "argument": "x", "value": 3}
    assert str(caught.value) == "layer '1.1', Odd(), on input (4, 4, 1): odd"
    with pytest.raises(ArgumentError) as alone:
        nn.Conv2d(0, 3).build((4, 4, 1))
    assert (alone.value.layer, alone.value.argument, alone.value.value) == ("", "filters", 0)


def test_functions_on_arrays_name_what_was_given() -> None:
    """The value is the list that a person gave, not the array that was made of it."""
    given: Any = [[1, 2], [3]]
    with pytest.raises(ShapeError) as caught:
        isoconv.relu(given)
    assert caught.value.argument == "x"
    assert caught.value.value is given
    rows = np.zeros((2, 3), np.float32)
    with pytest.raises(ShapeError) as shape:
        isoconv.softmax(rows[:, 0])
    assert shape.value.operation == "softmax"
    assert shape.value.argument == "x"
    assert isinstance(shape.value.value, np.ndarray)
    assert shape.value.value.shape == (2,)


def test_a_loss_that_is_not_finite() -> None:
    """The error says epoch, step, learning rate and the loss, each as a number."""
    images = np.arange(8 * 9, dtype=np.uint8).reshape(8, 3, 3, 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2), nn.Linear(2))
    trainer = isoconv.Trainer(
        model, optimizer=isoconv.optim.SGD(1e37), batch_size=2, progress=False, threads=1
    )
    with pytest.raises(NotFiniteError) as caught:
        trainer.fit((images, [0, 1] * 4), epochs=2)
    error = caught.value
    assert error.epoch == 1
    assert error.step is not None
    assert 1 < error.step <= 4
    assert not np.isfinite(error.value)
    assert f"at learning rate {error.learning_rate:g}." in str(error)
    assert f"it is {error.value} in epoch 1, step {error.step} of 4" in str(error)


def test_files_are_named(tmp_path: Path) -> None:
    """Errors of files hold the path; of several each with its reason; of lines their number."""
    file = tmp_path / "a.png"
    file.write_bytes(b"no picture")
    with pytest.raises(DataFileError) as caught:
        isoconv.data.read_image(file)
    assert caught.value.path == file
    assert caught.value.reason.startswith("not a whole image: ")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataFileError) as several:
        isoconv.data.read_pictures([file, tmp_path / "b.png"], isoconv.data.Reading())
    assert [Path(each.path).name for each in several.value.files] == ["a.png", "b.png"]
    assert several.value.files[1].reason == "empty (0 bytes)"
    archive = tmp_path / "c.npz"
    np.savez(archive, x_train=np.zeros((2, 3, 3), np.complex64), y_train=np.zeros(2, np.int64))
    with pytest.raises(DataFileError) as member:
        isoconv.data.load(archive)
    assert member.value.path == archive
    (tmp_path / "receipt.json").write_text("{", "utf-8")
    with pytest.raises(CheckpointError) as receipt:
        isoconv.train.diff(tmp_path, tmp_path)
    assert receipt.value.path == tmp_path / "receipt.json"


def test_rows_of_data_are_named() -> None:
    """Errors of arrays say which argument and which of its rows."""
    images = np.zeros((3, 4, 4), np.float32)
    images[1, 2, 2] = np.inf
    with pytest.raises(DataError) as caught:
        isoconv.data.Dataset.from_arrays(images, [0, 1, 0], name="pets")
    assert (caught.value.argument, caught.value.row) == ("images", 1)
    assert caught.value.value is images
    assert str(caught.value).startswith("pets: images must")
    with pytest.raises(DataError) as label:
        isoconv.data.Dataset.from_arrays(images[:1], [5], ["a", "b"])
    assert (label.value.argument, label.value.row, label.value.value) == ("labels", 0, [5])


def test_passes_say_which_they_were() -> None:
    """A rule that is broken after a pass is told by the error of the rule itself."""

    def refuse(_: int) -> None:
        raise errors.GraphError("a rule is broken", operation="add")

    @checked_pass(refuse)
    def odd() -> int:
        return 3

    check_passes(True)
    with pytest.raises(errors.GraphError, match=r"^after .*odd: a rule is broken$") as caught:
        odd()
    assert caught.value.operation == "add"
    assert caught.value.reason == "a rule is broken"
