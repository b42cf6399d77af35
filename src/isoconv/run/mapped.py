"""Rows of files that native code reads where they are mapped: before it does, and after."""

from __future__ import annotations

from isoconv.compile.native.lost_pages import watched
from isoconv.rows import Rows


def before_reading(rows: Rows) -> None:
    """See that rows are what they should be, and that a page which is lost will be known.

    Raises:
        DataFileError: they are not.
    """
    rows.ready()
    if rows.mapped:
        watched(rows.base)


def have_read(rows: Rows) -> None:
    """See that what native code has read was what it should be.

    Raises:
        DataFileError: it was not, and nothing that came of it may be kept.
    """
    rows.used(lost=rows.mapped and watched(rows.base).lost)
