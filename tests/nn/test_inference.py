"""Predictions follow the model: whatever is changed of it, the next prediction sees."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.ops.interpret import interpret

SHAPE = (5, 4, 3)
IMAGES = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)


class Net(nn.Module):
    """Modules in an attribute, a list, a dict and a sequence, and a setting of its own."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(4, 3, padding=1)
        self.many: list[nn.Module] = [nn.ReLU(), nn.BatchNorm2d()]
        self.heads: dict[str, nn.Module] = {"a": nn.Linear(2), "b": nn.Linear(2)}
        self.inner = nn.Sequential(nn.Conv2d(4, 1), nn.Sequential(nn.Conv2d(4, 1)))
        self.used = "a"

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The list's modules in turn, and both heads, the one that is used twice."""
        x = self.first(x)
        for step in self.many:
            x = step(x)
        x = nn.functional.global_avg_pool(self.inner(x))
        one, other = self.heads["a"](x), self.heads["b"](x)
        return 2 * one + other if self.used == "a" else one + 2 * other


def check(model: nn.Module, images: np.ndarray = IMAGES) -> bytes:
    """The prediction, which must be what the references say of the model as it is now."""
    graph = inference_graph(model, SHAPE, "float32", model.finish)
    expected = interpret(graph, {**weights_for(model), "images": images}, images=len(images))
    for _ in range(2):
        found = model.predict(images, threads=1)
        assert found.tobytes() == expected["result"].tobytes()
    return found.tobytes()


def _other_head(model: Net) -> None:
    model.used = "b"


def _other_activation(model: Net) -> None:
    model.many[0] = nn.SiLU()


def _one_more_step(model: Net) -> None:
    model.many.append(nn.Tanh())


def _other_module(model: Net) -> None:
    other = nn.Sequential(nn.Conv2d(4, 1)).build((5, 4, 4), seed=9)
    model.inner = other


def _deep_setting(model: Net) -> None:
    model.inner[1][0].padding = 1  # type: ignore[index]


def _swapped_heads(model: Net) -> None:
    model.heads["a"], model.heads["b"] = model.heads["b"], model.heads["a"]


def _without_bias(model: Net) -> None:
    model.first.bias = False
    model.build(SHAPE, seed=0, fresh=True)


def _normalised(model: Net) -> None:
    model.normalisation = (np.array([2, 3, 4], np.float32), np.array([1, 0, 1], np.float32))


def _unfinished(model: Net) -> None:
    model.finish = "none"


def _built_anew(model: Net) -> None:
    model.build(SHAPE, seed=5, fresh=True)


def _inner_built_anew(model: Net) -> None:
    model.first.build(SHAPE, seed=6, fresh=True)


def _loaded(model: Net) -> None:
    model.load_weights({name: array * 1.5 for name, array in model.weights.items()})


def _one_loaded(model: Net) -> None:
    weights = dict(model.weights)
    weights["first.weight"] = -weights["first.weight"]
    model.load_weights(weights)


def _inner_loaded(model: Net) -> None:
    model.first.load_weights({name: array * 2 + 1 for name, array in model.first.weights.items()})


def _doubles(model: Net) -> None:
    model.load_weights(
        {name: array.astype(np.float64) * 1.1 for name, array in model.weights.items()}
    )


def _trained(model: Net) -> None:
    labels = np.arange(3, dtype=np.int32) % 2
    trainer = ic.Trainer(model, optimizer=ic.optim.SGD(0.5), batch_size=2, threads=1)
    trainer.fit((IMAGES, labels), epochs=1)


CHANGES = [
    _other_head, _other_activation, _one_more_step, _other_module, _deep_setting, _swapped_heads,
    _without_bias, _normalised, _unfinished, _built_anew, _inner_built_anew, _loaded, _one_loaded,
    _inner_loaded, _doubles, _trained,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__[1:])
