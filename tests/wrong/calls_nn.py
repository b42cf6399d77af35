"""Valid calls of layers, models, functions on tensors, and what traces them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image
from tests.nn.array_calls import takes_one
from tests.nn.layers import JOINED, alone, layer_of, public_layers, settings_of, takes_several
from tests.wrong.calls import Call, Table

from isoconv import nn
from isoconv.arithmetic.philox import Purpose
from isoconv.nn import comparisons, elementwise, functional, models
from isoconv.nn.saved import facts_of
from isoconv.ops import LeakyRelu

__all__ = ["CALLS"]

POOLS: dict[str, dict[str, Any]] = {
    "adaptive_avg_pool": {"output_size": 3},
    "adaptive_max_pool": {"output_size": 3},
    "fractional_max_pool": {"kernel_size": 2, "output_size": 2},
    "lp_pool": {"norm_type": 2, "kernel_size": 2},
}
SHAPES = {1: (8, 2), 2: (6, 6, 2), 3: (4, 4, 4, 2)}


def x(*shape: int, trace: nn.Trace | None = None) -> nn.Tensor:
    """A tensor of a trace of its own."""
    trace = nn.Trace(training=True) if trace is None else trace
    return trace.images(shape or SHAPES[2])


def beside(tensor: nn.Tensor, *shape: int, dtype: Any = "float32") -> nn.Tensor:
    """A parameter in the same trace."""
    return tensor.trace.input("parameter", f"p{shape}", shape, dtype)


def layer_calls() -> Iterator[tuple[str, Callable[[Any], Call]]]:
    """Every layer made and built, for its settings show what they are worth when it is traced.

    And each ``forward``, as a model calls it, under the name of the first layer that has it.
    """
    seen = set()
    for name, kind in public_layers().items():
        several = takes_several(kind)
        made, shape = (kind(), JOINED) if several else layer_of(kind)
        if kind not in (nn.Branches, nn.Sequential):
            settings = {each.name: getattr(made, each.name) for each in settings_of(kind)}
            yield f"nn.{name}", layer(kind, shape, settings)
        if kind.forward not in seen:
            seen.add(kind.forward)
            yield f"nn.{name}.forward", joined(made) if several else forward(made, shape)


def layer(
    kind: type[nn.Module], shape: tuple[int, ...], settings: dict[str, Any]
) -> Callable[[Any], Call]:
    """A layer that is made and built."""
    return lambda _: Call(kind, _then=lambda made: alone(made).build(shape), **settings)


def forward(made: nn.Module, shape: tuple[int, ...]) -> Callable[[Any], Call]:
    """A layer's forward on a tensor."""

    def make(_: Any) -> Call:
        tensor = nn.Trace(made, training=True).images(shape)
        more: dict[str, Any] = {} if alone(made) is made else {"indices": tensor}
        return Call(made.forward, x=tensor, **more)

    return make


def unpooling(rank: int) -> Callable[[Any], Call]:
    """Values and their places in one trace."""

    def make(_: Any) -> Call:
        tensor = x(*SHAPES[rank])
        return Call(
            getattr(functional, f"max_unpool{rank}d"), x=tensor, indices=tensor, kernel_size=2
        )

    return make


def joined(made: nn.Module) -> Callable[[Any], Call]:
    """The forward of a layer that joins several tensors."""

    def make(_: Any) -> Call:
        tensor = nn.Trace(made).images(JOINED)
        return Call(made.forward, tensor, tensor)

    return make


def function(called: Callable[..., Any], *shape: int, **given: Any) -> Callable[[Any], Call]:
    """A function of one tensor and settings."""
    return lambda _: Call(called, x=x(*shape), **given)


def convolution(
    called: Callable[..., Any], rank: int, *, transposed: bool = False
) -> Callable[[Any], Call]:
    """A convolution with a bias."""

    def make(_: Any) -> Call:
        tensor = x(*SHAPES[rank])
        last = (4, 2) if transposed else (2, 4)
        weight = beside(tensor, *(3,) * rank, *last)
        return Call(called, x=tensor, weight=weight, bias=beside(tensor, 4))

    return make


def two(called: Callable[..., Any]) -> Callable[[Any], Call]:
    """A function of two tensors of one shape."""
    return lambda _: Call(called, x=(tensor := x()), y=tensor)


def linear(_: Any) -> Call:
    """A linear layer with a bias."""
    tensor = x(5)
    return Call(functional.linear, x=tensor, weight=beside(tensor, 5, 4), bias=beside(tensor, 4))


def batch_norm(_: Any) -> Call:
    """Batch normalisation with all its vectors."""
    tensor = x()
    names = ("mean", "variance", "gamma", "beta")
    vectors: dict[str, Any] = {name: tensor.trace.input("parameter", name, (2,)) for name in names}
    return Call(functional.batch_norm, x=tensor, **vectors)


