"""``isoconv view``: a page on this machine that takes any number of a network apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli import complete
from isoconv.cli.options import AsJson, Best
from isoconv.cli.table import print_json, say

if TYPE_CHECKING:
    from isoconv.explain.explorer import Explorer


def view(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A run folder, or a .safetensors file: a saved model or a checkpoint; without it "
            "the playground, which needs no model.",
            show_default=False,
            autocompletion=complete.trained,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The picture that is shown first.", show_default=False),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Its class, by name or number, for gradients of the loss.",
            show_default=False,
        ),
    ] = None,
    best: Best = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="Where a run's data are now, if not where they were.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the page.  [default: 8377, or a free one]",
            show_default=False,
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the page into one HTML file that works without Python or a network, and "
            "serve nothing.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a network, or at convolution itself, number by number.

    The page is for this machine alone: its address holds a random token, and nothing is loaded
    from anywhere else. Click a cell of a feature map to see window, kernel, products and running
    sum, and what flows back into it. Ctrl-C ends it.

    Examples:
      isoconv view runs/pets --image cat.jpg
      isoconv view runs/pets --image cat.jpg --label cat
      isoconv view
      isoconv view --save playground.html
    """
    from isoconv.errors import ArgumentError
    from isoconv.printable import printable

    if save is None:
        from isoconv.serve.local import ready_to_serve

        ready_to_serve()
    explorer, title = None, "isoconv playground"
    if run is None:
        if image is not None or label is not None:
            raise ArgumentError("a picture is shown to a network: name a run folder or a model")
    else:
        from isoconv.cli.explorer import explorer_of

        explorer = explorer_of(run, image, label, best=best, data=data)
        title = explorer.title
        shown = explorer.scene.image_name
        say(f"shows {printable(title)}, {printable(shown)}")
    if save is not None:
        _save(explorer, save, as_json)
        return
    from isoconv.serve.local import serve

    def ready(address: str, note: str) -> None:
        if note:
            say(note)
        say(f"open {address}")
        say("Ctrl-C ends it")
        if as_json:
            print_json({"address": address, "title": title})
        if open_it and not _open(address):
            say("no browser is opened: there is no display here")

    serve(explorer, title, port=port, ready=ready)


def _save(explorer: Explorer | None, file: Path, as_json: bool) -> None:
    """Write the page of a network, or the playground's, and say where it is."""
    from isoconv.explain.standalone import write_page, write_playground
    from isoconv.printable import printable

    notes: list[str] = []
    if explorer is None:
        write_playground(file)
    else:
        notes = write_page(explorer, file)
    for note in notes:
        say(note)
    size = file.stat().st_size
    say(f"wrote {printable(file)}, {size:,} bytes")
    if as_json:
        print_json({"file": str(file), "bytes": size, "left_out": notes})


def _open(address: str) -> bool:
    """Open a page in the browser, in a thread of its own: the page is served by this one.

    Where no window can be shown, nothing is opened: a browser of text would take the terminal. A
    BROWSER that somebody set is their choice; editors that work from afar set one too.
    """
    import os
    import sys
    import threading
    import webbrowser

    shown = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(map(os.environ.get, shown)):
        return False
    # The socket listens already, so that a request waits until it is answered.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return True
