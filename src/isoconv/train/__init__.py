"""Training: the trainer, optimizers, schedules, checkpoints and measurements."""

from __future__ import annotations

from isoconv.train import optim
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.compare import Difference
from isoconv.train.graphs import Loss, Normalisation, Preparation
from isoconv.train.loading import load
from isoconv.train.metrics import Evaluation, Evaluator, evaluate
from isoconv.train.receipt import Receipt
from isoconv.train.recipe import Recipe
from isoconv.train.run import Interrupted, Run
from isoconv.train.run_difference import Outcome, RunDifference, diff
from isoconv.train.scores import (
    Answer,
    Baseline,
    ClassScores,
    Scores,
    answers,
    score,
    wilson_interval,
)
from isoconv.train.state import Checkpoint
from isoconv.train.trainer import Trainer
from isoconv.train.verification import Verification, verify

__all__ = [
    "Answer",
    "Baseline",
    "Callback",
    "Checkpoint",
    "ClassScores",
    "Difference",
    "EarlyStopping",
    "Evaluation",
    "Evaluator",
    "Interrupted",
    "Loss",
    "Normalisation",
    "Outcome",
    "Preparation",
    "Receipt",
    "Recipe",
    "Run",
    "RunDifference",
    "RunFolder",
    "Scores",
    "Trainer",
    "Verification",
    "answers",
    "diff",
    "evaluate",
    "load",
    "optim",
    "score",
    "verify",
    "wilson_interval",
]
