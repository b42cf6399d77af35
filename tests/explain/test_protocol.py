"""The protocol between a network and a page: what a description says, and what may be asked."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.explain.explorers import stripes, trained

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, DataError, IsoconvError
from isoconv.explain.explorer import MOST_BYTES, Explorer, StaleSceneError
from isoconv.explain.history import MOST_IMAGES, follow
from isoconv.explain.network import Network
from isoconv.explain.protocol import FORMAT, VERSION, Scene
from isoconv.explain.subject import Subject
from isoconv.nn.models import create
from isoconv.train import RunFolder
from isoconv.train.losses import Loss


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run."""
    folder = tmp_path_factory.mktemp("protocol") / "run"
    trained(folder)
    return folder


@pytest.fixture
def explorer(run: Path) -> Explorer:
    """An explorer that knows its run and twelve images."""
    data = stripes(12, 2)
    made = Explorer(ic.load(run), data.images[:1], 1, name="an image")
    follow(made, RunFolder(run), data, "validation")
    return made


def test_a_description_is_plain_and_names_what_is_there(explorer: Explorer) -> None:
    """JSON without NaN; whatever it names by a number is a node with a shape."""
    told = explorer.description()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told
    assert (told["format"], told["version"]) == (FORMAT, VERSION)
    nodes = told["nodes"]
    named = [told["logits"], told["probabilities"], told["loss"], told["image"]["pixels"]]
    for layer in told["layers"]:
        named += [
            layer["result"],
            *layer["nodes"],
            *layer["sources"],
            *layer["parameters"].values(),
        ]
        if layer["window"]:
            named += [layer["window"][each] for each in ("x", "weight", "y", "result")]
    named += [index for pair in told["gradients"].items() for index in (int(pair[0]), pair[1])]
    for index in named:
        assert str(index) in nodes
    for value, gradient in told["gradients"].items():
        assert nodes[value]["shape"] == nodes[str(gradient)]["shape"]


def test_arrays_are_the_networks_values(explorer: Explorer) -> None:
    """Every array, float32 and little-endian, bit for bit."""
    scene, network = explorer.scene, explorer.scene.network
    for index, node in scene.description()["nodes"].items():
        dtype = network.node(int(index)).spec.dtype
        if dtype not in ("float32", "uint8", "int32"):
            with pytest.raises(ArgumentError, match="which no page shows"):
                scene.array(int(index))
            continue
        found = np.frombuffer(explorer.array(explorer.serial, int(index)), "<f4")
        value = network.value(int(index))
        value = value[0] if node["batched"] else value
        assert found.reshape(node["shape"]).tobytes() == value.astype("<f4").tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "jumps"), [("resnet20", 9), ("small_resnet", 1), ("mobilenetv2", 10), ("tinyvgg", 0)]
)
def test_edges_are_the_networks(name: str, jumps: int) -> None:
    """Each layer but the first is read from somewhere; residual branches jump."""
    model = create(name, 10, (8, 8, 3)).build((8, 8, 3))
    network = Network(model, np.zeros((1, 8, 8, 3), np.float32), [0])
    told = Scene(network).description()
    edges = told["edges"]
    assert {to for _, to in edges} == set(range(len(told["layers"])))
    assert all(start < to for start, to in edges)
    assert sum(to - start > 1 for start, to in edges) >= jumps
    assert sum(each["numbers"] for each in told["layers"]) == sum(
        array.size for array in model.parameters().values()
    )


