"""ONNX Runtime's side of the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from bench.libraries.onnx_model import channels_last, onnx_bytes
from bench.worker import Array, Library, Prepared, serve

__all__ = ["OnnxRuntimeLibrary"]


class OnnxRuntimeLibrary(Library):
    """A session with all graph optimisations."""

    def versions(self) -> dict[str, str]:
        """ONNX Runtime."""
        return {"onnxruntime": onnxruntime.__version__}

    def predict(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """From NumPy to NumPy; the model is optimised and its weights packed beforehand."""
        content = onnx_bytes(request["description"], arrays, arrays["images"].shape)
        return _session(content, request, arrays["images"])

    def imported(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """The same of a network in a file."""
        return _session(arrays["network"].tobytes(), request, arrays["images"])


def _session(content: bytes, request: dict[str, Any], images: Array) -> Prepared:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    given = {name: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
    scores = channels_last(session.run(None, given)[0])
    return Prepared(lambda: session.run(None, given), {"scores": scores})


if __name__ == "__main__":
    serve(OnnxRuntimeLibrary())
