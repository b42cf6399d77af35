"""What a model takes for images, and what it refuses or warns of instead of answering wrongly."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isoconv as ic
from isoconv import nn
from isoconv.data.scaling import scaled
from isoconv.errors import ArgumentError, DataError, DataWarning, DTypeError, ShapeError
from isoconv.graph.operation import Array
from isoconv.ops.interpret import interpret

SHAPE = (6, 5, 1)
RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (12, *SHAPE), np.uint8)
BYTES[0, 0, 0], BYTES[0, 0, 1] = 0, 255
FLOATS = (BYTES.astype(np.float32) / np.float32(255)).astype(np.float32)
BRIGHTNESS = BYTES.astype(np.float32)


def trained(images: Array) -> nn.Module:
    """A small classifier that was trained on these images."""
    model = nn.Sequential(nn.Conv2d(3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2))
    trainer = ic.Trainer(model, batch_size=4, progress=False, threads=1)
    trainer.fit((images, np.arange(len(images)) % 2), epochs=2)
    return model


@pytest.fixture(scope="module")
def of_bytes() -> nn.Module:
    """Trained on uint8."""
    return trained(BYTES)


@pytest.fixture(scope="module")
def of_floats() -> nn.Module:
    """Trained on float32 from 0 to 1."""
    return trained(FLOATS)


def silent(model: nn.Module, images: Array, **settings: float) -> bytes:
    """The prediction, which nothing was warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.predict(images, **settings).tobytes()  # type: ignore[arg-type]


def test_floats_for_bytes(of_bytes: nn.Module) -> None:
    """Floats of 0 to 1 are refused with what to say; scaled they are the same images."""
    with pytest.raises(DTypeError) as caught:
        of_bytes.predict(FLOATS)
    said = str(caught.value)
    assert "must be uint8, as those that the model was trained on; got float32 from 0 to 1" in said
    assert "scale=255" in said
    assert "scale=1 " in said
    wanted = silent(of_bytes, BYTES)
    for floats in (FLOATS, BYTES / 255, (BYTES / 255).astype(np.float32)):
        assert silent(of_bytes, floats, scale=255) == wanted
    assert silent(of_bytes, BRIGHTNESS, scale=1) == wanted


def test_bytes_for_floats(of_floats: nn.Module) -> None:
    """Bytes are refused with the range in training; scaled they are the same images."""
    with pytest.raises(DTypeError) as caught:
        of_floats.predict(BYTES)
    said = str(caught.value)
    assert "must be float32, as those that the model was trained on; got uint8" in said
    assert "0 to 1: scale=1/255" in said
    assert silent(of_floats, BYTES, scale=1 / 255) == silent(of_floats, FLOATS)
    assert silent(of_floats, BYTES, scale=1) == silent(of_floats, BRIGHTNESS, scale=1)


def test_every_byte_there_and_back() -> None:
    """Times 1/255 bytes are the floats of a division by 255, and times 255 these are the bytes."""
    pixels = np.arange(256, dtype=np.uint8)
    quotients = pixels.astype(np.float32) / np.float32(255)
    assert scaled(pixels, 1 / 255).tobytes() == quotients.tobytes()
    assert scaled(quotients, 255).tolist() == pixels.tolist()
    # A product with a rounded 1/255 is another float, which no factor makes whole again.
    products = pixels.astype(np.float32) * np.float32(1 / 255)
    missed = scaled(products, 255) - pixels
    assert np.count_nonzero(missed) == 126
    assert np.abs(missed).max() < 2e-5


def test_evaluation_asks_for_the_same(of_bytes: nn.Module, of_floats: nn.Module) -> None:
    """What a prediction refuses, a measurement refuses, and scales alike."""
    labels = np.arange(len(BYTES)) % 2
    with pytest.raises(DTypeError, match="scale=255"):
        ic.evaluate(of_bytes, (FLOATS, labels))
    with pytest.raises(DTypeError, match="scale=1/255"):
        ic.evaluate(of_floats, (BYTES, labels))
    found = ic.evaluate(of_floats, (BYTES, labels), scale=1 / 255).probabilities
    assert found is not None
    assert found.tobytes() == of_floats.predict(BYTES, scale=1 / 255).tobytes()


@pytest.mark.parametrize(
    "images",
    [BRIGHTNESS, FLOATS - 3, FLOATS * np.float32(1 / 255), FLOATS * 0],
    ids=["brighter", "below", "narrow", "black"],
)
def test_floats_of_another_range(of_floats: nn.Module, images: Array) -> None:
    """Values far outside the range in training, or in a small part of it, are a warning."""
    with pytest.warns(DataWarning, match=r"in training held 0 to 1: .*scale=…") as caught:
        warned = of_floats.predict(images)
    assert caught[0].filename == __file__
    assert silent(of_floats, images, scale=1) == warned.tobytes()


