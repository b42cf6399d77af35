"""How long a training has been going on: by the clock on the wall, or by its processor."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["elapsed"]


def elapsed(request: Mapping[str, Any]) -> float:
    """Seconds since this process began.

    Args:
        request: of a training; ``clock`` is ``"wall"``, with ``began`` by `time.time`, or
            ``"processor"``: what this process and helpers that have ended took of a processor.
    """
    if request["clock"] == "processor":
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system
    return time.time() - float(request["began"])
