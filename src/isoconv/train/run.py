"""What a training gives back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any

from isoconv.cards import Carded
from isoconv.checks import as_word
from isoconv.compile.native.fork import renew_in_child
from isoconv.nn import Module
from isoconv.onward import onward
from isoconv.signals import number_of
from isoconv.train.callbacks import EarlyStopping, best_epoch, kept_epoch, watched_metric
from isoconv.train.checkpoint import RunFolder
from isoconv.train.record import Recorder
from isoconv.train.shown import run_card
from isoconv.train.stretches import Stretches

if TYPE_CHECKING:
    from isoconv.train.metrics import Evaluation

__public__ = {"isoconv.train": ["Interrupted", "Run"]}


class Run(Carded, card=run_card):
    """A training: how it went and what came of it.

    Args:
        model: what is trained.
        description: settings, data and versions, as in run.json.
        folder: where the run is kept, or None.
        early_stopping: when it is to end before, or None.

    Attributes:
        description: as given; ``result`` is added at the end.
        folder: path of the run folder, or None.
        early_stopping: when to end before, or None.
        history: a dict for each epoch: ``epoch`` (from 1), ``loss``, ``top1``, ``top5``, the same
            with ``val_`` in front, ``learning_rate`` (of the last step), ``seconds`` (training
            alone) and ``images_per_second``. The means are over the epoch's images, each measured
            in the step that learned from it.
        test: the one measurement on the test part, at the end, or None.
        notes: what a person should know before trusting the figures, a line each.
        recorder: writes the receipt, or None.
        stopped: why the training ended before its last epoch; "" if it did not.
    """

    def __init__(
        self,
        model: Module,
        description: dict[str, Any],
        folder: RunFolder | None = None,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        self.description = description
        self.early_stopping = early_stopping
        self.history: list[dict[str, Any]] = []
        # None without test data. Any in place of None, as at `Splits`: who gave some knows it.
        self.test: Evaluation | Any = None
        self.notes: list[str] = []
        self.stopped = ""
        self.recorder: Recorder | None = None
        self._model = model
        self._folder = folder
        self._weights: Callable[[], Mapping[str, Any]] | None = None
        self._begin_to_follow()

    def _begin_to_follow(self) -> None:
        self._renew()
        renew_in_child(self, Run._renew)

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which belongs to this object alone."""
        return {name: value for name, value in vars(self).items() if name != "_putting"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_to_follow()

    def _renew(self) -> None:
        # Another thread may have been putting weights into the model: that is whole or not done.
        self._putting = threading.RLock()

    @property
    def model(self) -> Module:
        """What is trained, with the weights of this moment; during a training, too."""
        with self._putting:
            if self._weights is not None:
                self._model.load_weights(self._weights())
        return self._model

    def follow(self, weights: Callable[[], Mapping[str, Any]] | None) -> None:
        """Say where the weights of the moment are, as long as the model does not hold them.

        None: from now on no thread puts any into the model, not even one that had begun.
        """
        with self._putting:
            self._weights = weights

    @property
    def folder(self) -> Path | None:
        """Path of the run folder, or None."""
        return None if self._folder is None else self._folder.path

    @property
    def epochs(self) -> int:
        """How many epochs were asked for."""
        return int(self.description["settings"]["epochs"])

    @property
    def stretches(self) -> Stretches:
        """The epochs as they were asked for: at once, or some of them later."""
        return Stretches.of(self.description["settings"])

    @property
    def watched(self) -> str:
        """The metric that tells the best epoch.

        That of early stopping, otherwise ``val_loss``, or without validation ``loss``.
        """
        return watched_metric(self.early_stopping, "validation" in self.description["data"])

    @property
    def best_epoch(self) -> int:
        """The best epoch by the watched metric (the first of equals), from 1; 0 at first."""
        return best_epoch(self.history, self.watched)

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights a finished training leaves with the model.

        The best one if early stopping restores it, otherwise the last one.
        """
        return kept_epoch(self.history, self.early_stopping)

    @property
    def digest(self) -> str:
        """SHA-256 of the model's weights, as 64 hexadecimal digits."""
        return self.model.digest()

    @property
    def receipt(self) -> dict[str, Any]:
        """The run's receipt as it stands, as in ``receipt.json``; empty if there is none.

        Example:
            >>> from isoconv import nn
            >>> Run(nn.Linear(2), {}).receipt
            {}
        """
        return {} if self.recorder is None else self.recorder.content

    def explain(self, image: Any, at: Any = None, **settings: Any) -> Any:
        """One number of the trained network taken apart; see `isoconv.explain`.

        A weight's gradient goes on to its new value by the next step of this run.

        Args:
            image: as for `isoconv.explain`; pictures are read as in training.
            at: which number, ``("conv1", row, column, channel)``.
            settings: as for `isoconv.explain`: ``gradient="weight", label="cat"``.

        Returns:
            An Explanation.

        Raises:
            IsoconvError: as `isoconv.explain`.

        Example:
            >>> import numpy as np
            >>> import isoconv as ic
            >>> from isoconv import nn
            >>> images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
            >>> trainer = ic.Trainer(model, batch_size=2, progress=False)
            >>> run = trainer.fit((images, [0, 1]), epochs=1)
            >>> one, same = run.explain(images[0], at=("1", 0)), run.explain(images[0], "1,0")
            >>> bool(one.value == same.value)
            True
        """
        return onward("explain.numbers.explain")(self, image, at, **settings)

    def explore(self, image: Any = None, label: Any = None, **settings: Any) -> Any:
        """Look at the trained network on an image, in a notebook; see `isoconv.explore`.

        Args:
            image: as for `isoconv.explain`; None for a picture of grey, to be replaced on the page.
            label: its class, by name or number, for gradients of the loss.
            settings: as for `isoconv.explore`: ``live=False``.

        Returns:
            What a notebook shows.

        Raises:
            IsoconvError: as `isoconv.explore`.

        Example:
            >>> import numpy as np
            >>> import isoconv as ic
            >>> from isoconv import nn
            >>> images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
            >>> trainer = ic.Trainer(model, batch_size=2, progress=False)
            >>> run = trainer.fit((images, [0, 1]), epochs=1)
            >>> run.explore(images[0], label=0, live=False).notes
            []
        """
        return onward("explain.widget.explore")(self, image, label, **settings)

    def stop(self, reason: str) -> None:
        """End the training after this epoch; for callbacks. The first reason stays.

        It is written into the folder before anything else of the run's end. A process that is
        killed before that forgets it; who resumes the run is asked after the next epoch.
        """
        self.stopped = self.stopped or str(reason) or "stopped"


class Interrupted(KeyboardInterrupt):
    """A training was interrupted, or asked to end; the message says how to go on.

    Attributes:
        run: the training so far; its model holds the weights of the last finished step.
        signal: number of the signal: that of Ctrl-C, SIGTERM or SIGHUP.
    """

    def __init__(self, message: str, run: Run, signal: int = SIGINT) -> None:
        super().__init__(message)
        self.run = run
        self.signal = signal

    @classmethod
    def without_a_step(cls, run: Run, interrupt: KeyboardInterrupt) -> Interrupted:
        """Of a training that comes to nothing by an interrupt."""
        where = "" if run.folder is None else f", and nothing of it is left in {run.folder}"
        return cls(f"interrupted before a step was kept{where}", run, number_of(interrupt))


def kept_by(error: BaseException, folder: RunFolder | None) -> bool:
    """Whether what a training learned in its first epoch outlives an error.

    In the folder, where a checkpoint was saved; without one in the model, which an interrupt leaves
    as it was at that moment.
    """
    return isinstance(error, KeyboardInterrupt) if folder is None else folder.learned


def way_on(folder: RunFolder | None) -> str:
    """How to go on after an interrupt."""
    if folder is None:
        return "nothing was saved (give fit an out folder to be able to go on)"
    return f"go on with: isoconv resume {as_word(folder.path)}"
