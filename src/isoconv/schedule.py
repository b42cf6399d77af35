"""Learning-rate schedules by their public names; see ``isoconv.train.learning_rate``."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.train.learning_rate import Constant, Cosine, OneCycle, Step, WarmUp

__all__ = ["Constant", "Cosine", "OneCycle", "Step", "WarmUp"]
# end of names

__public__ = {"isoconv": ["schedule"]}
