"""``python -m isoconv``: the command line, where the ``isoconv`` command is not at hand."""

from __future__ import annotations

from isoconv.cli import main

if __name__ == "__main__":
    main()
