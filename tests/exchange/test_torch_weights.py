"""Weights of PyTorch's in our models, and ours in PyTorch's names and layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoconv import exchange, nn
from isoconv.errors import ArgumentError, CheckpointError, ShapeError
from isoconv.graph.operation import Array

FILES = Path(__file__).parent / "torch_files"
SHAPE = (3, 4, 2)


def network() -> nn.Sequential:
    """The network of `make_torch_files`."""
    return nn.Sequential(
        nn.Conv2d(3, 2), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(2)
    )  # fmt: skip


def other_layers() -> nn.Sequential:
    """The layers of `make_torch_files`."""
    return nn.Sequential(
        nn.ConvTranspose2d(4, (3, 2), 2, 1, 1, groups=2), nn.PReLU(4), nn.GroupNorm(2),
        nn.Flatten(), nn.LayerNorm(), nn.Linear(3),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "make"), [("network", network), ("layers", other_layers)])
def test_a_network_gives_what_it_gives_in_pytorch(
    name: str, make: Callable[[], nn.Sequential]
) -> None:
    """Kernels and rows behind a flattened feature map lie as they must; PyTorch gave these."""
    model = exchange.load_into(make(), FILES / f"{name}.pth", input_shape=SHAPE)
    images = (np.arange(48, dtype=np.float32) / 8 - 1).reshape(2, 2, 3, 4).transpose(0, 2, 3, 1)
    found = model.predict(np.ascontiguousarray(images), finish="none", threads=1)
    np.testing.assert_allclose(found, np.loadtxt(FILES / f"{name}.txt"), rtol=1e-5)


def layers() -> nn.Sequential:
    """Every kind of layer whose arrays PyTorch has in another order, and some around a flatten."""
    return nn.Sequential(
        nn.Conv2d(4, (2, 3), groups=2), nn.DepthwiseConv2d(2, multiplier=2), nn.LayerNorm(3),
        nn.Flatten(), nn.BatchNorm1d(), nn.ReLU(), nn.Softmax(), nn.Linear(5), nn.LayerNorm(),
        nn.Linear(5), nn.Linear(3), nn.Reshape((1, 1, 3)), nn.ConvTranspose2d(4, (2, 3), groups=1),
        nn.SqueezeExcitation(2), nn.RMSNorm(2),
    )  # fmt: skip


def test_out_and_in_again(tmp_path: Path) -> None:
    """What was written comes back to the bit, under PyTorch's names and shapes."""
    model = layers().build((5, 6, 2), seed=1)
    exchange.save_torch(model, tmp_path / "x.safetensors")
    found = exchange.load_torch(tmp_path / "x.safetensors")
    assert {name: array.shape for name, array in found.items() if "weight" in name} == {
        "0.weight": (4, 1, 2, 3), "1.weight": (8, 1, 2, 2), "2.weight": (8, 3, 3),
        "4.weight": (72,), "7.weight": (5, 72), "8.weight": (5,), "9.weight": (5, 5),
        "10.weight": (3, 5), "12.weight": (3, 4, 2, 3), "13.reduce_weight": (2, 4),
        "13.expand_weight": (4, 2), "14.weight": (4, 3),
    }  # fmt: skip
    assert found["4.num_batches_tracked"].dtype == np.int64
    again = exchange.load_into(layers(), tmp_path / "x.safetensors", input_shape=(5, 6, 2))
    assert again.digest() == model.digest()
    # Element (row 1, column 2, channel 3) stands at (3, 1, 2) in PyTorch's order.
    ours, theirs = model.weights["7.weight"], found["7.weight"]
    assert (ours[(1 * 3 + 2) * 8 + 3] == theirs[:, (3 * 3 + 1) * 3 + 2]).all()


def test_wrapped_names_are_taken() -> None:
    """``module.`` before all names, of a network that several machines trained."""
    arrays = exchange.load_torch(FILES / "network.pt")
    plain = exchange.load_into(network(), arrays, input_shape=SHAPE).digest()
    wrapped = {f"module.{name}": array for name, array in arrays.items()}
    assert exchange.load_into(network(), wrapped, input_shape=SHAPE).digest() == plain


def test_one_set_of_weights_of_several() -> None:
    """A file of two says what there is, and gives the one that is asked for."""

    class Shifted(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x + x.trace.parameter(self, "a", (3,))

    path = FILES / "two.pt"
    with pytest.raises(ArgumentError, match="key must say which weights are meant: 'model', 'ema'"):
        exchange.load_into(Shifted(), path, input_shape=(3,))
    model = exchange.load_into(Shifted(), path, key="ema", input_shape=(3,))
    np.testing.assert_array_equal(model.weights["a"], exchange.load_torch(path, "ema")["a"])
    with pytest.raises(ArgumentError, match="key must be left out for arrays by name"):
        exchange.load_into(Shifted(), {"a": np.ones(3)}, key="ema", input_shape=(3,))


def test_all_that_does_not_fit_is_told_at_once() -> None:
    """Names that are missing, names that are too many and other shapes; the model stays."""
    arrays = exchange.load_torch(FILES / "network.pt")
    model = exchange.load_into(network(), arrays, input_shape=SHAPE)
    before = model.digest()
    spoiled: dict[str, Any] = {**arrays, "9.weight": np.zeros(2, np.float32)}
    spoiled["0.weight"] = spoiled["0.weight"][:, :1]
    del spoiled["4.bias"]
    with pytest.raises(CheckpointError, match=r"missing: 4\.bias \| not in the model: 9\.weight "
                       r"\| other shape: 0\.weight has \(3, 1, 2, 2\), the model needs "
                       r"\(3, 2, 2, 2\)"):  # fmt: skip
        exchange.load_into(model, spoiled)
    wild = {**arrays, "4.bias": np.array([0, np.nan], np.float32)}
    with pytest.raises(CheckpointError, match=r"finite numbers; there are others in 4\.bias"):
        exchange.load_into(model, wild)
    assert model.digest() == before


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    """Flattened maps that were moved before a linear layer; settings that make no sense."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            self.linear = nn.Linear(2)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            flat = nn.functional.flatten(x)
            return self.linear(nn.functional.concatenate(flat, flat))

    class Own(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x * x.trace.parameter(self, "factors", x.shape)

    with pytest.raises(CheckpointError, match=r"'factors' of shape \(2, 2, 3\) .* is a Own"):
        exchange.save_torch(Own().build((2, 2, 3)), tmp_path / "x.safetensors")
    weights: dict[str, Array] = {"linear.weight": np.zeros((2, 24), np.float32),
                                 "linear.bias": np.zeros(2, np.float32)}  # fmt: skip
    with pytest.raises(CheckpointError, match="'linear' reads a flattened feature map whose") as no:
        exchange.load_into(Joined(), weights, input_shape=(2, 2, 3))
    assert no.value.layer == "linear"
    with pytest.raises(ArgumentError, match="input_shape="):
        exchange.load_into(network(), FILES / "network.pt")
    with pytest.raises(ArgumentError, match="that the model has: own; got 'timm'"):
        exchange.load_into(network(), FILES / "network.pt", "timm", input_shape=SHAPE)
    with pytest.raises(ShapeError, match="layer '0'"):
        exchange.load_into(network(), FILES / "network.pt", input_shape=(1, 1, 2))
    for path, said in (("x.pt", r"end in \.safetensors"), ("x.safetensors", "only a built model")):
        with pytest.raises(ArgumentError, match=said):
            exchange.save_torch(network(), tmp_path / path)
