"""``isoconv export``: a model as an ONNX file, which other programs run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from isoconv.cli import complete
from isoconv.cli.options import AsJson
from isoconv.cli.table import print_json, say
from isoconv.errors import ArgumentError


class Preprocessing(StrEnum):
    """Where images are normalised."""

    inside = "inside"
    beside = "beside"


def export(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run folder or a saved model, or published weights by their name.",
            autocompletion=complete.models_and_runs,
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, model.onnx.")],
    opset: Annotated[int, typer.Option(min=13, help="Version of ONNX's set of operators.")] = 17,
    preprocessing: Annotated[
        Preprocessing,
        typer.Option(
            help="Images are normalised inside the graph, which then takes brightness from 0 to "
            "255, or beside it, by whoever runs it."
        ),
    ] = Preprocessing.inside,
    as_json: AsJson = False,
) -> None:
    """Write a model as an ONNX file, which other programs run.

    It takes images with their channels first, (N, C, H, W), and gives what a prediction gives. The
    names of the classes, and how pictures are read, stand in its metadata.

    Examples:
      isoconv export runs/pets pets.onnx
      isoconv export runs/pets pets.onnx --preprocessing beside --opset 20
    """
    from isoconv.exchange import save_onnx
    from isoconv.printable import printable
    from isoconv.train import load

    if file.suffix.lower() != ".onnx":
        raise ArgumentError(
            f"models are written as .onnx; got {printable(str(file))}",
            argument="file",
            value=file,
        )
    save_onnx(load(place), file, opset=opset, preprocessing=preprocessing.value)
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": size, "opset": opset,
                    "preprocessing": preprocessing.value})  # fmt: skip
        return
    say(f"{printable(str(file))}: {size:,} bytes, opset {opset}")
