"""The worker's side of the conversation in ``bench.timing``, and what a library offers there."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHOWN", "Array", "Library", "Prepared", "peak_mib", "serve"]

Array = NDArray[Any]

SHOWN = "weights"
"""Name of a result whose changed bits are told, but which is not held to the tolerance: weights
before a batch normalisation have gradients that cancel, so that rounding errors are all of them."""


@dataclass
class Prepared:
    """Work that is ready to be repeated.

    Attributes:
        work: does it, to the end, as often as `inner` says.
        results: of one repetition from the beginning, channels last, to be compared.
        facts: what else is worth telling.
        inner: repetitions in one call of `work`; more than one where a program, too, would do many
            such things in one call.
    """

    work: Callable[[], None]
    results: dict[str, Array]
    facts: dict[str, Any] = field(default_factory=dict)
    inner: int = 1


class Library(ABC):
    """One library behind the same face as all others.

    Its methods bear the names of the kinds of work that its ``Peer`` says it offers; each takes a
    request and arrays and prepares the work:

    - ``layer``: a convolution in one direction: arrays x, w, dy;
    - ``simple``: pooling, normalisation and the like;
    - ``step``: a training step; results: the losses of the first two steps on the first batch;
    - ``predict``: a prediction; results: the scores;
    - ``imported``: a prediction of the network in an ONNX file, the array "network" of its bytes.

    Every request names the work (the fields of a class in ``bench.workloads``), the number of
    threads and the variant, such as the layout in memory.
    """

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of the library and what it stands on."""


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def serve(library: Library) -> None:
    """Answer requests on standard input until it ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared: dict[str, Prepared] = {}
    for line in sys.stdin:
        try:
            answer = _answer(library, json.loads(line), prepared)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is told
            traceback.print_exc()
            text = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {text[0][:200]}"}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(
    library: Library, request: dict[str, Any], prepared: dict[str, Prepared]
) -> dict[str, Any]:
    if "prepare" in request:
        start = time.perf_counter()
        folder = Path(request["folder"])
        with np.load(folder / "arrays.npz") as file:
            arrays = {name: file[name] for name in file.files}
        made: Prepared = getattr(library, request["prepare"])(request, arrays)
        np.savez(folder / f"{request['as']}.npz", **made.results)  # type: ignore[arg-type]
        prepared[request["as"]] = made
        return {**made.facts, "prepared_in": round(time.perf_counter() - start, 2)}
    if "repeat" in request:
        work, inner = prepared[request["as"]].work, prepared[request["as"]].inner
        seconds = []
        for _ in range(request["repeat"]):
            start = time.perf_counter()
            work()
            seconds.append((time.perf_counter() - start) / inner)
        return {"seconds": seconds}
    if "forget" in request:
        prepared.clear()
        return {}
    if "threads" in request:
        cores = sorted(os.sched_getaffinity(0))[: request["threads"]]
        # Libraries that size their pools by the cores must not see more of them.
        os.sched_setaffinity(0, cores)
        return {"versions": library.versions()}
    return {"peak_mib": peak_mib()}
