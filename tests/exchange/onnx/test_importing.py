"""Networks out of ONNX files compute what ONNX Runtime computes, and are models like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from tests.exchange.onnx.graphs import (
    Array,
    attentive,
    classifier,
    excited,
    last_in_the_file,
    made,
    node,
    one_dimensional,
    random,
    shuffled,
    witness,
    written,
)

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, CheckpointError, DataWarning
from isoconv.exchange import from_onnx

ERROR = 2e-5


GRAPHS = [classifier, shuffled, last_in_the_file, excited, one_dimensional, attentive]


def taken(path: Path, images: Array) -> Array:
    """What ONNX Runtime gives, image by image: many files are for one at a time."""
    return np.concatenate([witness(path, images[n : n + 1]) for n in range(len(images))])


@pytest.mark.parametrize("graph", GRAPHS)
def test_networks_compute_what_onnx_runtime_does(graph: Callable[[], Any], tmp_path: Path) -> None:
    """The results for two images are those of ONNX Runtime, by kernels, in our layout."""
    path = written(tmp_path, graph())
    model = from_onnx(path)
    shape = model.input_shape
    assert shape is not None
    images = random(0, 2, *shape)
    inside = graph is last_in_the_file
    found = model.predict(images, finish="none")
    given = images if inside or images.ndim < 3 else np.moveaxis(images, -1, 1)
    wanted = taken(path, np.ascontiguousarray(given))
    if wanted.ndim > 2 and not inside:
        wanted = np.moveaxis(wanted, 1, -1)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= ERROR * np.abs(wanted).max()


def test_nothing_is_transposed_where_weights_can_be(tmp_path: Path) -> None:
    """A flatten before a product, and transpositions that cancel, cost no layer of their own."""
    for graph, moved in ((classifier, 0), (last_in_the_file, 0), (excited, 1), (shuffled, 1)):
        model = from_onnx(written(tmp_path, graph()))
        kinds = [type(layer).__name__ for _, layer in model.named_modules()]
        assert kinds.count("Transpose") == moved, graph.__name__


def test_layers_have_the_names_of_the_file(tmp_path: Path) -> None:
    """Weights are called as in the file, other layers as their nodes or results."""
    model = from_onnx(written(tmp_path, classifier()))
    names = [name for name, _ in model.named_modules() if name]
    assert names == ["features.0", "features.1", "/relu", "m", "m.flatten", "head", "y"]
    assert {"features.0.bias", "features.1.running_var", "head.weight"} <= set(model.weights)
    kernel = model.weights["features.0.weight"]
    assert np.array_equal(kernel, random(1, 8, 3, 3, 3).transpose(2, 3, 1, 0))


def test_batch_normalisation_is_folded_when_asked(tmp_path: Path) -> None:
    """Folded, the layer is gone and results are near, not the same; one read twice stays."""
    path = written(tmp_path, classifier())
    whole, folded = from_onnx(path), from_onnx(path, fold_batch_norm=True)
    assert "features.1.weight" in whole.weights
    assert not [name for name in folded.weights if name.startswith("features.1")]
    images = random(0, 2, 8, 8, 3)
    first, second = (model.predict(images) for model in (whole, folded))
    assert 0 < np.abs(first - second).max() < 1e-4
    model = classifier()
    again = [node("Flatten", "c", "again"), node("Concat", "y again", "both", axis=1)]
    model.graph.node.extend(again)
    path = written(tmp_path, model)
    kept = from_onnx(path, fold_batch_norm=True, output="both")
    assert "features.1.weight" in kept.weights
    assert "features.1.weight" not in from_onnx(path, fold_batch_norm=True).weights


def test_an_imported_network_is_a_model(tmp_path: Path) -> None:
    """It is stored, read back to the same bits, described, summarised, and its weights change."""
    model = from_onnx(written(tmp_path, classifier()), class_names=list("abcd"), normalise="half")
    file = tmp_path / "model.safetensors"
    model.save(file)
    back = ic.load(file)
    assert back.describe() == model.describe()
    images = np.arange(2 * 8 * 8 * 3).reshape(2, 8, 8, 3).astype(np.uint8)
    assert np.array_equal(back.predict(images), model.predict(images))
    assert model.summary().parameters == 8 * 28 + 16 + 129 * 5 + 20
    assert model.normalisation is not None
    scale, offset = model.normalisation
    assert scale.tolist() == [np.float32(1 / 127.5)] * 3
    assert offset.tolist() == [-1.0] * 3
    traced = nn.trace_model(model, (8, 8, 3), training=True)
    assert set(traced.state_updates) == {"features.1.running_mean", "features.1.running_var"}


def test_what_is_left_open_is_asked_for(tmp_path: Path) -> None:
    """Free sides need an input shape, and several results a choice; both are held to the file."""
    nodes = [node("Relu", "x", "y"), node("GlobalMaxPool", "x", "z")]
    path = written(tmp_path, made(nodes, (1, 3, "height", "width"), {}, outputs="y z"))
    with pytest.raises(
        ArgumentError, match=r"\(height, width, 3\): give them, input_shape"
    ) as open_:
        from_onnx(path, output="y")
    assert open_.value.argument == "input_shape"
    with pytest.raises(ArgumentError, match=r"as .* has it, \(height, width, 3\); got \(4, 5, 1\)"):
        from_onnx(path, input_shape=(4, 5, 1), output="y")
    with pytest.raises(ArgumentError, match="2 results; say which with output=…: y, z"):
        from_onnx(path, input_shape=(4, 5, 3))
    with pytest.raises(ArgumentError, match="such as y, z; got 'w'"):
        from_onnx(path, input_shape=(4, 5, 3), output="w")
    assert from_onnx(path, input_shape=(4, 5, 3), output="z").summary().rows[-1].output == (3,)


def test_what_a_file_leaves_open_is_settled_for_pictures(tmp_path: Path) -> None:
    """Free sides become 224, a thousand results ImageNet's classes; both are told."""
    nodes = [
        node("Conv", "x w", "c", strides=[32, 32]),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "y"),
    ]
    given = made(nodes, ("N", 3, "h", 64), {"w": random(1, 1000, 3, 1, 1)})
    with pytest.warns(DataWarning) as told:
        model = ic.load(written(tmp_path, given))
    assert model.input_shape == (224, 64, 3)
    assert model.class_names[967] == "espresso"
    texts = " | ".join(str(each.message) for each in told)
    assert "leaves the sides of its images free: 224x64x3 is taken" in texts
    assert "its 1,000 results are taken for those of ImageNet's classes" in texts


