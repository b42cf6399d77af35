"""``isoconv data``: data sets by name, packed into files, shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli import complete
from isoconv.cli.bad import tell_skipped
from isoconv.cli.errors import note
from isoconv.cli.options import AsJson, DataSource, Depth, Size, SkipBad, help_of, size_of
from isoconv.cli.table import print_json, print_table, reading_progress, say
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.data import Dataset

app = typer.Typer(rich_markup_mode=None)

Folder = Annotated[
    Path | None,
    typer.Option(help="Where data sets are kept.  [default: the user's cache folder]"),
]


def data(context: typer.Context) -> None:
    """List, fetch, show and pack data sets.

    Examples:
      isoconv data list
      isoconv data fetch cifar10
      isoconv data pack photos photos.pack --size 224
    """
    if context.invoked_subcommand is None:
        say(context.get_help())


def list_names(as_json: AsJson = False) -> None:
    """List the data sets that are known by name and whether they are here.

    Examples:
      isoconv data list
    """
    from isoconv.data.download import default_folder
    from isoconv.data.names import KNOWN
    from isoconv.errors import DataError

    try:
        kept = default_folder()
    except DataError:
        # Without a home folder nothing is kept.
        kept = None
    found: list[tuple[str, Path | None]] = []
    for name, known in KNOWN.items():
        folder = None if kept is None or not known.files else kept / name
        whole = folder is not None and all((folder / f.name).is_file() for f in known.files)
        found.append((name, folder if whole else None))
    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "here": not KNOWN[name].files or folder is not None,
                    "folder": folder,
                }
                for name, folder in found
            ]
        )
        return
    rows = [
        (
            name,
            "comes with isoconv"
            if not KNOWN[name].files
            else f"isoconv data fetch {name}"
            if folder is None
            else str(folder),
        )
        for name, folder in found
    ]
    print_table(("name", "where"), rows)


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One that isoconv data list shows.",
            autocompletion=complete.data_names,
            show_default=False,
        ),
    ],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a public data set; each file must have the SHA-256 that isoconv knows.

    Examples:
      isoconv data fetch mnist
      isoconv train mnist --model lenet5
    """
    from isoconv import data as library
    from isoconv.checks import as_word
    from isoconv.data.names import SAMPLE

    if name == SAMPLE:
        say(f"{name} comes with isoconv; nothing is to be fetched")
        if as_json:
            print_json({"name": name, "here": True, "folder": None})
        return
    found = library.fetch(name, folder)
    given = str(found) if folder is not None else name
    say(f"{name} is in {printable(found)}")
    say(f"train on it with: isoconv train {as_word(given)}")
    if as_json:
        print_json({"name": name, "here": True, "folder": found})


