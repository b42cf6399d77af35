"""The graphs that train and measure a model."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv import nn
from isoconv.data import Augmentation, table
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import operation
from isoconv.graph.verify import verify
from isoconv.ops import Augment
from isoconv.ops.interpret import interpret
from isoconv.train.graphs import Normalisation, Preparation, build_evaluation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD, Adam

SHAPE = (4, 4, 2)


def constants() -> Normalisation:
    """Some constants for two channels."""
    return Normalisation(np.array([0.5, 2.0], np.float32), np.array([-1.0, 0.25], np.float32))


def classifier(classes: int = 3) -> nn.Sequential:
    """The smallest classifier."""
    return nn.Sequential(nn.Flatten(), nn.Linear(classes)).build(SHAPE)


def inputs(graph: Graph) -> set[str]:
    """Names of a graph's inputs."""
    return {node.attrs.name for _, node in graph.inputs()}


def test_a_step_is_two_sound_graphs() -> None:
    """Both graphs keep the rules, with the outputs and the sizes that the engine expects."""
    model = nn.Sequential(nn.Conv2d(3, 3), nn.BatchNorm2d(), nn.Flatten(), nn.Linear(7))
    step = build_step(model.build(SHAPE), Preparation(SHAPE, "uint8", constants()), Loss(), Adam())
    verify(step.shard)
    for update in step.updates:
        verify(update)
    gradients = {f"grad:{name}" for name in model.parameters()}
    states = {f"state:{name}" for name in model.states()}
    metrics = {"metric:loss", "metric:top1", "metric:top5"}
    assert {name for name, _ in step.shard.outputs} == gradients | states | metrics
    assert step.metrics == ("loss", "top1", "top5")
    assert step.size % 16 == 0
    assert step.size >= sum(array.size for array in model.parameters().values())
    assert set(step.constants) == {"normalise:scale", "normalise:offset"}
    assert step.slots == ("mean", "square")


def test_few_classes_have_no_top5() -> None:
    """Among five classes everything would be a hit."""
    preparation = Preparation(SHAPE, "uint8")
    assert build_step(classifier(5), preparation, Loss(), SGD(0.1)).metrics == ("loss", "top1")
    assert build_step(classifier(6), preparation, Loss(), SGD(0.1)).metrics[-1] == "top5"


def test_gradients_of_one_value_stay_apart() -> None:
    """Two biases that are added have one gradient; each output is a value of its own."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            self.first, self.second, self.third = nn.Linear(3), nn.Linear(3), nn.Linear(3)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            x = nn.functional.flatten(x)
            return self.first(x) + self.second(x) + self.third(x)

    step = build_step(Twice().build(SHAPE), Preparation(SHAPE, "uint8"), Loss(), SGD(0.1))
    verify(step.shard)
    places = [index for _, index in step.shard.outputs]
    assert len(set(places)) == len(places)


def test_augmentation_that_does_nothing_is_left_out() -> None:
    """No table is asked for, and none is in the measuring graph ever."""
    for augmentation, wanted in ((Augmentation(), False), (Augmentation(flip=True), True)):
        preparation = Preparation(SHAPE, "uint8", None, augmentation)
        step = build_step(classifier(), preparation, Loss(), SGD(0.1))
        assert ("augmentation" in inputs(step.shard)) == wanted
        assert "augmentation" not in inputs(build_evaluation(classifier(), preparation, Loss()))


def test_labels_of_places_are_moved_as_their_images() -> None:
    """Loss and gradients are those of the images and labels that the reference moves."""
    changes, draw = (
        Augmentation(crop_padding=2, flip=True, shift=1, cutout=2),
        np.random.default_rng(3),
    )
    model = nn.Sequential(nn.Conv2d(4, 3, padding=1), nn.Conv2d(3, 1)).build((6, 7, 2))
    images = draw.integers(0, 256, (9, 6, 7, 2)).astype(np.uint8)
    labels = draw.integers(-1, 3, (9, 6, 7)).astype(np.int32)
    rows = table(changes, 5, 1, np.arange(9), 6, 7)
    move = operation("augment").reference
    moved = {
        "images": move(Augment(changes.fill), images, rows, images=9),
        "labels": move(Augment(-1.0), labels, rows, images=9),
    }
    assert (moved["labels"] == -1).sum() > (labels == -1).sum()
    for loss in (Loss(), Loss("focal"), Loss("dice")):
        step = build_step(model, Preparation((6, 7, 2), "uint8", None, changes), loss, SGD(0.1))
        given = {**model.weights, "inverse_batch": np.array(1 / 9, np.float32)}
        found = interpret(
            step.shard, {**given, "images": images, "labels": labels, "augmentation": rows}, 9
        )
        still = build_step(model, Preparation((6, 7, 2), "float32"), loss, SGD(0.1))
        expected = interpret(still.shard, {**given, **moved}, 9)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_are_normalised_by_channel(dtype: DType) -> None:
    """Scale, then offset; the same from bytes and from floats."""
    model = classifier()
    graph = verify(build_evaluation(model, Preparation(SHAPE, dtype, constants()), Loss()))
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE))
    given = {
        **model.weights,
        **constants().constants,
        "images": pixels.astype(dtype),
        "labels": np.zeros(5, np.int32),
    }
    found = interpret(graph, given, 5)["output"]
    x = pixels * constants().scale.astype(np.float64) + constants().offset
    wanted = x.reshape(5, -1) @ model.weights["1.weight"] + model.weights["1.bias"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    """A gradient element against the difference quotient of the mean, with label smoothing."""
    model = classifier()
    loss = Loss("cross_entropy", 0.1)
    step = build_step(model, Preparation(SHAPE, "float32"), loss, SGD(0.1))
    rng = np.random.default_rng(1)
    given = {
        **model.weights,
        "images": rng.normal(size=(6, *SHAPE)).astype(np.float32),
        "labels": rng.integers(0, 3, 6).astype(np.int32),
        "inverse_batch": np.array(1 / 6, np.float32),
    }
    gradient = interpret(step.shard, given, 6)["grad:1.weight"]
    for place in ((0, 0), (7, 2), (31, 1)):
        sums = []
        for change in (1e-2, -1e-2):
            moved = model.weights["1.weight"].copy()
            moved[place] += change
            sums.append(interpret(step.shard, {**given, "1.weight": moved}, 6)["metric:loss"])
        quotient = (float(sums[0]) - float(sums[1])) / 2e-2 / 6
        assert gradient[place] == pytest.approx(quotient, abs=1e-4)
