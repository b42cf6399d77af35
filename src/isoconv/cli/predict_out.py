"""``isoconv predict --out``: a table of answers, told to a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoconv.cli.errors import UNREAD, WRONG, complain, note
from isoconv.cli.table import json_alone, print_json, reading_progress, say
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.cluster.settings import Cluster
    from isoconv.nn import Module


def write_table(
    model: Module,
    images: Sequence[str],
    out: Path,
    *,
    column: str | None,
    root: Path | None,
    scale: float | None,
    workers: int,
    cluster: Cluster | None,
    threads: int | None,
    target: str | None,
    as_json: bool,
) -> None:
    """Predict into a table, and say what cannot be read; see `predict`."""
    from isoconv.batch.inputs import gathered
    from isoconv.batch.predicting import predict_into
    from isoconv.batch.table import table_for
    from isoconv.cli.named_models import class_names_of
    from isoconv.data.counting import Counting
    from isoconv.nn import trace_model

    # Before a million files are looked at.
    table_for(out, {})
    inputs = gathered(images, column, root)
    for line in inputs.notes:
        note(line)
    shape = trace_model(model, model.input_shape or (), training=False).output_tensor.shape
    with json_alone():
        done = predict_into(
            out,
            model,
            class_names_of(model, shape[-1]),
            inputs,
            scale=scale,
            workers=workers,
            cluster=cluster,
            threads=threads,
            target=target,
            counting=Counting(reading_progress()),
            told=note,
        )
    for line in done.examples:
        note(line)
    if done.lost + done.noted > len(done.examples):
        more = done.lost + done.noted - len(done.examples)
        note(f"{more:,} more: see error and notes in {printable(out)}")
    if done.escaped:
        note(
            f"the names of {done.escaped:,} pictures have escapes in column path, as in Python "
            r"(\n, \udcff, \\ for \), for what would end a line or is no text"
        )
    if done.noted:
        note(f"of {done.noted:,} pictures there is something to tell: column notes")
    if done.lost:
        complain(f"{done.lost:,} of {done.rows:,} pictures cannot be read: column error")
    say(f"{printable(out)}: {done.rows:,} rows")
    if as_json:
        print_json({"file": str(out), "rows": done.rows, "lost": done.lost, "noted": done.noted})
    if done.lost:
        raise typer.Exit(WRONG if done.lost == done.rows else UNREAD)
