"""How models and their summaries show themselves at a prompt and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isoconv.cards import Card, Table, first_and_last, sides
from isoconv.checks import shown
from isoconv.errors import IsoconvError

if TYPE_CHECKING:
    from isoconv.nn.module import Module
    from isoconv.nn.summary import Summary

_LINES = 24
"""Layers that a prompt lists."""
_ROWS = 60
"""Layers that a table lists."""


def own_settings(module: Module) -> dict[str, Any]:
    """The settings in a module's attributes, in order of assignment.

    Example:
        >>> from isoconv import nn
        >>> own_settings(nn.BatchNorm2d(momentum=0.2))
        {'eps': 1e-05, 'momentum': 0.2, 'frozen': False, 'over': 'shard'}
    """
    from isoconv.nn.module import modules_in

    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not list(modules_in(name, value))
    }


def settings_line(module: Module) -> str:
    """A module alone: its class and the settings that are not the usual ones.

    Example:
        >>> from isoconv import nn
        >>> settings_line(nn.Conv2d(8, 3, padding=1))
        'Conv2d(filters=8, kernel_size=3, padding=1)'
    """
    usual = _defaults(module)
    told = [
        f"{name}={shown(value)}"
        for name, value in own_settings(module).items()
        if name not in usual or not _same(value, usual[name])
    ]
    return f"{type(module).__name__}({', '.join(told)})"


def named(module: object) -> str:
    """A module alone as errors name it; what describes itself, or is no module, by that."""
    from isoconv.nn.module import Module

    if not isinstance(module, Module) or type(module).__repr__ is not Module.__repr__:
        return shown(module)
    return settings_line(module)


def brief(model: Module) -> str:
    """A whole model in a few words.

    Example:
        >>> from isoconv import nn
        >>> brief(nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1)))
        'Sequential of 2 layers, 34 parameters, for inputs of 4×4×1'
    """
    layers = len([path for path, module in model.named_modules() if not list(module.children())])
    name = type(model).__name__
    if list(model.children()):
        name += f" of {layers:,} layer{'' if layers == 1 else 's'}"
    shape, parameters = model.input_shape, model.parameters()
    count = 0
    for array in parameters.values():
        count += array.size
    built = f", {count:,} parameters" if parameters else ""
    if shape is None:
        return f"{name}{built or ', not built'}"
    return f"{name}{built}, for inputs of {sides(shape)}"


def module_card(model: Module) -> Card:
    """A layer by its settings, a model by its layers.

    Example:
        >>> from isoconv import nn
        >>> print(module_card(nn.Sequential(nn.Flatten(), nn.Linear(2))).text())
        Sequential of 2 layers, not built
          0  Flatten()
          1  Linear(features=2)
    """
    if not list(model.children()) and model.input_shape is None:
        return Card(settings_line(model))
    named = [(path, settings_line(module)) for path, module in model.named_modules() if path]
    first, left, last = first_and_last(named, _LINES)
    width = max((len(path) for path, _ in (*first, *last)), default=0)
    lines = [f"{path.ljust(width)}  {text}" for path, text in first]
    if left:
        lines.append(f"… {left:,} more layers …")
    lines += [f"{path.ljust(width)}  {text}" for path, text in last]
    facts = []
    if model.class_names:
        names, more, _ = first_and_last(model.class_names, 10)
        told = f"{', '.join(names)}{', …' if more else ''}"
        facts.append(("classes", f"{len(model.class_names):,}: {told}"))
    title = brief(model) if list(model.children()) else f"{settings_line(model)}: {brief(model)}"
    return Card(title, tuple(facts), tuple(lines), _layers(model, named))


def summary_card(summary: Summary) -> Card:
    """The table of a summary, shortened in the middle where it is long."""
    title = (
        f"{summary.parameters:,} parameters, {summary.multiply_adds:,} multiply-adds for an "
        f"input of {sides(summary.input_shape)}"
    )
    head, *rows, total = str(summary).splitlines()
    first, left, last = first_and_last(rows, _LINES)
    gap = [f"… {left:,} more layers; print it to see them"] if left else []
    return Card(title, (), (head, *first, *gap, *last, total), _summary_table(summary))


def _summary_table(summary: Summary) -> Table:
    from isoconv.nn.summary import HEADINGS

    *cells, total = summary.cells()
    first, left, last = first_and_last(cells, _ROWS)
    gap = [("…", "", "", "", "")] if left else []
    more = f"{left:,} more layers" if left else ""
    return Table(HEADINGS, (*first, *gap, *last, total), words=3, more=more)


def _layers(model: Module, named: list[tuple[str, str]]) -> Table | None:
    """With what each layer gives and needs, where the model's images are known."""
    if model.input_shape is not None:
        try:
            return _summary_table(model.summary())
        except IsoconvError:
            # A setting was changed since; the layers can be shown all the same.
            pass
    if not named:
        return None
    first, left, last = first_and_last(named, _ROWS)
    gap = [("…", "")] if left else []
    more = f"{left:,} more layers" if left else ""
    return Table(("layer", "settings"), (*first, *gap, *last), words=2, more=more)


def _defaults(module: Module) -> dict[str, Any]:
    """Settings as they are where nobody gives them: attributes of the class."""
    return {
        name: getattr(type(module), name)
        for name in own_settings(module)
        if hasattr(type(module), name)
    }


def _same(value: object, usual: object) -> bool:
    return type(value) is type(usual) and repr(value) == repr(usual)
