"""Weights that others published: what they recognise, and how their files are fetched."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import succeed
from tests.exchange.published import values
from tests.served import served

import isoconv as ic
from isoconv import exchange, nn
from isoconv.data.names import RemoteFile
from isoconv.errors import (
    ArgumentError,
    CheckpointError,
    DataWarning,
    DownloadError,
    MissingExtraError,
)
from isoconv.exchange.torch_file import weights_in
from isoconv.exchange.torch_weights import shapes_of
from isoconv.graph.operation import Array
from isoconv.nn.models import published

PHOTOGRAPHS = Path(__file__).parent / "photographs"
"""Three of scikit-image's, made smaller; their authors gave up all rights (CC0)."""
SHAPE = (224, 224, 3)


def test_efficientnet_lite0_says_what_is_in_photographs() -> None:
    """A cup of coffee, a cat and a rocket, as pictures are read and normalised for it."""
    model = ic.load("efficientnet-lite0")
    files = [PHOTOGRAPHS / f"{name}.jpg" for name in ("coffee", "chelsea", "rocket")]
    shares = model.predict_files(files)
    found = [model.class_names[place] for place in shares.argmax(axis=1)]
    assert found == ["espresso", "Egyptian cat", "missile"]
    assert shares[0].max() > 0.9
    assert model.trained_on is not None
    assert model.trained_on.reading == ic.data.Reading((224, 224), 3, 8, "uint8")
    # The same bits everywhere; photographs are decoded to other ones by some libraries.
    image = (np.arange(224 * 224 * 3) * 7 % 256).astype(np.uint8).reshape(1, *SHAPE)
    bits = hashlib.sha256(model.predict(image).astype("<f4").tobytes()).hexdigest()
    assert bits == "ef0e9c0ec97e0fe14b54fed49e63602ee83cee90126c36f242d66b8062bb7021"


@pytest.mark.slow
def test_it_stands_where_a_run_does(tmp_path: Path) -> None:
    """On the command line, with a hyphen as with an underscore; saved, it is a model of ours."""
    said = succeed("predict", "efficientnet_lite0", str(PHOTOGRAPHS / "coffee.jpg"))
    assert "espresso" in said
    model = exchange.pretrained("efficientnet-lite0")
    model.save(tmp_path / "x.safetensors")
    again = ic.load(tmp_path / "x.safetensors")
    assert again.describe() == model.describe()
    assert len(again.class_names) == len(set(again.class_names)) == 1000


def offer(monkeypatch: pytest.MonkeyPatch, folder: Path, *servers: str) -> Path:
    """Let the weights of SqueezeNet be made up, and known by 8 digits; gives their file."""
    model = nn.models.create("squeezenet1_1", 1000, SHAPE)
    shapes = shapes_of(model, SHAPE, "torchvision")
    weights = {name: values(name, shape) for name, shape in shapes.items()}
    exchange.save_torch(exchange.load_into(model, weights, input_shape=SHAPE),
                        folder / "x.safetensors")  # fmt: skip
    file = folder / "x.safetensors"
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    known = published.PUBLISHED["squeezenet1_1"]
    entry = replace(known, file=RemoteFile(file.name, digits, servers))
    monkeypatch.setitem(published.PUBLISHED, "squeezenet1_1", entry)
    return file


@pytest.mark.slow
def test_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is fetched once, from the server that has it; another file is not kept."""
    folder, kept = tmp_path / "served", tmp_path / "kept"
    folder.mkdir()
    with served(folder) as address:
        file = offer(monkeypatch, folder, f"{address}/nowhere", address)
        with pytest.raises(CheckpointError, match="isoconv models fetch squeezenet1_1"):
            exchange.pretrained("squeezenet1_1", kept)
        whole = file.read_bytes()
        file.write_bytes(whole + b"x")
        with pytest.raises(DownloadError, match=r"404 .*\n.*SHA-256 is not the pinned one"):
            exchange.fetch_pretrained("squeezenet1_1", kept, progress=False)
        assert not list(kept.iterdir())
        file.write_bytes(whole)
        said = succeed("models", "fetch", "squeezenet1_1", "--folder", str(kept))
        assert str(kept / file.name) in said
    # Now nobody answers.
    path = exchange.fetch_pretrained("squeezenet1-1", kept, progress=False)
    assert [each.name for each in kept.iterdir()] == [path.name]
    assert str(path) in succeed("models", "list", "--folder", str(kept))
    model = exchange.pretrained("squeezenet1_1", kept)
    scale, offset = model.normalisation or (0, 0)
    found = np.array([0.485, 0.456, 0.406]) * 255 * scale + offset
    np.testing.assert_allclose(found, 0, atol=1e-6)
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="not the published file: its SHA-256 must begin"):
        exchange.pretrained("squeezenet1_1", kept)


@pytest.mark.slow
def test_files_of_equal_names_are_told_apart_by_their_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's MobileNetV3 in a file of timm's names gets its constant and its padding."""
    name = "tf_mobilenetv3_small_100.in1k"
    entry = published.PUBLISHED[name]
    model = nn.models.mobilenet_v3_small(1000, SHAPE, eps=1e-3, same=True).build(SHAPE)
    file = tmp_path / "x.safetensors"
    exchange.save_torch(model, file, "timm")
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(tmp_path / "x.pth")
    known = replace(entry, file=RemoteFile(file.name, digits, ()))
    monkeypatch.setitem(published.PUBLISHED, name, known)
    for found in (ic.load(file), exchange.pretrained(name, tmp_path)):
        assert found.digest() == model.digest()
        lines = [each.line() for _, each in found.named_modules()]
        assert lines == [each.line() for _, each in model.named_modules()]
        assert "BatchNorm(eps=0.001, momentum=0.01)" in lines
        assert sum("padding='same'" in line for line in lines) == 12


