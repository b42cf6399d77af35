"""What a person sees of a training: a bar on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isoconv.printable import printable_lines
from isoconv.progress import Bar, is_console
from isoconv.train.words import accuracy

if TYPE_CHECKING:
    from rich.console import Console


def epoch_line(row: Mapping[str, Any], epochs: int, places: bool = False) -> str:
    """An epoch in one line.

    Args:
        row: of the history.
        epochs: how many there are to be.
        places: the accuracies are of the places of images.

    Example:
        >>> epoch_line({"epoch": 1, "loss": 0.5, "top1": 0.75, "seconds": 2.0,
        ...             "images_per_second": 1234.0}, 3)
        'epoch 1/3  loss 0.5000  accuracy 75.00%  2.0 s  1,234 images/s'
    """
    parts = [f"epoch {row['epoch']}/{epochs}"]
    for prefix, title in (("", ""), ("val_", "validation ")):
        if f"{prefix}loss" in row:
            parts.append(f"{title}loss {row[f'{prefix}loss']:.4f}")
        if f"{prefix}top1" in row:
            parts.append(f"{accuracy(places)} {100 * row[f'{prefix}top1']:.2f}%")
        if f"{prefix}iou" in row:
            parts.append(f"mean IoU {100 * row[f'{prefix}iou']:.2f}%")
    parts.append(f"{row['seconds']:.1f} s")
    parts.append(f"{row['images_per_second']:,.0f} images/s")
    return "  ".join(parts)


class Reporter:
    """Shows the progress of a training.

    Args:
        shown: False for silence.
        console: where; standard output by default.
    """

    def __init__(self, shown: bool = True, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console()
        self._lines = shown
        self._bars = shown and self._console.is_terminal
        self._bar = Bar(self._console)
        self._later = 0

    def compiling(self, ready: int, total: int) -> None:
        """So many kernels of so many are compiled."""
        if not self._bars or not total:
            return
        if not self._bar.begun:
            self._bar.begin("compiling kernels", total)
        self._bar.advance(ready, f"{ready}/{total}", total)
        if ready >= total:
            self.close()

    def computing(self, data: str, done: int, images: int) -> None:
        """What frozen layers give is known of so many images of some data."""
        if self._bars:
            if not self._bar.begun:
                self._bar.begin(f"frozen layers, {data}", images)
            self._bar.advance(done, f"{done:,}/{images:,}", images)
        if done >= images:
            self.close()
            self.say(f"what the frozen layers give for the {data} is computed once")

    def begin_epoch(self, epoch: int, epochs: int, images: int, done: int) -> None:
        """An epoch of so many images begins, some of them done already."""
        if self._bars:
            self._bar.begin(f"epoch {epoch}/{epochs}", images)
            self._later = (epochs - epoch) * images
            self._bar.advance(done, "", images)

    def advance(self, done: int, images: int, means: Mapping[str, float], rate: float) -> None:
        """So many of the epoch's images are done, with these means so far."""
        if self._bars:
            facts = f"{rate:,.0f} images/s  loss {means['loss']:.4f}"
            if "top1" in means:
                facts += f"  {100 * means['top1']:.2f}%"
            left = (self._later + images - done) / rate
            self._bar.advance(done, f"{facts}  {int(left) // 60}:{int(left) % 60:02d} left", images)

    def end_epoch(
        self, row: Mapping[str, Any], epochs: int, more: str = "", places: bool = False
    ) -> None:
        """An epoch is over and measured; there may be more to say of it."""
        self.close()
        self.say("  ".join(filter(None, (epoch_line(row, epochs, places), more))))

    def checking(self, which: str, done: int, epochs: int) -> None:
        """So many epochs of so many that were trained again are as they were, these the last."""
        if not self._bars:
            self.say(f"{which} as in the receipt, {done} of {epochs}")
            return
        if not self._bar.begun:
            self._bar.begin("verifying", epochs)
        self._bar.advance(done, f"{done}/{epochs} epochs", epochs)

    def say(self, text: str) -> None:
        """One plain line."""
        if self._lines:
            # What came out of files and names must not reach a terminal as it is.
            line = printable_lines(text)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line on what a person should know before trusting the figures."""
        self.say(f"warning: {text}")

    def note(self, text: str) -> None:
        """One line on what was left out or taken for something, and casts no doubt on figures."""
        self.say(f"note: {text}")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def reporter_for(progress: bool | Console) -> Reporter:
    """What shows the progress that a person asked for."""
    return Reporter(console=progress) if is_console(progress) else Reporter(shown=bool(progress))
