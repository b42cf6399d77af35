"""Normalisation of each image by itself: values and gradients of PyTorch's, orders, refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.nn.slopes import check_slopes, computed

import isoconv as ic
from isoconv import nn
from isoconv.arithmetic.sums import partial_sum
from isoconv.errors import ArgumentError, ShapeError
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)

X = np.round(np.sin(np.arange(48) * 0.7) * 2, 2).reshape(2, 2, 2, 6)
GAMMA, BETA = np.array([1.0, 2, -1, 0.5, 3, 1.5]), np.array([0.0, 1, 2, -1, -2, 0.25])
DY = np.cos(np.arange(48) * 0.3).reshape(2, 2, 2, 6)
PLACES = [0, 5, 17, 30, 47]
# Results and gradients by x at these places, of PyTorch 2.13 in float64.
PYTORCH: dict[str, tuple[Callable[..., nn.Tensor], tuple[Any, ...], list[float], list[float]]] = {
    "three groups": (
        lambda x, gamma, beta: F.group_norm(x, 3, gamma, beta, 0.1), (GAMMA, BETA),
        [-0.12648486, -0.539378838, -1.15827477, 1.41768956, 1.85400044],
        [0.635821112, -0.328013997, -0.173385074, 0.0433919391, -0.075398671],
    ),
    "two groups": (
        lambda x: F.group_norm(x, 2), (),
        [-0.200655101, -0.620575937, -1.02270914, 1.45505049, 1.23238515],
        [0.683162313, -0.0440393542, 0.170088457, -0.330909729, -0.110065871],
    ),
    "one group": (
        lambda x, gamma: F.group_norm(x, 1, gamma), (GAMMA,),
        [-0.150350303, -0.997180778, -1.59245774, 1.19520919, 2.12451241],
        [0.624369745, -0.0995603335, 0.187446293, -0.476595687, 0.222979609],
    ),
    "instances": (
        partial(F.instance_norm, eps=0.01), (GAMMA, BETA),
        [-0.00816755261, -0.364917115, -1.00348489, 1.4535103, 1.7416053],
        [0.71097272, -0.289017418, -0.22766734, 0.00986518323, 0.34657416],
    ),
    "rms": (
        partial(F.rms_norm, eps=0.01), (GAMMA,),
        [0.0, -0.832843857, -1.29365418, 1.17240384, 1.92531233],
        [0.793184626, 0.202383181, 0.126454643, -0.866357043, 0.301104141],
    ),
    "rms of two axes": (
        partial(F.rms_norm, axes=2), (),
        [0.0, -0.499458773, -0.918516389, 1.12658392, 1.40789059],
        [0.713512533, 0.117466182, 0.397754839, -0.537513578, 0.161892049],
    ),
    "three neighbours": (
        partial(F.local_response_norm, size=3, alpha=0.5, beta=0.6, k=1.5), (),
        [0.0, -0.517113407, -0.733958663, 1.0955671, 1.15077518],
        [0.70816788, 0.0591122205, 0.187329627, -0.376066784, -0.0283012988],
    ),
    "four neighbours": (
        partial(F.local_response_norm, size=4, alpha=0.5, beta=0.6, k=1.5), (),
        [0.0, -0.463012936, -0.705534775, 1.1401087, 1.22426459],
        [0.725279451, 0.0510356552, 0.188877656, -0.486004248, -0.0171440445],
    ),
    "more neighbours than channels": (
        partial(F.local_response_norm, size=11, alpha=0.5, beta=0.6, k=1.5), (),
        [0.0, -0.471694241, -0.803464781, 1.0853851, 1.25616435],
        [0.673848915, 0.102660606, 0.204313288, -0.656814696, 0.148704096],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorchs_values(name: str) -> None:
    """Results and gradients are PyTorch's; the kernels have the references' bits."""
    function, vectors, values, gradients = PYTORCH[name]
    y, dx, *_ = computed(function, X, *vectors, dy=DY)
    np.testing.assert_allclose(y.flat[PLACES], values, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(dx.flat[PLACES], gradients, rtol=1e-7, atol=1e-9)
    if vectors:
        check_slopes(function, X, *vectors)


def test_the_written_order() -> None:
    """Positions are added for each channel, then channels; what is ahead in a window is asked."""
    x = np.random.default_rng(1).standard_normal((2, 3, 7, 9, 6)).astype(np.float32)
    size, eps = np.float32(3 * 7 * 9 * 2), np.float32(1e-5)

    def mean(values: Any) -> Any:
        channels = partial_sum(values, (1, 2, 3)).reshape(2, 3, 2)
        return (partial_sum(channels, 2) / size).repeat(2, 1).reshape(2, 1, 1, 1, 6)

    d = x - mean(x)
    expected = d * (np.float32(1) / np.sqrt(mean(d * d) + eps))
    assert computed(partial(F.group_norm, groups=3), x)[0].tobytes() == expected.tobytes()

    squares = np.pad(x * x, ((0, 0),) * 4 + ((1, 2),))
    found = ((squares[..., :6] + squares[..., 1:7]) + squares[..., 2:8]) + squares[..., 3:]
    base = found * np.float32(0.125) + np.float32(2)
    function = partial(F.local_response_norm, size=4, alpha=0.5, beta=1, k=2, before=1)
    assert computed(function, x)[0].tobytes() == (x / base).tobytes()


@pytest.mark.parametrize("layer", [
    nn.GroupNorm(2), nn.InstanceNorm2d(affine=True), nn.RMSNorm(2), nn.LocalResponseNorm(3),
], ids=repr)  # fmt: skip
def test_layers_of_a_network(layer: nn.Module) -> None:
    """They are trained like any other, to one digest for any threads; no image knows another."""
    images = np.random.default_rng(2).random((6, 6, 6, 1)).astype(np.float32)
    digests = set()
    for threads in (1, 2):
        model = nn.Sequential(nn.Conv2d(4, 3), layer, nn.ReLU(), nn.Flatten(), nn.Linear(2))
        model.build((6, 6, 1), seed=3, fresh=True)
        trainer = ic.Trainer(model, batch_size=4, shard_size=2, threads=threads, progress=False)
        trainer.fit((images, [0, 1, 0, 1, 0, 1]), epochs=2)
        digests.add(model.digest())
    assert len(digests) == 1
    together = model.predict(images)
    alone = np.concatenate([model.predict(image[None]) for image in images])
    assert together.tobytes() == alone.tobytes()
    explained = ic.explain(model, images[0], at=("1", 2, 3, 1)).value
    head = nn.Sequential(model[0], layer).build((6, 6, 1))
    head.normalisation = model.normalisation
    assert explained == head.predict(images[:1], finish="none")[0, 2, 3, 1]


def test_what_they_refuse() -> None:
    """Groups that do not divide the channels, factors of other shapes, numbers out of range."""
    x = nn.Trace().images((4, 3, 6))
    three = x.trace.input("parameter", "three", (3,))
    with pytest.raises(ArgumentError, match="groups must divide the 6 channels; got 4"):
        F.group_norm(x, 4)
    with pytest.raises(ShapeError, match=r"beta must have the shape of the last axes, \(6,\)"):
        F.instance_norm(x, None, three)
    with pytest.raises(ArgumentError, match="axes must be at most 3, those of the input; got 4"):
        F.rms_norm(x, axes=4)
    with pytest.raises(ArgumentError, match="before must be a whole number of at least 0 and"):
        F.local_response_norm(x, 3, before=3)
    with pytest.raises(ShapeError, match="group_norm needs an axis of channels"):
        F.group_norm(x.reshape(-1).trace.input("dataset", "labels", ()), 1)
    with pytest.raises(ArgumentError, match="eps must"):
        F.rms_norm(x, eps=-1)
