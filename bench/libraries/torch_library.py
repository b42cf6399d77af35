"""PyTorch's side of the benchmarks: eager in both layouts, or compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.worker import Array, Library, Prepared, serve

__all__ = ["TorchLibrary", "build"]

functional: Any = torch.nn.functional


class TorchLibrary(Library):
    """PyTorch; requests carry ``variant`` (the layout) and ``compiled``."""

    def versions(self) -> dict[str, str]:
        """PyTorch and oneDNN, which does its convolutions."""
        text = torch.__config__.show()
        found = [line for line in text.splitlines() if "MKL-DNN" in line or "oneDNN" in line]
        one = found[0].split(" v")[1].split(" ")[0] if found and " v" in found[0] else "unknown"
        return {"torch": torch.__version__, "oneDNN": one}

    def layer(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A convolution in one direction."""
        torch.set_num_threads(request["threads"])
        rank = len(request["kernel"])
        layout = _layout(request, rank)
        x, dy = (_first(arrays[name], layout) for name in ("x", "dy"))
        w = torch.from_numpy(np.ascontiguousarray(np.moveaxis(arrays["w"], (-1, -2), (0, 1))))
        w = w.contiguous(memory_format=layout)
        settings = ([request["stride"]] * rank, [request["padding"]] * rank, [1] * rank)
        if request["direction"] == "forward":
            function = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]

            def compute() -> Any:
                return function(x, w, None, *settings, request["groups"])
        else:
            by_input = request["direction"] == "gradient by input"
            mask = [by_input, not by_input, False]
            backward: Any = torch.ops.aten.convolution_backward

            def compute() -> Any:
                return backward(
                    dy, x, w, None, *settings, False, [0] * rank, request["groups"], mask
                )[0 if by_input else 1]

        with torch.no_grad():
            result = compute()
        if request["direction"] == "gradient by weight":
            found = np.moveaxis(result.numpy(), (0, 1), (-1, -2))
        else:
            found = np.moveaxis(result.numpy(), 1, -1)
        return Prepared(_quietly(compute), {"result": np.ascontiguousarray(found)})

    def simple(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """Pooling, normalisation and the like; the backward pass through autograd's own rules."""
        torch.set_num_threads(request["threads"])
        layout = _layout(request, 2)
        given = {
            name: _first(array, layout) if array.ndim == 4 else torch.from_numpy(array)
            for name, array in arrays.items()
        }
        if "dy" in given and given["dy"].ndim == 2:
            given["dy"] = given["dy"][:, :, None, None]
        compute = _simple(request, given)
        pieces = request["shards"]
        size = -(-request["batch"] // pieces)
        # isoconv's statistics are those of a shard, so that they are compared shard by shard.
        parts = [
            _simple(request, {
                name: value[i * size : (i + 1) * size] if value.ndim == 4 else value
                for name, value in given.items()
            })()
            for i in range(pieces)
        ]  # fmt: skip
        results = {}
        for place, name in enumerate(_names(request)):
            found = [part[place].detach().numpy() for part in parts]
            if found[0].ndim == 1:
                results[name] = np.sum(found, axis=0)
            else:
                joined = np.concatenate(found)
                results[name] = np.ascontiguousarray(np.moveaxis(joined, 1, -1))
                if request["op"] == "global_avg_pool" and not request["backward"]:
                    results[name] = results[name].reshape(len(joined), -1)
        return Prepared(_quietly(compute), results)

    def step(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A step of SGD with momentum."""
        torch.set_num_threads(request["threads"])
        batch, shard = request["batch"], request["shard"]
        layout = _layout(request, 2)
        x = _first(arrays["images"], layout)
        y = torch.from_numpy(arrays["labels"].astype(np.int64))
        model = build(request["description"], arrays).to(memory_format=layout).train()
        losses = _first_losses(model, x[:batch], y[:batch], shard)
        if request["compiled"]:
            model = torch.compile(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        batches, turn = len(x) // batch, 0

        def work() -> None:
            nonlocal turn
            part = slice(turn % batches * batch, (turn % batches + 1) * batch)
            turn += 1
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(model(x[part]), y[part])
            loss.backward()
            optimizer.step()
            loss.item()

        return Prepared(work, {"losses": np.array(losses)})

    def predict(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A forward pass in inference mode."""
        torch.set_num_threads(request["threads"])
        layout = _layout(request, 2)
        x = _first(arrays["images"], layout)
        model = build(request["description"], arrays).to(memory_format=layout).eval()
        if request["compiled"]:
            model = torch.compile(model)

        def work() -> None:
            with torch.inference_mode():
                model(x)

        with torch.inference_mode():
            scores = model(x).numpy().copy()
        return Prepared(work, {"scores": scores})


def _layout(request: dict[str, Any], rank: int) -> Any:
    if "last" not in request["variant"]:
        return torch.contiguous_format
    return {2: torch.channels_last, 3: torch.channels_last_3d}[rank]


def _first(array: Array, layout: Any) -> Any:
    """From channels last to PyTorch's order of axes."""
    tensor = torch.from_numpy(np.moveaxis(array, -1, 1))
    return tensor.contiguous(memory_format=layout) if tensor.ndim > 2 else tensor.contiguous()


def _quietly(compute: Any) -> Any:
    def work() -> None:
        with torch.no_grad():
            compute()

    return work


# Simple operations


def _names(request: dict[str, Any]) -> tuple[str, ...]:
    if not request["backward"]:
        return ("result",)
    return ("dx", "dgamma", "dbeta") if request["op"] == "batch_norm" else ("dx",)


def _simple(request: dict[str, Any], given: dict[str, Any]) -> Any:
    """What computes the operation: a function that returns a tuple of tensors."""
    x, op, aten = given["x"], request["op"], torch.ops.aten
    s = request["settings"]
    window = [[s[k]] * 2 for k in ("kernel", "stride", "padding")] if s else []
    if not request["backward"]:
        if op == "max_pool":
            return lambda: (functional.max_pool2d(x, *window),)
        if op == "avg_pool":
            return lambda: (functional.avg_pool2d(x, *window),)
        if op == "global_avg_pool":
            return lambda: (functional.adaptive_avg_pool2d(x, 1),)
        if op == "relu_add":
            return lambda: (functional.relu(x + given["other"]),)
        own = (None, None, given["gamma"], given["beta"], True, 0.1, 1e-5)
        return lambda: (functional.batch_norm(x, *own),)
    dy = given["dy"]
    if op == "max_pool":
        _, places = aten.max_pool2d_with_indices(x, *window)
        return lambda: (
            aten.max_pool2d_with_indices_backward(dy, x, *window, [1, 1], False, places),
        )
    if op == "avg_pool":
        return lambda: (aten.avg_pool2d_backward(dy, x, *window, False, True, None),)
    if op == "global_avg_pool":
        # A mean's gradient, as adaptive_avg_pool2d's own does for size 1.
        return lambda: (aten._adaptive_avg_pool2d_backward(dy, x),)
    if op == "relu_add":
        return lambda: (aten.threshold_backward(dy, x, 0),)
    gamma = given["gamma"]
    _, mean, inverse = aten.native_batch_norm(x, gamma, given["beta"], None, None, True, 0.1, 1e-5)
    return lambda: aten.native_batch_norm_backward(
        dy, x, gamma, None, None, mean, inverse, True, 1e-5, [True, True, True]
    )


# Networks


class Residual(torch.nn.Module):  # type: ignore[misc]
    """``body(x) + shortcut(x)``."""

    def __init__(self, body: Any, shortcut: Any) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        """The sum."""
        return self.body(x) + self.shortcut(x)


class Branches(torch.nn.Module):  # type: ignore[misc]
    """Several results of the same value, side by side on the channels."""

    def __init__(self, bodies: list[Any]) -> None:
        super().__init__()
        self.bodies = torch.nn.ModuleList(bodies)

    def forward(self, x: Any) -> Any:
        """Joined."""
        return torch.cat([body(x) for body in self.bodies], 1)


class FrozenBatchNorm2d(torch.nn.BatchNorm2d):  # type: ignore[misc]
    """Uses its running statistics in training, too, where they stay."""

    def train(self, mode: bool = True) -> Any:  # noqa: ARG002 - as PyTorch calls it
        """Stay as in inference."""
        return super().train(False)


def build(description: list[dict[str, Any]], weights: dict[str, Array]) -> Any:
    """A network from its description, with these weights."""
    return torch.nn.Sequential(*(_step(step, weights) for step in description))


def _step(step: dict[str, Any], weights: dict[str, Array]) -> Any:
    kind = step["op"]
    if kind == "conv":
        before, after = step["padding"]
        conv = torch.nn.Conv2d(
            step["channels"], step["filters"], step["kernel"], step["stride"],
            before if before == after else 0, groups=step["groups"], bias=step["bias"],
        )  # fmt: skip
        _load(conv, step, weights, lambda w: w.transpose(3, 2, 0, 1))
        if before == after:
            return conv
        return torch.nn.Sequential(torch.nn.ZeroPad2d((before, after, before, after)), conv)
    if kind == "conv_transpose":
        conv = torch.nn.ConvTranspose2d(
            step["channels"], step["filters"], step["kernel"], step["stride"]
        )
        return _load(conv, step, weights, lambda w: w.transpose(3, 2, 0, 1))
    if kind == "linear":
        linear = torch.nn.Linear(step["inputs"], step["outputs"])
        sides = step.get("flattened")

        def turned(w: Array) -> Array:
            if sides:
                w = w.reshape(*sides, -1).transpose(2, 0, 1, 3).reshape(len(w), -1)
            return w.T

        return _load(linear, step, weights, turned)
    if kind == "batch_norm":
        make = FrozenBatchNorm2d if step["frozen"] else torch.nn.BatchNorm2d
        norm = make(step["channels"], step["eps"])
        with torch.no_grad():
            for part in ("weight", "bias", "running_mean", "running_var"):
                name = f"{step['name']}.{part}"
                if name in weights:
                    getattr(norm, part).copy_(torch.from_numpy(weights[name]))
        return norm
    if kind == "residual":
        shortcut = build(step["shortcut"], weights) if step["shortcut"] else torch.nn.Identity()
        return Residual(build(step["body"], weights), shortcut)
    if kind == "sequence":
        return build(step["body"], weights)
    if kind == "branches":
        return Branches([build(body, weights) for body in step["bodies"]])
    if kind == "max_pool":
        return torch.nn.MaxPool2d(step["kernel"], step["stride"], step["padding"])
    if kind == "global_avg_pool":
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return {"relu": torch.nn.ReLU, "relu6": torch.nn.ReLU6, "flatten": torch.nn.Flatten}[kind]()


def _load(module: Any, step: dict[str, Any], weights: dict[str, Array], turn: Any) -> Any:
    with torch.no_grad():
        weight = np.ascontiguousarray(turn(weights[f"{step['name']}.weight"]))
        module.weight.copy_(torch.from_numpy(weight))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(weights[f"{step['name']}.bias"]))
    return module


def _first_losses(model: Any, x: Any, y: Any, shard: int) -> list[float]:
    """Losses of the first two steps, each shard normalised by itself; the weights stay."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part, labels in zip(x.split(shard), y.split(shard), strict=True):
            loss = functional.cross_entropy(model(part), labels, reduction="sum") / y.numel()
            loss.backward()
            total += loss.item()
        optimizer.step()
        losses.append(total)
    model.load_state_dict(kept)
    return losses


if __name__ == "__main__":
    serve(TorchLibrary())
