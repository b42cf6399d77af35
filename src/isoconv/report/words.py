"""What a run was and what came of it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from isoconv.report.markup import Html, element, joined, name
from isoconv.report.subject import Subject
from isoconv.train.losses import LOSSES

NAME = 40
"""Columns of a class name within a sentence."""

_STEERED = {"validation": ", by which the best epoch is chosen: a test part would tell more"}
"""What is to be said of a part that the training looked at."""


def many(count: int, one: str, several: str = "") -> str:
    """A count with its noun.

    Example:
        >>> many(1, "image"), many(1200, "image"), many(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def percent(share: float) -> str:
    """A share with one decimal.

    Example:
        >>> percent(0.8875)
        '88.8%'
    """
    return f"{share:.1%}"


def loss_of(value: float) -> str:
    """A loss with four decimals, or of a small one the first three digits.

    Example:
        >>> loss_of(0.5), loss_of(0.00012345)
        ('0.5000', '0.000123')
    """
    return f"{value:.4f}" if value >= 0.01 or not value else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(4.5), duration(125), duration(7322)
        ('4.5 s', '2 min 5 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def date_of(text: object) -> str:
    """A date as it was kept, for a person; "" for what is none.

    Example:
        >>> date_of("2026-03-01T09:05:00+00:00")
        '1 March 2026, 09:05 UTC'
    """
    if not isinstance(text, str):
        return ""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


# Not those of the machine's language.
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def measured_on(subject: Subject) -> str:
    """Which images the figures are of."""
    count = many(len(subject.dataset), "image")
    if subject.learned_from:
        return f"Measured on the training part: {count} that were learned from."
    steered = _STEERED.get(subject.part, "")
    return f"Measured on the {subject.part} part: {count} held out of training{steered}."


def summary(subject: Subject) -> Html:
    """One sentence: what was trained, on what, how well, and beside which baseline."""
    learned = many(int(subject.description["data"]["train"]["samples"]), "image")
    after = f"After {many(len(subject.history), 'epoch')} on {learned} of "
    data = name(subject.dataset.name, NAME)
    which = [" “", name(subject.model_name, NAME), "”"] if subject.model_name else []
    others = f"{many(len(subject.dataset), 'other image')} that it had not learned from"
    if subject.learned_from:
        others = f"{many(len(subject.dataset), 'image')} that it has learned from"
    scores = subject.scores
    if subject.place_scores is not None:
        places = subject.place_scores
        return joined(
            [
                after, data, ", the network", *which, " finds the classes of pixels with a mean ",
                "IoU of ", element("strong", percent(places.iou)), f" on {others}; ",
                f"{percent(places.accuracy)} of the pixels are right.",
            ]
        )  # fmt: skip
    if scores is None:
        loss = LOSSES[subject.settings["loss"]["name"]].title
        figure = element("strong", loss_of(subject.evaluation.loss))
        guess = subject.guessing
        beside = (
            "" if guess is None else f"; always giving the mean target would have {loss_of(guess)}"
        )
        return joined(
            [
                after, data, ", the network", *which, f" has a {loss} of ", figure,
                f" on {others}{beside}.",
            ]
        )  # fmt: skip
    low, high = scores.accuracy_interval
    baseline = name(subject.names[scores.baseline.number], NAME)
    return joined(
        [
            after, data, ", the network", *which, " recognises ",
            element("strong", percent(scores.accuracy)), f" of {others} (95% interval: ",
            f"{percent(low)} to {percent(high)}); always saying “", baseline,
            f"” would be right for {percent(scores.baseline.accuracy)}.",
        ]
    )  # fmt: skip


def part_title(part: str) -> str:
    """What a part of the data is called in the page."""
    return {"train": "training"}.get(part, part)


# Settings


def settings_in_words(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each setting of a run is and says; none is left out.

    Example:
        >>> settings_in_words({"epochs": 5, "seed": 0, "another": [1, 2]})
        [('epochs', '5'), ('seed', '0'), ('another', '[1, 2]')]
    """
    rows = [
        (title, tell(settings[key], settings))
        for key, (title, tell) in _SETTINGS.items()
        if key in settings
    ]
    others = [key for key in settings if key not in _SETTINGS and key != "shard_size"]
    return rows + [(key.replace("_", " "), _plain(settings[key])) for key in others]


def _plain(value: Any) -> str:
    """A plain value as a person would write it down."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        kind = str(value.get("type", ""))
        inner = ", ".join(_fields(value))
        return f"{kind}: {inner}" if kind and inner else kind or inner
    return str(value)


def _fields(value: Mapping[str, Any], *apart: str) -> list[str]:
    """Fields of a record that say something, but for those that are told apart."""
    return [
        f"{key.replace('_', ' ')} {_plain(item)}"
        for key, item in value.items()
        if key not in ("type", *apart) and item is not None and item is not False
    ]


def _optimizer(value: Any, _: Mapping[str, Any]) -> str:
    rate = f", learning rate {value['learning_rate']:g}" if "learning_rate" in value else ""
    rest = _fields(value, "learning_rate", "nesterov")
    rest += ["Nesterov's"] if value.get("nesterov") else []
    more = f" ({', '.join(rest)})" if rest else ""
    return f"{value.get('type', 'unknown')}{rate}{more}"


def _schedule(value: Any, settings: Mapping[str, Any]) -> str:
    kind = value.get("type")
    if kind == "Constant":
        return "the learning rate stays"
    if kind == "Step":
        return f"times {value['factor']:g} after each {many(value['every'], 'epoch')}"
    if kind == "Cosine":
        return f"the learning rate falls along a cosine to {value['final']:g} times its value"
    if kind == "OneCycle":
        return (
            f"one cycle: the learning rate rises from {value['start']:g} times its value over the "
            f"first {value['peak']:.0%} of the steps, then falls to {value['final']:g} times"
        )
    if kind == "WarmUp":
        steps, epochs = value.get("steps"), value.get("epochs")
        span = f"{epochs:g} epochs" if steps is None else many(steps, "step")
        return f"grows over {span}, then {_schedule(value['then'], settings)}"
    return _plain(value)


def _loss(value: Any, _: Mapping[str, Any]) -> str:
    smoothing = value.get("label_smoothing")
    kind = LOSSES.get(value["name"]) if "name" in value else None
    words = kind.title if kind is not None else _plain(value)
    words += f", label smoothing {smoothing:g}" if smoothing else ""
    weights = value.get("class_weights") or ()
    return words + (f", classes weighted {', '.join(f'{w:g}' for w in weights)}" if weights else "")


def _augmentation(value: Any, _: Mapping[str, Any]) -> str:
    if value is None:
        return "none"
    told = {
        "crop_padding": "moved by up to {:g} pixels (cut out of a border)",
        "flip": "mirrored left to right every second time",
        "shift": "moved by up to {:g} pixels",
        "rotation": "turned by up to {:g} degrees",
        "cutout": "a square of {:g} pixels is covered",
    }
    words = [form.format(value[key]) for key, form in told.items() if value.get(key)]
    words += _fields(value, *told, *(() if value.get("fill") else ("fill",)))
    return "; ".join(words) or "none"


def _normalise(value: Any, _: Mapping[str, Any]) -> str:
    said = {
        True: "each channel to mean 0 and deviation 1 over the training images",
        False: "none",
        "keep": "as in an earlier training of the model",
        "anew": "each channel to mean 0 and deviation 1 over these training images",
    }
    return said[value] if value in said else _plain(value)


def _stopping(value: Any, _: Mapping[str, Any]) -> str:
    if value is None:
        return "none"
    words = f"after {many(value['patience'], 'epoch')} without a better {value['metric']}"
    if value.get("min_delta"):
        words += f" (by more than {value['min_delta']:g})"
    return words + ("; the best weights are kept" if value.get("restore_best") else "")


def _batch(value: Any, settings: Mapping[str, Any]) -> str:
    shard = settings.get("shard_size")
    return f"{many(value, 'image')} a step" + (f", in shards of {shard:,}" if shard else "")


def _stretches(value: Any, settings: Mapping[str, Any]) -> str:
    last = value[-1]["until"]
    end = settings.get("epochs", last)
    ends = [*(row["after"] for row in value[1:]), end]
    spans = [f"{row['after'] + 1} to {end}" for row, end in zip(value, ends, strict=True)]
    words = f"epochs {', then '.join(spans)}"
    if len(value) > 1:
        words += ", each with a schedule of its own"
    return words + (f"; the last schedule was to end with epoch {last}" if end < last else "")


def _clip(value: Any, _: Mapping[str, Any]) -> str:
    return "none" if value is None else f"the gradient's global norm is at most {value:g}"


def _freeze(value: Any, _: Mapping[str, Any]) -> str:
    if isinstance(value, int):
        return f"the first {many(value, 'layer')} with weights"
    known = {"all": "all but the head", "none": "none"}
    return known[value] if isinstance(value, str) else ", ".join(value)


def _as_is(value: Any, _: Mapping[str, Any]) -> str:
    return _plain(value)


_SETTINGS = {
    "epochs": ("epochs", _as_is),
    "stretches": ("stretches", _stretches),
    "freeze": ("frozen layers", _freeze),
    "batch_size": ("batch", _batch),
    "optimizer": ("optimizer", _optimizer),
    "backbone_lr": ("learning rate before the head", _as_is),
    "schedule": ("learning rate", _schedule),
    "loss": ("loss", _loss),
    "augmentation": ("random changes to images", _augmentation),
    "normalise": ("normalisation", _normalise),
    "early_stopping": ("early stopping", _stopping),
    "clip_norm": ("gradient clipping", _clip),
    "seed": ("seed", _as_is),
}
