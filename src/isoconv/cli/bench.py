"""``isoconv bench``: where a model's time goes, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.options import AsJson, TargetName, Threads
from isoconv.cli.table import print_json, say
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.nn import Module
    from isoconv.run.ceilings import Ceilings
    from isoconv.run.profile import KernelTime, Profile


def bench(
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN",
            help="A ready model (isoconv models), a run folder or a saved model.",
            autocompletion=complete.models_and_runs,
        ),
    ] = "resnet20",
    shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="HxWxC",
            help="Shape of one image.  [default: 32x32x3, or that of the trained model]",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a batch.")] = 128,
    training: Annotated[
        bool, typer.Option("--training/--inference", help="A step of training, or a prediction.")
    ] = True,
    rows: Annotated[
        int, typer.Option(min=0, help="Rows to show, the slowest first; 0 for all.")
    ] = 25,
    turns: Annotated[
        int, typer.Option(min=1, help="Repetitions, of which the middle one counts.")
    ] = 11,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw the roofline into this file (needs matplotlib)."),
    ] = None,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Show where a model's time goes, layer by layer.

    For each layer and kernel: its time, its speed, and its share of what this machine was
    measured to do at best. Bytes are those of all operands, each counted once; 1 FMA = 2 FLOP.
    "bound by" is what would take a kernel the longest if all else cost nothing, by a written
    model (docs/engine.md), and "of bound" that time's share of what was measured.

    Examples:
      isoconv bench --model resnet20 --batch-size 128
      isoconv bench --model runs/demo --inference --out roofline.png
    """
    from isoconv.cli.named_models import model_named
    from isoconv.run.ceilings import measure_ceilings

    found = model_named(model, shape, "32x32x3")
    measure = _training if training else _prediction
    before = measure_ceilings(threads, target=target)
    profile = measure(found, batch_size, turns, threads, target)
    ceilings = before.better(measure_ceilings(threads, target=target))
    heading = f"{model}, {'one step of training' if training else 'one prediction'}"
    if as_json:
        print_json(
            {"model": model, "training": training, **_plain(profile, ceilings), "picture": out}
        )
    else:
        _print(profile, ceilings, heading, rows)
    if out is not None:
        from isoconv.report.roofline import draw_roofline

        draw_roofline(profile, ceilings, heading, out)
        say(f"picture {printable(out)}")


def _images(model: Module, count: int) -> Any:
    """Numbers that look like normalised images."""
    import numpy as np

    # A short pattern of pseudo-random values; only speed is measured.
    shape = (count, *(model.input_shape or ()))
    values = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32) * np.uint32(2654435761)
    return ((values >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)).reshape(shape)


def _training(
    model: Module, batch_size: int, turns: int, threads: int | None, target: str | None
) -> Profile:
    import numpy as np

    from isoconv.run.profile import ProfiledTraining
    from isoconv.train.graphs import Preparation, build_step
    from isoconv.train.losses import Loss
    from isoconv.train.optim import SGD

    shape = model.input_shape or ()
    step = build_step(model, Preparation(shape, "float32"), Loss(), SGD(0.1, momentum=0.9))
    places = {node.attrs.name: node.spec.shape for _, node in step.shard.inputs("dataset")}
    labels = np.zeros((batch_size, *places["labels"]), np.int32)
    data = {"images": _images(model, batch_size), "labels": labels}
    shard_size = batch_size if model.over_batch else 32
    engine = ProfiledTraining(
        step, data, batch_size=batch_size, shard_size=shard_size, threads=threads, target=target
    )
    with engine:
        engine.load(model.parameters(), model.states())
        return engine.profile(turns)


def _prediction(
    model: Module, batch_size: int, turns: int, threads: int | None, target: str | None
) -> Profile:
    from isoconv.nn.inference import inference_graph, weights_for
    from isoconv.run.profile import ProfiledPredictor

    graph = inference_graph(model, model.input_shape or (), "float32", model.finish)
    predictor = ProfiledPredictor(graph, threads=threads, target=target)
    with predictor:
        images = {"images": _images(model, batch_size)}
        return predictor.profile(weights_for(model), images, turns)


def _plain(profile: Profile, ceilings: Ceilings) -> dict[str, Any]:
    """All rows and what was measured beside them, as plain values; the slowest row first."""
    return {
        "images": profile.images,
        "threads": profile.threads,
        "seconds": profile.seconds,
        "images_per_second": profile.images / profile.seconds,
        "at_best": {
            "gflops": ceilings.gflops,
            "memory_gb_per_second": ceilings.memory,
            "cache_gb_per_second": ceilings.cache,
        },
        "kernels": [
            {
                "layer": row.layer,
                "kernel": row.kernel,
                "seconds": row.seconds,
                "flops": row.flops,
                "bytes": row.bytes,
                "bounds": row.demand.seconds(ceilings),
            }
            for row in sorted(profile.rows, key=lambda row: -row.seconds)
        ],
    }


# The table --------------------------------------------------------------------------------------


def _print(profile: Profile, ceilings: Ceilings, heading: str, most: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", no_wrap=True)
    table.add_column("kernel", no_wrap=True)
    for name in ("ms", "of time", "GFLOP/s", "of peak", "MiB", "GB/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    table.add_column("of bound", justify="right", no_wrap=True)
    order = sorted(profile.rows, key=lambda row: -row.seconds)
    shown = order if most == 0 else order[:most]
    for row in shown:
        table.add_row(*_cells(row, profile, ceilings))
    rest = order[len(shown) :]
    if rest:
        seconds = sum(row.seconds for row in rest)
        table.add_row(f"{len(rest)} more", "", _ms(seconds), f"{seconds / profile.seconds:.1%}")
    inside = sum(row.seconds for row in order)
    outside = max(0.0, profile.seconds - inside)
    table.add_row("", "outside of kernels", _ms(outside), f"{outside / profile.seconds:.1%}")
    console = Console(width=None if Console().is_terminal else 130, highlight=False)
    console.print(table)
    for line in _summary(profile, ceilings, heading):
        say(line)


def _cells(row: KernelTime, profile: Profile, ceilings: Ceilings) -> tuple[str, ...]:
    speed = (f"{row.gflops:.1f}", f"{row.gflops / ceilings.gflops:.1%}") if row.flops else ("", "")
    moved = (f"{row.bytes / 2**20:.2f}", f"{row.gigabytes:.1f}") if row.bytes else ("", "")
    share = f"{row.seconds / profile.seconds:.1%}"
    bound = next(iter(row.demand.seconds(ceilings).items()), None)
    model = (bound[0], f"{bound[1] / row.seconds:.0%}") if bound and row.seconds else ("", "")
    return (row.layer, row.kernel, _ms(row.seconds), share, *speed, *moved, *model)


def _summary(profile: Profile, ceilings: Ceilings, heading: str) -> list[str]:
    flops = sum(row.flops for row in profile.rows) / profile.seconds / 1e9
    threads = f"{profile.threads} thread{'' if profile.threads == 1 else 's'}"
    return [
        f"{heading}: {profile.images} images in {_ms(profile.seconds)} ms on {threads}, "
        f"{profile.images / profile.seconds:,.0f} images/s",
        f"{flops:.1f} GFLOP/s, {flops / ceilings.gflops:.1%} of this machine's peak; measured at "
        f"best: {ceilings.gflops:.1f} GFLOP/s, {ceilings.memory:.1f} GB/s from memory, "
        f"{ceilings.cache:.1f} GB/s in caches",
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"
