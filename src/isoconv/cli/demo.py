"""``isoconv demo``: a network learns photographs of clothes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli.options import AsJson, Report, TargetName, Threads, named_folder
from isoconv.cli.table import print_json, progress, say
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from isoconv.train import RunFolder

OUT = Path("runs/demo")


def demo(
    out: Annotated[
        Path, typer.Option(help="The run folder; an earlier demo there is replaced.")
    ] = OUT,
    epochs: Annotated[int, typer.Option(min=1, help="How often to go through the images.")] = 6,
    threads: Threads = None,
    target: TargetName = None,
    report: Report = True,
    as_json: AsJson = False,
) -> None:
    """Train on photographs of clothes and show what was learned.

    The photographs come with isoconv. A small network learns from 10,000 of them; 1,000 others show
    how it goes, and a further 1,000 measure it once, at the end. Then stand its accuracy, the path
    of a page with pictures and the digest of its weights, which is the same on every machine.

    Examples:
      isoconv demo
      isoconv demo --out runs/first --threads 1
    """
    from isoconv import optim, schedule
    from isoconv.cli.ending import finish
    from isoconv.cli.named_models import make_model
    from isoconv.cli.runs import DEMO, DEMO_DATA, demo_parts, run_facts
    from isoconv.data import Augmentation
    from isoconv.train import RunFolder, Trainer

    folder = RunFolder(named_folder(out))
    with folder.begun(lambda: _make_room(folder)):
        splits = demo_parts()
        train, counts = splits.train, {part: len(data) for part, data in splits.parts.items()}
        model = make_model(DEMO, train.classes, train.image_shape)
        say(
            f"{counts['train']:,} photographs of clothes to learn from, {counts['validation']:,} "
            f"others to watch it by, {counts['test']:,} to test with"
        )
        trainer = Trainer(
            model,
            optimizer=optim.AdamW(0.004),
            schedule=schedule.OneCycle(),
            batch_size=64,
            shard_size=32,
            augmentation=Augmentation(flip=True),
            threads=threads,
            target=target,
            progress=progress(),
        )
        facts = {"model": DEMO, **run_facts(DEMO_DATA)}
        run = trainer.fit(splits, epochs=epochs, out=folder, facts=facts)
        values = finish(run, splits, report, threads, target)
        if as_json:
            print_json(values)


def _make_room(folder: RunFolder) -> None:
    """Remove an earlier demo, and nothing else.

    Raises:
        ArgumentError: the folder holds something else.
    """
    from isoconv.cli.runs import DEMO

    if not folder.run_file.exists():
        # A person's own files stay, and what was left of a killed start is known to be that.
        return
    facts = folder.description().get("facts")
    if not isinstance(facts, dict) or facts.get("model") != DEMO:
        raise ArgumentError(
            f"--out must be a new folder or that of an earlier demo; got {folder.path}"
        )
    # First the file that says that there is a run; a person's own files stay.
    folder.run_file.unlink()
    for pattern in ("receipt.json", "samples.csv", "*.jsonl", "*.safetensors"):
        for path in folder.path.glob(pattern):
            path.unlink()
    for pattern in ("last.json", "*.safetensors"):
        for path in folder.checkpoint_file.parent.glob(pattern):
            path.unlink()
    report = folder.path / "report"
    for path in (report / "index.html", *report.glob("*.png")):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        # Not if there is anything else in it.
        report.rmdir()
