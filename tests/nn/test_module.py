"""Names, inferred sizes, sharing, and weights that are loaded, saved and digested."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from isoconv import nn
from isoconv.arithmetic import philox
from isoconv.errors import ArgumentError, CheckpointError, ShapeError
from isoconv.nn import storage


class Holder(nn.Module):
    """Modules in plain attributes, a list, a tuple and a dict."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(4, 3)
        self.many = [nn.ReLU(), nn.Conv2d(5, 1)]
        self.pair = (nn.Conv2d(6, 1),)
        self.heads = {"a": nn.Linear(2), "b": nn.Linear(3)}

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """A chain that ends in two joined heads."""
        x = self.pair[0](self.many[1](self.many[0](self.first(x))))
        x = nn.functional.global_avg_pool(x)
        return nn.functional.concatenate(self.heads["a"](x), self.heads["b"](x))


class Shared(nn.Module):
    """One layer used twice, and held under two names."""

    def __init__(self) -> None:
        self.layer = nn.Conv2d(3, 3, padding=1)
        self.again = self.layer

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The layer on its own result."""
        return self.again(self.layer(x))


def small() -> nn.Sequential:
    """A model with parameters and states."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm2d()), nn.GlobalAvgPool2d(), nn.Linear(2)
    )


def test_names_are_attribute_paths() -> None:
    """Lists, tuples and dicts of modules are found and named by their place."""
    model = Holder().build((8, 8, 3))
    assert set(model.parameters()) == {
        f"{path}.{name}"
        for path in ("first", "many.1", "pair.0", "heads.a", "heads.b")
        for name in ("weight", "bias")
    }


def test_channels_are_inferred() -> None:
    """Each layer takes its input channels from what reaches it."""
    shapes = {name: a.shape for name, a in Holder().build((8, 8, 3)).weights.items()}
    assert shapes["first.weight"] == (3, 3, 3, 4)
    assert shapes["many.1.weight"] == (1, 1, 4, 5)
    assert shapes["pair.0.weight"] == (1, 1, 5, 6)
    assert shapes["heads.b.weight"] == (6, 3)


def test_sequential_names_its_steps_by_place() -> None:
    """Nested sequences give paths of numbers; states stand beside parameters."""
    names = sorted(small().build((8, 8, 3)).weights)
    assert names == [
        "0.0.bias",
        "0.0.weight",
        "0.1.bias",
        "0.1.running_mean",
        "0.1.running_var",
        "0.1.weight",
        "2.bias",
        "2.weight",
    ]


def test_a_sequential_subclass_may_hold_more() -> None:
    """Modules that a subclass keeps beside the steps have names too."""

    class Headed(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(4, 3), nn.GlobalAvgPool2d())
            self.head = nn.Linear(2)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.head(super().forward(x))

    assert "head.weight" in Headed().build((8, 8, 3)).weights


def test_a_module_used_twice_shares_its_weights() -> None:
    """One set of weights, under the first name."""
    assert sorted(Shared().build((8, 8, 3)).weights) == ["layer.bias", "layer.weight"]


def test_sharing_needs_equal_channels() -> None:
    """A shared layer that would need two shapes says so, with its name."""
    with pytest.raises(ShapeError, match=r"layer 'layer'.*used twice.*\(3, 3, 2, 3\)"):
        Shared().build((8, 8, 2))


