"""``isoconv export``: a model as an ONNX file, which predicts as the model does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

from isoconv import nn
from isoconv.exchange.preparing import prepared


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A saved model of pictures of three classes, and a picture beside it."""
    made = nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(3))
    made.build((8, 8, 3), seed=2)
    prepared(made, "imagenet")
    made.class_names = ["cat", "dog", "cow"]
    pixels = np.random.default_rng(1).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("preprocessing", ["inside", "beside"])
def test_the_file_predicts_as_the_model(model: Path, preprocessing: str) -> None:
    """Classes by name and in the same order, with probabilities that are close."""
    file, picture = model.with_name("model.onnx"), model.with_name("a.png")
    said = succeed("export", model, file, "--preprocessing", preprocessing, "--opset", 18)
    assert said == f"{file}: {file.stat().st_size:,} bytes, opset 18\n"
    told = (call("predict", each, picture, "--json").stdout for each in (model, file))
    one, other = (json.loads(text)[0]["classes"] for text in told)
    assert [each["name"] for each in one] == [each["name"] for each in other]
    for mine, theirs in zip(one, other, strict=True):
        assert theirs["probability"] == pytest.approx(mine["probability"], rel=1e-4)


def test_what_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kind of file, an opset that there is not, and a package that is missing."""
    folder = model.parent
    assert "models are written as .onnx" in fail("export", model, folder / "model.pt")
    file = folder / "x.onnx"
    assert "opset must be a whole number" in fail("export", model, file, "--opset", 99)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'isoconv[onnx]'" in fail("export", model, file)
    assert not file.exists()
