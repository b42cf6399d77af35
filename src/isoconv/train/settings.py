"""The settings of a training: each stands here once, with all that is known of it.

From this record come the trainer's arguments and what they are said to be, the checks, what
run.json holds and what of it is read back, the options of the command line and the documents'
tables. The command line reads it before anything heavy is loaded: what a check needs is imported
when it checks.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal

from isoconv.errors import ArgumentError, CheckpointError, turned
from isoconv.train.kinds import (
    AUGMENTATION,
    CALLBACKS,
    EARLY_STOPPING,
    EXECUTOR,
    FLAG,
    FREEZE,
    LOSS,
    NORMALISE,
    OPTIMIZER,
    PROGRESS,
    SCHEDULE,
    START,
    TEXT,
    Kind,
    choice,
    number,
    whole,
)  # fmt: skip
from isoconv.train.recipe import AMOUNTS, MAP_MODEL, MODEL, PLENTY, RULES, USUAL
from isoconv.wording import named

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from isoconv.data import Augmentation
    from isoconv.nn import Module
    from isoconv.nn.schema import Schema
    from isoconv.run.executor import ExecutorFactory
    from isoconv.train.callbacks import Callback
    from isoconv.train.learning_rate import Schedule
    from isoconv.train.losses import Loss, LossName
    from isoconv.train.optim import Optimizer
    from isoconv.train.start import Start


def sentence(phrase: str) -> str:
    """A phrase as a sentence.

    Example:
        >>> sentence("images of a step")
        'Images of a step.'
    """
    return f"{phrase[0].upper()}{phrase[1:]}."


@dataclass(frozen=True, slots=True)
class Option:
    """An option of ``isoconv train``.

    Attributes:
        names: as it is written; the first one is also its parameter's.
        kind: of its value.
        meaning: a phrase; "" for that of the setting.
        default: what it has when it is not given; None where that follows from others.
        usual: what holds then, in words.
        metavar: what stands for its value.
    """

    names: tuple[str, ...]
    kind: Kind
    meaning: str = ""
    default: Any = None
    usual: str = ""
    metavar: str | None = None

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        name = self.names[0].lstrip("-").replace("-", "_")
        return f"{name}_" if iskeyword(name) else name

    @property
    def help(self) -> str:
        """A sentence, and what holds where nothing is said."""
        usual = f"  [default: {self.usual}]" if self.usual else ""
        return sentence(self.meaning) + usual


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of a setting besides its name and its type.

    Attributes:
        kind: what is taken.
        meaning: a phrase.
        more: what a program is told besides.
        default: what it has when it is not given.
        usual: what holds then, in words, where the value does not say it; its rule may say more.
        decides: whether the bits depend on it.
        stored: whether run.json holds it under its name.
        sparse: whether it holds it only where it is not the default, as it is with settings that
            runs do not know which were made before there were these.
        options: of the command line, where they are not one of its own name; none for a program.
        metavar: what stands for its value there.
    """

    kind: Kind
    meaning: str
    more: str = ""
    default: Any = None
    usual: str = ""
    decides: bool = True
    stored: bool = True
    sparse: bool = False
    options: tuple[Option, ...] | None = None
    metavar: str | None = None

    @property
    def told(self) -> str:
        """All that a program is told of it."""
        more = self.more or (f"None for {self.usual}" if self.usual else "")
        return f"{self.meaning}; {more}" if more else self.meaning

    def checked(self, name: str, value: Any) -> Any:
        """A value as it is kept.

        Raises:
            ArgumentError: it is outside its range.
        """
        return None if value is None and self.default is None else self.kind.check(name, value)

    def schema(self, name: str) -> Schema:
        """What run.json may hold: what follows from the images has a value by then."""
        from isoconv.nn.schema import Maybe

        if self.kind.schema is None:
            raise ValueError(f"no file holds {name}")
        found = self.kind.schema()
        always = self.sparse or name in RULES or self.default is not None
        return found if always else Maybe(found)

    def options_of(self, name: str) -> tuple[Option, ...]:
        """Its options on the command line."""
        if self.options is not None:
            return tuple(
                replace(each, meaning=each.meaning or self.meaning) for each in self.options
            )
        word, default = f"--{name.replace('_', '-')}", None if self.usual else self.default
        return (Option((word,), self.kind, self.meaning, default, self.usual, self.metavar),)