def test_changes_are_seen(change: Callable[[Net], None]) -> None:
    """Settings, modules and weights may change between predictions."""
    model = Net().build(SHAPE, seed=1)
    before = check(model)
    change(model)
    assert check(model) != before


def test_a_file_is_seen(tmp_path: Path) -> None:
    """A model that reads a file predicts as the one that wrote it, there and back."""
    one, other = Net().build(SHAPE, seed=1), Net().build(SHAPE, seed=2)
    first = check(one)
    second = check(other)
    one.save(tmp_path / "one")
    other.save(tmp_path / "other")
    one.load(tmp_path / "other")
    assert check(one) == second
    one.load(tmp_path / "one")
    assert check(one) == first


def test_a_layer_of_two_models() -> None:
    """What one model does to a layer, the other one sees."""
    body = nn.Conv2d(4, 3)
    one = nn.Sequential(body, nn.ReLU(), nn.Flatten(), nn.Linear(2)).build(SHAPE, seed=1)
    other = nn.Sequential(body, nn.Flatten(), nn.Linear(3)).build(SHAPE, seed=2)
    before = check(one), check(other)
    other.load_weights({name: array * 3 for name, array in other.weights.items()})
    after = check(one), check(other)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_weights_are_not_changed_in_place() -> None:
    """An array of a model cannot be written, so no prediction can miss that."""
    model = Net().build(SHAPE)
    model.normalisation = (np.ones(3), np.zeros(3))
    arrays = [*model.weights.values(), *model.normalisation]
    model.load_weights(model.weights)
    for array in (*arrays, *model.weights.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def _unpickled(model: Net) -> Net:
    return pickle.loads(pickle.dumps(model))  # type: ignore[no-any-return]  # noqa: S301


@pytest.mark.parametrize("copied", [copy.deepcopy, _unpickled])
def test_copies_predict_for_themselves(copied: Callable[[Net], Net]) -> None:
    """A copy of a model that has predicted has its own weights, even if they are written to."""
    model = Net().build(SHAPE, seed=1)
    before = check(model)
    twin = copied(model)
    assert check(twin) == before
    weight = twin.first.weights["weight"]
    if weight.flags.writeable:
        weight[...] = 0.25
        assert check(twin) != before
    twin.build(SHAPE, seed=3, fresh=True)
    assert check(twin) != before
    assert check(model) == before


def test_a_shallow_copy() -> None:
    """A shallow copy shares the layers; settings of its own count for it alone."""
    model = Net().build(SHAPE, seed=1)
    before = check(model)
    twin = copy.copy(model)
    twin.used = "b"
    assert check(twin) != before
    assert check(model) == before


def test_predictors_are_kept() -> None:
    """Weights and what is put before or behind the model change without a new predictor."""
    model = Net().build(SHAPE, seed=1)
    check(model)
    (first,) = (ready.predictor for ready in vars(model)["_predictors"].values())
    model.build(SHAPE, seed=2, fresh=True)
    model.inner = nn.Sequential(*model.inner)
    model.finish = "none"
    check(model)
    model.finish = "softmax"
    check(model)
    assert first in [ready.predictor for ready in vars(model)["_predictors"].values()]
    assert len(vars(model)["_predictors"]) == 2


def test_a_forgotten_model_is_gone() -> None:
    """Nothing that a model keeps for its predictions holds the model itself."""
    model = Net().build(SHAPE, seed=1)
    model.predict(IMAGES, threads=2)
    gc.collect()
    gc.disable()
    try:
        seen = weakref.ref(model)
        del model
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("given", ["x.jpg", Path("x.jpg"), ["x.jpg", "y.jpg"], ("x.jpg",)])
def test_paths_are_for_another_method(given: object) -> None:
    """Who gives names of picture files where pixels are wanted is told what takes them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((1, 1, 1))
    paths = "images" if isinstance(given, list | tuple) else r"\[image\]"
    with pytest.raises(ArgumentError, match=rf"model\.predict_files\({paths}\)"):
        model.predict(given)  # type: ignore[arg-type]
