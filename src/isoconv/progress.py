"""What a person sees of long work: a bar on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from isoconv.checks import check_flag

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bar:
    """A bar with a title before it and facts behind it, which goes away when the work is done.

    Args:
        console: where.
        redrawn: by a thread of its own, several times a second; otherwise when it is advanced.
    """

    def __init__(self, console: Console, redrawn: bool = True) -> None:
        self._console = console
        self._redrawn = redrawn
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    @property
    def begun(self) -> bool:
        """Whether there is one to be seen."""
        return self._progress is not None

    def begin(self, title: str, total: int) -> None:
        """Show a new one."""
        from rich.progress import BarColumn, Progress, TextColumn

        self.close()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            transient=True,
            auto_refresh=self._redrawn,
        )
        self._progress.start()
        self._task = self._progress.add_task(title, total=total, facts="")

    def advance(self, done: int, facts: str, total: int) -> None:
        """So much is done, with these facts; nothing without a bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=done, total=total, facts=facts, refresh=not self._redrawn
            )

    def close(self) -> None:
        """Take it away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._task = None, None


def is_console(progress: object) -> TypeGuard[Console]:
    """Whether a place to show the progress in was given."""
    from rich.console import Console

    return isinstance(progress, Console)


def check_progress(progress: object) -> bool | Console:
    """True, False, or a place to show the progress in.

    Raises:
        ArgumentError: something else.
    """
    if not isinstance(progress, bool) and is_console(progress):
        return progress
    return check_flag("progress", progress)
