"""``python -m tests.fuzz``: spoiled files for every reader, and what they must not do with them."""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image
from tests.fuzz import planted
from tests.fuzz.case import Limits
from tests.fuzz.mutate import KINDS, Mutant, kind_of, mutant
from tests.fuzz.readers import readers_of
from tests.fuzz.run import Found, fuzz, scratch_root
from tests.fuzz.seed_runs import make_runs, read_runs
from tests.fuzz.seeds import Seed, data_seeds

INTERRUPTED = 130
_BATCH = 200
"""Mutants of one process, at most: memory that they leave behind is gone with it."""
_KEPT = 3
"""Mutants of one fault that are kept as files."""
_EVERY = 2.0
"""Seconds between lines of progress where there is no terminal to draw them on."""


def all_seeds() -> list[Seed]:
    """Every seed; the run is trained in a process of its own, which takes its threads along."""
    with tempfile.TemporaryDirectory(prefix="isoconv-fuzz-") as folder:
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=make_runs, args=(Path(folder),))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"the run to make mutants of could not be made: {process.exitcode}")
        return [*data_seeds(), *read_runs(Path(folder))]


def warm_up(seeds: Sequence[Seed]) -> None:
    """Read every seed as it is, so that what is imported on the way is imported once.

    The first reader of each kind must read its seeds.
    """
    Image.init()
    with tempfile.TemporaryDirectory(prefix="isoconv-fuzz-", dir=scratch_root()) as root:
        for place, seed in enumerate(seeds):
            folder = Path(root) / str(place)
            folder.mkdir()
            path = Mutant(-1, seed, seed.files, "").write(folder)
            for number, reader in enumerate(readers_of(seed.kind, 0)):
                try:
                    reader(path)
                except Exception as error:
                    if not number:
                        raise RuntimeError(f"{seed.kind} {seed.name}: {reader.__name__}") from error
    gc.collect()
    gc.freeze()


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many mutants")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0, help="of all mutants")
    parser.add_argument("--only", default="", help=f"kinds, by commas: {', '.join(KINDS)}")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=5.0, help="that a reader may take")
    parser.add_argument("--memory", type=int, default=512, help="MiB that it may take")
    parser.add_argument("--again", type=int, help="read this mutant alone and show all of it")
    parser.add_argument("--keep", type=Path, help="folder for mutants with faults")
    parser.add_argument("--json", type=Path, help="file for what was found")
    parser.add_argument("--planted", action="store_true", help="read by readers with faults")
    asked = parser.parse_args()
    wrong = set(filter(None, asked.only.split(","))) - set(KINDS)
    if wrong:
        parser.error(f"--only takes kinds of {', '.join(KINDS)}; got {', '.join(sorted(wrong))}")
    return asked


def _numbers(asked: argparse.Namespace) -> Iterator[int]:
    """The numbers of the mutants that were asked for."""
    if asked.again is not None:
        return iter((asked.again,))
    kinds = set(filter(None, asked.only.split(",")))
    every = itertools.count(asked.first)
    some = (number for number in every if not kinds or kind_of(number) in kinds)
    return itertools.islice(some, asked.count)


def _teller(count: int) -> Callable[[Found], None]:
    """Shows how far it is."""
    begin = last = time.monotonic()

    def tell(found: Found) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if sys.stderr.isatty() else _EVERY):
            return
        last = now
        done = found.cases.total()
        line = f"{done:,} of {count:,} mutants, {done / (now - begin):.0f} a second, "
        line += f"{len(found.groups)} faults in {len({each.number for each in found.faults})}"
        print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)  # noqa: T201

    return tell


def _keep(found: Found, folder: Path, made: Callable[[int], Mutant | None], seed: int) -> None:
    """Write some mutants of every fault, with the command that reads them again."""
    for (kind, what), faults in found.groups.items():
        for number in sorted({fault.number for fault in faults})[:_KEPT]:
            name = "".join(letter if letter.isalnum() else "-" for letter in f"{kind}-{what}")
            place = folder / name[:100] / str(number)
            shutil.rmtree(place, ignore_errors=True)
            (place / "files").mkdir(parents=True)
            spoiled = made(number)
            if spoiled is not None:
                spoiled.write(place / "files")
            command = f"python -m tests.fuzz --seed {seed} --again {number}\n"
            (place / "command.txt").write_text(command, "utf-8")
            text = next(fault.text for fault in faults if fault.number == number)
            (place / "fault.txt").write_text(f"{what}\n\n{text}", "utf-8", "backslashreplace")


def _summary(found: Found) -> str:
    cases = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.cases.items()))
    lines = [f"{found.cases.total():,} mutants: {cases}"]
    for (kind, what), faults in found.groups.items():
        numbers = sorted({fault.number for fault in faults})
        readers = ", ".join(sorted({fault.reader for fault in faults if fault.reader}))
        more = ", …" if len(numbers) > _KEPT else ""
        listed = ", ".join(map(str, numbers[:_KEPT]))
        lines.append(f"FAULT {kind}: {what} ({readers}): {len(numbers)} mutants: {listed}{more}")
    if found.interrupted:
        lines.append("interrupted: not all that were asked for were read")
    if found.passing:
        listed = ", ".join(map(str, sorted(found.passing)[:20]))
        lines.append(
            f"{len(found.passing)} took too much behind others and not when read alone: {listed}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run it; gives 1 if a fault was found, 130 if it was ended before."""
    asked = _asked()
    if asked.planted:
        seeds, readers = [planted.SEED], planted.readers_of
    else:
        seeds, readers = all_seeds(), readers_of
        warm_up(seeds)

    def made(number: int) -> Mutant | None:
        return mutant(asked.seed, number, seeds, planted.SEED.kind if asked.planted else "")

    # Asked to end, it tells what it found so far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    limits = Limits(asked.seconds, 4 * asked.seconds, asked.memory << 20)
    count = 1 if asked.again is not None else asked.count
    found = fuzz(
        _numbers(asked),
        made,
        readers,
        kind_of,
        workers=asked.workers,
        batch=max(1, min(_BATCH, count // (4 * asked.workers))),
        limits=limits,
        tell=_teller(count),
    )
    if asked.again is not None:
        spoiled = made(asked.again)
        if spoiled is not None:
            print(f"{spoiled.seed.kind} {spoiled.seed.name}: {spoiled.changed} {spoiled.special}")  # noqa: T201
        for fault in found.faults:
            print(f"--- {fault.reader}: {fault.what}\n{fault.text}")  # noqa: T201
    print(_summary(found))  # noqa: T201
    if asked.keep is not None and found.faults:
        _keep(found, asked.keep, made, asked.seed)
    if asked.json is not None:
        told = {"cases": dict(found.cases), "faults": [asdict(fault) for fault in found.faults]}
        asked.json.write_text(json.dumps(told), "utf-8")
    return INTERRUPTED if found.interrupted else int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
