"""Inspections: every value and gradient by layer, statistics, and what may be wrong."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.errors import ArgumentError
from isoconv.explain.network import Network
from isoconv.explain.statistics import Tally

SHAPE = (8, 8, 2)
LABELS = [0, 2, 1, 1, 0]


def network() -> nn.Module:
    """A network with every kind of layer that is told apart."""
    layers = (
        nn.Conv2d(4, 3, padding=1), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Conv2d(3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3),
    )  # fmt: skip
    return nn.Sequential(*layers).build(SHAPE)


def images(count: int = 5) -> Any:
    """Some images."""
    return np.random.default_rng(9).normal(size=(count, *SHAPE)).astype(np.float32)


@pytest.mark.slow
def test_arrays_are_those_of_the_network() -> None:
    """Values, inputs, gradients and weights by layer, as the network on these images has them."""
    model, given = network(), images()
    inspection = ic.inspect(model, given, LABELS)
    whole = Network(model, given, LABELS)
    assert list(inspection) == [layer.name for layer in whole.layers]
    for layer in whole.layers:
        view = inspection[layer.name]
        assert view.value.tobytes() == whole.value(layer.result).tobytes()
        assert view.input.tobytes() == whole.value(layer.sources[0]).tobytes()
        assert view.gradient.tobytes() == whole.gradient(layer.result).tobytes()
        for name, index in layer.parameters.items():
            assert view.weights[name].tobytes() == whole.value(index).tobytes()
            assert view.weight_gradients[name].tobytes() == whole.gradient(index).tobytes()
    assert inspection.results.tobytes() == model.predict(given).tobytes()
    assert inspection.losses is not None
    assert inspection.loss == pytest.approx(float(np.mean(inspection.losses)), rel=1e-6)


@pytest.mark.slow
def test_shards_change_no_bit_of_values_and_statistics() -> None:
    """Taken two images at a time: the same arrays, and the same statistics of values."""
    model, given = network(), images()
    whole, parts = ic.inspect(model, given, LABELS), ic.inspect(model, given, LABELS, shard_size=2)
    assert any("shards of 2" in note for note in parts.notes)
    for name in whole:
        assert whole[name].value.tobytes() == parts[name].value.tobytes()
        assert whole[name].gradient.tobytes() == parts[name].gradient.tobytes()
        assert whole[name].statistics.value == parts[name].statistics.value
        assert whole[name].statistics.gradient == parts[name].statistics.gradient


def test_gradients_by_weights_are_those_of_a_training_step() -> None:
    """One step of plain SGD at rate 1 moves the weights by what an inspection of it shows."""
    layers = nn.Conv2d(3, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(3)
    model = nn.Sequential(*layers).build(SHAPE)
    given, labels = images(6), np.array([0, 1, 2, 2, 1, 0])
    order = permutation(6, 4, Purpose.DATA_ORDER, 0)
    before = copy.deepcopy(model)
    trainer = ic.Trainer(
        model, optimizer=ic.optim.SGD(1.0, momentum=0), schedule=ic.schedule.Constant(), seed=4,
        batch_size=6, shard_size=2, augmentation=None, clip_norm=None, progress=False,
    )  # fmt: skip
    run = trainer.fit((given, labels), epochs=1)
    before.normalisation = run.model.normalisation
    found = ic.inspect(before, given[order], labels[order], training=True, shard_size=2)
    seen = 0
    for name, view in found.items():
        for own, gradient in view.weight_gradients.items():
            after = run.model.weights[f"{name}.{own}"]
            assert (view.weights[own] - gradient).tobytes() == after.tobytes()
            seen += 1
    assert seen == len(before.parameters())


def test_statistics_are_those_of_numpy() -> None:
    """Mean, deviation, extremes, norm and share of zeros, within rounding."""
    inspection = ic.inspect(network(), images(), LABELS)
    for name, each in inspection.statistics.items():
        value = inspection[name].value.astype(np.float64)
        found = each.value
        assert found.count == value.size
        assert found.zeros == np.mean(value == 0)
        assert found.mean == pytest.approx(value.mean(), abs=1e-12)
        assert found.deviation == pytest.approx(value.std(), rel=1e-9)
        assert (found.least, found.greatest) == (value.min(), value.max())
        assert found.norm == pytest.approx(np.linalg.norm(value), rel=1e-12)
        gradient = inspection[name].gradient.astype(np.float64)
        assert each.gradient is not None
        assert each.gradient.norm == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
    norms = inspection["0"].statistics.parameters["weight"]
    assert norms.weight == pytest.approx(np.linalg.norm(inspection["0"].weights["weight"]), 1e-6)


def test_dead_units_are_found_and_flagged_with_enough_images() -> None:
    """A filter whose bias lies far below: dead in every image; of few images it is not flagged."""
    model = nn.Sequential(nn.Conv2d(3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2)).build(SHAPE)
    model.load_weights({**model.weights, "0.bias": np.array([0, -1000, 0], np.float32)})
    many = ic.inspect(model, images(16))
    assert many["1"].statistics.dead == (1,)
    assert "1: 1 of 3 units dead: zero for all 16 images" in many.flags
    few = ic.inspect(model, images(15))
    assert few["1"].statistics.dead == (1,)
    assert not few.flags
    assert any("fewer than 16 images" in note for note in few.notes)


def test_saturation_vanishing_and_explosion_are_flagged() -> None:
    """A tanh of large values, weights that dwarf their gradient, weights dwarfed by it."""
    layers = nn.Conv2d(3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(2)
    model = nn.Sequential(*layers).build(SHAPE)
    weights = dict(model.weights)
    model.load_weights({**weights, "0.weight": weights["0.weight"] * 1000})
    flags = ic.inspect(model, images(), [0, 1, 0, 1, 1]).flags
    assert any(line.startswith("1: ") and "saturated" in line for line in flags)
    assert any("0: the gradient by weight vanishes" in line for line in flags)
    model.load_weights({**weights, "3.weight": weights["3.weight"] * np.float32(1e-4)})
    flags = ic.inspect(model, images(), [0, 1, 0, 1, 1]).flags
    assert any("3: the gradient by weight explodes" in line for line in flags)


def test_a_gradient_is_not_compared_with_a_bias_which_started_at_zero() -> None:
    """A bias of hardly any size, or of a large one, in a network of sound weights: no flag."""
    layers = nn.Conv2d(3, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(2)
    model = nn.Sequential(*layers).build(SHAPE)
    sound = dict(model.weights)
    for size in (1e-8, 1e8):
        last = {"4.bias": np.full_like(sound["4.bias"], size)}
        model.load_weights({**sound, "1.bias": np.full_like(sound["1.bias"], 1e-8), **last})
        inspection = ic.inspect(model, images(), [0, 1, 0, 1, 1], training=True)
        ratios = []
        for each in ("1", "4"):
            ratio = inspection[each].statistics.parameters["bias"].ratio
            assert ratio is not None
            ratios.append(ratio)
        assert max(ratios) > 10
        assert size < 1 or min(ratios) < 1e-6
        assert not any("by bias" in line for line in inspection.flags)


def test_the_first_numbers_that_are_not_finite_are_named() -> None:
    """Where they come up, in which image and place, and not what follows from them."""
    layers = nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2)
    model = nn.Sequential(*layers).build(SHAPE)
    weights = dict(model.weights)
    large = np.full_like(weights["3.weight"], 3e38)
    model.load_weights({**weights, "0.bias": np.array([3, 3], np.float32), "3.weight": large})
    inspection = ic.inspect(model, images(2), [0, 1])
    assert inspection.first_nonfinite == "3"
    assert any(
        "3: 4 of its values not finite, first in image 0 at (0,)" in f for f in inspection.flags
    )
    plain = json.dumps(inspection.to_dict(), allow_nan=False)
    assert json.loads(plain)["layers"][3]["value"]["nonfinite"] == 4


def test_a_tally_leaves_out_what_is_not_finite() -> None:
    """Mean and extremes are of the finite numbers; the others are counted."""
    tally = Tally()
    tally.add(np.array([[1, np.nan], [np.inf, 3]], np.float32))
    found = tally.spread()
    assert (found.mean, found.least, found.greatest, found.nonfinite) == (2, 1, 3, 2)
    assert tally.first == (0, 1)


def test_without_labels_there_are_no_gradients() -> None:
    """They raise, and the statistics have none."""
    inspection = ic.inspect(network(), images())
    assert inspection["0"].statistics.gradient is None
    assert inspection.loss is None
    for name in ("gradient", "weight_gradients"):
        with pytest.raises(ArgumentError, match="needs labels"):
            getattr(inspection["0"], name)


def test_tables(tmp_path: Path) -> None:
    """Text, HTML and CSV have a row for each layer."""
    inspection = ic.inspect(network(), images(), LABELS)
    assert len([line for line in repr(inspection).splitlines() if "Conv2d" in line]) == 2
    assert "<table" in inspection._repr_html_()
    inspection.to_csv(tmp_path / "layers.csv")
    with (tmp_path / "layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == list(inspection)
    assert float(rows[0]["mean"]) == inspection["0"].statistics.value.mean


def test_a_data_set_brings_its_labels() -> None:
    """Images and labels of a Dataset; labels that are too few are told."""
    data = ic.data.Dataset.from_arrays(images(3), np.array([0, 1, 2]))
    model = network()
    assert ic.inspect(model, data).loss == ic.inspect(model, images(3), [0, 1, 2]).loss
    with pytest.raises(ArgumentError, match=r"labels must be one for each image; got 2 for 3"):
        ic.inspect(model, images(3), [0, 1])
    with pytest.raises(ArgumentError, match=r"no layer is called '99'"):
        ic.inspect(model, images(3))["99"]


def test_wrong_names_and_settings_are_told_at_once() -> None:
    """A parameter that there is none of, and smoothing by its own name, without labels too."""
    view = ic.inspect(network(), images(), LABELS)["0"]
    for arrays in (view.weights, view.weight_gradients):
        assert set(arrays) == {"weight", "bias"}
        assert arrays.get("q") is None
        with pytest.raises(ArgumentError, match="'0' has no parameter 'wieght'; it has weight, b"):
            arrays["wieght"]
        with pytest.raises(ArgumentError, match=r"'x{,240}\.\.\.x{,240}'; it has weight, bias"):
            arrays["x" * 5000]
    for labels in (LABELS, None):
        for wrong in (7, "x", 1, -0.1):
            with pytest.raises(ArgumentError, match=r"^label_smoothing must be a finite number"):
                ic.inspect(network(), images(), labels, label_smoothing=wrong)  # type: ignore[arg-type]