def test_one_image_at_a_time() -> None:
    """A scene of two images is refused."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((2, 2, 1))
    network = Network(model, np.zeros((2, 2, 2, 1), np.float32))
    with pytest.raises(ArgumentError, match="a scene shows one image; got 2"):
        Scene(network)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "a page may ask for"),
    ("label", {"label": 3}, r"a class lies in 0 … 2; got 3"),
    ("label", {"label": True}, "a class lies in"),
    ("of", {"of": "loose"}, "a class lies in"),
    ("draw", {"pixels": "?"}, "base64"),
    ("draw", {"pixels": "AAAA"}, "got 3 bytes"),
    ("terms", {"node": 10**6, "place": []}, "a node lies in"),
    ("terms", {"node": "1", "place": []}, "a node lies in"),
    ("explain", {"layer": 5}, "a layer's name and a place"),
    ("explain", {"layer": "0", "place": [99, 0, 0]}, "99"),
    ("checkpoint", {"epoch": 7}, r"kept after epochs 0, 1, 2; got 7"),
    ("checkpoint", {"epoch": "../../etc"}, "weights were kept after epochs"),
    ("picture", {"number": 12}, r"number is a number of 0 … 11; got 12"),
    ("picture", {"number": -1}, "number is a number"),
    ("picture", {}, "got None"),
    ("cell", {"true": 0, "predicted": 3}, "predicted is a number of 0 … 2"),
    ("cell", {"true": 0, "predicted": 0, "first": -1}, "first is a number"),
]


@pytest.mark.parametrize(("what", "arguments", "said"), WRONG)
def test_what_a_page_asks_is_checked(
    explorer: Explorer, what: str, arguments: dict[str, Any], said: str
) -> None:
    """One line says what is wrong, and what is shown stays."""
    before = explorer.serial
    with pytest.raises(IsoconvError, match=said):
        explorer.ask(what, arguments)
    assert explorer.serial == before


def test_arrays_of_the_scene_before_are_still_there(explorer: Explorer) -> None:
    """A page may still ask for them while it learns of the new one; of older ones it is told no."""
    old, index = explorer.serial, explorer.description()["logits"]
    before = explorer.array(old, index)
    explorer.ask("picture", {"number": 5})
    assert explorer.array(old, index) == before
    assert explorer.array(explorer.serial, index) != before
    explorer.ask("picture", {"number": 6})
    with pytest.raises(ArgumentError, match=f"scene {old} is no longer shown"):
        explorer.array(old, index)


def test_a_checkpoint_is_shown(explorer: Explorer, run: Path) -> None:
    """The same image by the weights after an epoch; the last is the run's own again."""
    for epoch in (0, 1, 2):
        told = explorer.ask("checkpoint", {"epoch": epoch})
        assert told["epoch"] == epoch
        assert told["digest"] == ic.load(run, epoch=epoch).digest()
        assert told["image"]["label"] == 1
    assert explorer.ask("checkpoint", {"epoch": 2})["digest"] == ic.load(run).digest()


def test_history_and_cells(explorer: Explorer) -> None:
    """Rows of the training; the matrix is the evaluation's, and its cells hold all images."""
    told = explorer.description()
    assert [row["epoch"] for row in told["history"]["rows"]] == [1, 2]
    assert told["gallery"] == {"part": "validation", "count": 12, "name": "stripes"}
    data = stripes(12, 2)
    counts = explorer.ask("confusion", {})["counts"]
    assert counts == ic.evaluate(explorer.model, data).confusion.tolist()
    seen = []
    for row in range(3):
        for column in range(3):
            cell = explorer.ask("cell", {"true": row, "predicted": column})
            assert cell["count"] == counts[row][column] == len(cell["images"]) <= MOST_IMAGES
            for image in cell["images"]:
                seen.append(image["number"])
                assert data.labels[image["number"]] == row
                assert image["shape"] == [12, 12, 1]
                assert base64.b64decode(image["pixels"]) == data.images[image["number"]].tobytes()
    assert sorted(seen) == list(range(12))


def test_pictures_of_a_page_are_checked(explorer: Explorer) -> None:
    """A file that is too large or no picture changes nothing."""
    before = explorer.serial
    with pytest.raises(ArgumentError, match="may have 20,971,520 bytes"):
        explorer.show_file(b"x" * (MOST_BYTES + 1), "large.png")
    with pytest.raises((DataError, ArgumentError)):
        explorer.show_file(b"no picture", "x.png")
    assert explorer.serial == before


def test_the_update_is_that_of_the_shown_epoch(explorer: Explorer, run: Path) -> None:
    """With the weights of a kept epoch the step is the one that the run took from there."""
    start, notes = Subject.of(run).start()
    made = Explorer(ic.load(run), stripes(12, 2).images[:1], 1, start=start, notes=notes)
    follow(made, RunFolder(run))
    question = {"layer": "0", "place": [0, 0, 0, 0], "gradient": "weight"}
    steps = {}
    for epoch in (2, 0, 1):
        made.ask("checkpoint", {"epoch": epoch})
        told = made.ask("explain", question)
        steps[epoch] = told["follows"][-1]["title"].split()[1]
        assert any("had all its steps" in line for line in told["notes"]) == (epoch == 2)
        assert not any("here they are 0" in line for line in told["notes"])
        network = made.scene.network
        weight = network.value(network.layer("0").parameters["weight"])[0, 0, 0, 0]
        assert f"weight = {weight!s}" in told["follows"][-1]["reads"]
    assert steps == {0: "1", 1: "7", 2: "13"}


