"""AArch64: a whole arm64 Python under emulation gives the digests of this machine.

`make portability` makes the emulated machine; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "portability_arm64.sh"
FOLDER = Path(os.environ.get("ISOCONV_ARM64", ROOT / "build" / "arm64"))
PATIENCE = 3600  # seconds

Line = dict[str, Any]

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not (FOLDER / ".ready").exists(),
        reason=f"there is no emulated arm64 Python in {FOLDER.name}/; make portability makes one",
    ),
]


@pytest.fixture(scope="module")
def emulated(surroundings: dict[str, str]) -> Callable[..., Line]:
    """Runs a case on the emulated machine."""

    def run(case: str, *options: object) -> Line:
        done = subprocess.run(
            [str(SCRIPT), "run", "tests/portability/worker.py", case, *map(str, options)],
            cwd=ROOT,
            # Compiling takes a minute there, so the kernels are kept between runs.
            env={**surroundings, "XDG_CACHE_HOME": str(FOLDER / "cache")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        line: Line = json.loads(done.stdout)
        assert line["machine"] == "aarch64"
        assert line["targets"] == ["neon"]
        return line

    return run


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("small", ("--threads", 1)),
        ("small", ("--threads", 3)),
        ("small", ("--float-environment", "flush")),
        ("resnet20", ("--threads", 2)),
        ("predict-small", ("--images", 64, "--float-environment", "flush")),
        ("predict-small", ("--images", 64, "--float-environment", "upward")),
    ],
    ids=str,
)
def test_neon(
    emulated: Callable[..., Line],
    worker: Callable[..., Line],
    case: str,
    options: tuple[object, ...],
) -> None:
    """NEON gives the bits of this machine, trained and predicted, in any float environment."""
    images = options[:2] if "--images" in options else ()
    assert emulated(case, *options)["result"] == worker(case, *images)["result"]
