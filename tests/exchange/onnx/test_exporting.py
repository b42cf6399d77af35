"""Models written as ONNX: run by ONNX Runtime, checked by onnx, read back, refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.nn.layers import alone, layer_of, public_layers, takes_several

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, DataWarning
from isoconv.exchange import from_onnx, save_onnx
from isoconv.graph.operation import Array
from isoconv.nn import models
from isoconv.nn.record import TrainedOn

LACKING = ("Constant",)  # nothing of an image
NEWER = {"AvgPool1d": 19, "AvgPool2d": 19, "AvgPool3d": 19}
LAYERS = sorted(
    name for name, kind in public_layers().items()
    if not takes_several(kind) and name not in LACKING and not name.startswith("Quantized")
)  # fmt: skip
APART = ("convnext_tiny", "efficientnet_b0", "small_resnet")
"""Whose GELU, SiLU or Winograd's algorithm the operators compose, with other bits."""
QUICK = ("lenet5", "mobilenet_v3_small", "resnet20", "resnet20_winograd", "small_unet", "vgg11")
MODELS = [
    *QUICK,
    *(pytest.param(name, marks=pytest.mark.exhaustive)
      for name in sorted({*models.ALL_MODELS} - {*QUICK})),
]  # fmt: skip


def first(array: Array) -> Array:
    """Images with their channels first."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1) if array.ndim > 2 else array)


def ran(path: Path, images: Array) -> Any:
    """What ONNX Runtime makes of a file and images whose channels come last."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return session.run(None, {"images": first(images)})[0]


def check(model: nn.Module, path: Path, opset: int = 17) -> None:
    """ONNX Runtime gives what the model gives, for any number of images."""
    shape = model.input_shape or ()
    model.finish = "none"
    model.to_onnx(path, opset=opset)
    for count in (1, 3):
        images = np.random.default_rng(count).random((count, *shape)).astype(np.float32)
        expected = first(model.predict(images))
        scale = max(1.0, float(abs(expected).max()))
        np.testing.assert_allclose(ran(path, images), expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, tmp_path: Path) -> None:
    """Every layer goes out with its settings."""
    layer, shape = layer_of(public_layers()[name])
    check(
        alone(layer).build(shape, seed=1, fresh=True), tmp_path / "layer.onnx", NEWER.get(name, 17)
    )


def test_functions_of_one_value(tmp_path: Path) -> None:
    """Hyperbolic functions and inverses go out as ONNX's own, and come back to the same bits."""
    f = nn.functional
    model = nn.Sequential(
        lambda x: f.asin(x) + f.acos(x) * f.atanh(x * 0.9) + f.acosh(f.cosh(x) + 1.0),
        lambda x: f.asinh(f.sinh(x)) + f.atan(x),
        lambda x: f.sin(x * 3.0) + f.cos(x) * f.tan(x * 0.3),
    ).build((4, 5, 3))
    check(model, tmp_path / "model.onnx")
    images = np.random.default_rng(0).random((2, 4, 5, 3)).astype(np.float32)
    back = from_onnx(tmp_path / "model.onnx").predict(images, finish="none")
    assert back.tobytes() == model.predict(images).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, tmp_path: Path) -> None:
    """Ready models go out, with weights by their names, and come back as what they were."""
    shape = (32, 32, 1 if name == "lenet5" else 3)
    model = getattr(models, name)(5, shape).build(shape, seed=2)
    path = tmp_path / "model.onnx"
    check(model, path)
    made = onnx.load(path)
    names = {array.name for array in made.graph.initializer}
    # A vector may go out in a shape that ONNX broadcasts.
    assert {name for name, array in model.parameters().items() if array.ndim > 1} <= names
    moved = [node for node in made.graph.node if node.op_type == "Transpose"]
    assert bool(moved) == name.startswith("shufflenet")
    images = np.random.default_rng(4).random((2, *shape)).astype(np.float32)
    back = from_onnx(path).predict(images)
    if name.endswith("_winograd") or name in APART:
        np.testing.assert_allclose(back, model.predict(images), rtol=1e-4, atol=1e-5)
    else:
        assert back.tobytes() == model.predict(images).tobytes()


@pytest.mark.parametrize("opset", [13, 20, 23])
def test_opsets(opset: int, tmp_path: Path) -> None:
    """What newer versions have operators for, older ones compose."""
    model = nn.Sequential(
        nn.Conv2d(6, 3, padding=1), nn.GELU(), nn.GroupNorm(3), nn.GELU(approximate="tanh"),
        nn.LayerNorm(), nn.Hardswish(), nn.Mish(), nn.Reduce("mean", (0,)), nn.Flatten(),
        nn.Linear(4), nn.LogSoftmax(),
    ).build((5, 4, 2), seed=3)  # fmt: skip
    check(model, tmp_path / "model.onnx", opset)


