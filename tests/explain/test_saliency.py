"""Maps of what speaks for a class: by hand, by finite differences, by covered images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.explain.explorer import Explorer
from isoconv.explain.heat import enlarged, overlay
from isoconv.explain.network import Network
from isoconv.explain.saliency import cams, map_layers, usual_layer
from isoconv.nn.models import MODELS, create


def model_by_hand() -> nn.Module:
    """A 1 by 1 convolution to two channels, global average, a linear layer: all by hand."""
    layers = nn.Conv2d(2, 1, bias=False), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(2, bias=False)
    model = nn.Sequential(*layers).build((2, 2, 1))
    kernel = np.array([1, -1], np.float32).reshape(1, 1, 1, 2)
    linear = np.array([[4, 0], [-8, 4]], np.float32)
    model.load_weights({"0.weight": kernel, "3.weight": linear})
    return model


PICTURE = np.array([[1, 2], [-3, 4]], np.float32)[..., None]


def test_grad_cam_by_hand() -> None:
    """Channel 0 is max(0, x), channel 1 max(0, -x); their weights are linear's over four places."""
    found = ic.grad_cam(model_by_hand(), PICTURE, target=0, layer="1")
    # a = (4, -8) / 4 = (1, -2) divided by the 4 positions once more: gradients are means already.
    a = np.array([4, -8], np.float32) / 4
    expected = np.maximum(0, a[0] * np.maximum(0, PICTURE) + a[1] * np.maximum(0, -PICTURE))[..., 0]
    assert found.map.tolist() == expected.tolist() == [[1, 2], [0, 4]]
    other = ic.grad_cam(model_by_hand(), PICTURE, target=1, layer="1")
    assert other.map.tolist() == [[0, 0], [3, 0]]
    assert other.strongest == (1, 0)


def test_the_predicted_class_and_the_last_map_are_chosen_and_said() -> None:
    """Without target and layer: the most probable class, the last map that is not pooled."""
    model = model_by_hand()
    found = ic.grad_cam(model, PICTURE)
    assert found.target == int(np.argmax(model.predict(PICTURE[None])[0]))
    assert found.settings["layer"] == "1"
    assert any("no layer was given: '1'" in note for note in found.notes)
    assert "no layer was given" in repr(found)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_ready_model_has_a_map(name: str) -> None:
    """Residual, branching and plain networks: the layer chosen is a map before what pools it."""
    network = Network(create(name, 10).build((32, 32, 3)), np.zeros((1, 32, 32, 3), np.float32))
    layer = usual_layer(network)
    shape = network.node(layer.result).spec.shape
    assert len(shape) == 3
    assert max(shape[:2]) > 1
    later = [each for each in map_layers(network) if each.result > layer.result]
    assert all("Pool" in each.kind for each in later)


