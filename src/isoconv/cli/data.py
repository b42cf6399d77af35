"""``isoconv data``: data sets that are known by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoconv.cli import complete
from isoconv.cli.options import AsJson, help_of
from isoconv.cli.table import print_json, print_table, say
from isoconv.printable import printable

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None)

Folder = Annotated[
    Path | None,
    typer.Option(help="Where data sets are kept.  [default: the user's cache folder]"),
]


def data(context: typer.Context) -> None:
    """List and fetch public data sets.

    Examples:
      isoconv data list
      isoconv data fetch cifar10
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


app.callback(invoke_without_command=True, help=help_of(data))(data)
app.command("list", help=help_of(list_names))(list_names)
app.command("fetch", help=help_of(fetch))(fetch)