# The settings


def _is(kind: Kind, meaning: str, more: str = "", **known: Any) -> Mapping[str, Setting]:
    """What is known of a field of the record below."""
    return {"setting": Setting(kind, meaning, more, **known)}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainSettings:
    """What a training is told besides model, data and epochs; see `isoconv.train.Trainer`.

    What is None where that is no value, and "auto", follows from the training images by the rules
    of `isoconv.train.Recipe`.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> TrainSettings(batch_size=8).batch_size
        8
    """

    start: Module | str | Path | Start | None = field(default=None, metadata=_is(
        START,
        "what to begin from: a run, a saved model or whatever else a model is read from",
        "in the place of `model`. Its weights are taken over, its head is made new unless the "
        "classes are its own, and images enter as it had them",
        stored=False,
        options=(
            Option(("--from",), TEXT,
                   "a trained model to begin from: a run folder, a file or a name; its head is "
                   "made new unless the classes are its own", metavar="MODEL"),
        ),
    ))  # fmt: skip
    freeze: str | int | Sequence[str] | None = field(default=None, metadata=_is(
        FREEZE,
        "layers that stay as they are: all but the head, none, the first so many with weights, or "
        "those of some names",
        '``"all"``, ``"none"``, a number or a list of names',
        sparse=True, metavar="all|none|N|NAME,…",
    ))  # fmt: skip
    backbone_lr: float | None = field(default=None, metadata=_is(
        number(above=0, single=True),
        "learning rate of what learns before the head", "None for that of the optimizer",
        sparse=True,
    ))  # fmt: skip
    optimizer: Optimizer | None = field(default=None, metadata=_is(
        OPTIMIZER,
        "how parameters follow their gradients", "None for AdamW",
        options=(
            Option(("--optimizer",), choice(*USUAL), usual=[*USUAL][-1]),
            Option(("--learning-rate", "--lr"), number(), "before the schedule's factor",
                   usual=f"{USUAL['sgd']['learning_rate']:g} for sgd, otherwise "
                         f"{USUAL['adam']['learning_rate']:g}"),
            Option(("--momentum",), number(), "for sgd", usual=f"{USUAL['sgd']['momentum']:g}"),
            Option(("--nesterov",), FLAG, "for sgd", False),
            Option(("--weight-decay",), number(), "how strongly weights are drawn to 0",
                   usual=f"{USUAL['adamw']['weight_decay']:g} for adamw, otherwise 0"),
        ),
    ))  # fmt: skip
    schedule: Schedule | None = field(default=None, metadata=_is(
        SCHEDULE,
        "of the learning rate", "None for one cycle; `isoconv.schedule.Constant` keeps it",
        options=(
            Option(("--schedule",), choice("constant", "step", "cosine", "one-cycle"),
                   usual="one-cycle"),
            Option(("--step-every",), whole(), "for step: epochs between changes", usual="10"),
            Option(("--step-factor",), number(), "for step: factor of each change", usual="0.1"),
            Option(("--warmup",), number(), "epochs in which the learning rate grows", 0.0),
        ),
    ))  # fmt: skip
    loss: LossName | Loss = field(default="cross_entropy", metadata=_is(
        LOSS,
        "what is made small",
        '``"cross_entropy"``, ``"focal"`` or ``"dice"`` of classes, ``"mse"``, ``"l1"``, '
        '``"smooth_l1"`` or ``"bce"`` of targets',
        options=(
            Option(("--loss",), choice("cross-entropy", "focal", "dice"),
                   "what is made small: cross-entropy; focal for rare or hard classes; dice for "
                   "the overlap of masks", usual="cross-entropy"),
        ),
    ))  # fmt: skip
    label_smoothing: float = field(default=0.0, metadata=_is(
        number(least=0, below=1), "of cross-entropy, from 0 to below 1",
        "what is given here goes before that of a `Loss`", stored=False,
    ))  # fmt: skip
    batch_size: int | None = field(default=None, metadata=_is(
        whole(), "images of a step", "None: by the number of training images",
        usual=f"{AMOUNTS[0][1]} to {PLENTY[0]}, by their number",
    ))  # fmt: skip
    shard_size: int | None = field(default=None, metadata=_is(
        whole(), "images that one thread takes at a time",
        "batch statistics are over a shard. None for a quarter of the batch, at least 8 and at "
        "most 32, or the batch where a layer's statistics are over that",
        usual="a quarter of the batch, 8 to 32",
    ))  # fmt: skip
    augmentation: Augmentation | Literal["auto"] | None = field(default="auto", metadata=_is(
        AUGMENTATION,
        "random changes to training images",
        'None for none, ``"auto"`` for those that suit the images',
        options=(
            Option(("--augment",), TEXT,
                   "random changes: crop=4,flip,shift=2,rotate=10,cutout=8, any of them, in pixels "
                   "and degrees; or none",
                   usual="those that suit the images", metavar="CHANGES"),
        ),
    ))  # fmt: skip
    normalise: bool | Literal["keep", "anew"] = field(default=True, metadata=_is(
        NORMALISE,
        "bring each channel to mean 0 and standard deviation 1 over the training images",
        "a model that was trained with the normalisation of other images needs to be told: "
        '``"keep"`` goes on with that one, ``"anew"`` takes that of these images',
        options=(),
    ))  # fmt: skip
    clip_norm: float | None = field(default=None, metadata=_is(
        number(above=0, single=True),
        "greatest global norm of the gradient", "a greater one is scaled down",
    ))  # fmt: skip
    seed: int = field(default=0, metadata=_is(
        whole(0, 2**64), "of first weights, order of images, augmentation and what layers draw",
        "64 bits",
    ))  # fmt: skip
    threads: int | None = field(default=None, metadata=_is(
        whole(), "number of threads; changes no bit",
        "4 per core are started at most. None for one per core",
        usual="one for each core", decides=False,
    ))  # fmt: skip
    target: str | None = field(default=None, metadata=_is(
        TEXT, "machine to compile for: avx512, avx2, sse, generic or neon; changes no bit",
        usual="this machine", decides=False,
    ))  # fmt: skip
    executor: ExecutorFactory | None = field(default=None, metadata=_is(
        EXECUTOR, "makes what runs the steps, as `isoconv.Cluster` does; changes no bit",
        usual="an engine of this process", decides=False,
        options=(
            Option(("--cluster",), TEXT,
                   "the Ray cluster whose machines run the steps: auto for that which this machine "
                   "is part of", usual="this machine alone", metavar="auto|HOST:PORT"),
            Option(("--audit",), number(least=0),
                   "for --cluster: share of the work that a second machine does, too", 0.0),
        ),
    ))  # fmt: skip
    callbacks: Iterable[Callback] = field(default=(), metadata=_is(
        CALLBACKS, "called at the start, after each epoch and at the end",
        decides=False, options=(),
    ))  # fmt: skip
    progress: bool | Console = field(default=True, metadata=_is(
        PROGRESS, "a bar on a terminal, a line for each epoch elsewhere",
        "False for silence; a `rich.console.Console` says where",
        decides=False, options=(),
    ))  # fmt: skip
    keep_checkpoints: bool = field(default=False, metadata=_is(
        FLAG, "keep the state after each epoch, so that each stretch can be verified by itself",
        decides=False,
    ))  # fmt: skip
    save_every: float = field(default=60, metadata=_is(
        number(least=0), "seconds between checkpoints within an epoch: what a kill costs",
        "on a slow disk longer, so that saving takes a twentieth of the time at most",
        decides=False, metavar="SECONDS",
    ))  # fmt: skip

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.checked(name, getattr(self, name)))
        self._join_loss()
        if self.batch_size is not None and self.shard_size is not None:
            check_shard(self.shard_size, self.batch_size)

    def _join_loss(self) -> None:
        """Keep one loss of the two settings that say what it is."""
        loss: Any = self.loss
        if self.label_smoothing != loss.label_smoothing:
            loss = replace(loss, label_smoothing=self.label_smoothing or loss.label_smoothing)
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "label_smoothing", loss.label_smoothing)

    def values(self) -> dict[str, Any]:
        """Every setting by its name."""
        return {name: getattr(self, name) for name in SETTINGS}

    def plain(self) -> dict[str, Any]:
        """All that decides the bits, as run.json holds it."""
        from isoconv.train.plain_settings import to_plain

        return {
            name: to_plain(value)
            for name in STORED
            if not is_absent(name, value := getattr(self, name))
        }


