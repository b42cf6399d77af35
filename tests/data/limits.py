"""What happens to a file in a process that may have little memory and little time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["read_within"]

_PROGRAM = """
import resource, sys, threading
import isoconv.data
from isoconv.errors import IsoconvError
from isoconv.data import load
from isoconv.data.reader import decoders
load("fashion-sample", "test")
# Libraries that read pictures take room of their own when they are first asked for.
decoders()
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
try:
    data = load(sys.argv[1])
except IsoconvError as error:
    print(f"{type(error).__name__}: {error}")
else:
    print(f"read: {data.images.shape}")
"""


def read_within(path: Path, memory: int = 1 << 26, seconds: int = 5) -> str:
    """What reading a file gives: its shape, or the error, within memory and time.

    Args:
        path: of the file.
        memory: bytes beside those that the process has when it begins.
        seconds: of computing.
    """
    words = [sys.executable, "-c", _PROGRAM, str(path), str(memory), str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    assert done.stderr == ""
    return done.stdout.strip()
