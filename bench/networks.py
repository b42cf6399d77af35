"""The networks, made of isoconv's layers, and their description for the other libraries.

A description is a list of steps in plain values, so that every library builds the same network
from the same weights; a step with weights carries the name under which they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from isoconv import load, nn
from isoconv.nn.convolution import Algorithm
from isoconv.nn.settings import padding_pairs, per_axis

__all__ = ["NETWORKS", "build", "describe"]

Shape = tuple[int, ...]
Description = list[dict[str, Any]]


def tiny() -> nn.Sequential:
    """Two 3×3 convolutions with 8 and 16 filters, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(10),
    )  # fmt: skip


def lenet() -> nn.Sequential:
    """Two 5×5 convolutions with 32 and 64 filters, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128), nn.ReLU(), nn.Linear(10),
    )  # fmt: skip


def resnet50(classes: int, algorithm: str = "direct") -> nn.Sequential:
    """He et al. 2015, "Deep residual learning for image recognition", table 1, 50 layers.

    As usual since, the 3×3 convolution of a bottleneck carries its stride.

    Args:
        classes: of the last layer.
        algorithm: of the 3×3 convolutions with stride 1.
    """
    steps = [*_normalised(64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    for stage, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            body = nn.Sequential(
                *_normalised(filters, 1), nn.ReLU(),
                *_normalised(filters, 3, stride, algorithm if stride == 1 else "direct"),
                nn.ReLU(),
                *_normalised(4 * filters, 1),
            )  # fmt: skip
            shortcut = nn.Sequential(*_normalised(4 * filters, 1, stride)) if block == 0 else None
            steps += [nn.Residual(body, shortcut), nn.ReLU()]
    return nn.Sequential(*steps, nn.GlobalAvgPool2d(), nn.Linear(classes))


def _normalised(
    filters: int, kernel: int, stride: int = 1, algorithm: str = "direct"
) -> list[nn.Module]:
    convolution = nn.Conv2d(
        filters, kernel, stride, padding=kernel // 2, bias=False, algorithm=algorithm
    )
    return [convolution, nn.BatchNorm2d()]


def _ready(name: str) -> Callable[[int, Shape], nn.Sequential]:
    """A ready model that drops nothing: the random numbers differ between libraries."""

    def make(classes: int, shape: Shape) -> nn.Sequential:
        model = nn.models.create(name, classes, shape)
        for _, module in model.named_modules():
            if isinstance(module, _DROPPING):
                module.rate = 0.0
        return model

    return make


_DROPPING = (nn.Dropout, nn.StochasticDepth)


def unet(classes: int, shape: Shape, algorithm: Algorithm = "direct") -> nn.Sequential:
    """The ready U-Net, its 3×3 convolutions with this algorithm."""
    model = nn.models.unet(classes, shape)
    for _, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == 3:
            module.algorithm = algorithm
    return model


def tuned(classes: int, shape: Shape) -> nn.Sequential:
    """EfficientNet-Lite0 with its published weights, but a new head, to be trained as a whole.

    Batch normalisation uses its published statistics, which stay.
    """
    model = _ready("efficientnet_lite0")(classes, shape).build(shape, seed=0)
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm):
            module.frozen = True
    published = load("efficientnet-lite0").weights
    model.load_weights({
        name: published[name] if published[name].shape == array.shape else array
        for name, array in model.weights.items()
    })  # fmt: skip
    return model


NETWORKS: dict[str, Callable[[int, Shape], nn.Sequential]] = {
    "tiny": lambda _, __: tiny(),
    "lenet": lambda _, __: lenet(),
    "resnet50": lambda classes, _: resnet50(classes),
    "resnet50_winograd": lambda classes, _: resnet50(classes, "winograd"),
    "unet": unet,
    "unet_winograd": lambda classes, shape: unet(classes, shape, "winograd"),
    "efficientnet_lite0_tuned": tuned,
    **{
        name: _ready(name)
        for name in (
            "resnet18",
            "resnet20",
            "vgg11",
            "mobilenetv2",
            "resnet20_winograd",
            "vgg11_winograd",
            "resnet18_winograd",
        )
    },
}


def build(name: str, classes: int, shape: Shape) -> nn.Sequential:
    """A network with its first weights."""
    model = NETWORKS[name](classes, shape)
    return model if model.input_shape else model.build(shape, seed=0)


def describe(model: nn.Sequential) -> Description:
    """A built network in plain values."""
    shape = model.input_shape or ()
    outputs = {row.name: row.output for row in model.summary(shape).rows}
    return _steps(enumerate(model), "", outputs, shape)


def _steps(
    steps: Iterable[tuple[int, Any]], prefix: str, outputs: dict[str, Shape], shape: Shape
) -> Description:
    found: Description = []
    flattened: Shape | None = None
    for place, step in steps:
        if isinstance(step, _DROPPING):
            continue
        name = f"{prefix}{place}"
        described = _step(step, name, outputs, shape)
        if isinstance(step, nn.Flatten):
            flattened = shape
        elif isinstance(step, nn.Linear) and flattened:
            # Libraries that put channels first flatten in another order.
            described["flattened"] = list(flattened)
            flattened = None
        found.append(described)
        if isinstance(step, nn.Branches):
            ends = [_inside(f"{name}.{branch}", outputs)[-1] for branch in range(len(step))]
            shape = (*shape[:-1], sum(outputs[end][-1] for end in ends))
        else:
            shape = outputs[_inside(name, outputs)[-1]]
    return found


def _inside(name: str, outputs: dict[str, Shape]) -> list[str]:
    """The layer of a name, or those inside it."""
    return [row for row in outputs if row == name or row.startswith(f"{name}.")]


def _step(step: Any, name: str, outputs: dict[str, Shape], shape: Shape) -> dict[str, Any]:
    if isinstance(step, (nn.Conv2d, nn.DepthwiseConv2d)):
        groups = step.groups if isinstance(step, nn.Conv2d) else shape[-1]
        sizes = per_axis("kernel_size", step.kernel_size, 2)
        strides = per_axis("stride", step.stride, 2)
        padding, _ = padding_pairs(step.padding, shape[:2], sizes, strides, (1, 1))
        return {
            "op": "conv", "name": name, "kernel": sizes[0], "stride": strides[0],
            "padding": list(padding), "groups": groups, "bias": step.bias,
            "channels": shape[-1], "filters": outputs[name][-1],
        }  # fmt: skip
    if isinstance(step, nn.ConvTranspose2d):
        return {
            "op": "conv_transpose", "name": name, "kernel": step.kernel_size,
            "stride": step.stride, "channels": shape[-1], "filters": step.filters,
        }  # fmt: skip
    if isinstance(step, nn.BatchNorm):
        return {"op": "batch_norm", "name": name, "channels": shape[-1], "eps": step.eps,
                "frozen": step.frozen}  # fmt: skip
    if isinstance(step, nn.MaxPool2d):
        stride = step.kernel_size if step.stride is None else step.stride
        return {"op": "max_pool", "kernel": step.kernel_size, "stride": stride,
                "padding": step.padding}  # fmt: skip
    if isinstance(step, nn.Linear):
        inputs = 1
        for side in shape:
            inputs *= side
        return {"op": "linear", "name": name, "inputs": inputs, "outputs": outputs[name][-1]}
    if isinstance(step, nn.Residual):
        shortcut = step.shortcut
        return {
            "op": "residual",
            "body": _steps(enumerate(_sequential(step.body)), f"{name}.body.", outputs, shape),
            "shortcut": [] if shortcut is None else
            _steps(enumerate(_sequential(shortcut)), f"{name}.shortcut.", outputs, shape),
        }  # fmt: skip
    if isinstance(step, nn.Sequential):
        return {"op": "sequence", "body": _steps(enumerate(step), f"{name}.", outputs, shape)}
    if isinstance(step, nn.Branches):
        return {"op": "branches", "bodies": [
            _steps(enumerate(_sequential(branch)), f"{name}.{place}.", outputs, shape)
            for place, branch in enumerate(step)
        ]}  # fmt: skip
    plain = {
        nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Flatten: "flatten",
        nn.GlobalAvgPool2d: "global_avg_pool",
    }  # fmt: skip
    return {"op": plain[type(step)]}


def _sequential(module: Any) -> nn.Sequential:
    if not isinstance(module, nn.Sequential):
        raise TypeError(f"what is inside a block must be a Sequential; got {module!r}")
    return module
