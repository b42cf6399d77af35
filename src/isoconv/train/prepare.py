"""Model, data and settings put together and checked, before the first kernel is compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.checks import refusal
from isoconv.data import Dataset, normalisation
from isoconv.data.passes import extremes
from isoconv.errors import ArgumentError, CheckpointError, DataError, ShapeError
from isoconv.graph.ir import DType, Graph
from isoconv.nn import storage
from isoconv.nn.architecture import architecture_of
from isoconv.nn.initial import build_traced, check_memory, drawn_weights
from isoconv.nn.record import Facts, TrainedOn
from isoconv.nn.snapshot import changed_together
from isoconv.nn.trace import Trace
from isoconv.run.step import StepGraph
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.freezing import Learning
from isoconv.train.given import Given
from isoconv.train.graphs import Normalisation, Preparation, build_evaluation, measure, step_of
from isoconv.train.layout import FORMAT, FROM, NO_METRICS, SKIPPED, head_of
from isoconv.train.losses import LOSSES, Loss, known_loss, note_loss, targets_for
from isoconv.train.metrics import Evaluator, check_images
from isoconv.train.once import Once
from isoconv.train.plain_settings import to_plain, versions
from isoconv.train.reads import reads_of
from isoconv.train.settled import Settled
from isoconv.train.state import Checkpoint
from isoconv.train.stretches import Stretches
from isoconv.train.structure import layers, step_digest

FirstWeights = Literal["seed", "given"]
"""Where the first weights come from: drawn from the seed, or the model had them."""


class Prepared:
    """Model, data and settings put together and checked.

    Args:
        settled: the settings and the model.
        given: the data.
        record: the model's record in the run that is gone on with or done again; None for a new
            run. What a new run finds in the model, ``normalise="keep"`` then takes from there.

    Raises:
        ArgumentError: settings that do not fit model or data.
        DataError: data that do not fit the model.
        ShapeError: images, model or loss do not fit together; names the layer.
    """

    def __init__(
        self, settled: Settled, given: Given, record: Mapping[str, Any] | None = None
    ) -> None:
        self.settled = settled
        self.given = given
        self._record = record
        self._before: tuple[Any, str, tuple[str, ...], TrainedOn | None, Loss | None] | None = None
        self.of_data = given.notes
        self.notes = [*self.of_data, *given.warnings]
        self.train = given.train
        self.validation = given.parts.get("validation")
        self.test = given.parts.get("test")
        dtype: DType = "uint8" if self.train.images.dtype == np.uint8 else "float32"
        self._check_shape()
        self._check_augmentation()
        self.preparation = Preparation(
            self.train.image_shape, dtype, self._normalisation(dtype), settled.augmentation
        )
        measured = measure(settled.model, self.preparation, settled.loss, training=True)
        self.first_weights = self._build_model(measured.trace)
        self._check_normalisation(dtype)
        learning = Learning.of(settled.model, measured.trace, settled.freeze, settled.backbone_lr)
        if learning.frozen:
            self._check_learned()
            measured = measure(
                settled.model,
                self.preparation,
                settled.loss,
                training=True,
                frozen=learning.frozen,
            )
        self.step: StepGraph = step_of(
            measured, settled.optimizer, settled.clip_norm, learning.groups
        )
        self.fixed = learning.fixed(measured.trace)
        self.frozen = learning.words(measured.trace)
        self.output = measured.output.shape
        self.labels = targets_for(self.train, settled.loss, self.output)
        for part in (self.validation, self.test):
            if part is not None:
                check_images(part, self.preparation)
                targets_for(part, settled.loss, self.output)
        self._check_names()
        self.facts = self._facts(dtype)

    def _check_shape(self) -> None:
        model, shape = self.settled.model, self.train.image_shape
        if model.input_shape not in (None, shape):
            raise ShapeError(
                f"the model was built for images of shape {model.input_shape}; "
                f"{self.train.name} has {shape}"
            )

    def _check_augmentation(self) -> None:
        changes = self.settled.augmentation
        if not self.train.has_maps or changes is None:
            return
        if not self.train.of_places and changes.moves:
            rule = (
                "leave images where they are, for their float targets are of places and do not "
                "move with them"
            )
            raise refusal("augmentation", rule, changes)
        if changes.interpolate:
            rule = (
                "turn no images, for their labels are of places: a turned pixel is mixed of four, "
                "and class numbers cannot be mixed"
            )
            raise refusal("augmentation", rule, changes)

    def _build_model(self, trace: Trace) -> FirstWeights:
        """See that the model has weights; returns where they come from."""
        model, seed = self.settled.model, self.settled.seed
        if self.settled.taken is not None:
            return "given"
        if model.input_shape is None:
            # The model's parameters, those that are trained, a gradient, the optimizer's vectors.
            check_memory(trace, 3 + len(self.settled.optimizer.slots))
            # Layers that were trained in another model go on from their weights.
            held = set(model.weights)
            whole = set(trace.shapes) <= held
            build_traced(model, trace, self.train.image_shape, None if whole else seed)
            if not held:
                return "seed"
        return "seed" if storage.digest(drawn_weights(trace, seed)) == model.digest() else "given"

    def _normalisation(self, dtype: DType) -> Normalisation | None:
        """The constants with which images are to be normalised."""
        asked = self.settled.normalise
        if asked == "keep":
            return self._kept_normalisation(dtype)
        return Normalisation(*normalisation(self.train)) if asked else None

    def _check_normalisation(self, dtype: DType) -> None:
        """See that a person knows of it where a trained model gets another normalisation.

        Raises:
            ArgumentError: the model has that of other images, and nobody said which to take.
        """
        asked, model, found = self.settled.normalise, self.settled.model, self.preparation
        own, trained = model.normalisation, model.trained_on
        if own is None or found.normalisation is None or self._record is not None:
            return
        if asked == "keep" or self.first_weights == "seed":
            return
        constants = found.constants.values()
        same = (trained is None or trained.dtype == dtype) and all(
            np.array_equal(one, other) for one, other in zip(own, constants, strict=True)
        )
        if asked is True and not same:
            raise ArgumentError(
                "the model was trained with the normalisation of other images: "
                "normalise='keep' goes on with it, normalise='anew' takes that of these images",
                argument="normalise",
                value=True,
            )
        if not same:
            self.notes.append("the model's normalisation is replaced by that of these images")

    def _kept_normalisation(self, dtype: DType) -> Normalisation | None:
        """Those of the model, or of the run that is gone on with."""
        if self._record is not None:
            own = normalisation_in(self._record)
            return None if own is None else Normalisation(*own)
        model = self.settled.model
        own, trained = model.normalisation, model.trained_on
        if trained is None and own is None:
            raise ArgumentError(
                "normalise='keep' needs a model that was trained; this one was not: take "
                "normalise=True",
                argument="normalise",
                value="keep",
            )
        if trained is not None and trained.dtype != dtype:
            raise ArgumentError(
                f"normalise='keep' needs images of dtype {trained.dtype}, as those that the "
                f"model was trained on; got {dtype}",
                argument="normalise",
                value="keep",
            )
        return None if own is None else Normalisation(*own)

    @cached_property
    def _evaluation(self) -> Graph:
        return build_evaluation(self.settled.model, self.preparation, self.settled.loss)

    def once(
        self,
        part: Dataset,
        weights: Mapping[str, Any],
        compiling: Callable[[int, int], None],
        progress: Callable[[int, int], None],
        *,
        training: bool,
    ) -> Once | None:
        """What frozen layers give for a part that is learned from or measured in each epoch.

        Args:
            part: its images.
            weights: of the model.
            compiling: as for `Once.of`.
            progress: likewise.
            training: it is learned from; otherwise it is measured.

        Raises:
            NotEnoughMemoryError: there is no memory to keep it.
        """
        return Once.of(
            self.step.shard if training else self._evaluation,
            {*self.fixed, *self.preparation.constants} if self.fixed else (),
            {**weights, **self.preparation.constants},
            part.images,
            threads=self.settled.threads,
            target=self.settled.target,
            compiling=compiling,
            progress=progress,
        )

    def evaluator(
        self, progress: Callable[[int, int], None] | None = None, once: Once | None = None
    ) -> Evaluator:
        """What measures the model, whichever part it is to measure.

        Args:
            progress: as for `Evaluator`.
            once: what is known of a part, the only one that is measured then.
        """
        settled = self.settled
        return Evaluator(
            settled.model,
            self.preparation,
            settled.loss,
            threads=settled.threads,
            target=settled.target,
            progress=progress,
            graph=self._evaluation if once is None else once.graph,
            rows=None if once is None else once.rows,
        )

    def _check_learned(self) -> None:
        """See that a person knows of it where layers are frozen that may have learned nothing.

        Raises:
            ArgumentError: their weights are those that the seed gives.
        """
        settled = self.settled
        if self._record is not None or settled.model.trained_on is not None:
            return
        if self.first_weights == "seed":
            rule = "be left out: the model's weights are those of the seed and have learned nothing"
            raise refusal("freeze", rule, settled.freeze)
        self.notes.append(
            "layers are frozen, and the model knows of no training: unless its weights were loaded "
            "from elsewhere, the frozen layers have learned nothing"
        )

    def _check_names(self) -> None:
        """See that every class that has a name has an output, and tell of outputs without one.

        Raises:
            DataError: there are more classes than outputs.
        """
        names = self.train.class_names
        if not LOSSES[self.settled.loss.name].by_class or self.given.numbered or not names:
            return
        outputs = self.output[-1]
        if len(names) > outputs:
            raise DataError(
                f"{self.train.name}: each class needs an output of the model; got {len(names)} "
                f"classes, the model has {outputs} outputs"
            )
        if len(names) < outputs:
            self.notes.append(
                f"the model has {outputs} outputs, {self.train.name} has {len(names)} classes: "
                "nothing is learned for the others"
            )

    def _facts(self, dtype: DType) -> Facts:
        """What the trained model will be beside its weights."""
        constants = self.preparation.normalisation
        return Facts(
            architecture=architecture_of(self.settled.model),
            input_shape=self.train.image_shape,
            trained_on=TrainedOn(
                "uint8" if dtype == "uint8" else "float32",
                *extremes(self.train.images),
                self.train.reading,
            ),
            normalisation=None if constants is None else (constants.scale, constants.offset),
            class_names=self.train.class_names,
            finish=LOSSES[self.settled.loss.name].contains or "none",
        )

    def describe(
        self, stretches: Stretches, stopping: EarlyStopping | None, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of run.json at the start: the receipt's head, and what no bit depends on."""
        return {
            **self._head(stretches, stopping, facts),
            "facts": to_plain(facts),
            "keep_checkpoints": self.settled.keep_checkpoints,
            "versions": versions(),
            **({"reads": reads} if (reads := self.reads()) else {}),
        }

    def _head(
        self, stretches: Stretches, stopping: EarlyStopping | None, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The receipt without its epochs: nothing in it depends on the machine."""
        model, name = self.settled.model, facts.get("model")
        return {
            "format": FORMAT,
            "isoconv": versions()["isoconv"],
            "arithmetic": ARITHMETIC_VERSION,
            "model": {
                "name": name if isinstance(name, str) else None,
                "layers": layers(model),
                "output_shape": list(self.output),
                "parameters": {name: list(shape) for name, shape in self.step.parameters.items()},
                "states": {name: list(shape) for name, shape in self.step.states.items()},
                "graph_sha256": step_digest(self.step),
            },
            "record": self.facts.plain(),
            "settings": {
                **self.settled.plain(),
                **stretches.plain(),
                "early_stopping": to_plain(stopping),
            },
            "data": dict(self.given.digests),
            "samples_sha256": hashlib.sha256(self.given.listing).hexdigest(),
            "split": to_plain(self.given.how),
            "start": self.first_weights,
            **({SKIPPED: self.given.skipped_paths} if self.given.skipped_paths else {}),
            **({} if self.settled.taken is None else {FROM: self.settled.taken.plain()}),
        }

    @staticmethod
    def receipt_head(described: Mapping[str, Any]) -> dict[str, Any]:
        """What the receipt takes over from `describe`."""
        return head_of(described)

    def reads(self, known: Collection[str] = ()) -> dict[str, int]:
        """Bytes that an epoch reads of files, by part; see `reads_of`."""
        return reads_of(self.given.parts, known)

    def check_history(self, checkpoint: Checkpoint) -> None:
        """See that a checkpoint measured what this training measures.

        Raises:
            CheckpointError: it did not.
        """
        metrics = self.step.metrics
        columns = {*metrics, *NO_METRICS, "learning_rate"}
        if self.validation is not None:
            columns |= {f"val_{name}" for name in self._measured}
        for row in checkpoint.history:
            if set(row) != columns:
                raise CheckpointError(
                    f"the checkpoint's history must have the columns {', '.join(sorted(columns))}; "
                    f"row {row['epoch']} has {', '.join(sorted(row))}"
                )
        within = set(metrics) if checkpoint.step else set()
        if set(checkpoint.sums) != within:
            raise CheckpointError(
                f"the checkpoint must have sums of {', '.join(sorted(within)) or 'nothing'}; it "
                f"has them of {', '.join(sorted(checkpoint.sums)) or 'nothing'}"
            )

    @property
    def data_names(self) -> dict[str, str]:
        """What the data are called here; a path, perhaps."""
        return {part: data.name for part, data in self.given.parts.items()}

    def start(self) -> Checkpoint:
        """Before the first step."""
        step = self.step
        weights = self.settled.model.weights
        zeros = {name: np.zeros(shape, np.float32) for name, shape in step.parameters.items()}
        return Checkpoint(
            epoch=0,
            step=0,
            parameters={name: weights[name].astype(np.float32) for name in step.parameters},
            states={name: weights[name].astype(np.float32) for name in step.states},
            slots={slot: dict(zeros) for slot in step.slots},
        )

    @property
    def _measured(self) -> tuple[str, ...]:
        """What is measured on images that are not learned from."""
        metrics = self.step.metrics
        return (*metrics, "iou") if len(self.output) > 1 and "top1" in metrics else metrics

    def check_stopping(self, stopping: EarlyStopping | None) -> None:
        """See that early stopping looks at a metric that the history will have.

        Raises:
            ArgumentError: it does not.
        """
        if stopping is None:
            return
        if not isinstance(stopping, EarlyStopping):
            raise refusal("early_stopping", "be an EarlyStopping", stopping)
        validated, metrics = self.validation is not None, self.step.metrics
        known = [*metrics, *(f"val_{name}" for name in self._measured if validated)]
        if stopping.metric not in known:
            raise ArgumentError(
                f"early_stopping needs a metric of the history, {', '.join(known)}; "
                f"got {stopping.metric!r}" + ("" if validated else " without validation data"),
                argument="early_stopping",
                value=stopping,
            )

    def mark_model(self) -> None:
        """Leave with the model how its images are prepared and what its results mean."""
        model = self.settled.model
        self._before = (
            model.normalisation,
            model.finish,
            model.class_names,
            model.trained_on,
            known_loss(model),
        )
        model.take_facts(self.facts)
        note_loss(model, self.settled.loss)

    def unmark_model(self) -> None:
        """Leave the model as it was before `mark_model`, for nothing was learned."""
        model = self.settled.model
        if self._before is not None:
            with changed_together():
                before = self._before
                model.normalisation, model.finish, model.class_names, model.trained_on = before[:4]
                note_loss(model, before[4])


def normalisation_in(record: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The constants of a run's record."""
    found = record["normalisation"]
    if found is None:
        return None
    scale, offset = (
        np.array([float.fromhex(value) for value in found[name]], np.float32)
        for name in ("scale", "offset")
    )
    return scale, offset
