"""Explanations: the numbers are the engine's, the text is right, and bad input is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explain.networks import inverted_residuals

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, CheckpointError, DataFileError, ShapeError
from isoconv.explain.explanation import Explanation, Part, _tex
from isoconv.explain.network import Network
from isoconv.explain.numbers import explain_in
from isoconv.graph.operation import Array
from isoconv.nn.inference import files_as_trained
from isoconv.nn.models import create


def pixels(shape: tuple[int, ...], count: int = 1) -> Array:
    """Images of random numbers."""
    return np.random.default_rng(2).normal(size=(count, *shape)).astype(np.float32)


class Branching(nn.Module):
    """Ways that meet by a sum and side by side; one layer is used twice."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(4, 3, padding=1, dilation=1)
        self.twice = nn.Conv2d(4, 3, padding=2, dilation=2, groups=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.mean = nn.AvgPool2d(2, padding=1, count_include_pad=False)
        self.head = nn.Linear(3)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """Logits."""
        x = self.first(x)
        y = self.twice(nn.functional.silu(self.twice(x)))
        z = nn.functional.concatenate(self.pool(x + y), self.mean(x))
        return self.head(nn.functional.flatten(z))


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "tinyvgg": (lambda: create("tinyvgg", 3, (16, 16, 3)), (16, 16, 3)),
    "resnet20": (lambda: create("resnet20", 3, (8, 8, 3)), (8, 8, 3)),
    "small_resnet": (lambda: create("small_resnet", 3, (16, 16, 3)), (16, 16, 3)),
    "inverted residuals": (lambda: inverted_residuals(3), (16, 16, 3)),
    "branching": (Branching, (7, 7, 2)),
    "1-d": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 3, stride=2), nn.BatchNorm(), nn.GELU(), nn.MaxPool1d(2), nn.Flatten(),
            nn.Linear(3), nn.Softmax(),
        ),
        (12, 2),
    ),
    "windows that are drawn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 3), nn.FractionalMaxPool2d(2, 4), nn.ReLU(),
            nn.FractionalMaxPool2d((2, 1), output_ratio=0.8), nn.Flatten(), nn.Linear(3),
        ),
        (9, 8, 2),
    ),
    "3-d": (
        lambda: nn.Sequential(
            nn.Conv3d(2, 2), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(3)
        ),
        (5, 5, 5, 1),
    ),
}  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are the same bits."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def check_parts(found: Explanation) -> int:
    """The last block of each part gives its value, by terms; the last part gives the number."""
    parts: list[Part] = [*found.parts, *found.follows]
    for part in parts:
        if "may differ" in part.note:
            # The same sum in the engine's own arithmetic is another part's value.
            near = [
                abs(float(each.value) - float(part.value)) for each in parts if each is not part
            ]
            assert min(near) <= 1e-4 + 1e-3 * abs(float(part.value))
        else:
            assert same(part.blocks[-1].value, part.value), part.title
    if found.parts:
        assert same(found.parts[-1].value, found.value)
    for line in found.to_text().splitlines():
        assert len(line) <= 100, line
    return len(parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        # Its layers are those of the small one, and more of them.
        pytest.param(name, marks=pytest.mark.exhaustive) if name == "resnet20" else name
        for name in sorted(MODELS)
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_numbers_are_those_of_the_network(name: str, training: bool) -> None:
    """Of up to ten layers a random cell: value, gradient by value and input, by each parameter."""
    make, shape = MODELS[name]
    model = make().build(shape, 5)
    network = Network(model, pixels(shape), [1], training=training)
    rng = np.random.default_rng(4)
    told = 0
    most = min(len(network.layers), 10)
    chosen = sorted(rng.choice(len(network.layers), most, replace=False))
    for layer in (network.layers[at] for at in chosen):
        value = network.value(layer.result)
        place = tuple(int(rng.integers(side)) for side in value.shape[1:])
        found = explain_in(network, (layer.name, *place))
        assert same(found.value, value[0][place])
        assert same(found.after, found.follows[-1].value if found.follows else found.value)
        told += check_parts(found)
        found = explain_in(network, (layer.name, *place), gradient="value")
        assert same(found.value, network.gradient(layer.result)[0][place])
        told += check_parts(found)
        source = network.value(layer.sources[0])
        place = tuple(int(rng.integers(side)) for side in source.shape[1:])
        found = explain_in(network, (layer.name, *place), gradient="input")
        assert same(found.value, network.gradient(layer.sources[0])[0][place])
        told += check_parts(found)
        for parameter, index in layer.parameters.items():
            gradient = network.gradient(index)
            place = tuple(int(rng.integers(side)) for side in gradient.shape)
            if network.node(index).attrs.name not in network.parameters:
                continue
            found = explain_in(network, (layer.name, *place), gradient=parameter)
            assert same(found.value, gradient[place])
            told += check_parts(found)
    assert told > 3 * most


@pytest.mark.parametrize("name", ["tinyvgg", "small_resnet", "branching", "1-d"])
def test_ends_are_those_of_a_prediction(name: str) -> None:
    """Probabilities, loss, and what is before the first layer."""
    make, shape = MODELS[name]
    model = make().build(shape, 5)
    image = pixels(shape)[0]
    predicted = model.predict(image[None])[0]
    for at in range(3):
        network = Network(model, image[None])
        given = network.finished != network.output
        name_ = "probabilities" if given else network.layers[-1].name
        found = ic.explain(model, image, (name_, at))
        assert same(found.value, predicted[at])
    first = ic.explain(model, image)
    assert int(first.index[-1]) == int(predicted.argmax())
    assert "no place was given: this is the greatest value" in repr(first)
    place = tuple(side // 2 for side in shape)
    assert same(ic.explain(model, image, ("picture", *place)).value, image[place])
    loss = ic.explain(model, image, "loss", label=2)
    assert float(loss.value) == pytest.approx(-np.log(predicted[2]), rel=1e-4)


def test_pooling_tells_winner_and_shares() -> None:
    """The winner by its place, the count by which a mean is divided, and where gradients go."""
    model = nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2)).build((4, 4, 1))
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    text = repr(ic.explain(model, image, ("0", 0, 1, 0)))
    assert "all of its gradient goes to the winner, x[1, 3, 0]" in text
    assert "7  winner" in text
    text = repr(ic.explain(model, image, ("1", 0, 0, 0)))
    assert "sum / 4 = 40 / 4 = 10" in text
    shares = repr(ic.explain(model, image, ("0", 1, 3, 0), gradient="input", of=0))
    assert "max: the greatest of 4" in shares
    assert "dy[0, 1, 0]" in shares