def loss(called: Callable[..., Any], first: str) -> Callable[[Any], Call]:
    """A loss of a result and a target."""

    def make(_: Any) -> Call:
        tensor = x(4)
        given: dict[str, Any] = {first: tensor, "target": tensor.trace.input("dataset", "t", (4,))}
        return Call(called, **given)

    return make


def cross_entropy(_: Any) -> Call:
    """Cross-entropy of logits and class numbers."""
    logits = x(4)
    labels = logits.trace.input("dataset", "labels", (), "int32")
    return Call(functional.cross_entropy, logits=logits, labels=labels, weight=beside(logits, 4))


def focal(_: Any) -> Call:
    """The focal loss of a map with a label for each place."""
    logits = x(3, 4)
    labels = logits.trace.input("dataset", "labels", (3,), "int32")
    return Call(functional.focal, logits=logits, labels=labels, weight=beside(logits, 4))


def model(called: Callable[..., Any]) -> Callable[[Any], Call]:
    """A ready model, summed up for images that all of them take."""
    shape = (32, 32, 3)
    return lambda _: Call(
        called, classes=3, input_shape=shape, _then=lambda made: made.summary(shape)
    )


def operator(name: str, other: Any = 2.0) -> Callable[[Any], Call]:
    """An operator of tensors."""
    return lambda _: Call(getattr(x(), name), other=other)


def tracing(method_name: str, /, **given: Any) -> Callable[[Any], Call]:
    """A method of a trace of a model."""

    def make(place: Any) -> Call:
        trace = nn.Trace(place.layer, training=True)
        values: dict[str, Callable[[], Any]] = {
            "x": lambda: trace.images((3,)),
            "module": lambda: place.layer,
        }
        found = {key: values[key]() if value is ... else value for key, value in given.items()}
        return Call(getattr(trace, method_name), **found)

    return make


def update_state(place: Any) -> Call:
    """A state that follows a tensor."""
    trace = nn.Trace(place.layer, training=True)
    value = trace.input("parameter", "value", (3,))
    return Call(
        trace.update_state, module=place.layer, name="s", value=value,
        _then=lambda _: trace.state_updates(),
    )  # fmt: skip


def method(name: str, /, **given: Any) -> Callable[[Any], Call]:
    """A method of a built model of the place's."""
    return lambda place: Call(getattr(place.model(), name), **given)


def load(place: Any) -> Call:
    """Reading saved weights."""
    path = place.path / "saved.safetensors"
    place.model().save(path)
    return Call(place.model().load, path=path)


def load_weights(place: Any) -> Call:
    """Weights from arrays."""
    made = place.model()
    return Call(made.load_weights, weights=made.weights)


def picture(place: Any) -> Any:
    """A picture file for the place's model."""
    path = place.path / "picture.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    return path


