"""Trainings that begin from models of others: an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.exchange.onnx.graphs import made, node, random, written

import isoconv as ic
from isoconv.train import Trainer, verify


@pytest.mark.filterwarnings("ignore::isoconv.errors.DataWarning")
def test_an_onnx_network_is_tuned(tmp_path: Path) -> None:
    """The Gemm is made new, the Softmax behind it left out, all before stays bit for bit."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c g h m v", "n"),
        node("Relu", "n", "r"),
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f W B", "l", transB=1),
        node("Softmax", "l", "y", axis=1),
    ]
    ones, five = np.ones(6, np.float32), np.zeros(5, np.float32)
    arrays = {
        "w": random(0, 6, 3, 3, 3), "b": random(1, 6), "g": ones, "h": ones, "m": ones, "v": ones,
        "W": random(2, 5, 6), "B": five,
    }  # fmt: skip
    file = written(tmp_path, made(nodes, ["N", 3, 8, 8], arrays))
    pixels = np.random.default_rng(3).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    data = pixels, ["a", "b", "c"] * 4
    run = Trainer(start=file, progress=False).fit(data, epochs=1, out=tmp_path / "run")
    start = ic.load(file)
    new = run.receipt["from"]["new"]
    assert {start.weights[name].shape[-1] for name in new} == {5}
    assert {run.model.weights[name].shape[-1] for name in new} == {3}
    for name in {*start.weights} - {*new}:
        assert run.model.weights[name].tobytes() == start.weights[name].tobytes(), name
    assert run.model.predict(pixels).sum(axis=1) == pytest.approx(np.ones(12))
    assert verify(tmp_path / "run", None, data, progress=False).identical
