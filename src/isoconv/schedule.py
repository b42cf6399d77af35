"""Learning-rate schedules by their public names; see ``isoconv.train.learning_rate``."""

from __future__ import annotations

from isoconv.train.learning_rate import Constant, Cosine, OneCycle, Step, WarmUp

__all__ = ["Constant", "Cosine", "OneCycle", "Step", "WarmUp"]
