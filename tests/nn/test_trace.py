"""What tracing puts into the graph, and how errors inside layers come out."""

from __future__ import annotations

from typing import Any

import pytest

from isoconv import nn
from isoconv.arithmetic.philox import Purpose
from isoconv.errors import ArgumentError, DTypeError, IsoconvError, ShapeError
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)


def ops(traced: nn.Traced) -> list[str]:
    """The operations that the result needs, in order."""
    return [node.op for node in traced.builder.graph([("y", traced.output)]).nodes]


def test_inputs_of_a_plain_model() -> None:
    """Images are float32 rows of the data set; parameters carry layer paths."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3))
    traced = nn.trace_model(model, (2, 2, 1), training=True)
    graph = traced.builder.graph([("y", traced.output)])
    inputs = [(node.attrs.kind, node.attrs.name, str(node.spec)) for _, node in graph.inputs()]
    assert inputs == [
        ("dataset", "images", "float32(N, 2, 2, 1)"),
        ("parameter", "1.weight", "float32(4, 3)"),
        ("parameter", "1.bias", "float32(3)"),
    ]
    assert [(spec.shape, spec.initializer) for spec in traced.parameters.values()] == [
        ((4, 3), "he_uniform"),
        ((3,), "zeros"),
    ]


def test_nodes_carry_the_layer_that_made_them() -> None:
    """The innermost layer's path stands on each node."""
    model = nn.Sequential(nn.Sequential(nn.Conv2d(2, 3), nn.ReLU()))
    traced = nn.trace_model(model, (4, 4, 1), training=False)
    names = {node.op: node.name for node in traced.builder.graph([("y", traced.output)]).nodes}
    assert names["conv"] == "0.0"
    assert names["relu"] == "0.1"


def test_float64_models_convert_the_images() -> None:
    """Images stay float32 in the data set; everything after is float64."""
    traced = nn.trace_model(nn.Conv2d(2, 3), (4, 4, 1), training=False, dtype="float64")
    assert ops(traced)[:2] == ["input", "convert"]
    assert traced.output_tensor.dtype == "float64"
    assert traced.builder[traced.input].op == "convert"


def test_other_dtypes_are_refused() -> None:
    """Models compute in float32 or float64."""
    with pytest.raises(DTypeError, match="int32"):
        nn.trace_model(nn.ReLU(), (4, 4, 1), training=False, dtype="int32")


def test_dropout_has_its_inputs_in_training_alone() -> None:
    """Each use has a stream of its own; inference has neither node nor inputs."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.25), nn.Dropout(0.0))
    traced = nn.trace_model(model, (6,), training=True)
    graph = traced.builder.graph([("y", traced.output)])
    specs = {node.attrs.name: str(node.spec) for _, node in graph.inputs()}
    assert specs == {
        "images": "float32(N, 6)",
        "samples": "int64(N)",
        "key": "int64(2)",
    }
    streams = [node.attrs.stream for node in graph.nodes if node.op == "dropout"]
    assert streams == [0, 1]
    inference = nn.trace_model(model, (6,), training=False)
    assert inference.output == inference.input


def test_numbers_are_drawn_by_purpose() -> None:
    """Each purpose counts its streams; an image's numbers have the shape that is asked for."""
    trace = nn.Trace(training=True)
    drawn = [trace.uniform(Purpose.FRACTIONAL_POOLING, shape) for shape in ((2, 3), (), (5,))]
    assert [tensor.shape for tensor in drawn] == [(2, 3), (), (5,)]
    nodes = [trace.builder[tensor.index] for tensor in drawn]
    assert {node.op for node in nodes} == {"uniform_like"}
    assert [node.attrs.stream for node in nodes] == [0, 1, 2]
    assert trace.dropout_source()[2] == 0
    wide = nn.Trace(training=True, dtype="float64").uniform(Purpose.FRACTIONAL_POOLING, (2,))
    assert wide.dtype == "float64"
    wrong: Any = 6
    with pytest.raises(ArgumentError, match="purpose must be a Purpose; got 6"):
        trace.uniform(wrong, (2,))
    with pytest.raises(ShapeError, match="shape must"):
        trace.uniform(Purpose.FRACTIONAL_POOLING, (-1,))


def test_batch_norm_follows_the_shard_in_training() -> None:
    """Training reads no running statistics, inference reads nothing else."""
    training = nn.trace_model(nn.BatchNorm(), (4, 4, 2), training=True)
    kinds = {
        node.attrs.name for _, node in training.builder.graph([("y", training.output)]).inputs()
    }
    assert kinds == {"images", "weight", "bias"}
    assert set(training.state_updates) == {"running_mean", "running_var"}
    assert training.states["running_var"].initial == 1.0
    assert training.states["running_var"].momentum == 0.1
    inference = nn.trace_model(nn.BatchNorm(), (4, 4, 2), training=False)
    states = inference.builder.graph([("y", inference.output)]).inputs("state")
    assert [node.attrs.name for _, node in states] == ["running_mean", "running_var"]
    assert inference.state_updates == {}


