"""Models in and out: files of other libraries, read and written without those libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoconv.onward import late_names

# begin of names that `python -m scripts.public_names` writes
if TYPE_CHECKING:
    from isoconv.exchange.onnx.exporting import save_onnx
    from isoconv.exchange.onnx.importing import from_onnx
    from isoconv.exchange.published import fetch_pretrained, pretrained
    from isoconv.exchange.torch_file import load_torch
    from isoconv.exchange.torch_weights import load_into, save_torch

__all__ = [
    "fetch_pretrained", "from_onnx", "load_into", "load_torch", "pretrained", "save_onnx",
    "save_torch",
]  # fmt: skip

_PLACES: dict[str, tuple[str, ...]] = {
    "isoconv.exchange.onnx.exporting": ("save_onnx",),
    "isoconv.exchange.onnx.importing": ("from_onnx",),
    "isoconv.exchange.published": ("fetch_pretrained", "pretrained"),
    "isoconv.exchange.torch_file": ("load_torch",),
    "isoconv.exchange.torch_weights": ("load_into", "save_torch"),
}  # fmt: skip
# end of names

__public__ = {"isoconv": ["exchange"]}

if not TYPE_CHECKING:
    # To a type checker this would say that any name is there.
    __getattr__, __dir__ = late_names(__name__, _PLACES)