def test_a_shared_normalisation_averages_its_statistics() -> None:
    """Used twice in a step, a layer's running statistics follow the average of both uses."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            self.norm = nn.BatchNorm()

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.norm(2 * self.norm(x))

    traced = nn.trace_model(Twice(), (4, 4, 2), training=True)
    assert set(traced.state_updates) == {"norm.running_mean", "norm.running_var"}
    node = traced.builder[traced.state_updates["norm.running_mean"]]
    assert node.op == "times_images"
    assert traced.builder[node.inputs[0]].op == "scale"


def test_parameters_shared_between_models() -> None:
    """A layer keeps its weights when it becomes part of another model."""
    body = nn.Conv2d(4, 3)
    first = nn.Sequential(body).build((8, 8, 3))
    second = nn.Sequential(nn.ReLU(), body)
    assert second.weights["1.weight"] is first.weights["0.weight"]


def test_first_values_are_uniform_within_he_bounds() -> None:
    """Element i of parameter s is (2u - 1) * sqrt(6 / fan_in) of stream s."""
    model = small().build((8, 8, 3), seed=7)
    weight = model.weights["2.weight"]
    # In order of first use: 0.0.weight, 0.0.bias, 0.1.weight, 0.1.bias, 2.weight.
    index = np.arange(weight.size)
    uniform = philox.uniform32(7, philox.Purpose.INITIAL_WEIGHTS, 4, 0, 0, index)
    wanted = ((2 * uniform.astype(np.float64) - 1) * np.sqrt(6 / 4)).astype(np.float32)
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight.reshape(-1), wanted)


def test_first_values_of_biases_and_scales() -> None:
    """Biases and running means start at 0, scales and running variances at 1."""
    weights = small().build((8, 8, 3)).weights
    for name in ("0.0.bias", "0.1.bias", "0.1.running_mean", "2.bias"):
        assert not weights[name].any()
    for name in ("0.1.weight", "0.1.running_var"):
        assert (weights[name] == 1).all()


def test_seed_decides_the_first_values() -> None:
    """Equal seeds give equal digests, other seeds others."""
    digests = [small().build((8, 8, 3), seed=seed).digest() for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_building_again_forgets_old_arrays() -> None:
    """Arrays that the rebuilt layer no longer has are gone."""
    layer = nn.Linear(2).build((3,))
    layer.bias = False
    assert list(layer.build((3,)).weights) == ["weight"]
    with pytest.raises(ShapeError, match=r"layer Linear has weight of shape \(3, 2\).*fresh=True"):
        layer.build((5,))
    assert layer.build((5,), fresh=True).weights["weight"].shape == (5, 2)


def test_building_keeps_what_was_learned() -> None:
    """Layers that have weights keep them; the others are drawn, as if all were."""
    body = nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.GlobalAvgPool2d())
    body.build((8, 8, 3), seed=1)
    learned = {name: 2 * array + 1 for name, array in body.weights.items()}
    body.load_weights(learned)
    whole = nn.Sequential(*body, nn.Linear(2)).build((8, 8, 3), seed=2)
    weights = dict(whole.weights)
    for name, array in learned.items():
        np.testing.assert_array_equal(weights[name], array)
    everything = nn.Sequential(
        nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.GlobalAvgPool2d(), nn.Linear(2)
    ).build((8, 8, 3), seed=2)
    np.testing.assert_array_equal(weights["3.weight"], everything.weights["3.weight"])
    before = whole.digest()
    assert whole.build((9, 7, 3)).digest() == before
    assert whole.input_shape == (9, 7, 3)
    assert whole.build((8, 8, 3), seed=2, fresh=True).digest() == everything.digest()


def test_a_seed_without_use_is_refused() -> None:
    """Where all layers have weights, a seed would draw none."""
    model = small().build((8, 8, 3), seed=1)
    before = model.digest()
    with pytest.raises(ArgumentError, match=r"all layers have theirs; got seed=1: say fresh=True"):
        model.build((8, 8, 3), seed=1)
    assert model.digest() == before


def test_drawing_anew_forgets_the_training() -> None:
    """With fresh weights a model knows nothing of images and classes; otherwise it keeps them."""
    model = small().build((8, 8, 3), seed=1)
    model.class_names, model.finish = ("a", "b"), "sigmoid"
    model.normalisation = (np.ones(3), np.zeros(3))
    model.build((8, 8, 3))
    assert (model.class_names, model.finish) == (("a", "b"), "sigmoid")
    assert model.normalisation is not None
    model.build((8, 8, 3), fresh=True)
    assert not model.class_names
    assert model.finish == "softmax"
    assert model.normalisation is None
    assert model.trained_on is None


def test_layers_that_do_not_fit_anymore_are_named() -> None:
    """A kept layer whose sizes follow other images is refused by its name; nothing changes."""
    model = small().build((8, 8, 3), seed=1)
    before = model.digest()
    with pytest.raises(ShapeError, match=r"layer '0\.0' has weight of shape \(3, 3, 3, 4\)"):
        model.build((8, 8, 1))
    assert (model.digest(), model.input_shape) == (before, (8, 8, 3))


def test_digest_is_sha256_of_names_shapes_types_and_bytes() -> None:
    """The digest by its definition."""
    model = nn.Linear(2).build((3,))
    weights = model.weights
    content = b"bias\n2\nfloat32\n" + weights["bias"].tobytes()
    content += b"weight\n3,2\nfloat32\n" + weights["weight"].tobytes()
    assert model.digest() == hashlib.sha256(content).hexdigest()


def test_digest_does_not_depend_on_byte_order() -> None:
    """Big-endian arrays of the same values have the same digest."""
    model = nn.Linear(2).build((3,))
    before = model.digest()
    turned = {name: a.astype(">f4") for name, a in model.weights.items()}
    assert storage.digest(turned) == before
    model.load_weights(turned)
    assert model.digest() == before
    assert model.weights["weight"].dtype.isnative


def test_save_and_load(tmp_path: Path) -> None:
    """A model that was not built takes sizes and weights from the file."""
    path = tmp_path / "weights.safetensors"
    saved = small().build((8, 8, 3), seed=3)
    saved.save(path)
    loaded = small().load(path)
    assert loaded.digest() == saved.digest()
    assert loaded.input_shape == (8, 8, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the earlier weights stay whole and no rest is left behind."""
    path = tmp_path / "weights.safetensors"
    small().build((8, 8, 3)).save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small().build((8, 8, 3), seed=1).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_only_built_models_are_saved(tmp_path: Path) -> None:
    """Saving before building says what to call."""
    with pytest.raises(ArgumentError, match="build"):
        small().save(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_corrupt_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is a CheckpointError that names it."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        small().load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """So is one that is not there."""
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        small().load(tmp_path / "nowhere.safetensors")


def test_weights_of_another_model_are_listed() -> None:
    """Missing, extra and mis-shaped names all stand in one message; nothing is taken over."""
    model = small().build((8, 8, 3))
    before = model.digest()
    weights = dict(model.weights)
    del weights["2.bias"]
    weights["3.weight"] = np.zeros(1, np.float32)
    weights["2.weight"] = np.zeros((5, 2), np.float32)
    weights["0.0.bias"] = np.zeros(4, np.int64)
    with pytest.raises(CheckpointError) as caught:
        model.load_weights(weights)
    text = str(caught.value)
    assert "missing: 2.bias" in text
    assert "not in the model: 3.weight" in text
    assert "2.weight has (5, 2), the model needs (4, 2)" in text
    assert "0.0.bias is int64" in text
    assert model.digest() == before


def test_loading_into_an_unbuilt_model_says_so() -> None:
    """Without sizes there is nothing to compare with."""
    with pytest.raises(CheckpointError, match="build"):
        small().load_weights({"a": np.zeros(1, np.float32)})


def test_loaded_weights_are_copies() -> None:
    """Changing the given array afterwards does not change the model."""
    model = nn.Linear(2).build((3,))
    given = {name: a.copy() for name, a in model.weights.items()}
    model.load_weights(given)
    given["weight"][:] = 9
    assert not (model.weights["weight"] == 9).any()


def test_modules_are_not_called_on_arrays() -> None:
    """A layer called on an array points to predict."""
    with pytest.raises(ArgumentError, match=r"ndarray.*predict"):
        nn.ReLU()(np.zeros((1, 8, 8, 3)))  # type: ignore[arg-type]


def test_line_shows_settings_and_no_inner_modules() -> None:
    """Messages name a layer by its settings."""
    assert nn.MaxPool2d(2).line().startswith("MaxPool2d(kernel_size=2, stride=None")
    assert nn.Residual(nn.ReLU()).line() == "Residual(shortcut=None)"
    assert nn.Sequential(nn.ReLU()).line() == "Sequential(1 steps)"

    class Own(nn.Module):
        def __repr__(self) -> str:
            return "Own!"

    assert Own().line() == "Own!"


def test_public_names_exist() -> None:
    """What the package, its functions and its models offer is there, each once."""
    for module in (nn, nn.functional, nn.models):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_digest_of_names_with_line_ends() -> None:
    """No name can be taken for the lines of another array; other names have the digest of ever."""
    one, two = np.array([1], np.float32), np.array([2], np.float32)
    honest = {"a": one, "b": two}
    bytes_of_one = one.tobytes().decode("latin-1")
    forged = {f"a\n1\nfloat32\n{bytes_of_one}b": two}
    assert nn.storage.digest(forged) != nn.storage.digest(honest)
    plain = hashlib.sha256()
    for name, array in honest.items():
        plain.update(f"{name}\n1\nfloat32\n".encode() + array.tobytes())
    assert nn.storage.digest(honest) == plain.hexdigest()
    lengths = hashlib.sha256(b"names\nby length\n3\na\nb\n1\nfloat32\n" + one.tobytes())
    assert nn.storage.digest({"a\nb": one}) == lengths.hexdigest()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """By its own name, not by that of the file that would have become it."""
    with pytest.raises(FileNotFoundError) as caught:
        nn.Linear(2).build((3,)).save(tmp_path / "nowhere" / "model.safetensors")
    assert caught.value.filename == str(tmp_path / "nowhere" / "model.safetensors")
    assert "tmp" not in str(caught.value).replace(str(tmp_path), "")
