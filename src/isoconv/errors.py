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
What a message quotes is made printable (`isoconv.printable`).
"""

from __future__ import annotations

from typing import Any

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
    "MissingExtraError",
    "NotEnoughMemoryError",
    "NotFiniteError",
    "ShapeError",
    "TrainingError",
]
__public__ = {"isoconv": ["errors"]}

_LONGEST = 50_000
"""Characters of the longest message; what it quotes may have any length."""


class IsoconvError(Exception):
    """The root of every error that isoconv raises on purpose.

    Its message may name files and quote texts of strangers: what could move a terminal's cursor or
    hide something in it is escaped, whoever raises the error, and its end cut off. Line
    ends stay.
    """

    def __init__(self, *args: object, **more: Any) -> None:
        super().__init__(*map(_printable, args), **more)


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


class DataWarning(UserWarning):
    """Images or labels can be used, but the results may not mean what they seem to."""

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_printable, args))


def _printable(given: object) -> object:
    return cut(printable_lines(given), _LONGEST) if isinstance(given, str) else given
