"""TFLite's side of the benchmarks: LiteRT's interpreter with XNNPACK, in float32."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]

from bench.libraries.tflite_model import tflite_bytes
from bench.worker import Array, Library, Prepared, serve

__all__ = ["TfliteLibrary"]


class TfliteLibrary(Library):
    """TensorFlow makes the file, LiteRT runs it."""

    def versions(self) -> dict[str, str]:
        """LiteRT and TensorFlow, whose converter writes the file."""
        return {
            "ai-edge-litert": version("ai-edge-litert"),
            "tensorflow": version("tensorflow-cpu"),
        }

    def imported(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """From NumPy to NumPy; the network was converted and its weights packed beforehand."""
        images = np.ascontiguousarray(arrays["images"])
        content = tflite_bytes(arrays["network"].tobytes(), images.shape)
        interpreter = Interpreter(model_content=content, num_threads=request["threads"])
        interpreter.allocate_tensors()
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

        def predicted() -> Array:
            interpreter.set_tensor(given["index"], images)
            interpreter.invoke()
            found: Array = interpreter.get_tensor(result["index"])
            return found

        return Prepared(lambda: _done(predicted()), {"scores": predicted()})


def _done(_: Array) -> None:
    """What was predicted is not looked at."""


if __name__ == "__main__":
    serve(TfliteLibrary())
