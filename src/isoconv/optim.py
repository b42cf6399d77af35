"""Optimizers by their public names; see ``isoconv.train.optim``."""

from __future__ import annotations

from isoconv.train.optim import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW"]