def test_windows_that_are_drawn_are_told() -> None:
    """Which elements a window covers follows from the draw of seed, epoch and image."""
    model = nn.Sequential(nn.FractionalMaxPool2d(2, 3), nn.Flatten()).build((7, 7, 1))
    image = np.arange(49, dtype=np.float32).reshape(7, 7, 1)
    at = ("0", 1, 1, 0)
    text = repr(ic.explain(model, image, at))
    assert "the windows of fractional pooling lie as in a prediction: the offset is 0.5" in text
    assert "all of its gradient goes to the winner, x[3, 3, 0]" in text
    told = set()
    for epoch in range(8):
        found = ic.explain(model, image, at, training=True, key=(5, epoch), samples=[3])
        assert "fractional pooling lie as in training: they are drawn" in repr(found)
        assert "y[p, c] = max over window positions m of x[begin(p, u[c]) + m, c]." in repr(found)
        told.add(float(found.value))
    assert told == {24, 25, 31, 32}
    fixed = nn.Sequential(nn.FractionalMaxPool2d(2, 3, offset=0.5)).build((7, 7, 1))
    assert "fractional pooling lie" not in repr(ic.explain(fixed, image, at, training=True))


def test_a_maximum_is_no_sum_in_latex() -> None:
    """What is compared stands side by side, what is added has a plus."""
    model = nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2)).build((4, 4, 1))
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    compared = ic.explain(model, image, ("0", 0, 1, 0)).to_latex()
    assert r"=\max:\;\mathtt{x[0, 2, 0]}" in compared
    assert r"\quad,\;\mathtt{x[1, 3, 0]}" in compared
    assert "+" not in compared
    assert r"\quad+\mathtt{x[1, 1, 0]}" in ic.explain(model, image, ("1", 0, 0, 0)).to_latex()


