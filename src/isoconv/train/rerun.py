"""A run's training, done again beside its receipt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from isoconv.errors import CheckpointError, NotFiniteError
from isoconv.nn import Module, storage
from isoconv.nn.architecture import model_of, of_a_stranger
from isoconv.signals import number_of
from isoconv.train.callbacks import Callback
from isoconv.train.checkpoint import RunFolder
from isoconv.train.compare import Difference, Side, compare_epochs, state_after
from isoconv.train.conduct import Conduct
from isoconv.train.context import TrainingContext
from isoconv.train.covered import NotCovered
from isoconv.train.differing import differing, told
from isoconv.train.given import Given
from isoconv.train.layout import FROM, SKIPPED, exact_metrics
from isoconv.train.prepare import Prepared
from isoconv.train.progress import reporter_for
from isoconv.train.receipt import Receipt
from isoconv.train.record import Recorder, tensors_of
from isoconv.train.run import Interrupted, Run
from isoconv.train.settings import TrainSettings, read_settings
from isoconv.train.settled import settle
from isoconv.train.start import taken_digest
from isoconv.train.state import Checkpoint
from isoconv.wording import either

Row = Mapping[str, Any]


def model_in(receipt: Receipt) -> Module:
    """The model that a run trained, not yet built.

    Raises:
        CheckpointError: its class is a person's own, or its record cannot be read.
    """
    architecture = receipt.content["record"]["architecture"]
    if architecture is None:
        name = receipt.content["model"]["name"]
        raise CheckpointError(
            f"{receipt.folder} was trained with a model of its own"
            + ("" if name is None else f", {name!r}")
            + ", which must be given: isoconv.train.verify(folder, model, train, validation)",
            path=receipt.folder,
        )
    return model_of(architecture, str(receipt.path))


def interrupted(done: int, run: Run, error: KeyboardInterrupt) -> Interrupted:
    """What is raised where a verification is interrupted after so many epochs."""
    message = f"interrupted after epoch {done}; no difference up to there"
    return Interrupted(message, run, number_of(error))


class Rerun:
    """A run's training, done again beside its receipt.

    Args:
        receipt: of the run.
        model: as the one that was trained; None for one made of the receipt.
        given: the data.
        machine: the settings that decide no bit.
        free: where to note what is not covered.

    Attributes:
        free: as given.
        notes: what else there is to say.
        training: the one that was last under way.
    """

    def __init__(
        self,
        receipt: Receipt,
        model: Module | None,
        given: Given,
        machine: TrainSettings,
        free: NotCovered,
    ) -> None:
        self.notes: list[str] = []
        self._receipt = receipt
        self._model = model
        self._given = given
        self.free = free
        fresh = copy.deepcopy(model) if model is not None else model_in(receipt)
        settings = replace(machine, **read_settings(receipt.settings, str(receipt.path)))
        # A training goes on from the weights of a built model, so it is built anew here.
        with of_a_stranger(str(receipt.path)) if model is None else nullcontext():
            fresh.build(given.train.image_shape, settings.seed, fresh=True)
        self._settled = settle(settings, fresh, given.train, receipt.planned)
        self._prepared = Prepared(self._settled, given, receipt.content["record"])
        self._described = self._prepared.describe(receipt.stretches, None, {})
        if FROM in receipt.content:
            self._described[FROM] = receipt.content[FROM]
        self._head = self._prepared.receipt_head(self._described)
        # What a start of another model is held against, whatever weights are loaded later.
        self._drawn = self._prepared.start().weights if FROM in receipt.content else {}
        self.training = Run(fresh, self._described)
        self._begins: Checkpoint | None = None

    def run(self, first: int, last: int) -> Difference | None:
        """Run some epochs and give back the first difference."""
        found = self.check(first)
        if found is not None:
            return found
        found, kept = self.epochs(first, last)
        return found or self.test(kept, last)

    def check(self, first: int) -> Difference | None:
        """Compare all that is known before some epoch is run: model, data, first weights."""
        self._check_model()
        found = self._check_record() or self._check_samples()
        return found or self._check_taken(self.start(first - 1))

    def epochs(
        self, first: int, last: int, passed: Callable[[int], object] | None = None
    ) -> tuple[Difference | None, Checkpoint | None]:
        """Run some epochs.

        Args:
            first: of them; from the checkpoint before it, or the first weights.
            last: of them.
            passed: called with the number of each epoch that is as it was.

        Returns:
            The first difference, or None; the state after the epoch whose weights the run left, if
            it is one of these.
        """
        start = self.start(first - 1)
        recorder = Recorder(self._head, {})
        if first == 1:
            recorder.begin(start)
            found = self._compare(recorder, 0)
            if found is not None:
                return found, None
        watch = _Watch(recorder, self._compare, last, self._receipt.kept_epoch, passed)
        found = self._train(watch, recorder, start) if first <= last else None
        return found or watch.found, watch.kept

    def _train(self, watch: _Watch, recorder: Recorder, start: Checkpoint) -> Difference | None:
        settled = replace(self._settled, callbacks=(watch,))
        self.training = run = Run(self._settled.model, self._described)
        context = TrainingContext(settled, self._prepared, run, recorder=recorder)
        try:
            Conduct(context).loop(start, reporter_for(settled.progress))
        except Interrupted as error:
            done = run.history[-1]["epoch"] if run.history else start.epoch
            raise interrupted(done, run, error) from None
        except NotFiniteError as error:
            epoch = start.epoch + len(run.history) + 1
            return Difference(f"epoch {epoch}", epoch, note=str(error))
        return None

    def test(self, kept: Checkpoint | None, last: int) -> Difference | None:
        """Measure with the test part again, if the weights of the end are at hand.

        Args:
            kept: they, if they were trained again.
            last: the last epoch that was.
        """
        receipt = self._receipt
        if not receipt.finished or self._prepared.test is None:
            return None
        state = kept or state_after(receipt, receipt.kept_epoch)
        if state is None:
            self.free.leave("receipt.json", "final.test")
            return None
        with self._prepared.evaluator() as evaluator:
            test = evaluator.run(
                state.weights, self._prepared.test, probabilities=False, predictions=False
            )
            metrics = exact_metrics(test.metrics)
        for place, one, other in differing(receipt.content["final"]["test"], metrics, "final.test"):
            note = f"{place}: receipt {told(one)}, found {told(other)}"
            return Difference("the measurement on the test part", last, note=note)
        return None

    def _compare(self, recorder: Recorder, epoch: int) -> Difference | None:
        receipt = self._receipt
        recorded = Side(
            receipt.entries[epoch],
            receipt.details.get(epoch),
            lambda: state_after(receipt, epoch),
        )
        here = Side(recorder.entries[-1], recorder.details[-1], lambda: recorder.checkpoint)
        return compare_epochs(recorded, here)

    def _check_model(self) -> None:
        wanted, given = self._receipt.content["model"], self._head["model"]
        # Its name is free; another isoconv may make another graph of the same model.
        found = [
            f"{place}: the run has {told(one)}, given is {told(other)}"
            for name in ("output_shape", "parameters", "states", "layers")
            for place, one, other in differing(wanted[name], given[name], name)
        ]
        if found:
            raise CheckpointError(
                f"{self._receipt.folder} can be verified with its own model only: "
                + " | ".join(found),
                path=self._receipt.folder,
            )
        if wanted["graph_sha256"] != given["graph_sha256"]:
            self.notes.append(
                "the training graph that this isoconv makes of the model is another one: sha256 "
                f"{wanted['graph_sha256']} in the receipt, {given['graph_sha256']} here"
            )
            self.free.leave("receipt.json", "model.graph_sha256")

    def _check_record(self) -> Difference | None:
        """What follows from model and data beside the weights."""
        wanted, given = self._receipt.content["record"], self._head["record"]
        for place, one, other in differing(wanted, given, "record"):
            if place.startswith("record.trained_on.reading") and self._given.train.reading is None:
                # The images came as arrays this time.
                self.free.leave("receipt.json", "record.trained_on.reading")
                continue
            note = f"{place}: receipt {told(one)}, found {told(other)}"
            return Difference("the state before the first step", 0, note=note)
        return None

    def _check_samples(self) -> Difference | None:
        """Which samples the parts hold, and how they came about, as far as the data tell."""
        skipped = self._receipt.content.get(SKIPPED, [])
        if skipped != self._given.skipped_paths:
            # Files may have been mended or removed, and another decoder may read them.
            self.free.leave("receipt.json", SKIPPED)
        if any(differing(self._receipt.content["split"], self._head["split"])):
            self.free.leave("receipt.json", "split")
        if self._receipt.content["samples_sha256"] == self._head["samples_sha256"]:
            return None
        known = RunFolder(self._receipt.folder).samples(self._receipt.content["samples_sha256"])
        if known is None:
            self.free.leave("receipt.json", "samples_sha256")
            return None
        here = self._given.samples.rows
        for number, (one, other) in enumerate(zip_longest(known.rows, here), 2):
            if one is None or other is None or one._replace(path="") != other._replace(path=""):
                note = f"line {number}: the run has {one}, given is {other}"
                return Difference("samples.csv", 0, note=note)
        # The same samples, which stand elsewhere.
        self.free.leave("samples.csv", "path")
        return None

    def _check_taken(self, start: Checkpoint) -> Difference | None:
        """The first weights of a run that began from another model: taken over, or of the seed."""
        taken = self._receipt.content.get(FROM)
        if taken is None:
            return None
        # Which model they are of is known to whoever has it.
        self.free.add("receipt.json", f"{FROM}.digest", f"{FROM}.weights_sha256")
        if start.epoch > 0:
            if 0 not in RunFolder(self._receipt.folder).kept_epochs():
                self.free.leave("receipt.json", f"{FROM}.taken_sha256")
                return None
            start = self._fitting(RunFolder(self._receipt.folder).load_kept(0))
        found = taken_digest(start.weights, taken["new"])
        if found != taken["taken_sha256"]:
            note = f"{FROM}.taken_sha256: receipt {taken['taken_sha256']}, found {found}"
            return Difference("the state before the first step", 0, note=note)
        drawn = self._drawn
        wrong = [
            name
            for name in taken["new"]
            if name not in drawn or drawn[name].tobytes() != start.weights[name].tobytes()
        ]
        if wrong:
            note = f"{FROM}.new: {wrong[0]} is not what the seed gives"
            return Difference("the state before the first step", 0, note=note)
        return None

    def begin_from(self, state: Checkpoint) -> None:
        """The state after an epoch, which somebody who sees the run folder has read."""
        self._begins = state

    def start(self, epoch: int) -> Checkpoint:
        """The state to begin from, read once where it is asked for again."""
        if self._begins is None or self._begins.epoch != epoch:
            self._begins = self._state(epoch)
        return self._begins

    def _state(self, epoch: int) -> Checkpoint:
        """The state after an epoch: a checkpoint, or first weights as the run had them."""
        receipt, wanted = self._receipt, self._receipt.entries[epoch]["weights_sha256"]
        if epoch > 0:
            return self._fitting(RunFolder(receipt.folder).load_kept(epoch))
        fresh = self._prepared.start()
        if receipt.content["start"] == "seed":
            return fresh
        if storage.digest(fresh.weights) == wanted:
            raise CheckpointError(
                f"receipt {receipt.path} contradicts itself: its first weights are those of the "
                f"seed; it says {receipt.content['start']!r}",
                path=receipt.path,
            )
        if self._model is not None and storage.digest(self._model.weights) == wanted:
            self._settled.model.load_weights(self._model.weights)
            return self._prepared.start()
        if 0 in RunFolder(receipt.folder).kept_epochs():
            return self._fitting(RunFolder(receipt.folder).load_kept(0))
        raise CheckpointError(
            f"{receipt.folder} began with weights of its own, sha256 {wanted}, and "
            "checkpoints/epoch-00000.safetensors, which holds them, is not there"
            + either(": give a model that holds them", ""),
            path=receipt.folder,
        )

    def _fitting(self, kept: Checkpoint) -> Checkpoint:
        """A checkpoint whose digests `check_files` has compared, in the order of the trace."""
        step = self._prepared.step
        given = {name: array.shape for name, array in tensors_of(kept).items()}
        wanted = {**step.parameters, **step.states}
        for slot in step.slots:
            wanted |= {f"{slot} of {name}": shape for name, shape in step.parameters.items()}
        if given != wanted:
            raise CheckpointError(
                f"the checkpoint of {self._receipt.folder} after epoch {kept.epoch} belongs to "
                "another model",
                path=self._receipt.folder,
                epoch=kept.epoch,
            )
        return replace(
            kept,
            parameters={name: kept.parameters[name] for name in step.parameters},
            states={name: kept.states[name] for name in step.states},
            slots={
                slot: {name: kept.slots[slot][name] for name in step.parameters}
                for slot in step.slots
            },
        )


class _Watch(Callback):
    """Compares each epoch and ends the training at the first that differs, or after the last.

    Args:
        recorder: has what came of it.
        compare: gives the difference in an epoch.
        last: epoch to run.
        kept: epoch whose weights the run left.
        passed: called with the number of each epoch that is as it was; None for nobody.

    Attributes:
        found: the first difference, or None.
        kept: the state after that epoch, or None.
    """

    def __init__(
        self,
        recorder: Recorder,
        compare: Any,
        last: int,
        kept: int,
        passed: Callable[[int], object] | None,
    ) -> None:
        self.found: Difference | None = None
        self.kept: Checkpoint | None = None
        self._kept_epoch = kept
        self._recorder = recorder
        self._compare = compare
        self._last = last
        self._passed = passed

    def on_epoch_end(self, run: Run, row: Row) -> None:
        """Compare the epoch with the receipt's."""
        epoch = int(row["epoch"])
        self.found = self._compare(self._recorder, epoch)
        if epoch == self._kept_epoch:
            self.kept = self._recorder.checkpoint
        if self.found is None and self._passed is not None:
            self._passed(epoch)
        if self.found is not None or epoch >= self._last:
            run.stop("verified")