def small(seed: int = 3) -> tuple[nn.Module, Any]:
    """A small network with random weights, and an image for it."""
    layers = (
        nn.Conv2d(3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 2), nn.Tanh(),
        nn.Flatten(), nn.Linear(3),
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    return nn.Sequential(*layers).build((6, 8, 2)), rng.normal(size=(6, 8, 2)).astype(np.float32)


def test_gradients_by_the_input_are_finite_differences() -> None:
    """Of predictions, at every pixel and channel; both maps follow from them."""
    model, image = small()
    step = 0.05
    slopes = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        moved = np.stack([image] * 4)
        for picture, times in zip(moved, (-2, -1, 1, 2), strict=True):
            picture[place] += times * step
        far_down, down, up, far_up = model.predict(moved, finish="none")[:, 1].astype(np.float64)
        # Of the fourth order: what is left out is of the size of step ** 4.
        slopes[place] = (8 * (up - down) - (far_up - far_down)) / (12 * step)
    found = ic.input_gradient(model, image, target=1)
    assert found.map.shape == (6, 8)
    np.testing.assert_allclose(found.map, np.abs(slopes).max(axis=-1), atol=1e-4)
    times_input = ic.input_gradient(model, image, target=1, times_input=True)
    np.testing.assert_allclose(times_input.map, (slopes * image).sum(axis=-1), atol=4e-4)
    assert np.abs(slopes).max() > 0.05


def test_gradient_by_one_value_is_that_of_the_whole_flow() -> None:
    """The short way to one gradient gives the bits of the long one, for several images too."""
    model, image = small()
    images = np.stack([image, -image, image / 2])
    short, long = Network(model, images), Network(model, images)
    layer = short.layer("4")
    found = short.gradient_by(layer.result, [2, 0, 1])
    for place, target in enumerate([2, 0, 1]):
        whole = long.gradient(layer.result, target)[place]
        assert found[place].tobytes() == whole.tobytes()


def test_maps_of_several_pictures_are_those_of_each_alone() -> None:
    """In a batch with a class each: the same bits as one by one."""
    model, image = small()
    images = np.stack([image, -image])
    network = Network(model, images)
    together = cams(network, network.layer("4"), [2, 0])
    for picture, target, found in zip(images, [2, 0], together, strict=True):
        assert found.tobytes() == ic.grad_cam(model, picture, target, "4").map.tobytes()


def test_occlusion_is_what_predictions_of_covered_pictures_say() -> None:
    """Pictures covered by hand, one predicted after the other; patches overlap and end flush."""
    model, image = small()
    found = ic.occlusion(model, image, target=2, patch=3, stride=2, fill=[0.5, -1])
    whole = model.predict(image[None])[0, 2]
    total, count = np.zeros((6, 8), np.float32), np.zeros((6, 8), np.float32)
    for row in (0, 2, 3):
        for column in (0, 2, 4, 5):
            covered = image.copy()
            covered[row : row + 3, column : column + 3] = [0.5, -1]
            fall = whole - model.predict(covered[None])[0, 2]
            total[row : row + 3, column : column + 3] += fall
            count[row : row + 3, column : column + 3] += 1
    assert found.settings["patches"] == "12"
    assert found.map.tobytes() == (total / count).tobytes()
    assert found.settings["fill"] == "as given: 0.5, -1"


def test_what_covers_a_picture_is_said() -> None:
    """The mean colour where the model normalises by it, the middle of the range elsewhere."""
    model, image = small()
    assert "the middle of its range" in ic.occlusion(model, image).settings["fill"]
    model.normalisation = np.array([2, 4], np.float32), np.array([-1, -6], np.float32)
    assert ic.occlusion(model, image).settings["fill"].endswith("training images: 0.5, 1.5")


def test_enlarging_keeps_a_plane() -> None:
    """What rises evenly does so afterwards, held at the ends; the same size changes nothing."""
    plane = np.add.outer(np.arange(3), 2 * np.arange(4)).astype(np.float32)
    assert enlarged(plane, (3, 4)).tobytes() == plane.tobytes()
    rows = np.clip((np.arange(6) + 0.5) / 2 - 0.5, 0, 2)
    columns = np.clip((np.arange(12) + 0.5) / 3 - 0.5, 0, 3)
    np.testing.assert_allclose(enlarged(plane, (6, 12)), np.add.outer(rows, 2 * columns), rtol=1e-6)


def test_overlay_shows_for_and_against() -> None:
    """Orange where the map is positive, blue where it is negative, grey where it is 0 or NaN."""
    image = np.full((1, 4, 3), 100, np.uint8)
    drawn = overlay(image, np.array([[1, -1, 0, np.nan]], np.float32)).astype(int)[0]
    assert drawn[0][0] > drawn[0][2] + 50
    assert drawn[1][2] > drawn[1][0] + 50
    assert drawn[2].tolist() == drawn[3].tolist() == [100, 100, 100]


def test_a_map_shows_and_saves_itself(tmp_path: Path) -> None:
    """As HTML with its picture, as a PNG file, as JSON."""
    found = ic.grad_cam(model_by_hand(), PICTURE, target=0)
    assert 'src="data:image/png;base64,' in found._repr_html_()
    found.save(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (320, 320)
    assert found.to_dict()["map"] == [[1, 2], [0, 4]]
    with pytest.raises(ArgumentError, match=r"path must end in \.png; got 'map\.jpg'"):
        found.save(tmp_path / "map.jpg")


def test_a_map_of_nothing_says_so() -> None:
    """Where no channel speaks for the class the map is 0, and a line says it."""
    found = ic.grad_cam(model_by_hand(), -np.abs(PICTURE), target=0)
    assert not found.map.any()
    assert "0 everywhere" in repr(found)


def test_wrong_layers_and_classes_are_told() -> None:
    """A layer without a map, a class that is none, a network without maps, a patch too large."""
    model, image = small()
    with pytest.raises(ArgumentError, match=r"that of '6' has the shape \(3,\)"):
        ic.grad_cam(model, image, layer="6")
    with pytest.raises(ArgumentError, match=r"target must be a class, 0 … 2; got 3"):
        ic.occlusion(model, image, target=3)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1))
    with pytest.raises(ArgumentError, match=r"this network has none"):
        ic.grad_cam(flat, np.zeros((4, 4, 1), np.float32))
    with pytest.raises(ArgumentError, match=r"patch must be no larger than the picture, 8; got 9"):
        ic.occlusion(model, image, patch=9)
    with pytest.raises(ArgumentError, match=r"image must be one picture"):
        ic.grad_cam(model, np.stack([image, image]))


def test_a_page_is_told_an_occlusion_map() -> None:
    """The explorer's action has the bits of the function, as base64."""
    import base64

    model, image = small()
    explorer = Explorer(model, image, label=2)
    told = explorer.ask("occlusion", {})
    expected = ic.occlusion(model, image, target=2)
    assert told["target"] == 2
    assert told["shape"] == [6, 8]
    assert base64.b64decode(told["map"]) == expected.map.tobytes()
    assert "stride 1; patches 35" in told["note"]


@pytest.mark.parametrize("name", ["patch", "stride"])
def test_huge_patches_are_told(name: str) -> None:
    """A number too long to be written is refused in one short line."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1))
    with pytest.raises(ArgumentError, match=rf"^{name} must be .*got a number of \d+ bits$"):
        ic.occlusion(model, np.ones((4, 4, 1), np.float32), **{name: 10**5000})
