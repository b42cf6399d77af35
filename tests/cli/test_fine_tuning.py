"""``isoconv train --from``: pictures are read as the model takes them, and what is new is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, digest_of, fail, succeed

from isoconv import load, nn
from isoconv.train import Trainer


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A model of gray images of 10 by 12, in a file."""
    images = np.random.default_rng(0).integers(0, 256, (24, 10, 12, 1)).astype(np.uint8)
    model = nn.Sequential(nn.Conv2d(4, 3), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(2))
    Trainer(model, progress=False).fit((images, np.arange(24) % 2), epochs=1)
    model.save(tmp_path / "two.safetensors")
    return tmp_path / "two.safetensors"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Coloured pictures of three classes, of another size."""
    draw = np.random.default_rng(1)
    for name in ("ant", "bee", "cow"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = draw.integers(0, 256, (20, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.slow
def test_a_model_goes_on_with_a_folder(start: Path, pictures: Path, tmp_path: Path) -> None:
    """Read in its size and gray; the run says where it is from, is verified and is gone on with."""
    out = tmp_path / "run"
    words = "train", pictures, "--from", start, "--epochs", 2, "--no-report"
    said = succeed(*words[:-1], "--out", out)
    page = (out / "report" / "index.html").read_text()
    digest = load(start).digest()
    assert f"two.safetensors <code>sha256:{digest}</code>" in re.sub(
        r"</?(span|bdi)[^>]*>", "", page
    )
    assert "all but the head" in page
    flat = " ".join(said.split())
    assert "24 images of 10x12x1 in 3 classes" in flat
    assert f"begins from {start} (weights sha256:" in flat
    assert "the head, layer '3', is new, for 3 results" in flat
    assert "all layers frozen but the head, images as they are" in flat
    described = json.loads((out / "run.json").read_text())
    assert described["record"]["trained_on"]["reading"]["size"] == [10, 12]
    assert described["settings"]["freeze"] == "all"
    assert described["facts"]["from"]["model"] == str(start)
    # What is there by now in its place has no say: the run has the first weights itself.
    start.write_bytes(b"another file")
    assert succeed("verify", out, "--threads", 1).startswith("identical: ")
    assert "epoch 3/3" in succeed("resume", out, "--epochs", 3, "--no-report")
    assert succeed("verify", out).startswith("identical: ")
    kept = out / "checkpoints" / "epoch-00000.safetensors"
    first = kept.read_bytes()
    kept.unlink()
    said = fail("verify", out)
    assert "began with weights of its own, sha256 " in said
    assert "checkpoints/epoch-00000.safetensors, which holds them, is not there" in said
    kept.write_bytes(first)
    # A run is what the next one begins from; its head stays for the same classes.
    again = succeed(*words[:3], out, "--size", "12", *words[4:], "--freeze", "none")
    assert "24 images of 12x12x1" in again
    succeed(*words[:2], "--model", "lenet5", "--size", 28, *words[4:], "--out", tmp_path / "plain")
    found = call("diff", out, tmp_path / "plain")
    assert f'from.weights_sha256: A "{digest}", B nothing' in found.stdout
    assert 'settings.freeze: A "all", B nothing' in found.stdout
    assert "the head stays, for the classes are the same" in again


def test_arrays_are_brought_to_what_the_model_takes(start: Path, tmp_path: Path) -> None:
    """As picture files of the same bytes would be, which is told, and again in a verification."""
    pixels = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    file = tmp_path / "data.npz"
    np.savez(file, images=pixels, labels=["dog" if n % 2 else "cat" for n in range(20)])
    for number, image in enumerate(pixels):
        path = tmp_path / "files" / ("dog" if number % 2 else "cat") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    rest = "--from", start, "--epochs", 1, "--no-report", "--validation", 0, "--test", 0
    said = succeed("train", file, *rest, "--out", tmp_path / "one")
    assert "images of 8x8x3 made 10x12x1, as the model's pictures are" in said
    assert succeed("verify", tmp_path / "one").startswith("identical: ")
    succeed("train", tmp_path / "files", *rest, "--out", tmp_path / "other")
    one, other = (
        {row.split(",")[2] for row in (tmp_path / name / "samples.csv").read_text().split()[1:]}
        for name in ("one", "other")
    )
    assert one == other
    assert digest_of(said)


def test_what_cannot_be_is_told_in_words_of_the_command_line(start: Path, pictures: Path) -> None:
    """Which option, and what it must be; and nothing is left."""
    words = "train", pictures, "--from", start, "--no-report"
    assert "--freeze must name layers with weights, of '0', '3'; got 'body'" in fail(
        *words, "--freeze", "body"
    )
    assert "--freeze must be 'all', 'none', a number" in fail(*words, "--freeze", " , ")
    assert "--freeze must leave a layer that learns" in fail(*words, "--freeze", "2")
    assert "--backbone-lr must be for layers that learn before a head" in fail(
        *words, "--freeze", "all", "--backbone-lr", "0.1"
    )
    assert "--from brings a model of its own: leave --model out" in fail(
        *words, "--model", "lenet5"
    )
    assert "there is no run and no saved model at" in fail("train", pictures, "--from", "nowhere")
