"""What can go wrong, as a tree.

IsoconvError
├── ShapeError          shapes, kernel sizes, strides, channels or groups that do not fit
├── DTypeError          an array of a kind that the operation does not take
├── ArgumentError       a setting outside its allowed values
│   └── NotEnoughMemoryError   what is asked for needs more memory than there is
├── GraphError          a graph that breaks a rule between two stages (a fault of isoconv itself)
├── CompileError        a kernel could not be built or loaded
├── DataError           images or labels that cannot be used
│   └── DataFileError   a file that is truncated, corrupt or of another format
├── DownloadError       a data set could not be fetched
├── TrainingError       a run that cannot go on
│   └── NotFiniteError  the loss became infinite or not a number
├── CheckpointError     a saved run or weights that cannot be read or do not fit the model
└── MissingExtraError   an optional dependency is not installed

DataWarning             images or labels that can be used, and perhaps should not

Each message states the rule, the argument, the value received and, where there is one, the layer.
What a message quotes is made printable (`isoconv.printable`). The same stands in the fields of an
error (`Known`), for whoever reads it by program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar, Unpack

from isoconv.printable import cut, printable_lines

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "CompileError",
    "DTypeError",
    "DataError",
    "DataFileError",
    "DataWarning",
    "DownloadError",
    "GraphError",
    "IsoconvError",
    "Known",
    "MissingExtraError",
    "NotEnoughMemoryError",
    "NotFiniteError",
    "ShapeError",
    "TrainingError",
    "about",
    "as_given",
    "in_file",
    "turned",
]
__public__ = {"isoconv": ["errors"]}

Kind = TypeVar("Kind", bound="IsoconvError")

_LONGEST = 50_000
"""Characters of the longest message; what it quotes may have any length."""


class Known(TypedDict, total=False):
    """What an error may know beside its text: each of these is an attribute of every error.

    Attributes:
        layer: name of the layer, as `Module.named_modules` has it; "" for the model itself.
        operation: name of the operation of the graph.
        inputs: what the operation received: shape and dtype by the names of its inputs.
        argument: name of the argument, ``kernel_size``; of an entry of it with its place,
            ``paths[3]``.
        value: what was given for it; what became infinite or not a number.
        path: of the file or folder.
        line: of the file, from 1.
        row: number of the image among the images, or of the label among the labels, from 0.
        epoch: of the training, from 1.
        step: of the epoch, from 1.
        learning_rate: of the step.
    """

    layer: str
    operation: str
    inputs: Mapping[str, Any]
    argument: str
    value: Any
    path: Path | str
    line: int
    row: int
    epoch: int
    step: int
    learning_rate: float


class IsoconvError(Exception):
    """The root of every error that isoconv raises on purpose.

    Its message may name files and quote texts of strangers: what could move a terminal's cursor or
    hide something in it is escaped, whoever raises the error, and its end cut off. Line
    ends stay.

    Args:
        *args: the message.
        **known: what is known beside it (`Known`).

    Attributes:
        layer, operation, inputs, argument, value, path, line, row, epoch, step, learning_rate: as
            `Known` says; None for what is not known. `fields` tells that from a None that was
            given.

    Errors can be copied and pickled. Of a field that cannot be, a pickle has the ``repr``.

    Example:
        >>> import isoconv as ic
        >>> try:
        ...     ic.nn.Conv2d(0, 3).build((8, 8, 1))
        ... except ic.errors.ArgumentError as error:
        ...     print(error.argument, error.value)
        filters 0
    """

    layer: str | None = None
    operation: str | None = None
    inputs: Mapping[str, Any] | None = None
    argument: str | None = None
    value: Any = None
    path: Any = None
    line: int | None = None
    row: int | None = None
    epoch: int | None = None
    step: int | None = None
    learning_rate: float | None = None

    def __init__(self, *args: object, **known: Unpack[Known]) -> None:
        unknown = known.keys() - Known.__annotations__.keys()
        if unknown:
            raise TypeError(f"an error has no field {', '.join(sorted(unknown))}; see Known")
        super().__init__(*map(_printable, args))
        vars(self).update(known)

    @property
    def fields(self) -> Known:
        """What is known, by name, in the order of `Known`."""
        own = vars(self)
        return {name: own[name] for name in Known.__annotations__ if name in own}  # type: ignore[return-value]

    @property
    def reason(self) -> str:
        """The message without what `within` put around it."""
        return str(vars(self).get("_reason", self))

    def within(
        self,
        where: str = "",
        behind: str = "",
        given: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        **known: Unpack[Known],
    ) -> Self:
        """The same error with the place in front of its message, and with what is known there.

        Args:
            where: it arose; "" for nothing in front of the message.
            behind: what the place has to add, behind the message.
            given: arguments as a person gave them, by name: the value of the one that the error is
                about is the one that stands here.
            names: what an argument is called by the person, where that is another name.
            **known: fields. Those that the error has stay: it was nearer to the fault.

        Example:
            >>> error = ArgumentError("rate must be below 1; got 2", argument="rate", value=2)
            >>> error.within("layer 'drop'", layer="drop", argument="x")
            ArgumentError("layer 'drop': rate must be below 1; got 2")
            >>> error.fields, error.reason
            ({'layer': 'drop', 'argument': 'rate', 'value': 2}, 'rate must be below 1; got 2')
        """
        if where or behind:
            vars(self).setdefault("_reason", str(self))
            front = f"{where}: " if where else ""
            self.args = (_printable(f"{front}{self}{behind}"), *self.args[1:])
        vars(self).update({**known, **self.fields})
        if self.argument is not None:
            self.argument = (names or {}).get(self.argument, self.argument)
            if given is not None and self.argument in given:
                self.value = given[self.argument]
        return self

    def __str__(self) -> str:
        # ImportError keeps a text of its own, which `within` could not change.
        return Exception.__str__(self)

    def __copy__(self) -> Self:
        copied = type(self)(*self.args)
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, _: object) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {name: _pickled(each) for name, each in vars(self).items()}


class ShapeError(IsoconvError, ValueError):
    """Shapes, kernel sizes, strides, channels or groups do not fit together."""


class DTypeError(IsoconvError, TypeError):
    """An array has a dtype that the operation does not take."""


class ArgumentError(IsoconvError, ValueError):
    """A setting lies outside its allowed values."""


class NotEnoughMemoryError(ArgumentError, MemoryError):
    """What is asked for needs more memory than there is; the message says what needs less."""


class GraphError(IsoconvError):
    """A graph breaks a rule of the pipeline; a fault of isoconv itself."""


class CompileError(IsoconvError):
    """A kernel could not be built or loaded."""


class DataError(IsoconvError, ValueError):
    """Images or labels cannot be used as they are."""


class DataFileError(DataError):
    """A data file is truncated, corrupt or of another format than its name says.

    Attributes:
        files: of a folder of pictures each file that cannot be read, with its reason
            (`isoconv.data.Skipped`), however many the message names.
        whole: the message with all of them; "" where it names them all itself.
    """

    files: tuple[Any, ...] = ()
    whole: str = ""


class DownloadError(IsoconvError):
    """A data set could not be fetched."""


class TrainingError(IsoconvError):
    """A training run cannot go on."""


class NotFiniteError(TrainingError):
    """The loss became infinite or not a number.

    Attributes:
        run: the training so far (`isoconv.train.Run`): its history, and its model with the weights
            at the end of the last whole epoch, or of the checkpoint that it went on from; None
            where there is no training.
    """

    run: Any = None


class CheckpointError(IsoconvError):
    """A saved run or saved weights cannot be read or do not fit the model."""


class MissingExtraError(IsoconvError, ImportError):
    """An optional dependency is not installed; the message names the extra to install.

    Attributes:
        files: as of `DataFileError`: those that it would read.
    """

    files: tuple[Any, ...] = ()


def turned(error: Exception, kind: type[Kind], where: str, **known: Unpack[Known]) -> Kind:
    """An error of another kind that says of a place what went wrong there.

    Args:
        error: what went wrong; the fields of one of isoconv's own are those of the new one.
        kind: of the new error.
        where: it went wrong; stands in front of what the error says.
        **known: fields beside those that the error has.

    Example:
        >>> turned(ValueError("no JSON"), CheckpointError, "run.json cannot be read", line=3)
        CheckpointError('run.json cannot be read: no JSON')
    """
    fields = error.fields if isinstance(error, IsoconvError) else Known()
    return kind(str(error), **fields).within(where, **known)


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Errors that are raised within the block know the file or folder that they are about."""
    try:
        yield
    except IsoconvError as error:
        error.within(path=path)
        raise


@contextmanager
def about(argument: str, value: object) -> Iterator[None]:
    """Errors that are raised within the block are about this argument of a person's.

    Example:
        >>> try:
        ...     with about("train", None):
        ...         raise DataError("training data must be a Dataset; got None", argument="data")
        ... except DataError as error:
        ...     print(error.argument)
        train
    """
    try:
        yield
    except IsoconvError as error:
        error.argument, error.value = argument, value
        raise


@contextmanager
def as_given(names: Mapping[str, str] | None = None, /, **arguments: object) -> Iterator[None]:
    """Errors that are raised within the block have the arguments that a person gave.

    Args:
        names: what an argument of what the block calls is called by the person.
        **arguments: the values by the person's names, before they were made ready.
    """
    try:
        yield
    except IsoconvError as error:
        error.within(given=arguments, names=names)
        raise


class DataWarning(UserWarning):
    """Images or labels can be used, but the results may not mean what they seem to."""

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_printable, args))


def _printable(given: object) -> object:
    return cut(printable_lines(given), _LONGEST) if isinstance(given, str) else given


def _pickled(value: object) -> object:
    """A value that a pickle can hold: itself, or its ``repr``."""
    # Most processes never need it, and all import this file.
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a value of a person's raises
        return repr(value)
    return value
