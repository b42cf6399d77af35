"""A run's epochs, trained again in pieces by several processes: each from a kept checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial

from isoconv.data.tally import counted
from isoconv.errors import IsoconvError
from isoconv.nn import Module
from isoconv.rows import files_behind
from isoconv.run.pieces import Machines, Mapper, Tell, division, mapper_for, threads_for
from isoconv.train.checkpoint import RunFolder
from isoconv.train.compare import Difference
from isoconv.train.covered import NotCovered
from isoconv.train.given import Given
from isoconv.train.progress import Reporter, reporter_for
from isoconv.train.receipt import Receipt
from isoconv.train.rerun import Rerun, interrupted
from isoconv.train.settings import TrainSettings
from isoconv.train.state import Checkpoint
from isoconv.wording import either

_EACH = 4
"""Pieces for each process: with more, planning and compiling take longer; with fewer, some wait."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """Neighbouring epochs that are trained again.

    Attributes:
        first: of them, from 1; what was before it was kept.
        last: of them.
        tests: whether the test part is measured as well; the number of the last epoch of all, or 0.
        start: the state before the first, for who does not see the run folder; None for others.
    """

    first: int
    last: int
    tests: int = 0
    start: Checkpoint | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.first == self.last:
            return f"epoch {self.first}"
        return f"epochs {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some epochs.

    Attributes:
        difference: the first, or None.
        error: that ended it, or None.
        test: the difference in the measurement on the test part, or None.
        untested: that measurement could not be made.
    """

    difference: Difference | None = None
    error: IsoconvError | None = None
    test: Difference | None = None
    untested: bool = False

    @property
    def clean(self) -> bool:
        """Whether there is nothing to be said."""
        return not (self.wrong or self.test is not None or self.untested)

    @property
    def wrong(self) -> bool:
        """Whether no later epoch matters any more."""
        return self.difference is not None or self.error is not None


@dataclass(slots=True)
class Again:
    """Trains epochs of a run again, in whatever process; see `isoconv.run.pieces.Work`.

    Attributes:
        receipt: of the run.
        model: as the one that was trained; None for one made of the receipt.
        given: the data.
        machine: the settings that decide no bit.
    """

    receipt: Receipt
    model: Module | None
    given: Given
    machine: TrainSettings
    _rerun: Rerun | None = field(default=None, init=False)

    def __call__(self, piece: Epochs, tell: Tell) -> Outcome:
        """Train these epochs and compare them; tells of each that is as it was."""
        try:
            if self._rerun is None:
                # Once in each process.
                self._rerun = Rerun(
                    self.receipt, self.model, self.given, self.machine, NotCovered()
                )
            if piece.start is not None:
                self._rerun.begin_from(piece.start)
            found, kept = self._rerun.epochs(piece.first, piece.last, tell)
            if found is not None or not piece.tests:
                return Outcome(found)
            test = self._rerun.test(kept, piece.tests)
            return Outcome(test=test, untested=self._rerun.free.left)
        except IsoconvError as error:
            # An earlier epoch may differ.
            return Outcome(error=error)


def run_pieces(
    rerun: Rerun, work: Again, first: int, last: int, workers: int, cluster: Machines | None = None
) -> Difference | None:
    """Run some epochs in several processes and give back the first difference.

    Args:
        rerun: what is known of the run here.
        work: what each process does; its settings of the machine are those that were asked for.
        first: of the epochs.
        last: of them.
        workers: how many processes of this machine.
        cluster: other machines that do it in their place.
    """
    reporter = reporter_for(work.machine.progress)
    kept = RunFolder(work.receipt.folder).kept_epochs()
    with ExitStack() as opened:
        opened.callback(reporter.close)
        mapper = None
        if cluster is not None:
            reads = files_behind(part.images for part in work.given.parts.values())
            mapper = opened.enter_context(cluster.mapper(reporter.note, None, reads))
            workers = mapper.size
        pieces = _pieces(first, last, kept, _EACH * workers, work.receipt.kept_epoch)
        if len(pieces) < 2:
            keeps = either("keep_checkpoints=True", "--keep-checkpoints")
            why = f", for no checkpoint in between was kept ({keeps} keeps them)"
            reporter.note(f"one process trains all again{why if last > first else ''}")
            return rerun.run(first, last)
        found = rerun.check(first)
        if found is not None:
            return found
        begin = (
            f"{counted(last - first + 1, 'epoch')} in {len(pieces)} pieces, each from a kept "
            "checkpoint:"
        )
        if mapper is not None:
            reporter.say(f"{begin} {counted(workers, 'worker')} of a cluster")
            work = replace(work, machine=replace(work.machine, progress=False))
            outcomes = _outcomes(rerun, work, pieces, mapper, reporter, apart=True)
        else:
            workers = min(workers, len(pieces))
            threads = threads_for(workers, work.machine.threads)
            reporter.say(f"{begin} {division(workers, threads)}")
            work = replace(work, machine=replace(work.machine, threads=threads, progress=False))
            outcomes = _outcomes(rerun, work, pieces, mapper_for(workers), reporter)
    for piece in pieces:
        outcome = outcomes[piece]
        if outcome.error is not None:
            raise outcome.error
        if outcome.difference is not None:
            return outcome.difference
    (tested,) = (outcomes[piece] for piece in pieces if piece.tests)
    if tested.untested:
        rerun.free.leave("receipt.json", "final.test")
    return tested.test