SETTINGS: Mapping[str, Setting] = {
    each.name: replace(each.metadata["setting"], default=each.default)
    for each in fields(TrainSettings)
}
"""Every setting by its name."""
OPTIONS = tuple(name for name, each in SETTINGS.items() if not each.decides)
"""Settings that decide no bit: whoever goes on with a run, or does it again, chooses them anew."""
BESIDE: Mapping[str, Setting] = {
    "model": Setting(
        TEXT,
        "a ready model (isoconv models)",
        usual=f"{MODEL}, or {MAP_MODEL} for masks",
        stored=False,
    ),
    "epochs": Setting(
        whole(below=2**32),
        "how often to go through the images",
        usual=f"{PLENTY[1]} to {AMOUNTS[0][2]}, by their number",
    ),
    "early_stopping": Setting(
        EARLY_STOPPING,
        "end after so many epochs without improvement and keep the best weights",
        options=(Option(("--early-stopping",), whole(), metavar="EPOCHS"),),
    ),
}
"""What a training is told besides."""
ALL: Mapping[str, Setting] = {**BESIDE, **SETTINGS}
HELD = tuple(sorted(name for name, each in ALL.items() if each.decides and each.stored))
"""What run.json holds: what decides the bits."""
STORED = tuple(name for name in HELD if name in SETTINGS)
"""What it holds of the record."""


