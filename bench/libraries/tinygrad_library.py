"""tinygrad's side of the benchmarks: a step under TinyJit, on the CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from tinygrad import Context, Tensor, TinyJit, nn  # type: ignore[import-not-found]

from bench.worker import Array, Library, Prepared, serve

__all__ = ["TinygradLibrary"]


class TinygradLibrary(Library):
    """tinygrad compiles with clang, which comes with the peers' environment."""

    def versions(self) -> dict[str, str]:
        """Tinygrad."""
        return {"tinygrad": version("tinygrad")}

    def step(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A step of SGD with momentum."""
        batch = request["batch"]
        x = Tensor(np.ascontiguousarray(arrays["images"].transpose(0, 3, 1, 2))).realize()
        y = Tensor(arrays["labels"].astype(np.int32)).realize()
        first_x, first_y = x[:batch].contiguous().realize(), y[:batch].contiguous().realize()
        losses = _first_losses(
            Network(request["description"], arrays), first_x, first_y, request["shard"]
        )
        network = Network(request["description"], arrays)
        optimizer = nn.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

        @TinyJit  # type: ignore[untyped-decorator]
        def step(images: Any, labels: Any) -> Any:
            with Context(TRAINING=1):
                optimizer.zero_grad()
                loss = network(images).sparse_categorical_crossentropy(labels).backward()
                return loss.realize(*optimizer.schedule_step())

        batches, turn = len(arrays["images"]) // batch, 0
        parts = [
            (x[i * batch : (i + 1) * batch].contiguous().realize(),
             y[i * batch : (i + 1) * batch].contiguous().realize())
            for i in range(batches)
        ]  # fmt: skip

        def work() -> None:
            nonlocal turn
            step(*parts[turn % batches]).item()
            turn += 1

        # The first two calls record the step; only then is it fast.
        for _ in range(3):
            work()
        return Prepared(work, {"losses": np.array(losses)})


class Network:
    """A network from its description; channels first."""

    def __init__(self, description: list[dict[str, Any]], weights: dict[str, Array]) -> None:
        self._description = description
        self._layers: dict[str, Any] = {}
        for step in _flat(description):
            make = {
                "conv": _conv,
                "conv_transpose": _conv_transpose,
                "batch_norm": _batch_norm,
                "linear": _linear,
            }.get(step["op"])
            if make is not None:
                self._layers[step["name"]] = make(step, weights)

    def parameters(self) -> list[Any]:
        """Everything that is learned."""
        return [
            tensor
            for layer in self._layers.values()
            for tensor in (layer.weight, layer.bias)
            if tensor is not None
        ]

    def __call__(self, x: Any) -> Any:
        scores = self._steps(self._description, x)
        # The classes of a map, too, are to stand last.
        return scores.permute(0, 2, 3, 1) if len(scores.shape) == 4 else scores

    def _steps(self, description: list[dict[str, Any]], x: Any) -> Any:
        for step in description:
            kind = step["op"]
            if "name" in step:
                x = self._layers[step["name"]](x)
            elif kind == "relu":
                x = x.relu()
            elif kind == "relu6":
                x = x.relu6()
            elif kind == "max_pool":
                x = x.max_pool2d((step["kernel"],) * 2, step["stride"], padding=step["padding"])
            elif kind == "global_avg_pool":
                x = x.mean(axis=(2, 3))
            elif kind == "flatten":
                x = x.flatten(1)
            elif kind == "sequence":
                x = self._steps(step["body"], x)
            elif kind == "branches":
                first, *others = (self._steps(body, x) for body in step["bodies"])
                x = first.cat(*others, dim=1)
            else:
                x = self._steps(step["body"], x) + self._steps(step["shortcut"], x)
        return x


def _flat(description: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for step in description:
        found += [step, *_flat(step.get("body", [])), *_flat(step.get("shortcut", []))]
        for body in step.get("bodies", []):
            found += _flat(body)
    return found


def _tensor(array: Array) -> Any:
    return Tensor(np.ascontiguousarray(array)).realize()


def _conv_transpose(step: dict[str, Any], weights: dict[str, Array]) -> Any:
    layer = nn.ConvTranspose2d(step["channels"], step["filters"], step["kernel"], step["stride"])
    layer.weight = _tensor(weights[f"{step['name']}.weight"].transpose(3, 2, 0, 1))
    layer.bias = _tensor(weights[f"{step['name']}.bias"])
    return layer


def _conv(step: dict[str, Any], weights: dict[str, Array]) -> Any:
    before, after = step["padding"]
    layer = nn.Conv2d(
        step["channels"], step["filters"], step["kernel"], step["stride"],
        (before, after, before, after),
        groups=step["groups"], bias=step["bias"],
    )  # fmt: skip
    layer.weight = _tensor(weights[f"{step['name']}.weight"].transpose(3, 2, 0, 1))
    if step["bias"]:
        layer.bias = _tensor(weights[f"{step['name']}.bias"])
    return layer


def _batch_norm(step: dict[str, Any], weights: dict[str, Array]) -> Any:
    layer = nn.BatchNorm(step["channels"], step["eps"])
    for part in ("weight", "bias"):
        setattr(layer, part, _tensor(weights[f"{step['name']}.{part}"]))
    if step["frozen"]:
        parts = ("running_mean", "running_var")
        statistics = tuple(_tensor(weights[f"{step['name']}.{part}"]) for part in parts)
        layer.calc_stats, layer.track_running_stats = lambda _: statistics, False
    return layer


def _linear(step: dict[str, Any], weights: dict[str, Array]) -> Any:
    layer = nn.Linear(step["inputs"], step["outputs"])
    weight = weights[f"{step['name']}.weight"]
    if "flattened" in step:
        turned = weight.reshape(*step["flattened"], -1).transpose(2, 0, 1, 3)
        weight = turned.reshape(len(weight), -1)
    layer.weight = _tensor(weight.T)
    layer.bias = _tensor(weights[f"{step['name']}.bias"])
    return layer


def _first_losses(network: Network, x: Any, y: Any, shard: int) -> list[float]:
    """Losses of the first two steps, each shard normalised by itself."""
    optimizer = nn.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    losses = []
    with Context(TRAINING=1):
        for _ in range(2):
            optimizer.zero_grad()
            total = 0.0
            for first in range(0, x.shape[0], shard):
                part = slice(first, min(first + shard, x.shape[0]))
                share = (part.stop - part.start) / x.shape[0]
                loss = network(x[part]).sparse_categorical_crossentropy(y[part]) * share
                loss.backward()
                total += loss.item()
            optimizer.step()
            losses.append(total)
    return losses


if __name__ == "__main__":
    serve(TinygradLibrary())
