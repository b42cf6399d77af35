"""A run folder as the place that one training at a time works in: begun, gone on with, given up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from isoconv.checks import as_word, check_path, refusal
from isoconv.data import Samples
from isoconv.data.skipped import skipped_from_csv
from isoconv.errors import ArgumentError, CheckpointError, DataError
from isoconv.files import read_file
from isoconv.signals import Uninterrupted
from isoconv.train.files import cannot_be_written, read_json, write_bytes
from isoconv.train.hold import Hold
from isoconv.train.places import Places


class WorkFolder(Places):
    """A folder that a training holds while it writes there.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._hold: Hold | None = None
        self._thread = 0
        self._needed: list[Path] = []

    @contextmanager
    def begun(self, make_room: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the folder for a new run: made if it is not there, gone if nothing came of it.

        Within such a block another one of the same thread does nothing.

        Args:
            make_room: removes what may be removed, once the folder is held.

        Raises:
            ArgumentError: the folder holds a run already, or files that a run would overwrite.
            CheckpointError: another process holds it, or it cannot be written.
        """
        if make_room is not None and not callable(make_room):
            raise refusal("make_room", "be a function", make_room)
        if self._hold is not None and self._thread == threading.get_ident():
            yield
            return
        try:
            is_held = self.held_file.exists()
        except OSError as error:
            # A name that is too long for any folder.
            raise cannot_be_written(self.path, error) from error
        if make_room is None and not is_held:
            # Whoever holds it is told first.
            self.check()
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            with self._held():
                if make_room is not None:
                    make_room()
                # Another training may have come and gone in between.
                self.check()
                self._tidy_temporary()
                self.clear()
                yield
        finally:
            if not self._needed:
                self._remove(*made)

    @contextmanager
    def gone_on(self) -> Iterator[None]:
        """Hold the folder of a run that is to be gone on with.

        Raises:
            CheckpointError: another process holds it, or it cannot be written.
        """
        needed = [path for path in (self.run_file, self.samples_file) if path.exists()]
        with self._held(needed):
            self._tidy_temporary()
            yield

    @contextmanager
    def _held(self, needed: Sequence[Path] = ()) -> Iterator[None]:
        hold: Hold | None = None
        try:
            # Whatever is made here is known to be there before an interrupt comes through.
            with Uninterrupted():
                hold = Hold(self.path)
                self._hold, self._thread = hold, threading.get_ident()
                self._needed = list(needed)
                try:
                    self.checkpoint_file.parent.mkdir(exist_ok=True)
                except OSError as error:
                    raise cannot_be_written(self.path, error) from error
            yield
        finally:
            with Uninterrupted():
                if hold is not None:
                    self._hold = None
                    if not self._needed and hold.intact:
                        self._remove(self.checkpoint_file.parent)
                    hold.release()

    @property
    def notes(self) -> list[str]:
        """What a person should know of the folder, a line each."""
        if self._hold is None or self._hold.lasting:
            return []
        return [f"the file system of {self.path} has no locks: see that nobody else trains into it"]

    def _remove(self, *folders: Path) -> None:
        for folder in folders:
            # Not if there is anything in it.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _tidy_temporary(self) -> None:
        """Delete what killed processes were writing; nobody else writes here now."""
        for path in self._temporary():
            with contextlib.suppress(OSError):
                path.unlink()

    def _announce(self, content: bytes) -> None:
        """Write run.json: from now on there is a run.

        Raises:
            CheckpointError: as `write`.
        """
        self.write(self.run_file, content)
        self._needed = [self.run_file, self.samples_file]

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file of the folder.

        Raises:
            CheckpointError: it cannot be written, or the run was removed while it was trained.
        """
        path = check_path("path", path)
        if not isinstance(content, bytes):
            raise refusal("content", "be bytes", content)
        if self._hold is None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_be_written(path, error) from error
        else:
            self._hold.check()
            for needed in (self.checkpoint_file.parent, *self._needed):
                if not needed.exists():
                    raise CheckpointError(
                        f"{needed} was removed while it was trained into {self.path}; nothing more "
                        "is written there",
                        path=self.path,
                    )
        write_bytes(path, content)

    def check(self) -> None:
        """See that a new run may be written here.

        What a start left that was killed before there was a run is no run.

        Raises:
            ArgumentError: the folder holds a run already, or files that a run would overwrite.
        """
        way_on = f"isoconv resume {as_word(self.path)}"
        if self.run_file.exists():
            raise ArgumentError(
                f"{self.path} holds a run already; go on with it ({way_on}) or choose another "
                "folder",
                argument="out",
                value=self.path,
                path=self.path,
            )
        left = self._left_by_a_start()
        of_several = [path for path in (self.crossed_file, self.grid_file) if path.exists()]
        for path in (*of_several, *self._files()):
            if path not in left:
                name = path.relative_to(self.path).as_posix()
                raise ArgumentError(
                    f"{self.path} holds {name} of another run or of somebody else, which is not "
                    "overwritten; choose another folder",
                    argument="out",
                    value=self.path,
                    path=path,
                )

    def _left_by_a_start(self) -> list[Path]:
        left = list(self._of_a_start())
        if self.receipt_file.exists() and not self._only_begun():
            left.remove(self.receipt_file)
        for path, read in (
            (self.samples_file, Samples.read),
            (self.skipped_file, skipped_from_csv),
        ):
            try:
                read(read_file(path), "")
            except (OSError, DataError):
                left.remove(path)
        return left

    def _only_begun(self) -> bool:
        try:
            receipt = read_json(self.receipt_file, "receipt")
            return len(receipt["epochs"]) <= 1 and receipt["final"] is None
        except (CheckpointError, KeyError, TypeError):
            return False

    def clear(self) -> None:
        """Remove what a start left that was killed before there was a run; within `begun`."""
        arrays = self.checkpoint_file.parent.glob("last-*.safetensors")
        for path in (*self._of_a_start(), *arrays):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what a start wrote that came to nothing, and nothing else; within `begun`."""
        if self._hold is not None and not self._hold.intact:
            # What is there now is somebody else's.
            return
        with contextlib.suppress(OSError):
            # What it announces goes after it.
            self.run_file.unlink(missing_ok=True)
        self._needed = []
        self.clear()