def test_latex_has_a_display_of_each_part_and_no_row_wider_than_a_page() -> None:
    """What compiles as it stands: displays that are closed, long formulas in several rows."""
    layers = nn.Conv2d(2, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(2)
    model = nn.Sequential(*layers).build((6, 6, 1))
    image = np.arange(36, dtype=np.float32).reshape(6, 6, 1)
    found = ic.explain(model, image, ("1", 0, 0, 0), training=True)
    assert max(len(block.text) for part in found.parts for block in part.blocks) > 100
    lines = found.to_latex().splitlines()
    assert lines[0].startswith("% ")
    assert lines[1:3] == [r"\[", r"\begin{aligned}"]
    displays = len(found.parts) + len(found.follows)
    for line in (r"\[", r"\begin{aligned}", r"\end{aligned}", r"\]"):
        assert lines.count(line) == displays
    rows = [line for line in lines if r"\texttt{" in line]
    assert any(line.startswith(r"&\quad\texttt{") for line in rows)
    assert max(len(line.replace("\\", "")) for line in rows) < 100


def test_cross_entropy_tells_p_minus_y() -> None:
    """The gradient by a logit has the probability and its distance from the label."""
    model = nn.Sequential(nn.Linear(3, bias=False)).build((2,))
    model.load_weights({"0.weight": np.zeros((2, 3), np.float32)})
    text = repr(ic.explain(model, np.ones((1, 2), np.float32), ("0", 1), gradient="value", label=1))
    assert "exp(logits[1] - max) / sum = 0.33333334" in text
    assert "(exp(logits[1] - max) / sum) - 1 = -0.6666666" in text


@pytest.mark.slow
def test_huge_sums_show_their_ends_until_asked() -> None:
    """Of 25,088 terms the first and last ones, and all of them where they are wanted."""
    model = nn.Sequential(nn.Linear(2)).build((25_088,))
    found = ic.explain(model, pixels((25_088,)), ("0", 1))
    assert len(found.to_text().splitlines()) < 60
    assert "… 25,064 more terms …" in repr(found)
    assert len(found.terms) == 25_088
    assert found.terms[12_345].names == ("x[12345]", "w[12345, 1]")
    whole = found.to_text(every=True)
    assert "more terms" not in whole
    assert len(whole.splitlines()) > 25_088
    assert same(found.terms[-1].total, found.parts[0].value)


def test_every_form_has_the_same_numbers() -> None:
    """Text, Markdown, LaTeX, HTML and JSON; the last one exactly."""
    model = nn.Sequential(nn.Conv2d(2, 3, padding=1)).build((4, 4, 1), 3)
    found = ic.explain(model, pixels((4, 4, 1)), ("0", 0, 0, 1))
    value = str(found.value)
    for form in (found.to_text(), found.to_markdown(), found.to_latex(), found._repr_html_()):
        assert value in form
    assert "padding" in found.to_text()
    plain = json.loads(found.to_json())
    assert float.fromhex(plain["value"]["hex"]) == float(found.value)
    rows = plain["parts"][0]["blocks"][0]["rows"]
    total = 0.0
    for row in rows:
        left, right = (float.fromhex(each["hex"]) for each in row["values"])
        assert row["product"]["hex"] == float(np.float32(left) * np.float32(right)).hex()
        total = float.fromhex(row["total"]["hex"])
    assert total == float(found.parts[0].value)
    assert found._repr_html_().count("<table") == found._repr_html_().count("</table>") > 0


def test_names_from_files_are_text() -> None:
    """What a class or a layer is called cannot become markup."""
    model = nn.Sequential(nn.Linear(2)).build((3,))
    model.class_names = ("<b>x</b>", "|*y*|")
    found = ic.explain(model, pixels((3,)), ("0", 1), gradient="value", of="<b>x</b>")
    assert "<b>x</b>" in found.to_text()
    assert "<b>x" not in found._repr_html_()
    assert "<b>x" not in found.to_markdown().replace("\\<b", "")


def test_a_run_is_explained_with_its_classes_and_files(tmp_path: Path) -> None:
    """A picture file as it was read in training, a label by name, the run's own next step."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(6):
            array = rng.integers(0, 256, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(array).save(tmp_path / "pets" / name / f"{number}.png")
    model = nn.Sequential(nn.Conv2d(2, 3), nn.GlobalAvgPool2d(), nn.Linear(2))
    splits = ic.data.load_splits(tmp_path / "pets", size=(8, 8))
    run = ic.Trainer(model, progress=False).fit(splits, epochs=1, out=tmp_path / "run")
    folder = run.folder
    assert folder is not None
    file = tmp_path / "pets" / "cat" / "0.png"
    found = run.explain(file, ("probabilities", 1))
    files = files_as_trained(run.model, [file], None)
    read = files.read(files.files)[1]
    assert same(found.value, run.model.predict(read).ravel()[1])
    at = ("0", 1, 1, 0, 1)
    told = [
        ic.explain(subject, [file, file], at, gradient="weight", label=["dog", 0])
        for subject in (run, folder, str(folder))
    ]
    assert {each.to_text() for each in told} == {told[0].to_text()}
    assert "new weight: " in told[0].to_text()
    assert "step 2 of AdamW" in told[0].to_text()
    alone = ic.explain(run.model, file, at, gradient="weight", label="dog")
    assert not alone.follows
    with pytest.raises(ArgumentError, match=r"no class is called 'dgo'; there are 2, near it: dog"):
        run.explain(file, at, gradient="weight", label="dgo")
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no weights\.safetensors"):
        ic.explain(folder, file)
    with pytest.raises(CheckpointError, match="there is no run and no saved model"):
        ic.explain(tmp_path / "none", file)
    (tmp_path / "no.png").write_bytes(b"nothing")
    with pytest.raises(DataFileError):
        ic.explain(run, tmp_path / "no.png")


WEIGHT = {"gradient": "weight", "label": 1}
VALUE = {"gradient": "value"}

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"at": ("0", 9, 0, 0)},
        ArgumentError,
        r"inside the result of '0', whose shape is \(4, 4, 2\); got \(9, 0, 0\)",
    ),
    (
        {"at": ("0", 1, 1)},
        ArgumentError,
        r"a place in the result of '0' has 3 numbers, for the shape \(4, 4, 2\); got 2",
    ),
    ({"at": ("0", 1.5, 1, 1)}, ArgumentError, "whole numbers; got 1.5"),
    ({"at": "0,a,1,1"}, ArgumentError, "whole numbers; got 'a'"),
    ({"at": ("conv1", 1, 1, 1)}, ArgumentError, "no layer is called 'conv1'; there are 3, near"),
    ({"at": 3}, ArgumentError, r"a layer's name and a place in it, \('conv1', 3, 5, 7\); got 3"),
    (
        {"at": ("0", 0, 0, 0, 5), **WEIGHT},
        ArgumentError,
        r"inside weight of '0', whose shape is \(3, 3, 1, 2\)",
    ),
    ({"at": ("0", 0, 0), **WEIGHT}, ArgumentError, "a place in weight of '0' has 4 numbers"),
    (
        {"at": ("0", 0), "gradient": "bias", "label": 1},
        ArgumentError,
        r"'0' \(Conv2d\(.*\)\) has weight; got 'bias'",
    ),
    ({"at": ("0", 0, 0, 0), **VALUE}, ArgumentError, "give label=its class, or of=a class"),
    ({"at": ("0", 10**5000, 0, 0)}, ArgumentError, r"got \(a number of \d+ bits, 0, 0\)$"),
    ({"at": "0," + "9" * 5000 + ",0,0"}, ArgumentError, r"whole numbers; got '9+\.\.\.9+' in"),
    ({"at": "0," + "9" * 18 + ",0,0"}, ArgumentError, r"inside the result of '0'.* got \(9{18}, 0"),
    ({"at": ("0", "٣", 0, 0)}, ArgumentError, "whole numbers; got '٣'"),
    ({"at": "x" * 5000}, ArgumentError, r"no layer is called 'x{,240}\.\.\.x{,240}'; there are 3"),
    ({"at": "loss"}, ArgumentError, "needs to know what is right: give label=its class"),
    ({"label": 7, **VALUE}, ArgumentError, r"labels must lie in 0 … 2; got \[7\]"),
    ({"label": 1.0, **VALUE}, ArgumentError, "a class is given by name or number; got 1.0"),
    ({"label": "cat", **VALUE}, ArgumentError, "the model names no classes"),
    ({"of": 5, **VALUE}, ArgumentError, r"a class must lie in 0 … 2; got 5"),
    (
        {"at": ("probabilities", 0), "label": 1, **VALUE},
        ArgumentError,
        "ask for the gradient by the value of the last layer",
    ),
    ({"shard_size": 0}, ArgumentError, "shard_size"),
    ({"optimizer": 3, "at": "2", **WEIGHT}, ArgumentError, "optimizer must be"),
    ({"samples": [1, 2], "training": True}, ArgumentError, "a number for each of the 1 images"),
    ({"image": np.zeros((5, 5, 1), np.float32)}, ShapeError, r"must have shape \(N, 6, 6, 1\)"),
    ({"image": np.zeros((0, 6, 6, 1), np.float32)}, ArgumentError, "must be an image to explain"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), BAD)
def test_bad_input_is_one_clear_line(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    """Each says what is wrong, what was given, and what there is."""
    layers = nn.Conv2d(2, 3, bias=False), nn.Flatten(), nn.Linear(3)
    model = nn.Sequential(*layers).build((6, 6, 1))
    with pytest.raises(error, match=text) as raised:
        ic.explain(model, **{"image": pixels((6, 6, 1)), **arguments})
    assert "\n" not in str(raised.value)


def test_a_model_that_was_not_built_is_told() -> None:
    """The message says what to call."""
    with pytest.raises(ArgumentError, match=r"call model\.build\(input_shape\)"):
        ic.explain(nn.Sequential(nn.Linear(2)), pixels((3,)))
    with pytest.raises(ArgumentError, match=r"a Module, a Run or the path of one"):
        ic.explain(3, pixels((3,)))  # type: ignore[arg-type]


@pytest.mark.parametrize("gradient", [None, "value", "weight"])
def test_numbers_that_are_not_finite_are_not_called_the_greatest(gradient: str | None) -> None:
    """Where no place is given and there is NaN, the note says how many are not finite."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    model.load_weights(dict(model.weights) | {"1.bias": np.full(3, np.nan, np.float32)})
    x = np.ones((2, 2, 1), np.float32)
    told = ic.explain(model, x, gradient=gradient, label=1)
    count = 12 if gradient == "weight" else 3
    assert f"{count} of {count} values are not finite" in " ".join(told.notes)
    assert "greatest value" not in repr(told)
    assert "greatest size" not in repr(told)


def test_a_gradient_is_not_said_to_depend_on_a_part_alone() -> None:
    """Its rectangle is that of the value by which it is taken, in every form."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((6, 6, 1))
    x = pixels((6, 6, 1))
    value = ic.explain(model, x, ("0", 1, 2, 0))
    back = ic.explain(model, x, ("0", 1, 2, 0), gradient="value", label=1)
    whole = ic.explain(model, x, ("2", 1), gradient="value", label=1)
    box = {"first": [1, 2, 0], "last": [3, 4, 0]}
    assert (value.to_dict()["field"], value.to_dict()["belongs"]) == (box, None)
    assert (back.to_dict()["field"], back.to_dict()["belongs"]) == (None, box)
    for told in (back.to_text(), back._repr_html_(), back.to_markdown().replace("Bel", "bel")):
        assert "belongs to rows 1 … 3, columns 2 … 4 of the picture" in told
        assert "n the picture:" not in told
    assert "in the picture: rows 1 … 3, columns 2 … 4" in value.to_text()
    assert "belongs to the whole picture\n" in whole.to_text()


def test_signs_of_latex_are_escaped_each() -> None:
    """Also braces behind a backslash."""
    assert _tex("a\\{b}_^~%") == r"a\textbackslash{}\{b\}\_\^{}\~{}\%"


def test_a_path_of_several_lines_is_told_in_one() -> None:
    """Line ends and escape sequences of a run's path are escaped."""
    with pytest.raises(CheckpointError, match=r"no saved model at a\\nb\\x1b; "):
        ic.explain("a\nb\x1b", pixels((3, 3, 1)))