def is_absent(name: str, value: Any) -> bool:
    """Whether run.json does not hold a setting, for it is what a run has that does not know it."""
    return ALL[name].sparse and value == ALL[name].default


def told_settings(indent: str) -> str:
    """Every setting with its meaning, as a docstring tells arguments."""
    return "\n".join(
        textwrap.fill(f"{name}: {each.told}.", 100, initial_indent=indent,
                      subsequent_indent=f"{indent}    ")
        for name, each in SETTINGS.items()
    )  # fmt: skip


def read_settings(plain: Any, title: str) -> dict[str, Any]:
    """The settings that `TrainSettings.plain` gave, by name.

    Args:
        plain: those, perhaps from a stranger, and what else run.json holds beside them.
        title: where they stood, for messages.

    Raises:
        CheckpointError: they cannot be read.

    Example:
        >>> read_settings(TrainSettings(seed=3).plain(), "run.json")["seed"]
        3
    """
    from isoconv.train.plain_settings import from_plain

    try:
        found = {
            name: from_plain(value)
            for name, value in dict(plain).items()
            if name not in ("epochs", "early_stopping", "stretches")
        }
        wrong = {
            name
            for name in set(found).symmetric_difference(STORED)
            if name in found or not ALL[name].sparse
        }
        if wrong:
            raise ArgumentError(f"missing or unknown {', '.join(sorted(wrong))}")
        TrainSettings(**found)
    except (TypeError, ValueError, AttributeError) as error:
        what = f"the settings of {title} cannot be read"
        raise turned(error, CheckpointError, what) from error
    return found


def check_shard(shard_size: int, batch_size: int, *, whole: bool = False) -> None:
    """See that a shard is no larger than a batch, and no smaller where it has to be `whole`.

    Raises:
        ArgumentError: it is.
    """
    if whole and shard_size < batch_size:
        raise ArgumentError(
            f"{named('shard_size')} must be {batch_size}, the batch, over which a layer takes its "
            f"statistics; got {shard_size}",
            argument="shard_size",
            value=shard_size,
        )
    if shard_size > batch_size:
        got = f"{shard_size} > {batch_size}"
        # The command line reads the settings before it needs arrays.
        from isoconv.checks import refusal

        raise refusal("shard_size", f"be at most {named('batch_size')}", shard_size, got=got)