@pytest.mark.slow
def test_a_file_tells_which_model_it_is_of(tmp_path: Path) -> None:
    """A published file is known with all else; of another one a warning says what is assumed."""
    file = exchange.fetch_pretrained("efficientnet_lite0")
    assert ic.load(file).describe() == exchange.pretrained("efficientnet_lite0").describe()
    model = nn.models.create("mobilenet_v2", 7, SHAPE).build(SHAPE)
    exchange.save_torch(model, tmp_path / "x.safetensors", "timm")
    (tmp_path / "x.safetensors").rename(tmp_path / "x.pth")
    with pytest.warns(DataWarning, match=r"x\.pth does not say how pictures are normalised"):
        found = ic.load(tmp_path / "x.pth")
    assert found.digest() == model.digest()
    assert found.class_names == ()
    by_rule = ic.load(tmp_path / "x.pth", normalise="half").normalisation
    assert by_rule is not None
    assert [float(each[0]) for each in by_rule] == [np.float32(2 / 255), -1]
    other = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((2, 2, 1))
    exchange.save_torch(other, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").rename(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"no ready model .*1\.bias, 1\.weight; make the mod"):
        ic.load(tmp_path / "x.pth")


@pytest.mark.slow
def test_a_thousand_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an unknown file it is told that they are taken for ImageNet's; a published one is known.

    By the very bytes that are read: another file may take the place of the one that was looked at.
    """
    file = offer(monkeypatch, tmp_path)
    known, read = exchange.pretrained("squeezenet1_1", tmp_path), file.read_bytes()
    other = nn.models.create("squeezenet1_1", 1000, SHAPE).build(SHAPE)
    exchange.save_torch(other, tmp_path / "other.safetensors")
    unknown = (tmp_path / "other.safetensors").read_bytes()

    def replaced(content: bytes, path: Path) -> dict[str, Array]:
        path.write_bytes(unknown)
        return weights_in(content, path)

    monkeypatch.setattr("isoconv.exchange.published.weights_in", replaced)
    for load in (
        exchange.published.load_weights,
        lambda _: exchange.pretrained("squeezenet1_1", tmp_path),
    ):
        file.write_bytes(read)
        assert load(file).describe() == known.describe()
    with pytest.warns(DataWarning) as told:
        found = ic.load(file.rename(tmp_path / "x.pth"))
    assert found.class_names == known.class_names
    normalised, classes = map(str, (each.message for each in told))
    assert "x.pth does not say how pictures are normalised" in normalised
    assert classes == (
        f"{tmp_path}/x.pth does not name its classes: its 1,000 results are taken for those of "
        "ImageNet's classes, in their usual order"
    )


def test_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other names are refused with those there are; without the package its extra is named."""
    with pytest.raises(ArgumentError, match=r"one of .*efficientnet_lite0.*; got 'lenet5'"):
        exchange.pretrained("lenet5")
    with pytest.raises(
        CheckpointError,
        match=r"near it: resnet50, .*; models that are "
        r"known by name are convnext_tiny, .*resnet50",
    ):
        ic.load("resnet51")
    monkeypatch.setattr("isoconv.exchange.published.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"isoconv\[pretrained\]"):
        exchange.pretrained("efficientnet_lite0")


def test_all_files_are_pinned() -> None:
    """Each has 8 digits of its SHA-256 or more, and comes encrypted or in a package."""
    for entry in published.PUBLISHED.values():
        assert entry.model in nn.models.MODELS
        assert len(entry.file.sha256) >= 8
        assert int(entry.file.sha256, 16)
        assert entry.package or entry.file.servers
        assert all(server.startswith("https://") for server in entry.file.servers)
