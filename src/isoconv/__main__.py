"""The command line's entry: `isoconv`, and ``python -m isoconv`` where that is not at hand."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C ends it with a word from its first moment on."""
    try:
        from isoconv.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
