"""Training: the trainer, optimizers, schedules, checkpoints and measurements."""

from __future__ import annotations

from isoconv.train import optim, schedule
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import Checkpoint, RunFolder
from isoconv.train.metrics import Evaluation, Evaluator, evaluate
from isoconv.train.run import Interrupted, Run
from isoconv.train.step import Loss, Normalisation, Preparation
from isoconv.train.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Evaluation",
    "Evaluator",
    "Interrupted",
    "Loss",
    "Normalisation",
    "Preparation",
    "Run",
    "RunFolder",
    "Trainer",
    "evaluate",
    "optim",
    "schedule",
]
