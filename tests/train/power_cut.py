"""Trainings that are cut off, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.train.small import make

from isoconv import nn
from isoconv.data import Dataset
from isoconv.train import Callback, Run


class PowerCut(Callback):
    """Ends everything after the first epoch."""

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """The end."""
        raise RuntimeError(f"power cut in {run} after {row}")


def begin(
    out: Path,
    *data: Dataset,
    model: nn.Module | None = None,
    facts: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """A run that ends after its first epoch, with the power."""
    with pytest.raises(RuntimeError, match="power cut"):
        make(model, callbacks=[PowerCut()], **options).fit(*data, epochs=3, out=out, facts=facts)
