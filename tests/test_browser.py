"""What a session of tests says on a machine without a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.left_out import left_out

ROOT = Path(__file__).parents[1]
FILES = ("tests/explain/test_web_float32.py", "tests/explain/test_web_windows.py")


@pytest.mark.slow
def test_tests_without_a_browser_are_told_in_one_line(tmp_path: Path) -> None:
    """Which ones, how many and why; the session passes, with workers too."""
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *FILES]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "left out" in line]
    assert said == [
        "left out 12 tests that need a browser (no chromium on PATH): "
        f"{FILES[0]} (9), {FILES[1]} (3)"
    ]


def test_nothing_is_said_where_nothing_was_left_out() -> None:
    """Tests that are skipped for other reasons are none of its business."""
    assert left_out([]) == []
