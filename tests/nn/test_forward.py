"""What traced models compute, by the exact references, against values from elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.operation import Array
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)
from isoconv.nn.architecture import architecture_of
from isoconv.ops.interpret import interpret


def run(model: nn.Module, images: Array, *, training: bool = False) -> Array:
    """The model's result by the references."""
    if model.input_shape is None:
        model.build(images.shape[1:])
    traced = nn.trace_model(model, images.shape[1:], training=training)
    graph = traced.builder.graph([("y", traced.output)])
    given = {"images": images.astype(np.float32), **model.weights}
    given["samples"] = np.arange(len(images))
    given["key"] = np.array([5, 0])
    return interpret(graph, given, images=len(images))["y"]


def random(*shape: int) -> Array:
    """Repeatable float32 numbers around 0."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


X = np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 3, 3, 1)
K = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def with_kernel(layer: nn.Module, kernel: Array) -> nn.Module:
    """A layer on one channel with this kernel and bias 0."""
    layer.build((9, 9, 1))
    layer.load_weights({"weight": kernel[:, :, None, None], "bias": np.zeros(1, np.float32)})
    return layer


def test_conv2d_is_the_notes_worked_example() -> None:
    """y00 = x00·w00 + x01·w01 + x10·w10 + x11·w11, and so on."""
    y = run(with_kernel(nn.Conv2d(1, 2), K), X)[0, :, :, 0]
    np.testing.assert_array_equal(y, [[37, 47], [67, 77]])
    np.testing.assert_array_equal(y, correlate2d(X[0, :, :, 0], K, mode="valid"))


def test_flip_is_the_notes_formula() -> None:
    """Y(i, j) = Σ X(i - m, j - n) K(m, n), as SciPy's convolve2d computes it."""
    for padding, mode in ((0, "valid"), (1, "full")):
        y = run(with_kernel(nn.Conv2d(1, 2, padding=padding, flip=True), K), X)[0, :, :, 0]
        np.testing.assert_array_equal(y, convolve2d(X[0, :, :, 0], K, mode=mode))


def test_flip_turns_the_kernel_around() -> None:
    """The two meanings differ by the kernel's orientation alone."""
    turned = np.ascontiguousarray(K[::-1, ::-1])
    flipped = run(with_kernel(nn.Conv2d(1, 2, flip=True), K), X)
    np.testing.assert_array_equal(flipped, run(with_kernel(nn.Conv2d(1, 2), turned), X))


def test_same_padding_keeps_the_size() -> None:
    """An even kernel gets its odd zero after."""
    y = run(with_kernel(nn.Conv2d(1, 2, padding="same"), K), X)[0, :, :, 0]
    padded = np.pad(X[0, :, :, 0], ((0, 1), (0, 1)))
    np.testing.assert_array_equal(y, correlate2d(padded, K, mode="valid"))