def test_a_scale_that_makes_it_worse(of_floats: nn.Module, of_bytes: nn.Module) -> None:
    """What is scaled is looked at after it, so that the wrong way round is noticed."""
    with pytest.warns(DataWarning, match="from 0 to 65025"):
        of_bytes.predict(BRIGHTNESS, scale=255)
    with pytest.warns(DataWarning, match="from 0 to 65025"):
        of_floats.predict(BYTES, scale=255)


def test_bytes_of_another_range(of_bytes: nn.Module) -> None:
    """Bytes that are all dark, as after a division by 255, are a warning; scale=1 takes them."""
    with pytest.warns(DataWarning, match="from 0 to 1, those in training held 0 to 255") as caught:
        warned = of_bytes.predict(BYTES // 255)
    assert caught[0].filename == __file__
    assert silent(of_bytes, BYTES // 255, scale=1) == warned.tobytes()
    silent(of_bytes, BYTES // 8)
    of_flags = trained(BYTES % 2)
    silent(of_flags, BYTES % 2)
    with pytest.warns(DataWarning, match="from 0 to 255, those in training held 0 to 1"):
        of_flags.predict(BYTES)


def test_floats_of_about_the_same_range(of_floats: nn.Module) -> None:
    """Other images of the same kind pass in silence."""
    silent(of_floats, FLOATS[3:5] * np.float32(1.2) - np.float32(0.1))


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, "255", True])
def test_wrong_scales(of_bytes: nn.Module, scale: float) -> None:
    """A scale is a finite number above 0."""
    with pytest.raises(ArgumentError, match="scale must be a finite number above 0"):
        of_bytes.predict(FLOATS, scale=scale)
    with pytest.raises(ArgumentError, match="scale must be a finite number above 0"):
        of_bytes.predict_files(["a.png"], scale=scale)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((2, 1, 6, 5), r"images\.transpose\(0, 2, 3, 1\)"),
        ((6, 5, 1), r"one image is images\[None\]"),
        ((6, 5), r"one image is images\[None\]"),
        ((2, 5, 6, 1), r"\(N, 6, 5, 1\), as the model was built; got \(2, 5, 6, 1\)"),
        ((2, 6, 5, 3), r"got \(2, 6, 5, 3\)"),
        ((), r"got \(\)"),
    ],
)
def test_other_shapes(of_bytes: nn.Module, shape: tuple[int, ...], hint: str) -> None:
    """Channels first, one image alone and other sizes are told apart."""
    with pytest.raises(ShapeError, match=hint):
        of_bytes.predict(np.zeros(shape, np.uint8))


def test_no_channel_axis(of_bytes: nn.Module) -> None:
    """Gray images need no axis of one channel."""
    assert silent(of_bytes, BYTES[..., 0]) == silent(of_bytes, BYTES)