@pytest.mark.parametrize("preprocessing", ["inside", "beside"])
def test_pictures(preprocessing: Any, tmp_path: Path) -> None:
    """Normalisation is inside or beside, and a model that comes back knows of its pictures."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((4, 4, 1), seed=1)
    scale, offset = (np.array([value], np.float32) for value in (1 / 255, -0.5))
    model.normalisation, model.class_names = (scale, offset), ["cat", "dog", "cow"]
    model.trained_on = TrainedOn("uint8", 0.0, 255.0)
    images = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)
    path = tmp_path / "model.onnx"
    model.to_onnx(path, preprocessing=preprocessing)
    given = images.astype(np.float32)
    given = given * scale + offset if preprocessing == "beside" else given
    expected = model.predict(images)
    np.testing.assert_allclose(ran(path, given), expected, rtol=1e-5)
    back = ic.load(path)
    assert isinstance(back, nn.Network)
    assert not any(isinstance(layer, nn.Constant) for _, layer, *_ in back.steps)
    assert back.normalisation is not None
    np.testing.assert_array_equal(np.stack(back.normalisation), np.stack((scale, offset)))
    assert back.class_names == ("cat", "dog", "cow")
    assert back.predict(images).argmax(1).tolist() == expected.argmax(1).tolist()
    np.testing.assert_allclose(back.predict(images), expected, rtol=1e-5)
    with pytest.raises(ArgumentError, match="normalise must be left out: the file itself says"):
        ic.load(path, normalise="unit")


def test_what_is_refused(tmp_path: Path) -> None:
    """Operations without a counterpart are listed with their layers, and no file is left."""
    path = tmp_path / "model.onnx"
    model = nn.Sequential(nn.Conv2d(2, 1)).build((4, 4, 1))
    with pytest.raises(ArgumentError, match="opset must be a whole number of at least 13"):
        save_onnx(model, path, opset=12)
    with pytest.raises(ArgumentError, match=r"call model\.build"):
        save_onnx(nn.Linear(2), path)
    with pytest.raises(ArgumentError, match="whose result depends on no image"):
        save_onnx(nn.Constant((2,)).build((2,)), path)
    common = nn.Sequential(lambda x: x - nn.functional.moments(x)[0]).build((4, 4, 1))
    with pytest.raises(ArgumentError, match=r"no counterpart for: .*sum of ''"):
        save_onnx(common, path)
    assert not [*tmp_path.iterdir()]


def test_windows_that_are_drawn_go_out_as_a_prediction_has_them(tmp_path: Path) -> None:
    """With the offset 0.5, as the graph of that number; ONNX has no operator that draws them."""
    offsets: tuple[Any, ...] = ("random", 0.5)
    for offset in offsets:
        model = nn.Sequential(
            nn.FractionalMaxPool2d(2, (5, 4), offset=offset), nn.Flatten(), nn.Linear(3)
        ).build((9, 8, 2), seed=1)
        check(model, tmp_path / f"{offset}.onnx")
    made = [onnx.load(tmp_path / f"{offset}.onnx").graph for offset in offsets]
    assert made[0] == made[1]
    assert "MaxPool" in {node.op_type for node in made[0].node}


class _Unpooled(nn.Module):
    """A maximum put back where it was, or where numbers made of its place say."""

    def __init__(self, rank: int, size: int | None, shift: float) -> None:
        self.rank, self.size, self.shift = rank, size, shift

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The greatest of each window at its place, zeros elsewhere."""
        pool = getattr(nn.functional, f"max_pool{self.rank}d_with_indices")
        values, places = pool(x, 2, ceil_mode=True)
        places = places - self.shift if self.shift else places
        unpool = getattr(nn.functional, f"max_unpool{self.rank}d")
        y: nn.Tensor = unpool(values, places, 2, output_size=self.size)
        return y


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("size", "shift"), [(None, 0), (7, 0), (9, 0), (3, 0), (2, 0), (None, 3), (7, 0.5)]
)
def test_unpooling(rank: int, size: int | None, shift: float, tmp_path: Path) -> None:
    """Places go out as ONNX counts them, of several images too; those that are none stay none."""
    model: nn.Module = nn.Sequential(_Unpooled(rank, size, shift)).build((*(7, 5, 6)[:rank], 2))
    model.finish = "none"
    images = np.random.default_rng(rank).standard_normal((3, *(model.input_shape or ())))
    wanted = model.predict(images.astype(np.float32))
    for number in range(2):
        path = tmp_path / f"{number}.onnx"
        model.to_onnx(path)
        np.testing.assert_array_equal(ran(path, images.astype(np.float32)), first(wanted))
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert "MaxUnpool" in kinds
        # What was read back goes out again.
        model = from_onnx(path)
        assert model.predict(images.astype(np.float32)).tobytes() == wanted.tobytes()


