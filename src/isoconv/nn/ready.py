"""Predictors that a model keeps from one prediction to the next, and the weights they work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoconv.graph.ir import DType
from isoconv.graph.operation import Array
from isoconv.nn.snapshot import Snapshot, last_change, whole
from isoconv.run.immutable import is_immutable
from isoconv.run.inference import Predictor

if TYPE_CHECKING:
    from isoconv.nn.module import Module
    from isoconv.nn.tensor import Tensor

MOST_PREDICTORS = 8
"""Kept for one model. Each is for one combination of settings, with memory and threads."""

Key = tuple[DType, str, bool, tuple[Any, ...], tuple[int, ...]]
"""Dtype, finish, whether it was asked for, other settings, and shape of an image."""


def constants_of(normalisation: tuple[Array, Array] | None) -> dict[str, Array]:
    """The constants with which images are normalised, by the names that graphs give them."""
    return {} if normalisation is None else dict(zip(_CONSTANTS, normalisation, strict=True))


def normalised(images: Tensor, wanted: bool) -> Tensor:
    """Images as float32, multiplied by a scale and moved by an offset for each channel."""
    trace = images.trace
    images = trace.convert(images, "float32")
    if not wanted:
        return images
    scale, offset = (trace.input("scalar", name, images.shape[-1:]) for name in _CONSTANTS)
    return trace.add("add", trace.add("mul", images, scale), offset)


_CONSTANTS = "normalise:scale", "normalise:offset"


@dataclass(frozen=True, slots=True)
class WholeWeights:
    """The weights of a prediction, and an object that stands for them if they cannot change."""

    arrays: dict[str, Array]
    version: object | None


class ReadyPredictor:
    """A predictor for a model as it was."""

    def __init__(self, predictor: Predictor, snapshot: Snapshot) -> None:
        self.predictor = predictor
        self.snapshot = snapshot
        self.used = 0
        self._last: tuple[object, WholeWeights] | None = None

    def weights(self, model: Module) -> WholeWeights | None:
        """The model's weights now; the same object as long as no module says otherwise.

        They are whole: of one moment between two loadings. None: the predictor is for another
        model than this one has become.
        """
        last = self._last
        if last is not None and last[0] is last_change():
            return last[1]
        with whole:
            # Asked for before the weights are: who replaces one meanwhile is noticed the next time.
            noted = last_change()
            if not self.snapshot.fits(model):
                return None
            arrays = {**self.snapshot.weights(), **constants_of(model.normalisation)}
        version = object() if all(map(is_immutable, arrays.values())) else None
        weights = WholeWeights(arrays, version)
        # What can change is looked at each time.
        self._last = (noted, weights) if version is not None else None
        return weights


class KeptPredictors(dict[Key, ReadyPredictor]):
    """Predictors by what they were made for. They belong to one model: a copy has none.

    There are `MOST_PREDICTORS` of them at most; the one that was not used for longest goes first.
    It ends with the last prediction that works with it: its threads with it, and its memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self._uses = 0

    def note(self, ready: ReadyPredictor) -> None:
        """This one is used now."""
        # Of two threads that count at once, one may be lost: it is the order that matters, roughly.
        ready.used = self._uses = self._uses + 1

    def keep(self, key: Key, ready: ReadyPredictor) -> None:
        """Have one more, or another one of this kind."""
        self.note(ready)
        self[key] = ready
        while len(self) > MOST_PREDICTORS:
            # A copy, made at once: other threads may come and go.
            least = min(self.copy().items(), key=lambda item: item[1].used)[0]
            self.pop(least, None)

    def __deepcopy__(self, memo: object) -> KeptPredictors:
        return KeptPredictors()

    def __reduce__(self) -> tuple[type[KeptPredictors], tuple[()]]:
        return KeptPredictors, ()
