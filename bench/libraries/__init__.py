"""The libraries behind one face, and where each of them lives."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from bench.timing import ROOT

__all__ = ["ISOCONV", "PEERS", "PEERS_PYTHON", "REASSOCIATED", "Peer"]

PEERS_PYTHON = ROOT / "bench" / ".peers" / "bin" / "python"


@dataclass(frozen=True)
class Peer:
    """A library as the benchmark sees it.

    Attributes:
        name: on the command line and in the results.
        module: its worker.
        python: the interpreter.
        variants: ways to use it, each measured by itself.
        offers: kinds of work that it can do.
        environment: added to the worker's.
    """

    name: str
    module: str
    python: str
    offers: tuple[str, ...]
    variants: tuple[str, ...] = ("",)
    environment: tuple[tuple[str, str], ...] = ()

    def label(self, variant: str) -> str:
        """Name of a variant in the results."""
        return f"{self.name} {variant}".strip()


def _peer(name: str, module: str, *offers: str, variants: tuple[str, ...] = ("",),
          environment: tuple[tuple[str, str], ...] = ()) -> Peer:  # fmt: skip
    python = os.fspath(PEERS_PYTHON)
    return Peer(name, f"bench.libraries.{module}", python, offers, variants, environment)


# tinygrad looks for clang on the path.
_WITH_CLANG = f"{PEERS_PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"

ISOCONV = Peer(
    "isoconv", "bench.libraries.isoconv_library", sys.executable,
    ("layer", "simple", "step", "predict", "imported"),
)  # fmt: skip

REASSOCIATED = Peer(
    "reassociated", "bench.libraries.reassociated_library", sys.executable, ("step",),
    ("", "all passes"),
)  # fmt: skip
"""isoconv's own kernels, free to reorder their arithmetic."""

PEERS = (
    _peer("torch", "torch_library", "layer", "simple", "step", "predict",
          variants=("channels last", "channels first")),
    _peer("torch.compile", "torch_library", "step", "predict", variants=("channels last",)),
    _peer("jax", "jax_library", "step", environment=(("JAX_PLATFORMS", "cpu"),)),
    _peer("tinygrad", "tinygrad_library", "step",
          environment=(("DEV", "CPU"), ("PATH", _WITH_CLANG))),
    _peer("onnxruntime", "onnxruntime_library", "predict", "imported"),
    _peer("openvino", "openvino_library", "predict", "imported"),
    _peer("tflite", "tflite_library", "imported"),
)  # fmt: skip
