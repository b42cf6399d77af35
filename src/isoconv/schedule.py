"""Learning-rate schedules by their public names; see ``isoconv.train.schedule``."""

from __future__ import annotations

from isoconv.train.schedule import Constant, Cosine, OneCycle, Step, WarmUp

__all__ = ["Constant", "Cosine", "OneCycle", "Step", "WarmUp"]