def _pieces(first: int, last: int, kept: Iterable[int], most: int, left: int) -> list[Epochs]:
    """The pieces that lie between kept checkpoints, as equal as these allow, and at most so many.

    Args:
        first: of the epochs.
        last: of them.
        kept: epochs after which the state was kept.
        most: pieces that there are to be.
        left: the epoch whose weights the run left: its piece measures with the test part.

    Example:
        >>> [str(piece) for piece in _pieces(1, 10, range(11), 4, 10)]
        ['epochs 1 to 3', 'epochs 4 to 6', 'epochs 7 to 9', 'epoch 10']
        >>> [str(piece) for piece in _pieces(2, 10, [0, 5, 6], 20, 10)]
        ['epochs 2 to 5', 'epoch 6', 'epochs 7 to 10']
    """
    least = -(-(last - first + 1) // most)
    cuts = [first - 1]
    for epoch in sorted(kept):
        if epoch < last and epoch - cuts[-1] >= least:
            cuts.append(epoch)
    tested = left if first <= left <= last else last
    return [
        Epochs(before + 1, end, last if before < tested <= end else 0)
        for before, end in zip(cuts, [*cuts[1:], last], strict=True)
        if before < end
    ]


def _outcomes(
    rerun: Rerun,
    work: Again,
    pieces: Sequence[Epochs],
    mapper: Mapper,
    reporter: Reporter,
    apart: bool = False,
) -> dict[Epochs, Outcome]:
    """What came of all pieces up to the first one in which something is wrong.

    Args:
        rerun: of this process.
        work: what is done.
        pieces: with which.
        mapper: by whom.
        reporter: of what is done.
        apart: they do not see the run folder. So each piece has its first state with it; and where
            something is not as it was it is trained once more here, with the kept checkpoints that
            name what differs: no other machine's word is taken for it.
    """
    found: dict[Epochs, Outcome] = {}
    epochs, passed = pieces[-1].last - pieces[0].first + 1, set[int]()

    def open_up() -> Iterator[Epochs]:
        for piece in pieces:
            if any(outcome.wrong for outcome in found.values()):
                return
            yield replace(piece, start=rerun.start(piece.first - 1)) if apart else piece

    def told(_: Epochs, epoch: int) -> None:
        passed.add(epoch)
        reporter.checking(f"epoch {epoch}", len(passed), epochs)

    try:
        with closing(mapper.map(work, open_up(), told)) as results:
            for piece, outcome in results:
                if apart and not outcome.clean:
                    reporter.note(
                        f"{piece}: another machine finds it otherwise; it is trained again here"
                    )
                    outcome = work(piece, partial(told, piece))
                    if outcome.clean:
                        reporter.note(f"{piece}: no difference here: a machine computes wrongly")
                found[piece] = outcome
                if _settled(pieces, found):
                    break
    except KeyboardInterrupt as error:
        done = pieces[0].first - 1
        while done + 1 in passed:
            done += 1
        raise interrupted(done, rerun.training, error) from None
    return found


def _settled(pieces: Sequence[Epochs], found: dict[Epochs, Outcome]) -> bool:
    """Whether something is wrong in a piece, and nothing in any before it."""
    for piece in pieces:
        if piece not in found:
            return False
        if found[piece].wrong:
            return True
    return True