def test_results_of_several_axes_come_back_as_they_were(tmp_path: Path) -> None:
    """However their elements lie in memory; a map of one position stays a map."""
    ends = (nn.Transpose((1, 0, 2)), nn.Flip(-1), nn.GlobalAvgPool2d(), nn.AvgPool2d(4))
    for end in ends:
        model = nn.Sequential(nn.Conv2d(4, 1), end).build((4, 4, 3))
        model.finish = "none"
        model.to_onnx(tmp_path / "x.onnx")
        images = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
        back = from_onnx(tmp_path / "x.onnx").predict(images)
        np.testing.assert_array_equal(back, model.predict(images))


class _Beside(nn.Module):
    """Images, and weights or numbers that are the same for all of them."""

    def __init__(self, made: Callable[..., nn.Tensor], *shapes: tuple[int, ...]) -> None:
        self.made = made
        self.fixed = [nn.Constant(shape) for shape in shapes]

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """What is made of both."""
        return self.made(x, *(each(x) for each in self.fixed))


_F = nn.functional
_ROWS, _MAP = (6, 4), (5, 6, 4)
BESIDE: dict[str, tuple[tuple[int, ...], Callable[..., nn.Tensor], tuple[tuple[int, ...], ...]]] = {
    "class token": (_MAP, lambda x, c: _F.concatenate(c, x.reshape(30, 4), axis=0), ((1, 4),)),
    "tokens and places": (
        _ROWS, lambda x, c, p: _F.concatenate(_F.exp(c), x, c, axis=0) + p, ((1, 4), (8, 4)),
    ),
    "channels": (_MAP, _F.concatenate, ((5, 6, 2),)),
    "rows of a map": (_MAP, lambda x, w: _F.concatenate(w, x, axis=1), ((5, 2, 4),)),
    "one number": (_ROWS, lambda x, w: _F.concatenate(w, x.reshape(24, 1), axis=0), ((1, 1),)),
    "moved": (
        _MAP, lambda x, w: _F.concatenate(w, _F.transpose(x, (2, 0, 1)), axis=0), ((1, 5, 6),),
    ),
    "flat": (_MAP, lambda x, w: _F.concatenate(w, _F.flatten(x)) * w, ((1,),)),
    "lower rank": (_MAP, lambda x, w: w - x, ((6, 1),)),
    "higher rank": ((4,), lambda x, w: w / (x + 2.0), ((3, 6, 4),)),
    "outer": ((4,), lambda x, w: x.reshape(4, 1) * w, ((1, 3),)),
    "at once moved": (_MAP, lambda x, w: w + _F.transpose(x, (2, 0, 1)), ((5, 1),)),
    "greatest": (_MAP, lambda x, w: _F.maximum(w, x), ((6, 4),)),
    "fixed condition": (_MAP, lambda x, w, v: _F.where(_F.greater(w, x), w, v), (_ROWS, (4,))),
    "fixed choices": (_MAP, lambda x, w, v: _F.where(_F.greater(x, 0.5), w, v), ((4,), (6, 1))),
    "flat choice": (_MAP, lambda x, w: _F.where(_F.greater(_F.flatten(x), w), w, 1.0), ((120,),)),
    "product, left": (_ROWS, lambda x, w: _F.matmul(w, x), ((3, 6),)),
    "product, left, of each": (_MAP, lambda x, w: _F.matmul(w, x), ((5, 3, 6),)),
    "product, right, more": (_ROWS, _F.matmul, ((5, 4, 3),)),
}  # fmt: skip


class _Standardised(nn.Module):
    """A convolution whose kernel has mean 0 and variance 1 for each filter, times a gain."""

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """Qiao et al. 2019, "Weight standardization"."""
        weight = x.trace.parameter(self, "weight", (18, 4))
        gain = x.trace.parameter(self, "gain", (4,), "ones")
        ones = x.trace.parameter(self, "average", (1, 18), 1 / 18)
        centred = weight - _F.matmul(ones, weight)
        kernel = centred / _F.sqrt(_F.matmul(ones, _F.square(centred)) + 1e-5) * gain
        return _F.conv2d(x, kernel.reshape(3, 3, 2, 4))