@pytest.mark.parametrize("place", [[True, 0, 0], [0.0, 0, 0], ["0", 0, 0]])
def test_places_are_whole_numbers(place: list[object]) -> None:
    """Neither truth values nor fractions nor texts are places, or numbers of nodes."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
    explorer = Explorer(model, np.ones((5, 5, 1), np.float32))
    conv = explorer.scene.network.layers[0].result
    with pytest.raises(ArgumentError, match="a place in node"):
        explorer.ask("terms", {"node": conv, "place": place})
    with pytest.raises(ArgumentError, match="a node lies in"):
        explorer.ask("terms", {"node": True, "place": [0, 0, 0]})


@pytest.mark.parametrize("loss", [Loss("cross_entropy", 0.3), Loss("mse"), Loss("bce")])
def test_the_loss_is_that_of_the_training(loss: Loss) -> None:
    """A page's loss is the one that the model was trained with, its smoothing too."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((5, 5, 1), seed=4)
    image = np.linspace(0, 1, 25, dtype=np.float32).reshape(5, 5, 1)
    explorer = Explorer(model, image, 2, loss=loss)
    network = explorer.scene.network
    label = 2 if loss.name == "cross_entropy" else [[0.0, 0.0, 1.0]]
    told = ic.explain(
        model, image, "loss", label=label, loss=loss.name, label_smoothing=loss.label_smoothing
    )
    assert network.loss is not None
    assert network.value(network.loss)[0] == told.value
    assert explorer.description()["image"]["label"] == 2


def test_questions_are_about_the_scene_that_is_shown() -> None:
    """One about a scene that another page has changed is refused, and says so."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
    explorer = Explorer(model, np.ones((5, 5, 1), np.float32), 1)
    before = explorer.description()["scene"]
    question = {"layer": "0", "place": [0, 0, 0], "gradient": "value", "scene": before}
    explorer.ask("explain", question)
    explorer.ask("label", {"label": 2, "scene": before})
    with pytest.raises(StaleSceneError, match=r"scene 1 is no longer shown; now it is 2"):
        explorer.ask("explain", question)
    with pytest.raises(StaleSceneError):
        explorer.ask("label", {"label": 0, "scene": before})
    assert explorer.label == 2


def test_warnings_of_a_picture_stand_on_the_page() -> None:
    """Who looks at the page does not see the terminal; a picture far from those in training."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3))
    images = np.arange(2 * 25, dtype=np.uint8).reshape(2, 5, 5, 1) * 4
    ic.Trainer(model, batch_size=2, progress=False).fit((images, [0, 1]), epochs=1)
    explorer = Explorer(model, images[0])
    assert explorer.description()["image"]["notes"] == []
    explorer.show(np.zeros((1, 5, 5, 1), np.uint8), None, "black")
    (line,) = explorer.description()["image"]["notes"]
    assert "those in training held" in line
    explorer.ask("label", {"label": 1})
    assert explorer.description()["image"]["notes"] == [line]


def test_one_image_is_shown() -> None:
    """Two are refused; names and titles that are no text are shown as what they are."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    with pytest.raises(ArgumentError, match="an explorer shows one image; got 2"):
        Explorer(model, np.ones((2, 2, 2, 1), np.float32))
    explorer = Explorer(model, np.ones((2, 2, 1), np.float32), title="a\ud800", name="b\ud800")
    told = explorer.description()
    assert (told["title"], told["image"]["name"]) == ("a\\ud800", "b\\ud800")


def test_what_is_said_of_the_loss_goes_with_the_label() -> None:
    """Without a class there is no target, and nothing to say of it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    explorer = Explorer(model, np.ones((2, 2, 1), np.float32), 1, loss=Loss("mse"))
    (line,) = explorer.description()["image"]["notes"]
    assert "the loss is mse" in line
    assert explorer.ask("label", {"label": None})["image"]["notes"] == []


def test_a_model_that_cannot_be_shown_changes_nothing() -> None:
    """The model that was shown stays, with its scene."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    other = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((4, 4, 1))
    explorer = Explorer(model, np.ones((2, 2, 1), np.float32), 1)
    serial = explorer.serial
    with pytest.raises(IsoconvError):
        explorer.change_model(other)
    assert explorer.model is model
    assert explorer.serial == serial
