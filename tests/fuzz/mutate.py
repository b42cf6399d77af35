"""Mutants: each a function of its seed number and its own number, and of the seeds."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate_archives import any_gz, any_npz, any_tar_gz
from tests.fuzz.mutate_bytes import Mutation, any_bytes, odd_name
from tests.fuzz.mutate_json import any_json, any_lines, any_receipt, any_table
from tests.fuzz.mutate_onnx import any_onnx
from tests.fuzz.mutate_packs import any_pack
from tests.fuzz.mutate_pickles import any_torch
from tests.fuzz.mutate_pictures import any_png, any_riff, any_tiff
from tests.fuzz.mutate_tensors import any_tensors
from tests.fuzz.seed_runs import RUNS, matched
from tests.fuzz.seeds import Seed

__all__ = ["KINDS", "SHARES", "Mutant", "kind_of", "mutant"]

SHARES: Mapping[str, int] = {
    "idx": 7, "cifar": 3, "tar": 5, "npz": 8, "pack": 3, "folder": 5, "png": 6, "jpeg": 4,
    "tiff": 7, "gif": 3, "bmp": 3, "pnm": 3, "webp": 3, "jpeg2000": 3, "avif": 1, "heic": 1,
    "run": 6, "receipt": 6, "checkpoint": 5, "several": 2, "model": 6, "torch": 4, "onnx": 4,
    "parquet": 2,
}  # fmt: skip
"""Of 100 mutants how many are of each kind."""
KINDS = tuple(SHARES)


def _schedule() -> tuple[str, ...]:
    """The kinds of 100 mutants in a row, each kind spread over them."""
    places = [
        ((number + 0.5) / share, kind) for kind, share in SHARES.items() for number in range(share)
    ]
    return tuple(kind for _, kind in sorted(places))


_SCHEDULE = _schedule()

_BY_ENDING: tuple[tuple[str, Mutation], ...] = (
    (".tar.gz", any_tar_gz),
    (".gz", any_gz),
    (".npz", any_npz),
    (".pack", any_pack),
    ("receipt.json", any_receipt),
    (".json", any_json),
    (".jsonl", any_lines),
    (".csv", any_table),
    (".safetensors", any_tensors),
    (".pt", any_torch),
    (".pth", any_torch),
    (".onnx", any_onnx),
    (".png", any_png),
    (".tiff", any_tiff),
    (".webp", any_riff),
    (".heic", any_riff),
    (".avif", any_riff),
)

_SPECIAL = ("fifo", "folder", "loop", "dangling", "socket", "device")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A spoiled copy of a seed.

    Attributes:
        number: of the mutant.
        seed: what it was made of.
        files: content by path within the folder.
        changed: the file that was spoiled first.
        special: what stands in place of `changed` if that is no regular file: a fifo, a folder, a
            symbolic link to itself or to nothing, a socket, a device; else "".
    """

    number: int
    seed: Seed
    files: Mapping[str, bytes]
    changed: str
    special: str = ""

    def write(self, folder: Path) -> Path:
        """Write it into an empty folder; gives what a reader is to be given."""
        for name, content in self.files.items():
            path = folder / name
            with suppress(OSError, ValueError):
                # A name may be one that no file can have.
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        if self.special:
            _make_special(folder / self.changed, self.special)
        return folder / self.seed.target if self.seed.target else folder


def _make_special(path: Path, what: str) -> None:
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "socket":
        with suppress(OSError), socket.socket(socket.AF_UNIX) as place:
            place.bind(os.fspath(path))
    else:
        links = {"loop": path.name, "dangling": "nowhere", "device": "/dev/zero"}
        path.symlink_to(links[what])


def kind_of(number: int) -> str:
    """The kind of a mutant."""
    return _SCHEDULE[number % len(_SCHEDULE)]


def mutant(seed_number: int, number: int, seeds: Sequence[Seed], kind: str = "") -> Mutant | None:
    """A mutant; None if nothing of its kind can be made here, for want of a decoder.

    Args:
        seed_number: of the whole run of the fuzzer.
        number: of the mutant.
        seeds: all seeds.
        kind: in place of the one that the number gives.
    """
    kind = kind or kind_of(number)
    chosen = [seed for seed in seeds if seed.kind == kind]
    if not chosen:
        return None
    # Text makes a generator the same in all versions of Python.
    draw = random.Random(f"{seed_number}/{number}")  # noqa: S311  # no secret
    seed = draw.choice(chosen)
    changed = draw.choice(seed.mutable)
    files = dict(seed.files)
    if draw.random() < 0.01:
        return Mutant(number, seed, files, changed, draw.choice(_SPECIAL))
    files[changed] = _spoiled(draw, changed, files[changed])
    if draw.random() < 0.03 and len(seed.files) > 1:
        _rename(draw, files, changed)
    elif seed.kind == "folder" and draw.random() < 0.25:
        _more(draw, files)
    elif seed.name in RUNS and draw.random() < 0.8:
        files = matched(files, changed)
    return Mutant(number, seed, files, changed)


def _spoiled(draw: random.Random, name: str, content: bytes) -> bytes:
    for ending, mutation in _BY_ENDING:
        if name.endswith(ending):
            return mutation(draw, content)
    return any_bytes(draw, content)


def _rename(draw: random.Random, files: dict[str, bytes], name: str) -> None:
    """Put a file under another name, or leave it out."""
    content = files.pop(name)
    folder, _, last = name.rpartition("/")
    new = odd_name(draw, last).strip("/").replace("../", "")[:250]
    if new and new != "..":
        files[f"{folder}/{new}" if folder else new] = content


def _more(draw: random.Random, files: dict[str, bytes]) -> None:
    """Files beside those of a folder of pictures, by names and in depths of all kinds."""
    content = draw.choice(list(files.values()))
    name = odd_name(draw, "cat").strip("/").replace("../", "")[:200]
    files[draw.choice((
        f"{name}/1.png", f"cat/{name}.png", f"{name}.png", f"train/{name}/1.png",
        "val/cat/1.png", "cat/\x1b[2J.png", "\u202ecat/1.png", "cat\n/1.png", "cat/1.heic",
        "\udcff/1.png", "cat/Thumbs.db", "mouse/readme.txt",
    ))] = content  # fmt: skip