class _Made(nn.Module):
    """A convolution whose kernel is made of a weight of some shape."""

    def __init__(self, shape: tuple[int, ...], made: Callable[..., nn.Tensor]) -> None:
        self.shape, self.made = shape, made

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """``(H, W, 2)`` to four channels."""
        weight = x.trace.parameter(self, "weight", self.shape)
        return _F.conv2d(x, self.made(weight))


COMPUTED: dict[str, tuple[nn.Module, str]] = {
    "standardised": (_Standardised(), "0.weight, 0.gain, 0.average"),
    "halved": (_Made((3, 3, 2, 4), lambda w: w * 0.5), "0.weight"),
    "reshaped": (_Made((18, 4), lambda w: w.reshape(3, 3, 2, 4)), ""),
    "moved": (_Made((4, 3, 3, 2), lambda w: _F.transpose(w, (1, 2, 3, 0))), ""),
}
"""A convolution, and the weights of which only what is computed of them is in a file."""


@pytest.mark.parametrize("name", COMPUTED)
def test_kernels_that_are_computed_of_weights(name: str, tmp_path: Path) -> None:
    """They go out as numbers, which is told, and come back as weights of the same bits."""
    layer, told = COMPUTED[name]
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(2)).build((5, 6, 2), seed=3)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", DataWarning)
        check(model, path)
    ends = [str(each.message).rpartition("numbers: ")[2] for each in seen]
    assert ends == [f"those of {told}"] * bool(told)
    back = from_onnx(path)
    learned = {own: array.shape for own, array in back.parameters().items()}
    own = "0/Conv_0.weight" if told else "0.weight"
    assert learned == {own: (3, 3, 2, 4), "2.weight": (48, 2), "2.bias": (2,)}
    images = np.random.default_rng(5).random((3, 5, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(back.predict(images), model.predict(images))


def test_what_no_training_changes_stays_so(tmp_path: Path) -> None:
    """A file's numbers that are no weights of the model are not learned when it comes back."""
    large = nn.Upsample(scale_factor=2, mode="bilinear")
    steps = (
        ("conv", nn.Conv2d(4, 3), "images"), ("large", large, "conv"),
        ("plane", nn.Constant((8, 1, 4), learned=False), "images"),
        ("shift", nn.Constant((4,)), "images"), ("norm", nn.BatchNorm2d(), "large"),
        ("sum", nn.Add(), "norm", "plane"), ("end", nn.Add(), "sum", "shift"),
    )  # fmt: skip
    model = nn.Network(steps, ("images",), "end").build((6, 7, 2), seed=1)
    drawn = np.random.default_rng(1)
    arrays = {name: drawn.random(a.shape).astype(np.float32) for name, a in model.weights.items()}
    model.load_weights(arrays)
    path = tmp_path / "model.onnx"
    check(model, path)
    back = from_onnx(path)
    assert {name.removesuffix(".value") for name in back.parameters()} == {
        name.removesuffix(".value") for name in model.parameters()
    }
    again = tmp_path / "again.onnx"
    back.to_onnx(again)
    assert from_onnx(again).parameters().keys() == back.parameters().keys()


@pytest.mark.parametrize("name", BESIDE)
def test_weights_beside_images(name: str, tmp_path: Path) -> None:
    """They go out for any number of images, are learned when they come back, and keep the bits."""
    shape, made, shapes = BESIDE[name]
    model = nn.Sequential(_Beside(made, *shapes)).build(shape)
    random = np.random.default_rng(1)
    sides = {own: array.shape for own, array in model.parameters().items()}
    model.place(shape, {n: random.random(side).astype(np.float32) for n, side in sides.items()})
    path = tmp_path / "model.onnx"
    told = pytest.warns(DataWarning, match="numbers: those of 0.fixed.0.value$")
    with told if name == "tokens and places" else nullcontext():
        check(model, path)
    back = from_onnx(path)
    learned = {own for own, side in sides.items() if np.prod(side) > 1}
    assert learned <= set(back.parameters())
    images = random.random((3, *shape)).astype(np.float32)
    assert back.predict(images).tobytes() == model.predict(images).tobytes()
    back.to_onnx(path)
    np.testing.assert_array_equal(from_onnx(path).predict(images), model.predict(images))
