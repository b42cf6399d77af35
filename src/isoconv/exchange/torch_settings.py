"""Settings of ready models with which they are the networks that others published.

With the same arrays, PyTorch's and TensorFlow's versions of a network add other constants to the
variances of batch normalisation, and pad otherwise; names and shapes of their files are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Settings = Mapping[str, float]
"""Of a ready model, by the names of its function's arguments."""

_PYTORCH: Settings = {"eps": 1e-5, "same": False}
_TENSORFLOW: Settings = {"eps": 1e-3, "same": True}
_V3: Mapping[str, Sequence[Settings]] = {
    "torchvision": [{"eps": 1e-3, "same": False}],
    "timm": [_PYTORCH, _TENSORFLOW],
}
_SETTINGS: Mapping[str, Mapping[str, Sequence[Settings]]] = {
    "mobilenet_v3_large": _V3,
    "mobilenet_v3_small": _V3,
    "efficientnet_b0": {
        "torchvision": [_PYTORCH],
        "timm": [_PYTORCH, _TENSORFLOW],
        "efficientnet_pytorch": [_TENSORFLOW],
    },
    "efficientnet_lite0": {
        "timm": [_TENSORFLOW, _PYTORCH],
        "efficientnet_pytorch": [_TENSORFLOW],
    },
}
"""Ready model → layout → settings of the networks with its names, the usual one's first. timm's
with TensorFlow's settings are those that it calls ``tf_…``."""


def settings_of(name: str, layout: str) -> Sequence[Settings]:
    """Settings of a ready model with which it is a network of a layout, the usual one's first.

    Example:
        >>> settings_of("mobilenet_v3_small", "timm")[0], settings_of("resnet18", "timm")
        ({'eps': 1e-05, 'same': False}, [{}])
    """
    return _SETTINGS.get(name, {}).get(layout, [{}])


def kinds_of(name: str) -> list[Settings]:
    """All settings with which a ready model is a network of some layout, each once.

    Example:
        >>> kinds_of("efficientnet_lite0")
        [{'eps': 0.001, 'same': True}, {'eps': 1e-05, 'same': False}]
    """
    found: list[Settings] = []
    for known in _SETTINGS.get(name, {}).values():
        found += [settings for settings in known if settings not in found]
    return found or [{}]


def in_words(settings: Settings) -> str:
    """What settings of a ready model make it do.

    Example:
        >>> in_words({"eps": 1e-3, "same": True})
        'adds 0.001 to variances and pads as TensorFlow does'
    """
    words = []
    if "eps" in settings:
        words.append(f"adds {settings['eps']:g} to variances")
    if "same" in settings:
        words.append(f"pads {'as TensorFlow does' if settings['same'] else 'both sides alike'}")
    return " and ".join(words)


def constructor(name: str, settings: Settings) -> str:
    """How a ready model with settings is made, as Python.

    Example:
        >>> constructor("efficientnet_b0", {"same": True})
        'nn.models.efficientnet_b0(…, same=True)'
    """
    return f"nn.models.{name}(…, {', '.join(f'{key}={value}' for key, value in settings.items())})"
