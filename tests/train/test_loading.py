"""`isoconv.load`: models from run folders, checkpoints and files, and nothing from a stranger."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import folder_of, make, network, noise

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import models, storage
from isoconv.nn.architecture import MOST_CALLS, architecture_of, model_of, own_class
from isoconv.nn.plain import canonical
from isoconv.nn.record import with_weights
from isoconv.train import Callback, EarlyStopping, Run, evaluate, sources
from isoconv.train.learning_rate import Constant

TRAIN, HELD = noise(28), noise(14, 3)


class Own(nn.Module):
    """A class of a person's own."""

    def __init__(self, features: int = 2) -> None:
        self.body, self.last = nn.Conv2d(3, 3), nn.Linear(features)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The images through both layers."""
        return self.last(nn.functional.flatten(nn.functional.relu(self.body(x))))


class Remembers(Callback):
    """What the model answers after each epoch."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def on_train_begin(self, run: Run) -> None:
        """Note it before the first epoch, too."""
        self.answers.append(run.model.predict(HELD.images).tobytes())

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Note it."""
        assert len(self.answers) == row["epoch"]
        self.on_train_begin(run)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[bytes]]:
    """A run whose best epoch is not its last one, and what its model answered all the time."""
    remembers = Remembers()
    trainer = make(
        optimizer=ic.optim.SGD(0.03, 0.9),
        schedule=Constant(),
        callbacks=[remembers],
        keep_checkpoints=True,
    )
    stopping = EarlyStopping(patience=4, metric="val_top1", restore_best=False)
    out = tmp_path_factory.mktemp("loading") / "run"
    run = trainer.fit(TRAIN, HELD, epochs=8, out=out, early_stopping=stopping)
    assert 1 < run.best_epoch < len(run.history)
    return run, remembers.answers


# What is found


def test_a_run_folder_gives_its_model(trained: tuple[Run, list[bytes]]) -> None:
    """It answers as the trained one, bit for bit, and is as good as the history says."""
    run, answers = trained
    model = ic.load(folder_of(run))
    assert model.predict(HELD.images).tobytes() == run.model.predict(HELD.images).tobytes()
    assert model.predict(HELD.images).tobytes() == answers[-1]
    assert model.describe() == run.model.describe()
    measured = evaluate(model, HELD)
    assert measured.top1 == run.history[-1]["val_top1"]
    assert measured.loss == run.history[-1]["val_loss"]
    hits = model.predict(HELD.images).argmax(axis=1) == HELD.labels
    assert measured.top1 == hits.mean()


def test_the_best_epoch_and_every_kept_one(trained: tuple[Run, list[bytes]]) -> None:
    """Each is the model as it was at that moment."""
    run, answers = trained
    best = ic.load(folder_of(run), best=True)
    assert best.predict(HELD.images).tobytes() == answers[run.best_epoch]
    for epoch, answer in enumerate(answers):
        assert ic.load(folder_of(run), epoch=epoch).predict(HELD.images).tobytes() == answer


def test_files_of_a_run_are_models_too(trained: tuple[Run, list[bytes]], tmp_path: Path) -> None:
    """Weights, kept checkpoints, the last one, and what a model saves of itself."""
    run, answers = trained
    (last,) = (folder_of(run) / "checkpoints").glob("last-*.safetensors")
    saved = tmp_path / "model.safetensors"
    run.model.save(saved)
    for path, answer in (
        (folder_of(run) / "weights.safetensors", answers[-1]),
        (folder_of(run) / "best.safetensors", answers[run.best_epoch]),
        (folder_of(run) / "checkpoints" / "epoch-00001.safetensors", answers[1]),
        (last, answers[-1]),
        (saved, answers[-1]),
        (str(saved), answers[-1]),
    ):
        assert ic.load(path).predict(HELD.images).tobytes() == answer
        assert network().load(path).predict(HELD.images).tobytes() == answer


def test_all_that_belongs_to_a_model_comes_back(tmp_path: Path) -> None:
    """Names of classes, the kind of images, and that it may be trained on."""
    data = ic.data.Dataset.from_arrays(TRAIN.images, TRAIN.labels, ["cat", "dog"])
    run = make().fit(data, epochs=1, out=tmp_path / "run")
    model = ic.load(tmp_path / "run")
    assert model.class_names == ("cat", "dog")
    assert model.input_shape == (6, 6, 1)
    assert model.trained_on == run.model.trained_on
    assert model.normalisation is not None
    assert run.model.normalisation is not None
    assert [x.tobytes() for x in model.normalisation] == [
        x.tobytes() for x in run.model.normalisation
    ]
    with pytest.raises(ic.errors.DTypeError, match="must be uint8, as those that the model was"):
        model.predict(HELD.images.astype(np.float32))
    assert make(model).fit(data, epochs=1).receipt["start"] == "given"


def test_arrays_of_no_axes_come_back(tmp_path: Path) -> None:
    """A number that is learned has the shape () in a file, too, and a run with one goes on."""
    steps = (
        ("shift", nn.Constant(()), "images"), ("moved", nn.Add(), "images", "shift"),
        ("flat", nn.Flatten(), "moved"), ("head", nn.Linear(2), "flat"),
    )  # fmt: skip
    model = nn.Network(steps, ("images",), "head")
    run = make(model, augmentation=None).fit(TRAIN, HELD, epochs=1, out=tmp_path / "run")
    assert run.model.weights["shift.value"].shape == ()
    for path in (tmp_path / "run", tmp_path / "run" / "weights.safetensors"):
        found = ic.load(path)
        assert found.digest() == run.model.digest()
    assert make(model, augmentation=None).resume(tmp_path / "run", TRAIN, HELD).digest == run.digest


@pytest.mark.parametrize("name", models.MODELS)
def test_ready_models_come_back(name: str) -> None:
    """Each is made again of what would stand in a file."""
    model = models.create(name, 3, (32, 32, 3))
    plain = json.loads(canonical(architecture_of(model)))
    again = model_of(plain, "a file")
    assert architecture_of(again) == architecture_of(model) == plain
    assert str(again.summary((32, 32, 3))) == str(model.summary((32, 32, 3)))


def test_a_class_of_ones_own_must_be_given(tmp_path: Path) -> None:
    """It is no data; with model= everything else comes from the file."""
    run = make(Own(), augmentation=None).fit(TRAIN, HELD, epochs=1, out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"own class, which is not stored.*model=…"):
        ic.load(tmp_path / "run")
    given = Own()
    model = ic.load(tmp_path / "run", model=given)
    assert model is given
    assert model.predict(HELD.images).tobytes() == run.model.predict(HELD.images).tobytes()
    with pytest.raises(CheckpointError, match=r"another model.*last\.weight has \(48, 2\)"):
        ic.load(tmp_path / "run", model=Own(3))
    with pytest.raises(CheckpointError, match=r"missing: 1\.bias, 1\.weight"):
        ic.load(tmp_path / "run", model=nn.Sequential(nn.Flatten(), nn.Linear(2)))
    with pytest.raises(ArgumentError, match="model must be a Module; got the class Own itself"):
        ic.load(tmp_path / "run", model=Own)  # type: ignore[arg-type]


def test_a_given_model_of_another_architecture_is_refused(trained: tuple[Run, list[bytes]]) -> None:
    """The library's own layers are compared with those of the file."""
    run, _ = trained
    other = nn.Sequential(*network().steps[:2], nn.functional.tanh, *network().steps[3:])
    with pytest.raises(CheckpointError, match=r"the file's architecture is .*, the given one is"):
        ic.load(folder_of(run), model=other)
    assert ic.load(folder_of(run), model=network()).digest() == run.digest
    with pytest.raises(CheckpointError, match=r"another model.*missing: body\.bias"):
        ic.load(folder_of(run) / "weights.safetensors", model=Own())