def test_one_layer_on_one_value_is_computed_once() -> None:
    """The same layer on the same value adds no second node."""

    class Same(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Conv2d(2, 3)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.layer(x) + self.layer(x)

    assert ops(nn.trace_model(Same(), (4, 4, 1), training=False)).count("conv") == 1


def test_own_parameters_of_a_custom_module() -> None:
    """A module may ask its trace for arrays of its own."""

    class Scale(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x * x.trace.parameter(self, "factor", x.shape[-1:], "ones")

    model = nn.Sequential(Scale()).build((4, 4, 3))
    assert model.weights["0.factor"].tolist() == [1.0, 1.0, 1.0]


BAD = [
    (nn.Conv2d(8, 40), ShapeError, ["kernel_size=40", "(28, 28, 3)", "covers 40"]),
    (nn.Conv2d(8, 3, stride=0), ArgumentError, ["stride=0", "at least 1"]),
    (nn.Conv2d(8, 3, stride=0, padding="same"), ArgumentError, ["stride=0", "at least 1"]),
    (nn.Conv2d(8, 3, groups=2), ShapeError, ["groups=2", "channels 3", "filters 8"]),
    (nn.Conv2d(8, 3, groups=0), ArgumentError, ["groups", "at least 1"]),
    (nn.Conv2d(0, 3), ArgumentError, ["filters", "at least 1"]),
    (nn.Conv2d(8, (3, 3, 3)), ArgumentError, ["kernel_size", "2 of them", "(3, 3, 3)"]),
    (nn.Conv2d(8, 3, padding=-1), ArgumentError, ["padding", "-1"]),
    (nn.Conv2d(8, 3, padding=((1, 2), (1, -2))), ArgumentError, ["padding", "-2"]),
    (nn.Conv2d(8, 3, dilation=0), ArgumentError, ["dilation", "at least 1"]),
    (nn.Conv1d(8, 3), ShapeError, ["(L, C)", "(28, 28, 3)"]),
    (nn.Conv3d(8, 3), ShapeError, ["(D, H, W, C)", "(28, 28, 3)"]),
    (nn.DepthwiseConv2d(3, multiplier=0), ArgumentError, ["multiplier", "at least 1"]),
    (nn.Linear(10), ShapeError, ["(C,)", "flatten", "(28, 28, 3)"]),
    (nn.MaxPool2d(29), ShapeError, ["kernel_size=29", "(28, 28, 3)"]),
    (nn.MaxPool2d(2, padding=2), ArgumentError, ["less than the kernel", "padding=2"]),
    (nn.MaxPool2d(2, stride=0), ArgumentError, ["stride=0"]),
    (nn.AvgPool1d(2), ShapeError, ["avg_pool1d", "(28, 28, 3)"]),
    (nn.GlobalAvgPool1d(), ShapeError, ["(L, C)", "(28, 28, 3)"]),
    (nn.ZeroPad2d(-1), ArgumentError, ["padding", "-1"]),
    (nn.ZeroPad2d("same"), ArgumentError, ["numbers", "same"]),
    (nn.Dropout(1.0), ArgumentError, ["rate=1.0"]),
    (nn.BatchNorm(momentum=2.0), ArgumentError, ["momentum", "2.0"]),
    (nn.BatchNorm(eps=-1.0), ArgumentError, ["eps", "-1.0"]),
    (nn.Residual(nn.Conv2d(3, 3)), ShapeError, ["(26, 26, 3)", "(28, 28, 3)"]),
]


@pytest.mark.parametrize(("layer", "kind", "words"), BAD, ids=lambda value: str(value)[:40])
def test_errors_name_layer_settings_and_shapes(
    layer: nn.Module, kind: type[IsoconvError], words: list[str]
) -> None:
    """The path, the class with its settings, the received shape and the rule stand in it."""
    model = nn.Sequential(nn.ReLU(), nn.Sequential(layer))
    with pytest.raises(kind) as caught:
        model.build((28, 28, 3))
    text = str(caught.value)
    assert text.startswith(f"layer '1.0', {type(layer).__name__}(")
    assert "on input (28, 28, 3): " in text
    for word in words:
        assert word in text


def test_errors_are_located_once() -> None:
    """The layers around do not repeat where it happened."""
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3))))
    with pytest.raises(ShapeError) as caught:
        model.build((4, 4, 1))
    assert str(caught.value).count("on input") == 1


