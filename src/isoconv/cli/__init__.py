"""The command line: one file for each command.

Commands import what is heavy when they run, so that ``isoconv --help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from isoconv.cli import (
    bench,
    data,
    demo,
    diff,
    evaluate,
    explain,
    export,
    info,
    inspect,
    models,
    predict,
    report,
    resume,
    serve,
    summary,
    train,
    verify,
    view,
)
from isoconv.cli.errors import Commands
from isoconv.cli.options import help_of, limit_of, name_values
from isoconv.cli.output import whole_output
from isoconv.cli.table import say
from isoconv.graph.passes import check_passes

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    name="isoconv",
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from isoconv import __version__

        say(f"isoconv {__version__}")
        raise typer.Exit


def start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show where in the program an error arose, and check a network after every pass "
            "over its graph.",
        ),
    ] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory that the process may take in all, such as 2GiB; what needs more is "
            "refused before it is taken.  [default: what the machine has]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convolutional networks for images, trained to the same bits on every machine.

    Examples:
      isoconv demo
      isoconv train fashion-sample --model tinyvgg --epochs 5
      isoconv predict runs/demo photo.png
    """
    if max_memory is not None:
        from isoconv.memory import set_limit

        before = set_limit(limit_of(max_memory))
        context.call_on_close(lambda: set_limit(before))
    if debug:
        check_passes(True)
    if context.invoked_subcommand is None:
        say(context.get_help())


app.callback(invoke_without_command=True, help=help_of(start))(start)
for function in (
    demo.demo,
    train.train,
    resume.resume,
    evaluate.evaluate,
    predict.predict,
    export.export,
    report.report,
    verify.verify,
    view.view,
    serve.serve,
    diff.diff,
    info.info,
    inspect.inspect,
    summary.summary,
    bench.bench,
):
    app.command(help=help_of(function))(function)
app.add_typer(data.app, name="data")
app.add_typer(explain.app, name="explain")
app.add_typer(models.app, name="models")
# So the help says of a value what the documents say.
name_values(start)
name_values(models.models)
for entry in (
    *app.registered_commands,
    *data.app.registered_commands,
    *explain.app.registered_commands,
    *models.app.registered_commands,
):
    name_values(entry.callback)


def main() -> None:
    """Run the command line; the entry point of ``isoconv``."""
    whole_output()
    app(prog_name="isoconv")