def test_what_is_not_there_is_told(tmp_path: Path, trained: tuple[Run, list[bytes]]) -> None:
    """Each way to ask for nothing says what there is instead."""
    run, _ = trained
    with pytest.raises(ArgumentError, match="give best or epoch; got both, epoch=1"):
        ic.load(folder_of(run), best=True, epoch=1)
    with pytest.raises(ArgumentError, match="choose within a run folder"):
        ic.load(folder_of(run) / "weights.safetensors", best=True)
    with pytest.raises(CheckpointError, match="no checkpoint of the state after epoch 99; kept ar"):
        ic.load(folder_of(run), epoch=99)
    others: tuple[Any, ...] = (-1, True, "1", 1.0)
    for wrong in others:
        with pytest.raises(ArgumentError, match="epoch must be a whole number of at least 0"):
            ic.load(folder_of(run), epoch=wrong)
    with pytest.raises(CheckpointError, match=r"a run is a folder with run\.json"):
        ic.load(tmp_path)
    with pytest.raises(CheckpointError, match="there is no run and no saved model at"):
        ic.load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as saved weights"):
        ic.load(folder_of(run) / "run.json")
    bare = tmp_path / "bare.safetensors"
    storage.write(bare, run.model.weights, {})
    with pytest.raises(CheckpointError, match=r"has no record of its model.*load_weights"):
        ic.load(bare)


