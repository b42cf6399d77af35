"""Writes what comes of ONNX's own cases into docs/onnx.md.

    python -m scripts.document_onnx

The rows are the outcomes of ``tests/exchange/onnx/conformance.py``.
"""

from __future__ import annotations

from pathlib import Path

from scripts.marks import between_marks, table, write

PAGE = Path(__file__).parents[1] / "docs" / "onnx.md"
HEADS = ("operator", "cases", "computed", "told apart")


def page(text: str) -> str:
    """The page with its table made anew."""
    from tests.exchange.onnx.conformance import table as found

    rows = found()
    cases, computed = (f"{sum(int(row[place]) for row in rows):,}" for place in (1, 2))
    total = ("all", cases, computed, "")
    return between_marks(text, {"onnx cases": table(HEADS, [*rows, total])})


if __name__ == "__main__":
    write(PAGE, page)