def pack(
    source: DataSource,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The new file; its name ends in .pack.", show_default=False
        ),
    ],
    size: Size = None,
    depth: Depth = None,
    skip_bad: SkipBad = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Write a data set, decoded and checked, into one file that is trained on where it lies.

    So data that are larger than memory can be trained on, and no picture is decoded again. All
    cores decode. Folders of pictures (and masks), .npz and idx files take memory for about 100 MiB
    of images at a time; arrays in Fortran's order and CIFAR's files are read whole, as much as they
    are once unpacked. What is interrupted or killed goes on with the same command. The file is DATA
    for every other command, with the same results as its source.

    Examples:
      isoconv data pack photos photos.pack --size 224
      isoconv train photos.pack
    """
    from isoconv import data as library
    from isoconv.checks import as_word
    from isoconv.cli.scored import plain_skipped
    from isoconv.memory import readable

    found = library.pack(
        source, out, size=size_of(size), depth=depth, skip_bad=skip_bad,
        progress=reading_progress(), folder=folder,
    )  # fmt: skip
    for line in found.notes:
        note(line)
    tell_skipped(found.skipped, f"isoconv data show {as_word(str(out))} --json")
    if found.kept:
        say(f"{found.kept:,} images lay there already, from a pack that was interrupted")
    parts = ", ".join(f"{count:,} {part}" for part, count in found.samples.items())
    say(f"{printable(found.path)}: {parts}; {readable(found.size)}, SHA-256 {found.sha256}")
    if as_json:
        print_json(
            {
                "path": found.path,
                "size": found.size,
                "sha256": found.sha256,
                "samples": dict(found.samples),
                "kept": found.kept,
                "notes": list(found.notes),
                "skipped": plain_skipped(found.skipped),
            }
        )


def show(
    source: DataSource,
    size: Size = None,
    depth: Depth = None,
    skip_bad: SkipBad = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Show what a data set is: its parts, images, classes, and what is to be told of it.

    A packed data set is shown by what it says of itself, without a look at its images (isoconv data
    check reads them); all others are read.

    Examples:
      isoconv data show fashion-sample
      isoconv data show photos.pack --json
    """
    from isoconv.cli.scored import plain_skipped
    from isoconv.data import load_splits
    from isoconv.data.pack_file import PackedRows
    from isoconv.data.tally import counted
    from isoconv.memory import readable
    from isoconv.rows import rows_behind

    splits = load_splits(
        source, validation=0, test=0, size=size_of(size), depth=depth, skip_bad=skip_bad,
        progress=reading_progress(), folder=folder,
    )  # fmt: skip
    rows = rows_behind(splits.train.images)
    file = rows.file if isinstance(rows, PackedRows) else None
    told = () if file is None else file.layout.parts
    said: dict[str, str] = {part.part: part.sha256 for part in told}
    digests = {part: said.get(part) or data.digest() for part, data in splits.parts.items()}
    for line in repr(splits).splitlines():
        say(line)
    for part, digest in digests.items():
        say(f"SHA-256 of {part}: {digest}")
    if file is not None:
        held = f"{readable(file.size)} in {counted(file.blocks, 'block')}, SHA-256 {file.sha256}"
        say(f"{printable(file.path)}: {held}")
    if as_json:
        train = splits.train
        print_json(
            {
                "name": train.name,
                "image_shape": list(train.image_shape),
                "dtype": train.images.dtype.name,
                "class_names": list(train.class_names),
                "parts": {
                    part: {
                        "samples": len(data),
                        "sha256": digests[part],
                        "images_by_class": None if data.of_places else _by_class(data),
                        "pixels_by_class": _by_class(data) if data.of_places else None,
                    }
                    for part, data in splits.parts.items()
                },
                "reading": None if train.reading is None else train.reading.plain(),
                "notes": list(splits.notes),
                "skipped": plain_skipped(splits.skipped),
                "pack": None
                if file is None
                else {"size": file.size, "blocks": file.blocks, "sha256": file.sha256},
            }
        )


def _by_class(data: Dataset) -> list[int] | None:
    """How many images, or pixels, there are of each class; None where classes have no names."""
    counts: list[int] = data.class_counts().tolist()
    return counts if data.classes else None


def check(
    path: Annotated[
        Path,
        typer.Argument(metavar="PACK", help="A packed data set.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Read a packed data set to its end, and name every block that is damaged.

    Examples:
      isoconv data check photos.pack
    """
    from isoconv import data as library
    from isoconv.data.files import NAMED, bad_file
    from isoconv.data.pack_file import open_pack
    from isoconv.data.tally import counted

    faults = library.check(path, reading_progress())
    file = open_pack(path.expanduser())
    if as_json:
        print_json({"path": path, "sha256": file.sha256, "blocks": file.blocks, "faults": faults})
    if faults:
        more = [f"and {len(faults) - NAMED:,} more (--json has all)"] if faults[NAMED:] else []
        lines = "".join(f"\n  {line}" for line in (*faults[:NAMED], *more))
        raise bad_file(path, f"{counted(len(faults), 'fault')}:{lines}")
    blocks = counted(file.blocks, "block")
    say(f"{printable(path)}: {blocks} as it was packed, SHA-256 {file.sha256}")


app.callback(invoke_without_command=True, help=help_of(data))(data)
app.command("list", help=help_of(list_names))(list_names)
app.command("fetch", help=help_of(fetch))(fetch)
app.command("show", help=help_of(show))(show)
app.command("pack", help=help_of(pack))(pack)
app.command("check", help=help_of(check))(check)