def test_a_run_that_did_not_end_says_how_to_go_on(tmp_path: Path) -> None:
    """Its best epoch so far can be had."""

    class PowerCut(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            raise RuntimeError(f"power cut in {run} after {row}")

    out = tmp_path / "run"
    with pytest.raises(RuntimeError):
        make(callbacks=[PowerCut()]).fit(TRAIN, HELD, epochs=3, out=out)
    with pytest.raises(CheckpointError, match=r"did not end; go on with: isoconv resume .*best=Tr"):
        ic.load(out)
    assert ic.load(out, best=True).input_shape == (6, 6, 1)
    (out / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no best\.safetensors: its training did not end"):
        ic.load(out, best=True)


# What was altered


def rewrite(
    path: Path, change: Callable[[Any], object] | None = None, forge: bool = True, **entries: Any
) -> None:
    """Change the record of a file, with a digest that fits if it is forged."""
    arrays, record = storage.read(path)
    record = {**record, **entries}
    if change is not None:
        change(record)
    if forge:
        rest = {name: record[name] for name in record if name not in ("digest", "weights_sha256")}
        record = with_weights(rest, record["weights_sha256"])
    storage.write(path, arrays, record)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A saved model."""
    path = tmp_path / "model.safetensors"
    network().build((6, 6, 1)).save(path)
    return path


def test_altered_weights_are_refused(file: Path) -> None:
    """One bit of one element."""
    arrays, record = storage.read(file)
    spoiled = arrays["0.weight"].copy()
    spoiled.reshape(-1).view(np.uint32)[0] ^= 1
    storage.write(file, {**arrays, "0.weight": spoiled}, record)
    for read in (ic.load, network().load):
        with pytest.raises(CheckpointError, match=r"weights in .* were altered"):
            read(file)


@pytest.mark.parametrize(
    "entries",
    [
        {"class_names": ["a", "b"]},
        {"finish": "none"},
        {"normalisation": {"scale": ["0x1p+0"], "offset": ["0x1p+0"]}},
        {"trained_on": None, "input_shape": [6, 6, 2]},
    ],
    ids=lambda entries: next(iter(entries)),
)
def test_an_altered_record_is_refused(file: Path, entries: dict[str, Any]) -> None:
    """Its digest does not fit, whatever was changed."""
    rewrite(file, forge=False, **entries)
    with pytest.raises(CheckpointError, match=r"record of the model in .* was edited"):
        ic.load(file)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 1}, "must be of format 2"),
        ({"arithmetic": 99}, "must be of arithmetic 1"),
        ({"added": None}, "added must not be there, for there are only architecture"),
        ({"class_names": [1, 2]}, r"class_names\[0\] must be a text; got 1 . class_names\[1\]"),
        ({"class_names": "ab"}, "class_names"),
        ({"class_names": ["a"] * 70_000}, "class_names"),
        ({"finish": "exec"}, "finish"),
        ({"finish": {}}, "finish"),
        (
            {"input_shape": [2**31, 6, 1]},
            r"input_shape\[0\] must be a whole number from 1 .* got 2147483648",
        ),
        (
            {"input_shape": [6, 6, True]},
            r"input_shape\[2\] must be a whole number from 1 .* got True",
        ),
        ({"input_shape": [1] * 9}, "input_shape"),
        ({"input_shape": 5}, "input_shape must be a list; got 5"),
        ({"input_shape": [2**31 - 1] * 3}, "another model"),
        ({"input_shape": [2, 2, 1]}, "makes no network"),
        ({"trained_on": 3}, "cannot be read"),
        ({"trained_on": {"dtype": "uint8"}}, "cannot be read"),
        ({"normalisation": {"scale": ["nan"], "offset": ["0x0p+0"]}}, "finite"),
        ({"normalisation": {"scale": ["0x1p+999"], "offset": ["0x0p+0"]}}, "finite"),
        ({"normalisation": {"scale": ["0x1p+9999"], "offset": ["0x0p+0"]}}, "finite"),
        ({"normalisation": {"scale": ["0x1p+0"] * 2, "offset": ["0x0p+0"] * 2}}, "finite float32"),
        ({"normalisation": {"scale": ["0.1"], "offset": ["0x0p+0"]}}, "as float.hex"),
        (
            {"normalisation": {"scale": [(1.0).hex()] * 2, "offset": [(0.0).hex()]}},
            r"normalisation\.scale must have a number for each channel of input_shape; got 2",
        ),
        ({"architecture": []}, "architecture"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_record_that_makes_no_sense_is_refused(
    file: Path, entries: dict[str, Any], message: str
) -> None:
    """Also with a digest that fits."""
    rewrite(file, **entries)
    with pytest.raises(CheckpointError, match=message):
        ic.load(file)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"type": "Nope"},
            r"architecture\.steps\[2\]\.type must be the name of a layer; got 'Nope'",
        ),
        ({"type": "Module"}, "the name of a layer; got 'Module'"),
        ({"type": ["ReLU"]}, r"the name of a layer; got \['ReLU'\]"),
        ({"type": "Trace"}, "the name of a layer; got 'Trace'"),
        (
            {"function": "eval"},
            r"steps\[2\]\.function must be the name of a function .*; got 'eval'",
        ),
        (
            {"function": "__import__"},
            "name of a function of isoconv.nn.functional; got '__import__'",
        ),
        (
            {"type": "ReLU", "slope": 1},
            r"steps\[2\]\.slope must not be there, for a ReLU has none; got 1",
        ),
        (
            {"type": "Linear"},
            r"bias must be there; got nothing . .*\.features must be there; got nothing",
        ),
        ({"type": "Linear", "features": "many", "bias": True}, "cannot be (made|read)|no network"),
        ({"type": "Linear", "features": 10**19, "bias": True}, "other shape|no network|missing"),
        ({"type": "Linear", "features": -1, "bias": True}, "features"),
        ({"type": "Dropout", "rate": 1e300}, "Dropout"),
        (
            {"type": "Residual", "body": 5, "shortcut": None},
            r"must be a Residual that can be made \(body",
        ),
        ({"same": 0}, r"steps\[2\]\.same must be the number of a layer before this one; got 0"),
        ({"same": 7}, "the number of a layer before this one; got 7"),
        ({"same": "0"}, "the number of a layer before this one; got '0'"),
        ({"same": 0, "type": "ReLU"}, "same must not be there, for a ReLU has none"),
        (
            {"type": "Sequential", "steps": [{"same": 8}]},
            "the number of a layer before this one; got 8",
        ),
        (5, "step 2 is 5"),
        ("relu", "step 2 is 'relu'"),
        (None, "step 2 is None"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_architecture_that_makes_no_sense_is_refused(
    file: Path, layer: Any, message: str
) -> None:
    """Unknown names, settings of a wrong kind, layers that hold themselves: nothing is run."""
    rewrite(file, lambda record: record["architecture"]["steps"].__setitem__(2, layer))
    with pytest.raises(CheckpointError, match=message):
        ic.load(file)


def write_text(path: Path, architecture: bytes) -> None:
    """A file whose record has an architecture of any text, with a digest that fits."""
    arrays, record = storage.read(path)
    del record["digest"]
    body = canonical({**record, "architecture": "@"}).replace(b'"@"', architecture)
    digest = hashlib.sha256(body).hexdigest()
    text = body[:-1] + f',"digest":"{digest}"}}'.encode()
    content = storage.content_of(arrays, {})
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = {"isoconv": text.decode()}
    made = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(made)) + made + content[8 + size :])


def nested(depth: int) -> bytes:
    """Models inside models."""
    return b'{"steps":[' * depth + b'{"type":"ReLU"}' + b'],"type":"Sequential"}' * depth


def doubled(depth: int) -> bytes:
    """Each layer is the one before, twice."""
    first = {"type": "Sequential", "steps": [{"type": "ReLU"}, {"same": 2}]}
    steps = [first, {"type": "Sequential", "steps": [{"same": 1}, {"same": 1}]}]
    steps += [
        {"type": "Sequential", "steps": [{"same": place}, {"same": place}]}
        for place in range(3, 2 + depth)
    ]
    return canonical({"type": "Sequential", "steps": steps})


BOMBS = {
    "51 levels": (nested(51), "at most 100 levels"),
    "124 levels": (nested(124), "nested deeper than 250 levels"),
    "200 levels": (nested(200), "nested deeper than 250 levels"),
    "10**5 levels": (nested(10**5), "nested deeper than 250 levels|characters"),
    "10**5 lists": (b"[" * 10**5 + b"]" * 10**5, "nested deeper than 250 levels"),
    "2**40 uses": (doubled(40), "use layers at most 10,000 times; got"),
    "10**5 layers": (
        canonical({"type": "Sequential", "steps": [{"type": "ReLU"}] * 10**5}),
        "use layers at most 10,000 times; got",
    ),
    "a long text": (b'"' + b"x" * 5_000_000 + b'"', "isoconv must have at most 4000000 characters"),
    "a great number": (b"1" * 5000, "at most 20 digits"),
    "a great list": (b"[" + b"[]," * 10**6 + b"1]", "architecture"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_do_not_go_off(file: Path, name: str) -> None:
    """Whatever a record asks for, it is refused in a moment and in little memory."""
    text, message = BOMBS[name]
    write_text(file, text)
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=message):
        ic.load(file)
    assert time.process_time() - begin < 5
    # In kilobytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_as_much_as_is_allowed_is_read_quickly(file: Path) -> None:
    """A model at the bound of uses is made and traced."""
    layers = [{"type": "ReLU"}] * (MOST_CALLS - 1)
    model = nn.Sequential()
    model.build((6, 6, 1)).save(file)
    rewrite(file, architecture={"type": "Sequential", "steps": layers})
    begin = time.process_time()
    loaded = ic.load(file)
    assert isinstance(loaded, nn.Sequential)
    assert len(loaded) == MOST_CALLS - 1
    assert time.process_time() - begin < 20


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    """A model too deep for a record has none and says why; one with too long names is refused."""
    deep: nn.Module = nn.ReLU()
    for _ in range(60):
        deep = nn.Sequential(deep)
    path = tmp_path / "deep.safetensors"
    deep.build((4, 4, 1)).save(path)
    with pytest.raises(CheckpointError, match="own class"):
        ic.load(path)
    assert own_class(deep) == "layers inside each other on more than 100 levels"
    model = network().build((6, 6, 1))
    model.class_names = ["x" * 5_000_000, "y"]
    with pytest.raises(ArgumentError, match=r"at most 4,000,000 characters; it has 5,"):
        model.save(path)


def test_a_header_is_read_to_its_last_entry(file: Path) -> None:
    """What the format's reader passes over is refused: entries more, keys that stand twice."""
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header, arrays = content[8 : 8 + size], content[8 + size :]
    for old, new in (
        (b'"dtype":"F32",', b'"dtype":"F32","more":1,'),
        (b'"dtype":"F32",', b'"dtype":"F32","dtype":"F32",'),
        (b'{"isoconv":', b'{"format":"pt","isoconv":'),
    ):
        assert old in header
        spoiled = header.replace(old, new, 1)
        file.write_bytes(struct.pack("<Q", len(spoiled)) + spoiled + arrays)
        with pytest.raises(CheckpointError):
            ic.load(file)
    for spoiled in (b"", content[:4], struct.pack("<Q", 2**63) + header, content[:-1]):
        file.write_bytes(spoiled)
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
            ic.load(file)


def test_nothing_is_warned_of(file: Path) -> None:
    """A refused number is an error alone."""
    rewrite(file, normalisation={"scale": ["0x1p+200"], "offset": ["0x0p+0"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match="finite"):
            ic.load(file)


def test_other_kinds_are_read_by_the_room_that_knows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the ending of a file or by a name; a file of that name goes before."""
    kind = sources.ModelKind("a network", "nn.models.create", (".net",), ("lenet5",))
    monkeypatch.setattr(sources, "KINDS", (kind,))
    monkeypatch.chdir(tmp_path)
    assert isinstance(ic.load("lenet5"), nn.Module)
    assert list(sources.known_names()) == ["lenet5"]
    assert sources.kind_of(tmp_path / "A.NET") is kind
    with pytest.raises(ArgumentError, match="best is for runs and saved models; lenet5 is a netw"):
        ic.load("lenet5", best=True)
    network().build((6, 6, 1)).save("lenet5")
    assert ic.load("lenet5").input_shape == (6, 6, 1)
