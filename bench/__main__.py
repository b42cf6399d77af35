"""``python -m bench``: measure beside other libraries, store the results, make the table.

The peers live in an environment of their own (``bench/.peers``), which `make bench` makes; those
that are missing are left out with a note.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bench import bounds, mca
from bench.crew import Crew, Setting, chosen
from bench.libraries import PEERS
from bench.measure import MEASUREMENTS, NAMES
from bench.results import FOLDER, ceilings_of, read, told, write
from bench.table import brief, markdown, update
from bench.timing import FULL, QUICK
from isoconv.compile.target import host_target
from isoconv.errors import ArgumentError
from isoconv.run.ceilings import measure_barrier

PAGE = Path(__file__).with_name("README.md")
FRONT = PAGE.parents[1] / PAGE.name
ALONE = ("table", "mca", "bounds")
"""What stores nothing that is measured."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; or make the table of what is stored, or look at inner loops."""
    options = _options(arguments)
    if options.what == ["mca"]:
        return _analysed(options)
    if options.what == ["bounds"]:
        return _bounded(options)
    if options.what == ["table"]:
        results = read(quick=options.quick)
        if options.quick:
            print(markdown(results))
        else:
            update(PAGE, markdown(results))
            update(FRONT, brief(results))
        return 0
    peers = tuple(peer.name for peer in PEERS)
    if options.peers is not None:
        peers = tuple(name for name in options.peers.split(",") if name)
    unknown = set(peers) - {peer.name for peer in PEERS}
    if unknown:
        known = ", ".join(peer.name for peer in PEERS)
        print(f"no peer is called {', '.join(sorted(unknown))}; there are {known}", file=sys.stderr)
        return 2
    pace = QUICK if options.quick else FULL
    wanted = list(MEASUREMENTS) if "all" in options.what else options.what
    works = [names for what in wanted for names in NAMES.get(what, ())]
    only = chosen(options.only or "", works)
    clock = "processor" if options.processor_time else "wall"
    setting = Setting(
        options.threads, pace, peers, options.verbose, only, options.seeds, clock
    )  # fmt: skip
    refusal = _refusal(setting, wanted)
    if refusal:
        print(refusal, file=sys.stderr)
        return 2
    for what in wanted:
        crew = Crew(setting)
        before = ceilings_of(setting)
        rows = []
        earlier = measure_barrier(setting.threads)
        try:
            for row in MEASUREMENTS[what](crew):
                later = measure_barrier(setting.threads)
                row["meeting_ns"] = [round(seconds * 1e9) for seconds in (earlier, later)]
                earlier = later
                print(told(row), flush=True)
                rows.append(row)
                # A run that is cut off keeps what it has measured.
                write(what, rows, crew, before, complete=False)
        finally:
            crew.close()
        path = write(what, rows, crew, ceilings_of(setting, before), complete=not setting.only)
        for text in crew.notes:
            print(f"note: {text}", file=sys.stderr)
        print(f"stored {path.relative_to(FOLDER.parent.parent)}")
    return 0


def _analysed(options: argparse.Namespace) -> int:
    """Print what LLVM's machine-code analyser says."""
    cpus = [name for name in (options.cpus or ",".join(mca.CPUS)).split(",") if name]
    try:
        tool = mca.find_tool(options.llvm_mca)
        only = chosen(options.only or "", [(layer.name,) for layer in mca.WORK])
        for line in mca.report(cpus, only, tool):
            print(line, flush=True)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _bounded(options: argparse.Namespace) -> int:
    """Print what bounds the kernels of single convolutions, as it is measured."""
    targets = [name for name in (options.targets or host_target().name).split(",") if name]
    pace = QUICK if options.quick else FULL
    try:
        only = chosen(options.only or "", [(layer.name,) for layer in mca.WORK])
        for line in bounds.report(targets, only, options.threads, pace):
            print(line, flush=True)
    except (ArgumentError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _refusal(setting: Setting, wanted: list[str]) -> str:
    """Why these measurements cannot be made so; empty if they can."""
    if setting.clock == "processor" and (wanted != ["small"] or setting.threads != 1):
        # Threads that wait for one another take processor time, more or less of it.
        return "--processor-time is for small with --threads 1"
    if not setting.only:
        return ""
    whole = [what for what in wanted if what not in NAMES]
    if whole:
        return f"--only chooses rows of {', '.join(NAMES)}; {', '.join(whole)} is measured whole"
    for word in setting.only:
        alone = replace(setting, only=(word,))
        for what in wanted:
            if not any(alone.wants(*names) for names in NAMES[what]):
                known = "; ".join(names[0] for names in NAMES[what])
                return f"no row of {what} is called {word!r}; there are {known}"
    return ""


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choices = [*MEASUREMENTS, "all", *ALONE]
    parser.add_argument(
        "what", nargs="*", default=["all"], metavar="WHAT",
        help=f"what to measure: {', '.join(choices)} (table: of what is stored, into both READMEs; "
        "mca: nothing, but what LLVM's analyser says of the inner loops; bounds: what bounds the "
        "kernels of single convolutions, which is printed and not stored)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="threads of every library")
    parser.add_argument("--quick", action="store_true", help="only see whether all works")
    parser.add_argument(
        "--only", metavar="NAME,...",
        help="measure the rows whose network or name has one of these in it; stored rows stay",
    )  # fmt: skip
    parser.add_argument(
        "--cpus", metavar="NAME,...", help=f"of mca: {', '.join(mca.CPUS)}; all if none is named"
    )
    parser.add_argument(
        "--targets", metavar="NAME,...", help="of bounds: avx512, avx2, ...; the host's if none"
    )
    parser.add_argument(
        "--llvm-mca", metavar="PATH", help="of mca: the analyser; the newest that is found if none"
    )
    parser.add_argument("--peers", metavar="NAME,...", help="libraries to measure beside")
    parser.add_argument(
        "--seeds", type=int, default=3, choices=(1, 2, 3), metavar="N",
        help="trainings of each library on a small data set of fewer than 2,000 pictures, 1 to 3",
    )  # fmt: skip
    parser.add_argument(
        "--processor-time", action="store_true",
        help="seconds of small data sets are those of the processor, on a machine that is in use",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="show what the workers write")
    options = parser.parse_args(arguments)
    wrong = [what for what in options.what if what not in choices]
    if wrong or (len(options.what) > 1 and any(word in ALONE for word in options.what)):
        parser.error(f"WHAT must be among {', '.join(choices)}; got {' '.join(options.what)}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