def test_other_dtypes(of_bytes: nn.Module) -> None:
    """Whole numbers that are no bytes, truth values, text and ragged lists are refused."""
    for images in (BYTES.astype(np.int64), BYTES > 9, BYTES.astype("U3"), BYTES.astype(complex)):
        with pytest.raises(DTypeError, match="images must be"):
            of_bytes.predict(images)
    with pytest.raises(DTypeError, match=r"got int64 .*\.astype\(numpy\.uint8\)"):
        of_bytes.predict(BYTES.tolist())
    with pytest.raises(ShapeError, match="lists of equal lengths"):
        of_bytes.predict([[1, 2], [3]])  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="must have no masked elements"):
        of_bytes.predict(np.ma.masked_equal(BYTES, 255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("scale", [None, 1, 255])
def test_not_finite(of_floats: nn.Module, value: float, scale: float | None) -> None:
    """The first image with a value that float32 does not hold is named."""
    images = FLOATS.astype(np.float64)
    images[3, 1, 1] = images[7, 0, 0] = value
    with pytest.raises(DataError, match="image 3 holds NaN or infinity"):
        of_floats.predict(images, scale=scale)


def test_no_images(of_bytes: nn.Module, of_floats: nn.Module) -> None:
    """No images give no results, of the right shape."""
    for model, images in ((of_bytes, BYTES[:0]), (of_floats, FLOATS[:0])):
        found = model.predict(images)
        assert (found.shape, found.dtype) == ((0, 2), np.dtype(np.float32))


def test_how_arrays_lie_in_memory(of_floats: nn.Module, of_bytes: nn.Module) -> None:
    """Byte order, strides and wider floats change no bit."""
    wanted = silent(of_floats, FLOATS)
    turned = FLOATS.transpose(3, 2, 1, 0).copy().transpose(3, 2, 1, 0)
    spread = np.repeat(FLOATS, 2, axis=0)[::2]
    for images in (FLOATS.astype(">f4"), turned, spread, FLOATS.astype(np.float64),
                   FLOATS.astype(">f8"), FLOATS.tolist()):  # fmt: skip
        assert silent(of_floats, images) == wanted
    assert silent(of_bytes, np.repeat(BYTES, 2, axis=1)[:, ::2]) == silent(of_bytes, BYTES)
    backwards = of_bytes.predict(BYTES[::-1])
    assert backwards[::-1].tobytes() == silent(of_bytes, BYTES)


def test_before_training() -> None:
    """A model that was built alone takes bytes and floats as they are."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build(SHAPE)
    assert silent(model, BYTES) == silent(model, BRIGHTNESS)
    silent(model, FLOATS)


# What follows the model's own result


@pytest.mark.parametrize(("last", "own"), [(nn.Softmax, "softmax"), (nn.Sigmoid, "sigmoid")])
def test_a_model_that_ends_in_an_activation(last: type[nn.Module], own: str) -> None:
    """It is followed by nothing; another activation that is asked for is refused."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3), last()).build(SHAPE)
    wanted = model.predict(FLOATS)
    traced = nn.trace_model(model, SHAPE, training=False)
    graph = traced.builder.graph([("y", traced.output)])
    exact = interpret(graph, {**model.weights, "images": FLOATS}, images=len(FLOATS))["y"]
    assert wanted.tobytes() == exact.tobytes()
    for finish in (own, "none"):
        assert model.predict(FLOATS, finish=finish).tobytes() == wanted.tobytes()
    other = "sigmoid" if own == "softmax" else "softmax"
    with pytest.raises(ArgumentError, match=f"ends in {own} itself, which {other} cannot follow"):
        model.predict(FLOATS, finish=other)
    assert model.predict(FLOATS).tobytes() == wanted.tobytes()


def test_an_unknown_finish(of_bytes: nn.Module) -> None:
    """A finish is one of three."""
    with pytest.raises(ArgumentError, match="finish must be one of softmax, sigmoid, none"):
        of_bytes.predict(BYTES, finish="relu")


# Files


def test_files_of_a_model_of_floats(of_floats: nn.Module, tmp_path: Path) -> None:
    """Brightness needs a scale; a scale by which it leaves the range in training is a warning."""
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, BYTES, strict=False):
        Image.fromarray(image[..., 0]).save(path)
    with pytest.raises(ArgumentError, match=r"came from no picture file.*scale=1/255"):
        of_floats.predict_files(paths)
    found = of_floats.predict_files(paths, scale=1 / 255)
    assert found.tobytes() == silent(of_floats, BYTES[:4], scale=1 / 255)
    with pytest.warns(DataWarning, match="from 0 to 65025") as caught:
        of_floats.predict_files(paths, scale=255)
    assert caught[0].filename == __file__


def test_files_of_a_model_of_bytes(of_bytes: nn.Module, tmp_path: Path) -> None:
    """Files are the images that they hold, scaled to the model's size; none at all is refused."""
    path = tmp_path / "a.png"
    Image.fromarray(BYTES[2, ..., 0]).save(path)
    assert of_bytes.predict_files([path]).tobytes() == silent(of_bytes, BYTES[2:3])
    with pytest.raises(ArgumentError, match="at least one file"):
        of_bytes.predict_files([])
    with pytest.raises(ArgumentError, match="must be a list of files"):
        of_bytes.predict_files(str(path))
    with pytest.raises(DataError, match=r"gone\.png"):
        of_bytes.predict_files([path, tmp_path / "gone.png"])
    Image.new("L", (5, 6)).save(path)
    with warnings.catch_warnings():
        # A picture may be dark.
        warnings.simplefilter("error")
        of_bytes.predict_files([path])


def test_files_of_a_model_of_another_size(tmp_path: Path) -> None:
    """Pictures take the size for which the model was built last, whatever it was trained on."""
    root = tmp_path / "pictures"
    for number, image in enumerate(BYTES):
        path = root / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    model = nn.Sequential(nn.Conv2d(3, 3), nn.GlobalAvgPool2d(), nn.Linear(2))
    ic.Trainer(model, batch_size=4, progress=False, threads=1).fit(ic.data.load(root), epochs=1)
    before = model.weights
    model.build((8, 9, 1))
    assert all(np.array_equal(array, before[name]) for name, array in model.weights.items())
    larger = ic.data.read_image(path, size=(8, 9))
    assert model.predict_files([path]).tobytes() == model.predict(larger[None]).tobytes()