def test_an_error_of_the_model_itself() -> None:
    """The outermost module has no path and is called the model."""
    with pytest.raises(ShapeError, match="the model, Linear"):
        nn.Linear(3).build((4, 4, 1))


def test_layers_outside_the_attributes_have_no_name() -> None:
    """A layer that is made while tracing is refused with the reason."""

    class Loose(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return nn.Conv2d(2, 3)(x)

    with pytest.raises(ArgumentError, match="held by an attribute"):
        Loose().build((4, 4, 1))


def test_paths_that_are_frozen_are_those_of_modules() -> None:
    """A path that leads to none is refused, and not passed over."""
    model = nn.Sequential(nn.BatchNorm(), nn.Dropout())
    assert nn.Trace(model, training=True, frozen=["0"]).frozen == {"0"}
    with pytest.raises(ArgumentError, match=r"frozen\[1\] must be the path of .*; got '2'"):
        nn.Trace(model, training=True, frozen=["0", "2"])


def test_forward_must_return_a_tensor() -> None:
    """Any other result is refused."""

    class Pair(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return (x, x)  # type: ignore[return-value]

    with pytest.raises(ArgumentError, match="must return a Tensor; got tuple"):
        Pair().build((4, 4, 1))


def test_traces_do_not_mix() -> None:
    """Values of two traces cannot meet."""
    with pytest.raises(ArgumentError, match="another trace"):
        nn.Trace().images((2,)) + nn.Trace().images((2,))


def test_image_sides_are_positive() -> None:
    """An empty image is refused."""
    with pytest.raises(ShapeError, match=r"\(0, 4, 1\)"):
        nn.trace_model(nn.ReLU(), (0, 4, 1), training=False)


def test_unknown_initializers_are_listed() -> None:
    """The message says which there are."""

    class Own(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x.trace.parameter(self, "a", (1,), "normal")  # type: ignore[arg-type]

    with pytest.raises(ArgumentError, match=r"he_uniform.*normal"):
        Own().build((4,))


def test_names_must_be_unique() -> None:
    """A dict key that spells another layer's path is refused."""

    class Clash(nn.Module):
        def __init__(self) -> None:
            self.a = [nn.ReLU()]
            self.__dict__["a.0"] = nn.ReLU()

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x

    with pytest.raises(ArgumentError, match=r"a\.0"):
        Clash().build((4,))


def test_parameters_are_not_called_as_what_a_graph_is_given() -> None:
    """A model's own parameter `images` would be mistaken for the images."""

    class Own(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x * x.trace.parameter(self, "images", (4,), "ones")

    said = r"^the model, Own\(\).*'images' is a dataset, float32\(N, 4\); got a parameter"
    with pytest.raises(ArgumentError, match=said):
        Own().build((4,))
    assert set(nn.Sequential(Own()).build((4,)).parameters()) == {"0.images"}


def test_tensor_operators_add_their_operations() -> None:
    """Numbers go through scale and offset, tensors through the binary operations."""
    x = nn.Trace().images((4,))
    added = {
        "offset": [x + 1, 1 + x, x - 1],
        "scale": [x * 2, 2 * x, x / 2],
        "add": [x + x],
        "sub": [x - x],
        "mul": [x * x],
        "div": [x / x],
        "neg": [-x],
    }
    for op, values in added.items():
        for value in values:
            assert x.trace.builder[value.index].op == op
    assert (1 - x).shape == (2 / x).shape == (4,)


def test_tensor_operators_refuse_other_things() -> None:
    """A text or a zero divisor is refused."""
    x = nn.Trace().images((4,))
    with pytest.raises(ArgumentError, match="str"):
        x + "1"  # type: ignore[operator]
    with pytest.raises(ArgumentError, match="divided by the number 0"):
        x / 0


def test_reshape_keeps_the_elements() -> None:
    """Element counts must agree; one side may be left open."""
    x = nn.Trace().images((4, 6))
    assert x.reshape(2, -1).shape == (2, 12)
    for bad in [(5, -1), (-1, -1), (4, 5), (0, -1)]:
        with pytest.raises(ShapeError, match="number of elements"):
            x.reshape(*bad)


def test_losses_are_one_number_per_image() -> None:
    """Cross-entropy, squared error and binary cross-entropy leave the image axis alone."""
    trace = nn.Trace()
    x, target = trace.images((10,)), trace.input("dataset", "target", (10,))
    labels = trace.input("dataset", "labels", (), "int32")
    for loss in (F.cross_entropy(x, labels, 0.1), F.mse(x, target), F.bce_with_logits(x, target)):
        assert (loss.shape, loss.batched) == ((), True)
    with pytest.raises(ShapeError, match="mse compares"):
        F.mse(x, trace.input("dataset", "other", (3,)))