@pytest.mark.parametrize(
    ("mode", "name"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_padding_modes(mode: Any, name: Any) -> None:
    """The convolution of what NumPy's ``pad`` makes of the input, and its gradients' shares."""
    x, w = random(2, 5, 6, 2), random(3, 3, 2, 4)
    pairs = ((2, 1), (0, 3))
    wide = np.pad(x, ((0, 0), *pairs, (0, 0)), name)
    given: dict[str, Any] = {"stride": (1, 2), "dilation": (2, 1), "padding": pairs}
    found = ic.conv2d(x, w, padding_mode=mode, **given)
    np.testing.assert_array_equal(found, ic.conv2d(wide, w, None, (1, 2), 0, (2, 1)))
    layer = nn.Conv2d(4, 3, (1, 2), pairs, (2, 1), bias=False, padding_mode=mode).build((5, 6, 2))
    np.testing.assert_array_equal(run(layer, x), ic.conv2d(x, layer.weights["weight"],
                                                           padding_mode=mode, **given))  # fmt: skip
    ones = np.ones(found.shape, np.float32)
    dx, dw = ic.gradients(ic.conv2d, ones, x, w, padding_mode=mode, **given)
    dwide, again = ic.gradients(ic.conv2d, ones, wide, w, stride=(1, 2), dilation=(2, 1))
    np.testing.assert_array_equal(dw, again)
    np.testing.assert_allclose(dx.sum((1, 2)), dwide.sum((1, 2)), rtol=1e-4, atol=1e-4)


def test_a_padding_mode_is_told_where_it_is_not_zeros() -> None:
    """Texts and records of other layers are what they were; by name alone in a layer."""
    plain, round_ = nn.Conv2d(2, 3), nn.Conv2d(2, 3, padding_mode="circular")
    assert "padding_mode" not in plain.line() + str(architecture_of(plain))
    assert "padding_mode='circular'" in round_.line()
    assert "padding_mode" in (architecture_of(round_) or {})
    with pytest.raises(ArgumentError, match=r"padding_mode must be .*zeros") as caught:
        nn.DepthwiseConv2d(3, padding_mode="mirror").build((5, 5, 2))
    assert caught.value.argument == "padding_mode"


def test_strided_same_padding_of_onnx() -> None:
    """SAME_UPPER, which is TensorFlow's, and SAME_LOWER, as ONNX Runtime 1.32 computes them."""
    x = np.arange(1, 31, dtype=np.float32).reshape(1, 6, 5, 1)
    w = np.arange(1, 13, dtype=np.float32).reshape(3, 4, 1, 1)
    upper, lower = (ic.conv2d(x, w, None, 2, p)[0, ..., 0] for p in ("same", "same_lower"))
    wanted = [[567, 838, 395], [1197, 1618, 725], [769, 986, 399]]
    np.testing.assert_array_equal(upper, wanted)
    wanted = [[173, 390, 346], [599, 1150, 882], [1049, 1930, 1422]]
    np.testing.assert_array_equal(lower, wanted)
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2, 1)
    upper, lower = (
        ic.conv_transpose2d(x, w, None, (2, 1), p)[0, ..., 0] for p in ("same", "same_lower")
    )
    np.testing.assert_array_equal(upper, [[4, 7], [16, 19], [38, 48], [38, 45]])
    np.testing.assert_array_equal(lower, [[19, 22], [48, 58], [45, 52], [73, 80]])


def test_pooling_layers() -> None:
    """Maximum and average of the notes' 3×3 example, and over everything."""
    x = np.array([[1, 5, 4], [9, 2, 1], [6, 3, 2]], np.float32).reshape(1, 3, 3, 1)
    maximum = run(nn.MaxPool2d(2, stride=1), x)[0, :, :, 0]
    np.testing.assert_array_equal(maximum, [[9, 5], [9, 3]])
    average = run(nn.AvgPool2d(2, stride=1), x)[0, :, :, 0]
    np.testing.assert_array_equal(average, [[4.25, 3], [5, 2]])
    np.testing.assert_allclose(run(nn.GlobalAvgPool2d(), x), [[33 / 9]], rtol=1e-6)
    np.testing.assert_array_equal(run(nn.GlobalMaxPool2d(), x), [[9]])


def test_global_pooling_of_other_ranks() -> None:
    """One and three axes, and none."""
    x = random(2, 4, 3, 5, 6)
    np.testing.assert_array_equal(run(nn.GlobalMaxPool3d(), x), x.max((1, 2, 3)))
    np.testing.assert_allclose(run(nn.GlobalAvgPool3d(), x), x.mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(
        run(nn.GlobalAvgPool1d(), x[:, :, 0, 0]), x[:, :, 0, 0].mean(1), atol=1e-6
    )


def test_linear_is_a_matrix_product() -> None:
    """The product x @ weight, plus the bias."""
    model, x = nn.Linear(4).build((6,), seed=2), random(3, 6)
    wanted = x @ model.weights["weight"] + model.weights["bias"]
    np.testing.assert_allclose(run(model, x), wanted, rtol=1e-5, atol=1e-6)


def test_activations() -> None:
    """Each against its formula."""
    x = random(2, 4) * 4
    e = np.exp(x)
    cases = [
        (nn.ReLU(), np.maximum(x, 0)),
        (nn.LeakyReLU(0.1), np.where(x > 0, x, 0.1 * x)),
        (nn.Sigmoid(), 1 / (1 + 1 / e)),
        (nn.Tanh(), np.tanh(x)),
        (nn.SiLU(), x / (1 + 1 / e)),
        (nn.ReLU6(), np.clip(x, 0, 6)),
        (nn.Clip(maximum=0.5), np.minimum(x, 0.5)),
        (nn.Hardtanh(-0.5, 0.25), np.clip(x, -0.5, 0.25)),
        (nn.Hardsigmoid(), np.clip(x + 3, 0, 6) / 6),
        (nn.Hardsigmoid(0.2, 0.4), np.clip(0.2 * x + 0.4, 0, 1)),
        (nn.PReLU(), np.where(x > 0, x, 0.25 * x)),
        (nn.PReLU(4, 0.5), np.where(x > 0, x, 0.5 * x)),
        (nn.Threshold(0.5, 0.125), np.where(x > 0.5, x, 0.125)),
        (nn.Hardswish(), x * np.clip(x + 3, 0, 6) / 6),
        (nn.Softmax(), e / e.sum(1, keepdims=True)),
        (nn.LogSoftmax(), x - np.log(e.sum(1, keepdims=True))),
        (nn.ELU(0.5), np.where(x > 0, x, 0.5 * np.expm1(x))),
        (nn.SELU(), 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
        (nn.CELU(0.5), np.where(x > 0, x, 0.5 * np.expm1(x / 0.5))),
        (nn.GELU("tanh"), x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))),
        (nn.GLU(), x[:, :2] / (1 + 1 / e[:, 2:])),
        (nn.Mish(), x * np.tanh(np.log1p(e))),
        (nn.Softplus(2.0), np.log1p(e * e) / 2),
        (nn.Softsign(), x / (1 + abs(x))),
    ]
    for layer, wanted in cases:
        np.testing.assert_allclose(run(layer, x), wanted, 1e-5, 1e-6, err_msg=repr(layer))


def test_power() -> None:
    """With a number, or an exponent for each element; gradients by both."""
    x = np.array([[1, 2, 4], [9, 0.25, 3]], np.float32)
    np.testing.assert_array_equal(ic.power(x, 2), x * x)
    np.testing.assert_array_equal(ic.power(x[:, :2], 0.5), [[1, np.float32(2**0.5)], [3, 0.5]])
    y = np.array([[2, -1, 0.5], [0, 1, 3]], np.float32)
    np.testing.assert_array_equal(ic.power(x, y), [[1, 0.5, 2], [1, 0.25, 27]])
    dx, dy = ic.gradients(ic.power, np.ones_like(x), x, y)
    np.testing.assert_allclose(dx, y * x ** (y - 1), rtol=1e-6)
    np.testing.assert_allclose(dy, x**y * np.log(x), rtol=1e-6)


def test_batch_norm_in_training_and_inference() -> None:
    """The shard's own statistics, then the running ones."""
    x = random(4, 3, 3, 2) * 3 + 1
    wanted = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(run(nn.BatchNorm(), x, training=True), wanted, rtol=1e-4, atol=1e-5)
    model = nn.BatchNorm().build((3, 3, 2))
    weights = {
        "weight": np.array([2, 3], np.float32),
        "bias": np.array([1, -1], np.float32),
        "running_mean": np.array([0.5, 1], np.float32),
        "running_var": np.array([4, 9], np.float32),
    }
    model.load_weights(weights)
    wanted = (x - weights["running_mean"]) / np.sqrt(weights["running_var"] + 1e-5)
    wanted = wanted * weights["weight"] + weights["bias"]
    np.testing.assert_allclose(run(model, x), wanted, rtol=1e-5, atol=1e-6)


def test_state_updates_are_statistics_times_images() -> None:
    """What a shard hands over is weighted by its images."""
    x = random(4, 3, 3, 2)
    traced = nn.trace_model(nn.BatchNorm(), (3, 3, 2), training=True)
    graph = traced.builder.graph(list(traced.state_updates.items()))
    given = interpret(graph, {"images": x}, images=4)
    np.testing.assert_allclose(given["running_mean"], 4 * x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(given["running_var"], 4 * x.var((0, 1, 2)), rtol=1e-5)


def test_dropout_keeps_and_scales() -> None:
    """Kept elements are scaled by 1 / (1 - rate), about a rate of them is 0."""
    x = np.ones((8, 100), np.float32)
    y = run(nn.Dropout(0.25), x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.15 < (y == 0).mean() < 0.35
    np.testing.assert_array_equal(run(nn.Dropout(0.25), x), x)


def test_a_residual_block_adds() -> None:
    """body(x) + shortcut(x)."""
    body, shortcut = nn.Conv2d(3, 3, padding=1), nn.Conv2d(3, 1)
    x = random(2, 4, 4, 2)
    both = nn.Residual(body, shortcut).build((4, 4, 2))
    np.testing.assert_array_equal(run(both, x), run_part(body, x) + run_part(shortcut, x))


def run_part(layer: nn.Module, x: Array) -> Array:
    """A layer of a built model by itself, with the weights that it has."""
    traced = nn.trace_model(layer, x.shape[1:], training=False)
    graph = traced.builder.graph([("y", traced.output)])
    return interpret(graph, {"images": x, **layer.weights}, images=len(x))["y"]


def test_branches_join() -> None:
    """Concatenation, multiplication by channel factors and padding in one model."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            self.join, self.times, self.pad = nn.Concatenate(), nn.Multiply(), nn.ZeroPad2d(1)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            scaled = self.times(x, F.global_max_pool(x))
            return self.pad(self.join(x, scaled))

    x = random(2, 3, 3, 2)
    wanted = np.concatenate([x, x * x.max((1, 2), keepdims=True)], axis=-1)
    wanted = np.pad(wanted, ((0, 0), (1, 1), (1, 1), (0, 0)))
    np.testing.assert_array_equal(run(Branches(), x), wanted)


def test_branches_stand_side_by_side() -> None:
    """Every step reads the same value, an empty one passes it on; weights are named by place."""
    x = random(2, 3, 4, 2)
    model = nn.Branches(nn.Sequential(), nn.ReLU(), nn.Conv2d(3, 1)).build((3, 4, 2))
    found = run(model, x)
    np.testing.assert_array_equal(found[..., :4], np.concatenate([x, np.maximum(x, 0)], axis=-1))
    np.testing.assert_allclose(found[..., 4:], x @ model.weights["2.weight"][0, 0], rtol=1e-5)
    for steps, error in (((nn.ReLU(), nn.MaxPool2d(2)), ShapeError), ((), ArgumentError)):
        with pytest.raises(error, match=r"the model, Branches"):
            nn.Branches(*steps).build((4, 4, 2))


def test_reversed_operators() -> None:
    """Numbers on the left: 1 - x, 2 / x, and division by a number."""

    class Numbers(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return (1 - x) + 2 / x - x / 4

    x = random(2, 3)
    np.testing.assert_allclose(run(Numbers(), x), (1 - x) + 2 / x - x / 4, rtol=1e-5)


@pytest.mark.parametrize(
    "model", [nn.models.lenet5(), nn.models.resnet20()], ids=["lenet5", "resnet20"]
)
@pytest.mark.slow
def test_one_image_does_not_depend_on_the_others(model: nn.Module) -> None:
    """In inference the first of two images gives what it gives alone."""
    x = random(2, 16, 16, 1)
    np.testing.assert_array_equal(run(model, x)[:1], run(model, x[:1]))


def test_gradients_of_a_small_network() -> None:
    """Every parameter's gradient in float64 against finite differences."""
    model = nn.Sequential(
        nn.Conv2d(3, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm(),
        nn.Residual(nn.Sequential(nn.Conv2d(3, 2, padding="same"), nn.Tanh())),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3),
    ).build((5, 5, 2), seed=4)
    traced = nn.trace_model(model, (5, 5, 2), training=True, dtype="float64")
    trace = traced.trace
    labels = trace.input("dataset", "labels", (), "int32")
    losses = F.cross_entropy(traced.output_tensor, labels, 0.1)
    builder = trace.builder
    ones = (losses - losses) + 1
    specs = traced.parameters.values()
    wanted = [builder.input("parameter", s.name, s.shape, "float64") for s in specs]
    gradients = differentiate(builder, {losses.index: ones.index}, wanted)
    given = {
        "images": random(3, 5, 5, 2),
        "labels": np.array([0, 2, 1], np.int32),
    }
    weights = {name: a.astype(np.float64) for name, a in model.parameters().items()}
    forward = builder.graph([("loss", losses.index)])
    names = list(traced.parameters)
    backward = builder.graph([(name, gradients[i]) for name, i in zip(names, wanted, strict=True)])

    def loss(changed: dict[str, Array]) -> float:
        return float(interpret(forward, given | changed, images=3)["loss"].sum())

    exact = interpret(backward, given | weights, images=3)
    rng = np.random.default_rng(0)
    for name, array in weights.items():
        direction = rng.normal(size=array.shape)
        ahead = loss(weights | {name: array + 1e-6 * direction})
        behind = loss(weights | {name: array - 1e-6 * direction})
        slope = float((exact[name] * direction).sum())
        assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-7), name
