"""Training: the trainer, optimizers, schedules, checkpoints and measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoconv.onward import late_names

# begin of names that `python -m scripts.public_names` writes
if TYPE_CHECKING:
    from isoconv.train.callbacks import Callback, EarlyStopping
    from isoconv.train.checkpoint import RunFolder
    from isoconv.train.compare import Difference
    from isoconv.train.cross_validation import CrossValidation, cross_validate
    from isoconv.train.folds import CrossValidationInterrupted, FoldResult
    from isoconv.train.graphs import Normalisation, Preparation
    from isoconv.train.grid import Combination, Grid, grid_search
    from isoconv.train.loading import load
    from isoconv.train.losses import Loss
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
    "Answer", "Baseline", "Callback", "Checkpoint", "ClassScores", "Combination", "CrossValidation",
    "CrossValidationInterrupted", "Difference", "EarlyStopping", "Evaluation", "Evaluator",
    "FoldResult", "Grid", "Interrupted", "Loss", "Normalisation", "Outcome", "Preparation",
    "Receipt", "Recipe", "Run", "RunDifference", "RunFolder", "Scores", "Trainer", "Verification",
    "answers", "cross_validate", "diff", "evaluate", "grid_search", "load", "score", "verify",
    "wilson_interval",
]  # fmt: skip

_PLACES: dict[str, tuple[str, ...]] = {
    "isoconv.train.callbacks": ("Callback", "EarlyStopping"),
    "isoconv.train.checkpoint": ("RunFolder",),
    "isoconv.train.compare": ("Difference",),
    "isoconv.train.cross_validation": ("CrossValidation", "cross_validate"),
    "isoconv.train.folds": ("CrossValidationInterrupted", "FoldResult"),
    "isoconv.train.graphs": ("Normalisation", "Preparation"),
    "isoconv.train.grid": ("Combination", "Grid", "grid_search"),
    "isoconv.train.loading": ("load",),
    "isoconv.train.losses": ("Loss",),
    "isoconv.train.metrics": ("Evaluation", "Evaluator", "evaluate"),
    "isoconv.train.receipt": ("Receipt",),
    "isoconv.train.recipe": ("Recipe",),
    "isoconv.train.run": ("Interrupted", "Run"),
    "isoconv.train.run_difference": ("Outcome", "RunDifference", "diff"),
    "isoconv.train.scores": (
        "Answer", "Baseline", "ClassScores", "Scores", "answers", "score", "wilson_interval",
    ),
    "isoconv.train.state": ("Checkpoint",),
    "isoconv.train.trainer": ("Trainer",),
    "isoconv.train.verification": ("Verification", "verify"),
}  # fmt: skip
# end of names

__public__ = {"isoconv": ["train"]}

if not TYPE_CHECKING:
    # To a type checker this would say that any name is there.
    __getattr__, __dir__ = late_names(__name__, _PLACES)
