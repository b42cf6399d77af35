"""``isoconv bench``: a model's time, layer by layer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from isoconv import nn
from isoconv.cli import app
from isoconv.report.roofline import draw_roofline
from isoconv.run import ceilings as measured
from isoconv.run.ceilings import Ceilings, measure_barrier, measure_ceilings
from isoconv.run.profile import KernelTime, Profile

QUICK = ("--input", "12x12x1", "--batch-size", "4", "--turns", "1", "--threads", "1")


@pytest.fixture(autouse=True)
def small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings of vectors that take no time."""
    monkeypatch.setattr(measured, "_STREAM_BYTES", 2**16)


def bench(*words: str) -> str:
    """Run the command, which must end well, and give back what it printed."""
    result = CliRunner().invoke(app, ["bench", "--model", "lenet5", *QUICK, *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_training_step(tmp_path: Path) -> None:
    """Every kind of kernel has its row, and the picture is drawn."""
    picture = tmp_path / "roof.png"
    text = bench("--rows", "0", "--out", str(picture))
    for kernel in ("forward", "gradient by input", "gradient by weight", "max pooling",
                   "max pooling, gradient", "packing of weights", "update"):  # fmt: skip
        assert re.search(rf"{kernel}  ", text), kernel
    assert "lenet5, one step of training: 4 images in" in text
    assert "of this machine's peak" in text
    assert re.search(r"bound by +of bound$", text.splitlines()[0])
    assert re.search(r"gradient by weight .* (FMAs|loads|latency) +\d+%$", text, re.MULTILINE)
    with Image.open(picture) as image:
        assert min(image.size) > 500


@pytest.mark.slow
def test_step_of_a_map(tmp_path: Path) -> None:
    """A network with a result for each pixel learns a label for each."""
    path = tmp_path / "map.safetensors"
    nn.Sequential(nn.Conv2d(2, 3, padding=1)).build((8, 4, 1), seed=0).save(path)
    words = ["bench", "--model", str(path), "--batch-size", "2", "--turns", "1", "--threads", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "gradient by weight" in result.stdout


@pytest.mark.slow
def test_inference() -> None:
    """A prediction has no gradients; rows beyond the most are summed up."""
    text = bench("--inference", "--rows", "2")
    assert "gradient" not in text
    assert "lenet5, one prediction: 4 images in" in text
    assert re.search(r"^\d+ more", text, re.MULTILINE)


def test_unknown_model() -> None:
    """Neither a model nor a folder: one line says so."""
    result = CliRunner().invoke(app, ["bench", "--model", "nothing"])
    assert result.exit_code == 2
    assert "no model is called 'nothing'" in result.stderr


def test_ceilings_are_kept_at_their_best() -> None:
    """The better of two measurements, each ceiling by itself."""
    one, two = Ceilings(1, 10.0, 5.0, 7.0), Ceilings(1, 9.0, 6.0, 7.0)
    assert one.better(two) == two.better(one) == Ceilings(1, 10.0, 6.0, 7.0)


def test_ceilings_of_threads() -> None:
    """Two threads are measured together."""
    found = measure_ceilings(2, seconds=0.01)
    assert found.threads == 2
    assert min(found.gflops, found.memory, found.cache) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_meet(threads: int) -> None:
    """A meeting takes some time, and no longer than it took to see some of them."""
    assert 0 < measure_barrier(threads, seconds=0.01) < 1


def test_kernel_speeds() -> None:
    """GFLOP/s, GB/s and FLOP per byte of a kernel; nothing is divided by zero."""
    kernel = KernelTime("0", "forward", 1e-3, 2_000_000, 500_000)
    assert (kernel.gflops, kernel.gigabytes, kernel.intensity) == (2.0, 0.5, 4.0)
    nothing = KernelTime("", "waiting", 0.0, 0, 0)
    assert (nothing.gflops, nothing.gigabytes, nothing.intensity) == (0.0, 0.0, 0.0)


def test_picture_of_nothing(tmp_path: Path) -> None:
    """A profile without a countable kernel still gives a roof."""
    profile = Profile((KernelTime("", "waiting", 1e-3, 0, 0),), 1e-3, 1, 1)
    content = draw_roofline(profile, Ceilings(1, 100.0, 10.0, 50.0), "x", tmp_path / "a.png")
    assert np.frombuffer(content[:8], np.uint8)[1:4].tobytes() == b"PNG"