def test_a_file_of_bytes_takes_brightness_as_it_is(tmp_path: Path) -> None:
    """Images of uint8 are not normalised before the graph, and nothing else may be asked for."""
    nodes = [
        node("Cast", "x", "f", to=1),
        node("Conv", "f w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "y"),
    ]
    given = made(nodes, (1, 3, 5, 4), {"w": random(1, 7, 3, 1, 1)})
    given.graph.input[0].type.tensor_type.elem_type = 2
    path = written(tmp_path, given)
    images = np.random.default_rng(1).integers(0, 256, (1, 5, 4, 3)).astype(np.uint8)
    model = ic.load(path)
    wanted = witness(path, np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    found = model.predict(images, finish="none")
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)
    assert model.trained_on is not None
    assert model.trained_on.dtype == "uint8"
    for read in (ic.load, from_onnx):
        with pytest.raises(ArgumentError, match="normalise must be none, or left out: the file t"):
            read(path, normalise="half")


def test_all_unknown_operators_are_told_at_once(tmp_path: Path) -> None:
    """One error names every operator that there is no layer for, with its nodes and a way out."""
    nodes = [
        node("Unique", "x", "a", name="first"),
        node("Relu", "a", "b"),
        node("Unique", "b", "c"),
        node("NonZero", "c", "y"),
        node("FancyAttention", "y", "z", domain="com.example"),
        node("QGemm", "y", "z2", domain="com.microsoft"),
    ]
    path = written(tmp_path, made(nodes, (1, 3), {}, outputs="z z2"))
    with pytest.raises(CheckpointError) as caught:
        from_onnx(path)
    text = str(caught.value)
    assert (
        "in version 17: NonZero (1: y), Unique (2: first, c), com.example.FancyAttention (1: z), "
        "com.microsoft.QGemm (1: z2)" in text
    )
    assert text.endswith("ONNX Runtime quantises to ONNX's own with QuantFormat.QDQ")
    assert "give an earlier result with output=…" in text
    assert caught.value.path == path


def test_what_a_result_does_not_need_is_left_out(tmp_path: Path) -> None:
    """Operators without layers and other inputs stand in no one's way behind the result."""
    nodes = [
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("Flatten", "r", "y"),
        node("NonZero", "r", "places"),
        node("Mul", "keep keep", "unused"),
    ]
    model = made(nodes, (1, 3, 6, 5), {"w": random(1, 4, 3, 3, 3)})
    model.graph.input.extend([helper.make_tensor_value_info("keep", 1, [1])])
    path, images = written(tmp_path, model), random(2, 2, 6, 5, 3)
    network = from_onnx(path)
    assert {name.partition(".")[0] for name, *_ in network.steps} == {"c", "r"}
    model.graph.node[2].CopyFrom(node("NonZero", "r", "y"))
    later = written(tmp_path, model, "later.onnx")
    with pytest.raises(CheckpointError, match=r"NonZero .*; give an earlier result with output=…"):
        from_onnx(later)
    with pytest.raises(ArgumentError, match=r"output must be the result of a layer of .*; got 'q'"):
        from_onnx(later, output="q")
    early = from_onnx(later, output="r").predict(images, finish="none")
    whole = network.predict(images, finish="none")
    np.testing.assert_array_equal(np.moveaxis(early, -1, 1).reshape(2, -1), whole)


def test_a_cell_that_begins_with_an_array(tmp_path: Path) -> None:
    """A recurrence written out, whose first state is an array; its matrix is one layer."""
    nodes, state = [node("MatMul", "x w", "i")], "start"
    for step in range(3):
        nodes += [
            node("MatMul", f"{state} u", f"h{step}"),
            node("Add", f"i h{step}", f"a{step}"),
            node("Tanh", f"a{step}", f"s{step}"),
        ]
        state = f"s{step}"
    arrays = {"start": random(1, 1, 4), "u": random(2, 4, 4), "w": random(4, 6, 4)}
    model = made(nodes, (1, 6), arrays, outputs=state)
    path, images = written(tmp_path, model), random(5, 3, 6)
    network = from_onnx(path)
    found = network.predict(images, finish="none")
    np.testing.assert_allclose(found, taken(path, images), rtol=1e-5, atol=1e-6)
    shapes = {name: array.shape for name, array in network.parameters().items()}
    assert sorted(shapes.values()) == [(1, 4), (4, 4), (6, 4)]


def test_arrays_of_nodes_are_shared_by_nobody(tmp_path: Path) -> None:
    """Exporters that write weights as nodes name none of them: nothing is told of what is apart."""
    arrays = {"w": random(1, 4, 3, 1, 1), "v": random(2, 4, 4, 1, 1)}
    shifts = {"b": random(3, 1, 4, 1, 1), "c": random(4, 1, 4, 1, 1)}
    nodes = [
        *(node("Constant", "", name, value=numpy_helper.from_array(array, name))
          for name, array in shifts.items()),
        node("Conv", "x w", "o"), node("Add", "o b", "p"),
        node("Conv", "p v", "q"), node("Add", "q c", "y"),
    ]  # fmt: skip
    network = from_onnx(written(tmp_path, made(nodes, (1, 3, 4, 5), arrays)))
    assert sorted(network.parameters()) == ["o.bias", "o.weight", "q.bias", "q.weight"]


def test_all_misfits_are_told_at_once(tmp_path: Path) -> None:
    """Nodes whose shapes or settings do not fit are named with the rule, all of them."""
    nodes = [
        node("Conv", "x w", "a", group=2),
        node("Add", "x odd", "b"),
        node("Conv", "x w", "c", auto_pad="SIDEWAYS"),
        node("Concat", "a b c", "y", axis=1),
        node("Conv", "x wide", "d"),
        node("Reshape", "x four", "e"),
    ]
    arrays = {"w": random(1, 4, 3, 2, 2), "odd": random(1, 2), "wide": random(1, 4, 5, 2, 2)}
    arrays["four"] = np.array([4, 75])
    path = written(tmp_path, made(nodes, (1, 3, 5, 5), arrays, outputs="y d e"))
    with pytest.raises(CheckpointError) as caught:
        from_onnx(path)
    text = str(caught.value)
    assert "Conv 'of a': groups must divide channels and filters: group=2, channels 3" in text
    assert "weights [4, 5, 2, 2] with group=1 must read 5 channels; got 3, of an input" in text
    assert "got [4, 75], a batch of 4: export it with a batch of one, or a free batch axis" in text
    assert "Add 'of b': its inputs must broadcast; got [1, 3, 5, 5] and [2]" in text
    assert (
        "Conv 'of c': auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER; got SIDEWAYS"
        in text
    )


def test_a_fixed_batch_is_told(tmp_path: Path) -> None:
    """A file whose shapes hold for several images at once says so, wherever that shows."""
    shape, product = node("Reshape", "x s", "y"), node("Gemm", "y w", "z")
    for nodes in ([shape], [shape, product]):
        arrays = {"s": np.array([4, -1]), "w": random(1, 48, 3)}
        with pytest.raises(CheckpointError, match="batches of 4: export it with a batch of one"):
            from_onnx(written(tmp_path, made(nodes, (4, 3, 4, 4), arrays)))


UNUSUAL: dict[str, tuple[list[Any], tuple[int | str, ...], dict[str, Array]]] = {
    "sum of maps of height 1": (
        [node("Conv", "x w", "c"), node("Conv", "x v", "d"), node("Add", "c d", "y")],
        ("N", 3, 1, 5), {"w": random(1, 4, 3, 1, 1), "v": random(2, 4, 3, 1, 1)},
    ),
    "sum of maps of one place": (
        [node("Conv", "x w", "c"), node("Sub", "c b", "d"), node("Mul", "d c", "y")],
        ("N", 3, 1, 1), {"w": random(1, 4, 3, 1, 1), "b": random(2, 1, 4, 1, 1)},
    ),
    "class token": (
        [node("Reshape", "x s", "r"), node("Transpose", "r", "t", perm=[0, 2, 1]),
         node("Concat", "token t", "k", axis=1), node("Add", "k places", "y")],
        ("N", 4, 3, 5),
        {"s": np.array([0, 4, -1]), "token": random(1, 1, 1, 4), "places": random(2, 1, 16, 4)},
    ),
    "channels of the file": (
        [node("Concat", "x k", "y", axis=1)], ("N", 2, 3, 4), {"k": random(1, 1, 3, 3, 4)},
    ),
    "whole exponent": ([node("Pow", "x two", "y")], ("N", 5), {"two": np.array(2)}),
    "whole exponents": ([node("Pow", "x e", "y")], ("N", 3), {"e": np.array([1, 2, 3])}),
    "counts of the graph": (
        [node("Shape", "x", "s"), node("Gather", "s axes", "g"),
         node("ReduceProd", "g", "n", keepdims=0), node("ReduceMax", "g", "m"),
         node("Mod", "n m", "o"), node("Cast", "o", "f", to=1), node("Add", "x f", "y")],
        (1, 2, 4, 3), {"axes": np.array([2, 3])},
    ),
    "sums of products": (
        [node("Einsum", "x v", "a", equation="bchw,ck->bkhw"),
         node("Einsum", "a a", "s", equation="bchw,bdhw->bcd"),
         node("Einsum", "s a", "y", equation="b c d, b d h w -> b c h w")],
        (1, 2, 4, 3), {"v": random(1, 2, 5)},
    ),
    "codes of places": (
        [node("Cast", "n", "f", to=1), node("Mul", "f rate", "a"), node("Sin", "a", "s"),
         node("Cos", "a", "c"), node("Concat", "s c", "code", axis=1), node("Add", "x code", "y")],
        ("N", 1, 5, 6), {"n": np.arange(5).reshape(5, 1), "rate": random(1, 1, 3)},
    ),
    "hyperbolic": (
        [node("Tanh", "x", "t"), node("Atanh", "t", "a"), node("Sinh", "a", "b"),
         node("Asinh", "b", "c"), node("Cosh", "c", "d"), node("Acosh", "d", "e"),
         node("Asin", "t", "f"), node("Acos", "t", "g"), node("Atan", "e", "h"),
         node("Sum", "f g h", "y")],
        ("N", 7), {},
    ),
    "scales that float32 does not have": (
        [node("Resize", "x none scales", "y", coordinate_transformation_mode="asymmetric",
              nearest_mode="floor")],
        ("N", 2, 10, 10),
        {"none": np.zeros(0, np.float32), "scales": np.array([1, 1, 0.6, 0.7], np.float32)},
    ),
    "the images": ([node("Identity", "x", "y")], ("N", 5, 3, 4), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_graphs_are_read(case: str, tmp_path: Path) -> None:
    """Small sides, arrays beside images, whole exponents and graphs without layers are computed."""
    nodes, sides, arrays = UNUSUAL[case]
    path = written(tmp_path, made(nodes, sides, arrays))
    model = from_onnx(path)
    assert model.input_shape is not None
    images = random(0, 2, *model.input_shape)
    last = images.ndim < 3 or model.input_shape == sides[1:]
    wanted = taken(path, images if last else np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    if wanted.ndim == 4 and not last:
        wanted = np.moveaxis(wanted, 1, -1)
    found = model.predict(images, finish="none")
    assert np.abs(found.reshape(wanted.shape) - wanted).max() <= ERROR * np.abs(wanted).max()


def test_rows_that_may_be_images_are_told(tmp_path: Path) -> None:
    """A reshape that makes four rows of one image is named, where they fit nowhere and where so."""
    shape, arrays = node("Reshape", "x s", "r"), {"s": np.array([4, -1]), "w": random(1, 48, 3)}
    text = r"Reshape 'of r' to \[4, -1\] makes 4 rows of one image: if those are images"
    path = written(tmp_path, made([shape, node("Gemm", "r w", "y")], ("N", 3, 4, 4), arrays))
    with pytest.raises(CheckpointError, match=text):
        from_onnx(path)
    path = written(tmp_path, made([shape], ("N", 3, 4, 4), arrays, outputs="r"))
    with pytest.warns(DataWarning, match=text):
        assert from_onnx(path).predict(random(0, 1, 4, 4, 3), finish="none").shape == (1, 4, 12)


def test_shared_matrices_are_one_layer(tmp_path: Path) -> None:
    """Nodes that share all have one layer, in a stored model too, whatever the maps' sizes."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Identity", "w", "again"),
        node("MaxPool", "c", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "m again b", "d", pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "d", "g"), node("Flatten", "g", "f"),
        node("MatMul", "f v", "p"), node("Add", "p u", "q"),
        node("MatMul", "q v", "r"), node("Add", "r u", "y"),
    ]  # fmt: skip
    arrays = {"w": random(1, 3, 3, 3, 3), "b": random(2, 3), "v": random(3, 3, 3),
              "u": random(4, 3)}  # fmt: skip
    path = written(tmp_path, made(nodes, ("N", 3, 8, 8), arrays))
    model = from_onnx(path)
    assert sorted(model.weights) == ["c.bias", "c.weight", "p.bias", "p.weight"]
    assert model.summary().parameters == 84 + 12
    images = random(0, 2, 8, 8, 3)
    wanted = taken(path, np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    model.save(tmp_path / "kept.safetensors")
    for each in (model, ic.load(tmp_path / "kept.safetensors")):
        assert isinstance(each, nn.Network)
        assert len({id(layer) for _, layer, *_ in each.steps}) == len(each.steps) - 2
        found = each.predict(images, finish="none")
        assert np.abs(found - wanted).max() <= ERROR * np.abs(wanted).max()


def test_what_else_is_shared_is_told(tmp_path: Path) -> None:
    """A matrix that layers of other settings, or of another bias, hold is named with them."""
    nodes = [
        node("Conv", "x w b", "c"), node("Conv", "c w b2", "d", name="second"),
        node("Conv", "d w b", "e", strides=[2, 2]), node("Mul", "e s", "y"),
    ]  # fmt: skip
    arrays = {"w": random(1, 3, 3, 1, 1), "b": random(2, 3), "b2": random(3, 3),
              "s": random(4, 1, 3, 1, 1)}  # fmt: skip
    path = written(tmp_path, made(nodes, ("N", 3, 4, 4), arrays))
    with pytest.warns(DataWarning, match="training moves apart: w of c, second, e; b of c, e$"):
        model = from_onnx(path)
    assert model.summary().parameters == 3 * 12 + 3


def test_a_file_is_taken_where_a_run_is(tmp_path: Path) -> None:
    """`isoconv.load` gives a classifier of pictures, and says how it normalises them."""
    path = written(tmp_path, classifier())
    with pytest.warns(DataWarning, match="brightness from 0 to 1, less ImageNet's mean"):
        model = ic.load(path)
    assert model.finish == "softmax"
    trained = model.trained_on
    assert trained is not None
    assert trained.reading is not None
    assert (trained.dtype, trained.reading.size, trained.reading.channels) == ("uint8", (8, 8), 3)
    other = ic.load(path, normalise="none")
    images = np.full((1, 8, 8, 3), 255, np.uint8)
    assert not np.array_equal(model.predict(images), other.predict(images))
    given = from_onnx(path).predict(np.full((1, 8, 8, 3), 255.0, np.float32), finish="softmax")
    assert np.array_equal(other.predict(images), given)
    with pytest.raises(ArgumentError, match="normalise must be one of imagenet, half, unit, none"):
        ic.load(path, normalise="mean")
    other.save(tmp_path / "kept.safetensors")
    with pytest.raises(ArgumentError, match="normalise is for files that do not say it themselves"):
        ic.load(tmp_path / "kept.safetensors", normalise="half")


def test_the_result_that_is_taken_says_where_channels_are(tmp_path: Path) -> None:
    """Nodes that the result does not need, and a question for the shape, have no say in it."""
    forward, behind = node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y")
    arrays = {"w": random(1, 4, 3, 1, 1), "v": random(2, 2, 6, 1, 1)}
    beside = node("Conv", "x v", "z")
    for nodes in ([beside, forward, behind], [forward, behind, beside]):
        path = written(tmp_path, made(nodes, (1, 6, 7, 3), arrays, outputs="y z"))
        assert from_onnx(path, output="y").input_shape == (6, 7, 3)
        assert from_onnx(path, output="z").input_shape == (7, 3, 6)
    padded = [node("Pad", "x", "p", pads=[0, 1, 1, 0, 0, 1, 1, 0]),
              node("Transpose", "p", "t", perm=[0, 3, 1, 2]), behind]  # fmt: skip
    path = written(tmp_path, made(padded, (1, 6, 7, 3), arrays, opset=10))
    assert from_onnx(path).input_shape == (6, 7, 3)
    asked = [node("Shape", "x", "s"), forward, node("Reshape", "t s", "r"), node("Relu", "r", "y")]
    path = written(tmp_path, made(asked, (1, 6, 7, 3), {}))
    assert from_onnx(path).input_shape == (6, 7, 3)


def test_axes_of_results_go_by_their_number(tmp_path: Path) -> None:
    """As many axes as images have are those of a map, channels last; others are the file's."""
    nodes = [
        node("Conv", "x w", "map"),
        node("Transpose", "map", "moved", perm=[0, 2, 3, 1]),
        node("Sigmoid", "moved", "last"),
        node("Reshape", "map three", "channels"),
        node("Transpose", "channels", "tokens", perm=[0, 2, 1]),
        node("Reshape", "map five", "boxes"),
        node("MatMul", "x square", "product"),
    ]
    arrays = {"w": random(1, 4, 3, 1, 1), "three": np.array([1, 4, -1]),
              "five": np.array([1, 2, 2, 5, 6]), "square": random(2, 6, 2)}  # fmt: skip
    outputs = "map last channels tokens boxes product"
    path = written(tmp_path, made(nodes, (1, 3, 5, 6), arrays, outputs=outputs))
    shapes = {
        "map": (5, 6, 4), "last": (5, 6, 4), "channels": (4, 30), "tokens": (30, 4),
        "boxes": (2, 2, 5, 6), "product": (5, 2, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        assert from_onnx(path, output=name).summary().rows[-1].output == shape, name
