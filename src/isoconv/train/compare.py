"""The first place at which two trainings part: epoch, step, tensor and element."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.printable import printable
from isoconv.train.checkpoint import RunFolder
from isoconv.train.receipt import Receipt
from isoconv.train.record import tensors_of
from isoconv.train.state import Checkpoint

__public__ = {"isoconv.train": ["Difference"]}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two trainings part. What is None was not found to differ, or could not be looked at.

    Attributes:
        where: the epoch, or the file, in words.
        epoch: number of the epoch; 0 stands for the state before the first one.
        step: the first step of the epoch, from 1, whose loss differs. The loss is taken before
            the step's update, so what differs in an update shows in the next step or later.
        losses: that step's loss on both sides, exact hexadecimal, summed over the batch.
        metric: the first metric of the epoch that differs.
        metrics: its values on both sides, exact hexadecimal.
        tensor: the first tensor, in the order of the trace, that differs at the epoch's end.
        digests: its SHA-256 on both sides.
        element: place of its first element that differs.
        values: this element on both sides, exact hexadecimal.
        count: how many of its elements differ, and how many there are.
        note: what else there is to say.
    """

    where: str
    epoch: int
    step: int | None = None
    losses: tuple[str, str] | None = None
    metric: str | None = None
    metrics: tuple[str, str] | None = None
    tensor: str | None = None
    digests: tuple[str, str] | None = None
    element: tuple[int, ...] | None = None
    values: tuple[str, str] | None = None
    count: tuple[int, int] | None = None
    note: str = ""

    def lines(self, first: str, second: str) -> list[str]:
        r"""The difference in words, a line each.

        Args:
            first: what the first side is called.
            second: what the second side is called.

        Example:
            >>> found = Difference("epoch 2", 2, step=3, losses=("0x1p+0", "0x1.8p+0"))
            >>> print("\n".join(found.lines("receipt", "here")))
            first difference: epoch 2
              step 3: loss receipt 0x1p+0 (1), here 0x1.8p+0 (1.5)
        """
        lines = [f"first difference: {self.where}"]
        if self.losses is not None:
            lines.append(f"  step {self.step}: loss {_both(first, second, self.losses)}")
        if self.metric is not None and self.metrics is not None:
            lines.append(f"  metric {self.metric}: {_both(first, second, self.metrics)}")
        if self.digests is not None:
            one, other = self.digests
            lines.append(f"  tensor {self.tensor}: sha256 {first} {one}, {second} {other}")
        if self.values is not None and self.count is not None:
            place = ", ".join(map(str, self.element or ()))
            lines.append(f"  element ({place}): {_both(first, second, self.values)}")
            lines.append(f"  {self.count[0]} of the tensor's {self.count[1]} elements differ")
        return [printable(line) for line in (*lines, *([f"  {self.note}"] if self.note else []))]


def _both(first: str, second: str, values: tuple[str, str]) -> str:
    return f"{first} {_readable(values[0])}, {second} {_readable(values[1])}"


def _readable(value: str) -> str:
    with contextlib.suppress(ValueError):
        return f"{value} ({float.fromhex(value):.9g})"
    return value


@dataclass(frozen=True, slots=True)
class Side:
    """An epoch as one side has it.

    Attributes:
        entry: from the receipt.
        details: line of ``steps.jsonl``, or None.
        state: gives the arrays after the epoch, or None; asked for when a tensor differs.
    """

    entry: Mapping[str, Any]
    details: Mapping[str, Any] | None
    state: Callable[[], Checkpoint | None]


