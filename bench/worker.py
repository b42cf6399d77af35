"""The worker's side of the conversation in ``bench.timing``."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]

Work = Callable[[], None]


def serve(prepare: Callable[[dict[str, Any]], tuple[Work, dict[str, Any]]]) -> None:
    """Answer requests on standard input until it ends.

    Args:
        prepare: makes the work from the first request; returns it with facts to report.
    """
    work, facts = prepare(json.loads(sys.stdin.readline()))
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "repeat" in request:
            seconds = []
            for _ in range(request["repeat"]):
                start = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - start)
            print(json.dumps({"seconds": seconds}), flush=True)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"peak_mib": round(peak, 1)}), flush=True)
