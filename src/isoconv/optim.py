"""Optimizers by their public names; see ``isoconv.train.optim``."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.train.optim import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW"]
# end of names

__public__ = {"isoconv": ["optim"]}
