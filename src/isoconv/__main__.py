"""The command line's entry: `isoconv`, and ``python -m isoconv`` where that is not at hand."""

from __future__ import annotations

import contextlib
import sys

from isoconv.signals import ended_by_exception, number_of


def main() -> None:
    """Run the command line; Ctrl-C and being asked to end are told from its first moment on."""
    try:
        with ended_by_exception():
            from isoconv.cli import main as run

            run()
    except KeyboardInterrupt as error:
        # Where nobody takes standard error, the exit code tells.
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.write(f"{str(error) or 'interrupted'}\n")
        sys.exit(128 + number_of(error))
    finally:
        # Where Ctrl-C came into code that was made of text, as that of a dataclass is, Python ends
        # ``python -m`` by the signal, whatever the exit code is: until other such code has run.
        exec("")  # noqa: S102


if __name__ == "__main__":
    main()
