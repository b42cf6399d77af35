"""The receptive field: a pixel inside can change the number, one outside cannot."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from isoconv import nn
from isoconv.explain.field import field_of
from isoconv.explain.network import Network
from isoconv.graph.operation import Array


class Branching(nn.Module):
    """Ways of different reach that meet by a sum and side by side."""

    def __init__(self) -> None:
        self.near = nn.Conv2d(2, 1)
        self.far = nn.Conv2d(2, 3, padding=2, dilation=2)
        self.wide = nn.AvgPool2d(3, stride=1, padding=1)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """Six channels: the first four by a sum of two ways."""
        near = self.near(x)
        both = near + self.far(near)
        return nn.functional.concatenate(both, self.wide(both), near)


class Residual(nn.Module):
    """A block of a residual network with a stride, and what pads and goes on."""

    def __init__(self) -> None:
        self.body = nn.Sequential(
            nn.Conv2d(2, 3, stride=2, padding=1), nn.BatchNorm(), nn.Conv2d(2, 3, padding=1)
        )
        self.shortcut = nn.Conv2d(2, 1, stride=2)
        self.next = nn.Conv2d(2, (3, 2), padding=(1, 0), groups=2)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The block, then a convolution in two groups."""
        return self.next(self.body(x) + self.shortcut(x))


MODELS: dict[str, Any] = {
    "conv": lambda: nn.Conv2d(2, 3, stride=2, padding=1),
    "dilated": lambda: nn.Sequential(
        nn.Conv2d(2, 3, dilation=2, padding=1), nn.Conv2d(2, 3, stride=2, padding=1)
    ),
    "winograd": lambda: nn.Conv2d(2, 3, padding=1, algorithm="winograd"),
    "two winograd": lambda: nn.Sequential(
        nn.Conv2d(2, 3, algorithm="winograd"), nn.Conv2d(2, 3, padding=1, algorithm="winograd")
    ),
    "even": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 2, padding=1)),
    "branching": Branching,
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(4, (3, 2), (2, 1), ((1, 0), (0, 1)), 0, (1, 2), 2, flip=True),
        nn.Conv2d(2, 1, groups=2),
    ),
    "residual": Residual,
    "global": lambda: nn.Sequential(nn.Conv2d(2, 3), nn.GlobalAvgPool2d(), nn.Linear(3)),
    "flat": lambda: nn.Sequential(nn.Conv2d(2, 3, stride=3), nn.Flatten()),
}


def changed(model: nn.Module, image: Array, place: tuple[int, ...]) -> Array:
    """For each pixel whether a change of it changes the number, ``(H, W)``."""
    height, width, _ = image.shape
    others = np.repeat(image[None], height * width, axis=0)
    for each, (row, column) in zip(others, product(range(height), range(width)), strict=True):
        each[row, column] += np.float32(3.5)
    network = Network(model, np.concatenate([image[None], others]))
    values = np.array([each[place] for each in network.value(network.output)])
    return np.asarray(values[1:] != values[0]).reshape(height, width)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_box_is_that_of_the_pixels_that_count(name: str) -> None:
    """The smallest rectangle around them, at an edge, a corner and in the middle."""
    model = MODELS[name]().build((9, 8, 2), 4)
    image = np.random.default_rng(1).normal(size=(9, 8, 2)).astype(np.float32)
    network = Network(model, image[None])
    shape = network.value(network.output).shape[1:]
    places = {
        (0,) * len(shape),
        tuple(side - 1 for side in shape),
        tuple(side // 2 for side in shape),
    }
    for place in places:
        counts = changed(model, image, place)
        rows, columns = np.nonzero(counts)
        field = field_of(network, network.output, place)
        assert field is not None
        assert field.first[:2] == (rows.min(), columns.min()), place
        assert field.last[:2] == (rows.max(), columns.max()), place
        assert field.whole == (counts.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1))


def test_statistics_of_the_batch_see_all() -> None:
    """In training batch normalisation makes every number depend on the whole picture."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.BatchNorm()).build((5, 5, 1), 2)
    image = np.random.default_rng(1).normal(size=(5, 5, 1)).astype(np.float32)
    place = (1, 1, 0)
    network = Network(model, image[None], training=True)
    field = field_of(network, network.output, place)
    assert field is not None
    assert field.whole
    for row, column in product(range(5), range(5)):
        other = image.copy()
        other[row, column] += np.float32(3.5)
        after = Network(model, other[None], training=True)
        assert after.value(after.output)[0][place] != network.value(network.output)[0][place]
    network = Network(model, image[None])
    field = field_of(network, network.output, place)
    assert str(field) == "rows 1 … 3, columns 1 … 3"
    assert changed(model, image, place).sum() == 9


def test_what_is_no_picture_has_none() -> None:
    """A weight does not depend on the picture."""
    model = nn.Sequential(nn.Linear(2)).build((3,))
    network = Network(model, np.ones((1, 3), np.float32))
    assert field_of(network, network.parameters["0.weight"], (0, 0)) is None