CALLS: Table = {
    # layers
    **dict(layer_calls()),
    "nn.Sequential": lambda _: Call(
        nn.Sequential, nn.ReLU(), nn.Flatten(), _then=lambda made: made.build(SHAPES[2])
    ),
    "nn.Branches": lambda _: Call(
        nn.Branches, nn.ReLU(), nn.Sequential(), _then=lambda made: made.build(SHAPES[2])
    ),
    "nn.Branches.children": lambda place: Call(place.model().children),
    # all modules
    "nn.Module": lambda _: Call(nn.Module),
    "nn.Module.__call__": lambda _: Call(made := nn.ReLU(), nn.Trace(made).images((4,))),
    "nn.Module.build": lambda place: Call(place.model().build, input_shape=(8, 8, 1)),
    "nn.Module.children": lambda _: Call(nn.ReLU().children),
    "nn.Module.describe": method("describe"),
    "nn.Module.digest": method("digest"),
    "nn.Module.forget_training": lambda _: Call(nn.ReLU().forget_training),
    "nn.Conv2d.line": lambda _: Call(nn.Conv2d(8, 3).line),
    "nn.Module.line": lambda _: Call(nn.ReLU().line),
    "nn.Apply.line": lambda _: Call(nn.Apply(functional.relu).line),
    "nn.Network.children": lambda _: Call(nn.Network((("a", nn.ReLU(), "x"),)).children),
    "nn.Network.line": lambda _: Call(nn.Network((("a", nn.ReLU(), "x"),)).line),
    "nn.Branches.line": lambda _: Call(nn.Sequential(nn.ReLU()).line),
    "nn.Module.load": load,
    "nn.Module.load_weights": load_weights,
    "nn.Module.named_modules": method("named_modules"),
    "nn.Module.parameters": method("parameters"),
    "nn.Module.place": lambda place: Call(
        nn.Sequential(nn.Flatten(), nn.Linear(3)).place,
        input_shape=(8, 8, 1), weights=place.model().weights,
    ),
    "nn.Module.predict": method("predict", images=np.zeros((2, 8, 8, 1), np.uint8)),
    "nn.Module.predict_files": lambda place: Call(
        place.model().predict_files, paths=[picture(place)], threads=1
    ),
    "nn.Module.save": method("save", path="saved.safetensors"),
    "nn.Module.states": method("states"),
    "nn.Module.to_onnx": lambda place: Call(
        place.model().to_onnx, path=place.path / "model.onnx"
    ),
    "nn.Module.summary": method("summary", input_shape=(8, 8, 1)),
    "nn.Module.take_facts": lambda place: Call(nn.ReLU().take_facts, facts=facts_of(place.model())),
    # traces
    "nn.ParameterSpec": lambda _: Call(
        nn.ParameterSpec, name="w", shape=(3,), initializer="zeros"
    ),
    "nn.StateSpec": lambda _: Call(nn.StateSpec, name="s", shape=(3,), initial=0.0, momentum=0.1),
    "nn.Summary": lambda _: Call(
        nn.Summary, input_shape=(3,), rows=(), parameters=0, multiply_adds=0
    ),
    "nn.Summary.cells": lambda place: Call(place.model().summary().cells),
    "nn.Tensor": lambda _: Call(nn.Tensor, trace=nn.Trace(), index=0),
    "nn.Tensor.power": lambda _: Call(x().power, exponent=2.0),
    "nn.Tensor.for_each_image": lambda _: Call(x().for_each_image),
    "nn.Tensor.reshape": lambda _: Call(x().reshape, -1, 2),
    "nn.Tensor.transpose": lambda _: Call(x().transpose, 2, 0, 1),
    "nn.Tensor.__add__": operator("__add__"),
    "nn.Tensor.__radd__": operator("__radd__"),
    "nn.Tensor.__sub__": operator("__sub__"),
    "nn.Tensor.__rsub__": operator("__rsub__"),
    "nn.Tensor.__mul__": operator("__mul__"),
    "nn.Tensor.__rmul__": operator("__rmul__"),
    "nn.Tensor.__truediv__": operator("__truediv__"),
    "nn.Tensor.__rtruediv__": operator("__rtruediv__"),
    "nn.Tensor.__pow__": operator("__pow__"),
    "nn.Tensor.__rpow__": operator("__rpow__"),
    "nn.Trace": lambda _: Call(nn.Trace, model=nn.ReLU()),
    "nn.Trace.add": lambda _: Call(
        (tensor := x()).trace.add, tensor, op="leaky_relu", attrs=LeakyRelu(0.1)
    ),
    "nn.Trace.call": lambda place: Call(
        (trace := nn.Trace(place.layer)).call, module=place.layer, inputs=(trace.images((3,)),)
    ),
    "nn.Trace.convert": tracing("convert", x=..., dtype="float64"),
    "nn.Trace.dropout_source": tracing("dropout_source"),
    "nn.Trace.uniform": tracing("uniform", purpose=Purpose.FRACTIONAL_POOLING, shape=(2, 3)),
    "nn.Trace.images": tracing("images", shape=(8, 8, 1)),
    "nn.Trace.input": tracing("input", kind="parameter", name="w", shape=(3,), dtype="float32"),
    "nn.Trace.parameter": tracing("parameter", module=..., name="w", shape=(3,)),
    "nn.Trace.state": tracing(
        "state", module=..., name="s", shape=(3,), initial=0.0, momentum=0.1
    ),
    "nn.Trace.state_updates": tracing("state_updates"),
    "nn.Trace.update_state": update_state,
    "nn.Traced": lambda _: Call(
        nn.Traced, trace=nn.Trace(), input=0, output=0, parameters={}, states={}, state_updates={}
    ),
    "nn.trace_model": lambda place: Call(
        nn.trace_model, model=place.model(), input_shape=(8, 8, 1), training=True
    ),
    # functions on tensors
    **{
        f"nn.functional.{name}": function(getattr(functional, name))
        for name in functional.__all__
        if takes_one(getattr(functional, name))
    },
    "nn.functional.avg_pool1d": function(functional.avg_pool1d, *SHAPES[1], kernel_size=2),
    "nn.functional.avg_pool2d": function(functional.avg_pool2d, *SHAPES[2], kernel_size=2),
    "nn.functional.avg_pool3d": function(functional.avg_pool3d, *SHAPES[3], kernel_size=2),
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.bce_with_logits": loss(functional.bce_with_logits, "logits"),
    "nn.functional.concatenate": lambda _: Call(functional.concatenate, x()),
    "nn.functional.conv1d": convolution(functional.conv1d, 1),
    "nn.functional.conv2d": convolution(functional.conv2d, 2),
    "nn.functional.conv3d": convolution(functional.conv3d, 3),
    **{
        f"nn.functional.conv_transpose{rank}d": convolution(
            getattr(functional, f"conv_transpose{rank}d"), rank, transposed=True
        )
        for rank in SHAPES
    },
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.dice": loss(functional.dice, "prediction"),
    "nn.functional.focal": focal,
    "nn.functional.l1": loss(functional.l1, "prediction"),
    "nn.functional.smooth_l1": loss(functional.smooth_l1, "prediction"),
    **{
        f"nn.functional.dropout{rank}d": function(getattr(functional, f"dropout{rank}d"), *shape)
        for rank, shape in SHAPES.items()
    },
    "nn.functional.group_norm": function(functional.group_norm, groups=2),
    "nn.functional.linear": linear,
    "nn.functional.local_response_norm": function(functional.local_response_norm, size=3),
    "nn.functional.max_pool1d": function(functional.max_pool1d, *SHAPES[1], kernel_size=2),
    "nn.functional.max_pool2d": function(functional.max_pool2d, *SHAPES[2], kernel_size=2),
    "nn.functional.max_pool3d": function(functional.max_pool3d, *SHAPES[3], kernel_size=2),
    "nn.functional.matmul": lambda _: Call(
        functional.matmul, a=(tensor := x(3, 4)), b=beside(tensor, 4, 2)
    ),
    "nn.functional.mse": loss(functional.mse, "prediction"),
    **{
        f"nn.functional.{name}": two(getattr(functional, name))
        for name in functional.__all__
        if getattr(functional, name).__module__ in (comparisons.__name__, elementwise.__name__)
        and not takes_one(getattr(functional, name))
        and name not in ("power", "where")
    },
    "nn.functional.where": lambda _: Call(
        functional.where, condition=(tensor := x()), x=tensor, y=2.0
    ),
    "nn.functional.prelu": lambda _: Call(
        functional.prelu, x=(tensor := x()), weight=beside(tensor, 2)
    ),
    "nn.functional.threshold": function(functional.threshold, threshold=0.5, value=0.0),
    "nn.functional.power": function(functional.power, y=2.0),
    "nn.functional.one_hot": function(functional.one_hot, classes=3),
    "nn.functional.top_k": function(functional.top_k, k=2),
    "nn.functional.reduce": function(functional.reduce, kind="sum"),
    "nn.functional.flip": function(functional.flip, axes=0),
    "nn.functional.pad": function(functional.pad, padding=1),
    "nn.functional.slice_axes": function(
        functional.slice_axes, starts=(1,), stops=(3,), axes=(0,), steps=(1,)
    ),
    "nn.functional.split": function(functional.split, sizes=1),
    "nn.functional.take": function(functional.take, indices=(0, 1)),
    "nn.functional.transpose": function(functional.transpose, axes=(2, 0, 1)),
    "nn.functional.unsqueeze": function(functional.unsqueeze, axes=0),
    "nn.functional.channel_shuffle": function(functional.channel_shuffle, groups=2),
    "nn.functional.pixel_shuffle": function(functional.pixel_shuffle, 2, 2, 4, factor=2),
    "nn.functional.pixel_unshuffle": function(functional.pixel_unshuffle, factor=2),
    "nn.functional.resize": function(functional.resize, size=3),
    "nn.functional.upsample": function(functional.upsample, size=3),
    **{
        f"nn.functional.{name}{rank}d": function(
            getattr(functional, f"{name}{rank}d"), *SHAPES[rank], **given
        )
        for rank in (1, 2, 3)
        for name, given in POOLS.items()
        if rank > 1 or name != "fractional_max_pool"
    },
    **{f"nn.functional.max_unpool{rank}d": unpooling(rank) for rank in (1, 2, 3)},
    **{
        f"nn.functional.fractional_max_pool{rank}d_with_indices": function(
            getattr(functional, f"fractional_max_pool{rank}d_with_indices"),
            *SHAPES[rank], **POOLS["fractional_max_pool"],
        )
        for rank in (2, 3)
    },
    **{
        f"nn.functional.max_pool{rank}d_with_indices": function(
            getattr(functional, f"max_pool{rank}d_with_indices"), *SHAPES[rank], kernel_size=2
        )
        for rank in (1, 2, 3)
    },
    "nn.functional.slice_channels": function(functional.slice_channels, start=0, stop=1),
    "nn.functional.zero_pad": function(functional.zero_pad, padding=1),
    # models
    "nn.models.create": lambda _: Call(
        models.create, name="lenet5", classes=3, input_shape=(32, 32, 3),
        _then=lambda made: made.summary((32, 32, 3)),
    ),
    **{
        f"nn.models.{name}": model(getattr(models, name))
        for name in models.__all__
        if name not in ("ALL_MODELS", "MAP_MODELS", "MODELS", "create")
    },
}  # fmt: skip
