"""The embedded sample: balanced, small, quick to load and always the same."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import numpy as np
import pytest

from isoconv.data import load
from isoconv.data.fashion import FOLDER

ORIGINALS = os.environ.get("FASHION_MNIST")
"""Folder of the four original files, if they are at hand."""
SCRIPT = Path(__file__).parents[2] / "scripts" / "make_sample.py"


@pytest.mark.parametrize(
    ("split", "count", "digest"),
    [
        ("train", 10_000, "d790bfb85e967bc8cb599848167d711a7e45a2dd1416dad4e05482dbc4f2aa66"),
        ("test", 2_000, "52d90b073e2f0ea1440eb108f03a9edcc828ee66176017291a4fa8c6102f84f2"),
    ],
)
def test_sample_is_balanced_and_pinned(split: str, count: int, digest: str) -> None:
    """Sizes, classes and every pixel are as they were made."""
    data = load("fashion-sample", split)  # type: ignore[arg-type]
    assert data.images.shape == (count, 28, 28, 1)
    assert data.images.dtype == np.uint8
    assert np.bincount(data.labels).tolist() == [count // 10] * 10
    assert data.labels[:11].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert data.class_names[7] == "Sneaker"
    assert data.name == "fashion-sample"
    assert data.digest() == digest


def test_parts_have_no_image_in_common() -> None:
    """No test image is a training image."""
    train = {image.tobytes() for image in load("fashion-sample").images}
    test = {image.tobytes() for image in load("fashion-sample", "test").images}
    assert not train & test


def test_sample_is_small_and_comes_with_its_licence() -> None:
    """All files together stay below 5 MB; licence and origin lie beside the images."""
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5_000_000
    assert "Zalando SE" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "arXiv:1708.07747" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_sample_loads_quickly() -> None:
    """The best of three loads takes well below a second (0.1 s on two cores of 2024)."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        load("fashion-sample")
        times.append(time.perf_counter() - start)
    assert min(times) < 1


@pytest.mark.slow
@pytest.mark.skipif(ORIGINALS is None, reason="FASHION_MNIST names no folder of originals")
def test_script_makes_the_same_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made again from the original files, the sample is the same."""
    spec = importlib.util.spec_from_file_location("make_sample", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("sys.argv", ["make_sample", str(ORIGINALS), "--out", str(tmp_path)])
    script.main()
    digest = load("fashion-sample").digest()
    monkeypatch.setattr("isoconv.data.fashion.FOLDER", tmp_path)
    assert load("fashion-sample").digest() == digest