def compare_epochs(a: Side, b: Side) -> Difference | None:
    """Where two sides of one epoch differ, or None.

    Digests of weights, optimizer and metrics decide; losses of steps and digests of tensors say
    where.
    """
    epoch = int(a.entry["epoch"])
    names = ("weights_sha256", "optimizer_sha256", "steps", "metrics", "details_sha256")
    if all(a.entry[name] == b.entry[name] for name in names):
        return None
    where = f"epoch {epoch}" if epoch else "the state before the first step"
    found = _with_metric(Difference(where, epoch), a.entry, b.entry)
    what = next(name for name in names if a.entry[name] != b.entry[name])
    whole = f"{what}: {a.entry[what]} and {b.entry[what]}"
    if a.details is None or b.details is None:
        lacking = "without steps.jsonl no step can be named"
        return replace(found, note=lacking if what == "metrics" else f"{whole}; {lacking}")
    found = _with_step(found, a.details["losses"], b.details["losses"])
    found = _with_tensor(found, dict(a.details["tensors"]), dict(b.details["tensors"]))
    if found.tensor is None:
        return found if found.step or found.metric else replace(found, note=whole)
    one, other = _tensor(a, found.tensor), _tensor(b, found.tensor)
    return found if one is None or other is None else with_element(found, one, other)


def _tensor(side: Side, name: str) -> Array | None:
    state = side.state()
    return None if state is None else tensors_of(state).get(name)


def _with_metric(found: Difference, a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference:
    for name in dict.fromkeys((*a["metrics"], *b["metrics"])):
        values = a["metrics"].get(name), b["metrics"].get(name)
        if values[0] != values[1]:
            return replace(found, metric=name, metrics=(str(values[0]), str(values[1])))
    return found


def _with_step(found: Difference, a: list[str], b: list[str]) -> Difference:
    for step, losses in enumerate(zip(a, b, strict=False), 1):
        if losses[0] != losses[1]:
            where = f"{found.where}, step {step}"
            return replace(found, where=where, step=step, losses=losses)
    if len(a) != len(b):
        return replace(found, note=f"one side has {len(a)} steps, the other {len(b)}")
    if a:
        # A step's loss is taken before its update, and its rounding may hide a small difference.
        note = "the losses of all steps agree"
        return replace(found, note=note)
    return found


def _with_tensor(found: Difference, a: Mapping[str, str], b: Mapping[str, str]) -> Difference:
    for name in dict.fromkeys((*a, *b)):
        digests = a.get(name, "none"), b.get(name, "none")
        if digests[0] != digests[1]:
            return replace(found, tensor=name, digests=digests)
    return found


def with_element(found: Difference, a: Array, b: Array) -> Difference:
    """Add the first element at which two arrays differ in their bits."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return replace(found, note=f"{a.dtype} {a.shape} and {b.dtype} {b.shape}")
    rows = a.size, a.dtype.itemsize
    bytes_a, bytes_b = (np.frombuffer(x.tobytes(), np.uint8).reshape(rows) for x in (a, b))
    wrong = (bytes_a != bytes_b).any(axis=1)
    if not wrong.any():
        return found
    flat = int(wrong.argmax())
    place = tuple(int(i) for i in np.unravel_index(flat, a.shape)) if a.shape else ()
    values = float(a.reshape(-1)[flat]).hex(), float(b.reshape(-1)[flat]).hex()
    count = int(np.count_nonzero(wrong)), a.size
    return replace(found, element=place, values=values, count=count)


def compare_arrays(
    where: str,
    epoch: int,
    recorded: Mapping[str, str],
    given: Mapping[str, Array],
    right: Checkpoint | None,
) -> Difference | None:
    """The first of some arrays that has not the digest that was recorded, or None.

    Args:
        where: they stand.
        epoch: after which they were saved.
        recorded: digest by tensor, in the order of the trace.
        given: the arrays.
        right: the arrays as they should be, if they are at hand.
    """
    digests = {name: storage.digest({name: array}) for name, array in given.items()}
    found = _with_tensor(Difference(where, epoch), recorded, digests)
    if found.tensor is None:
        return None
    wanted = None if right is None else tensors_of(right).get(found.tensor)
    wrong = given.get(found.tensor)
    return found if wanted is None or wrong is None else with_element(found, wanted, wrong)


def state_after(receipt: Receipt, epoch: int) -> Checkpoint | None:
    """The state after an epoch from the run's folder, where it is the receipt's."""
    return RunFolder(receipt.folder).find(epoch, receipt.entries[epoch]["weights_sha256"])
