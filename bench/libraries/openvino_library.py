"""OpenVINO's side of the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino  # type: ignore[import-not-found]

from bench.libraries.onnx_model import channels_last, onnx_bytes
from bench.worker import Array, Library, Prepared, serve

__all__ = ["OpenvinoLibrary"]


class OpenvinoLibrary(Library):
    """A model compiled for the CPU, kept to float32."""

    def versions(self) -> dict[str, str]:
        """OpenVINO."""
        return {"openvino": openvino.__version__.split("-")[0]}

    def predict(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """From NumPy to NumPy; the model is compiled and its weights packed beforehand."""
        content = onnx_bytes(request["description"], arrays, arrays["images"].shape)
        return _compiled(content, request, arrays["images"])

    def imported(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """The same of a network in a file."""
        return _compiled(arrays["network"].tobytes(), request, arrays["images"])


def _compiled(content: bytes, request: dict[str, Any], images: Array) -> Prepared:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": request["threads"],
        "INFERENCE_PRECISION_HINT": "f32",
    })  # fmt: skip
    infer = compiled.create_infer_request()
    given = [np.ascontiguousarray(images.transpose(0, 3, 1, 2))]
    scores = channels_last(np.array(infer.infer(given)[compiled.output(0)]))
    return Prepared(lambda: infer.infer(given), {"scores": scores})


if __name__ == "__main__":
    serve(OpenvinoLibrary())
