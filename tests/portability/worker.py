"""Trains or predicts a named case in a process of its own and prints digests as one line of JSON.

    python tests/portability/worker.py small --threads 3 --target sse

With ``--serve`` it reads such words from standard input, a list in JSON a line, and runs each case
in a process forked for it, all of which have the imports alone behind them.

The digests (``result``) are to be the same whatever the options and wherever it runs; the rest of
the line tells that the options did what they say. The data is made from the project's own random
numbers, so no file is needed.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import math
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from isoconv import nn
from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.arithmetic.philox import integers
from isoconv.compile.contraction import rules  # noqa: F401  (`force_tiles` changes it)
from isoconv.compile.contraction import tiles as schedule
from isoconv.compile.target import TARGETS, Target
from isoconv.data import Augmentation, Dataset
from isoconv.data.dataset import dataset_of
from isoconv.run import team
from isoconv.run.inference import Predictor
from isoconv.run.training import TrainingEngine
from isoconv.train import Callback, Run, Trainer, session
from isoconv.train.learning_rate import Constant, Cosine, WarmUp
from isoconv.train.optim import SGD, AdamW

CUTS = ((1000, 32), (1000, 7), (32, 32), (7, 3), (2, 32), (1, 32))
"""Images of a call and of a shard, in which predictions are to be the same."""

PATIENCE = 1800  # seconds; an emulated machine is slow
PURPOSE = 5000  # of random numbers; the library's own purposes are small


# Cases ------------------------------------------------------------------------------------------


def images(count: int, shape: tuple[int, int, int], stream: int) -> Dataset:
    """Random images in ten classes, each class with a square of its own brightness."""
    height, width, channels = shape
    size = height * width * channels
    samples = np.arange(count)[:, None]
    labels = integers(10, 3, PURPOSE, stream, 0, samples[:, 0], size)
    pixels = integers(150, 3, PURPOSE, stream, 0, samples, np.arange(size))
    pixels = pixels.reshape(count, *shape)
    pixels[:, : height // 2, : width // 2] += (labels * 11)[:, None, None, None]
    # The images that are held out are few, and lack classes.
    return dataset_of(pixels.astype(np.uint8), labels, complete=False)


def small() -> nn.Sequential:
    """Convolutions, pooling and linear layers at sizes that fill no vector."""
    return nn.Sequential(
        nn.Conv2d(19, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.DepthwiseConv2d(3, padding=1, stride=2), nn.SiLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(21), nn.Tanh(), nn.Linear(10),
    )  # fmt: skip


def winograd() -> nn.Sequential:
    """Winograd's convolution at odd sizes, with all paddings, before and behind other layers."""
    return nn.Sequential(
        nn.Conv2d(9, 3, padding=1, algorithm="winograd"), nn.BatchNorm2d(), nn.ReLU(),
        nn.Conv2d(21, 3, padding=2, algorithm="winograd"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(18, 3, algorithm="winograd"), nn.Tanh(), nn.GlobalAvgPool2d(), nn.Linear(10),
    )  # fmt: skip


def fractional() -> nn.Sequential:
    """Fractional pooling whose windows are drawn, along two axes and three, at odd sizes."""
    return nn.Sequential(
        nn.Conv2d(19, 3, padding=1), nn.FractionalMaxPool2d((2, 3), output_ratio=0.7), nn.SiLU(),
        nn.Conv2d(12, 2), nn.Reshape((8, 6, 4, 3)), nn.FractionalMaxPool3d(2, (5, 4, 3)),
        nn.Flatten(), nn.Linear(10),
    )  # fmt: skip


def resnet20() -> nn.Sequential:
    """ResNet-20, with dropout before its last layer."""
    steps = list(nn.models.create("resnet20", 10, (16, 16, 3)))
    return nn.Sequential(*steps[:-1], nn.Dropout(0.3), steps[-1])


@dataclass(frozen=True)
class Case:
    """A network, its data and its settings.

    Attributes:
        network: makes it.
        shape: height, width and channels of an image.
        images: in the training set; the last batch of an epoch is short.
        settings: of the trainer.
    """

    network: Callable[[], nn.Sequential]
    shape: tuple[int, int, int]
    images: int
    settings: dict[str, Any]


CASES = {
    "small": Case(
        small,
        (13, 11, 3),
        72,
        {
            "optimizer": AdamW(0.003),
            "batch_size": 28,
            "shard_size": 4,
            "augmentation": Augmentation(shift=1, rotation=9.0, cutout=3),
            "clip_norm": 2.0,
            "label_smoothing": 0.1,
            "seed": 5,
        },
    ),
    "winograd": Case(
        winograd,
        (11, 9, 3),
        40,
        {"optimizer": SGD(0.05, momentum=0.9), "batch_size": 20, "shard_size": 3, "seed": 9},
    ),
    "fractional": Case(
        fractional,
        (13, 11, 3),
        40,
        {
            "optimizer": SGD(0.05, momentum=0.9),
            "batch_size": 20,
            "shard_size": 3,
            "seed": 2**63 + 11,
        },
    ),
    "resnet20": Case(
        resnet20,
        (16, 16, 3),
        56,
        {
            "optimizer": SGD(0.05, momentum=0.9, weight_decay=1e-4),
            "schedule": WarmUp(steps=2, then=Cosine()),
            "batch_size": 24,
            "shard_size": 8,
            "augmentation": Augmentation(crop_padding=2, flip=True),
            "seed": 2**40 + 7,
        },
    ),
}


def train(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on with the run that lies in the folder; digests of all that comes of it."""
    model = case.network()
    trainer = Trainer(
        model,
        threads=options.threads,
        target=options.target,
        callbacks=[Told()],
        progress=False,
        # What follows from the images where nobody says it may come to follow otherwise.
        **{"schedule": Constant(), "augmentation": None, **case.settings},
    )
    training, held_out = images(case.images, case.shape, 0), images(10, case.shape, 1)
    if options.out is not None and (options.out / "run.json").exists():
        run = trainer.resume(options.out, training, held_out)
    else:
        run = trainer.fit(training, held_out, epochs=options.epochs, out=options.out)
    clock = ("seconds", "images_per_second")
    history = [
        {key: float(value).hex() for key, value in row.items() if key not in clock}
        for row in run.history
    ]
    predictions = model.predict(held_out.images, threads=options.threads, target=options.target)
    return {
        "weights": run.digest,
        "history": digest(json.dumps(history, sort_keys=True).encode()),
        "predictions": digest(predictions.tobytes()),
    }


def predict(case: Case, options: argparse.Namespace) -> dict[str, str]:
    """Predictions of an untrained network: those of photographs and those of `faint` ones.

    Faint images are so dark that they and almost all that is computed from them are subnormal
    numbers. Each digest is over the results of all images in one batch; it stands only if every
    other way to cut the images into batches and shards gives the same bits for each image.
    """
    model = case.network().build(case.shape, seed=11)
    pixels = images(options.images, case.shape, 2).images
    faint = pixels.astype(np.float32) * np.float32(2.0**-140)
    with environment(options.float_environment):
        whole, found = {}, {}
        for kind, array, finish in (("pixels", pixels, "softmax"), ("faint", faint, "none")):
            machine = {"finish": finish, "threads": options.threads, "target": options.target}
            whole[kind] = model.predict(array, **machine)
            found[kind] = digest(whole[kind].tobytes())
            for batch, shard in CUTS:
                rows = [
                    model.predict(array[first : first + batch], shard_size=shard, **machine)
                    # Single images and pairs would be a thousand calls; 20 show the same.
                    for first in range(0, min(len(array), 20 * batch), batch)
                ]
                cut = np.concatenate(rows)
                if cut.tobytes() != whole[kind][: len(cut)].tobytes():
                    found[kind] = f"differs in batches of {batch}, shards of {shard}"
    sizes = np.abs(whole["faint"])
    if not ((sizes > 0) & (sizes < np.finfo(np.float32).tiny)).any():
        raise SystemExit("no faint result is subnormal, so they show nothing")
    return found


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class Told(Callback):
    """Says when the training begins, for those who want to kill it."""

    def on_train_begin(self, run: Run) -> None:  # noqa: ARG002
        """Before the first step."""
        sys.stderr.write("began\n")
        sys.stderr.flush()


# What is made to differ -------------------------------------------------------------------------


def replace_everywhere(name: str, new: object) -> None:
    """Put something else in the place of `name` in every module of the library that knows it."""
    modules = [module for path, module in sys.modules.items() if path.startswith("isoconv.")]
    places = [module for module in modules if name in vars(module)]
    if not places:
        raise SystemExit(f"no module knows {name} any more")
    for module in places:
        setattr(module, name, new)


def force_tiles(kind: str) -> None:
    """Other register tiles, blocks and panels of the weight gradient than the cost model's."""
    real = schedule.choose_tile

    def forced(
        target: Target, height: int, width: int, filters: int, dtype: str, **settings: Any
    ) -> schedule.Tile:
        best = real(target, height, width, filters, dtype, **settings)
        blocks = -(-filters // best.lanes)
        if kind == "one":
            return schedule.Tile(1, 1, 1, best.lanes)
        if kind == "narrow":
            # Four lanes on every machine.
            lanes = min(4, best.lanes)
            return schedule.Tile(1, min(3, width), min(2, -(-filters // lanes)), lanes)
        # More than the registers hold.
        return schedule.Tile(min(3, height), min(5, width), min(4, blocks), best.lanes)

    replace_everywhere("choose_tile", forced)
    replace_everywhere("_BLOCK_POSITIONS", {"one": 1, "narrow": 77, "large": 10**6}[kind])
    replace_everywhere("panels_pay", lambda *_: kind != "large")


def count_work(counts: dict[str, Any]) -> None:
    """Note how many threads teams have, and the native calls and steps of trainings."""
    begin, steps = team.Team.__init__, TrainingEngine.steps
    counts |= {"threads": set(), "calls": 0, "steps": 0}
    # As many threads as are asked for, however few cores there are.
    team.PER_CORE = 1024

    def counted_team(self: team.Team, threads: int, library: Any) -> None:
        counts["threads"].add(threads)
        begin(self, threads, library)

    def counted_steps(self: TrainingEngine, first: int, hyper: Any) -> Any:
        counts["calls"] += 1
        counts["steps"] += len(hyper)
        return steps(self, first, hyper)

    team.Team.__init__ = counted_team  # type: ignore[method-assign]
    TrainingEngine.steps = counted_steps  # type: ignore[method-assign]


def forbid_fusion() -> None:
    """Every node of a shard's graph becomes a kernel of its own."""
    for engine in (TrainingEngine, Predictor):
        defaults: Any = engine.__init__.__kwdefaults__
        defaults["fusion"] = False


FLUSH = {"x86_64": 0x1F80 | 0x8040, "aarch64": 1 << 24}
UPWARD = {"x86_64": 0x1F80 | 0x4000, "aarch64": 1 << 22}
REGISTER = {
    "x86_64": """
        declare void @llvm.x86.sse.ldmxcsr(ptr)
        declare void @llvm.x86.sse.stmxcsr(ptr)
        define void @write(i32 %value) {
            %slot = alloca i32
            store i32 %value, ptr %slot
            call void @llvm.x86.sse.ldmxcsr(ptr %slot)
            ret void
        }
        define i32 @read() {
            %slot = alloca i32
            call void @llvm.x86.sse.stmxcsr(ptr %slot)
            %value = load i32, ptr %slot
            ret i32 %value
        }
    """,
    "aarch64": """
        declare i64 @llvm.aarch64.get.fpcr()
        declare void @llvm.aarch64.set.fpcr(i64)
        define void @write(i32 %value) {
            %wide = zext i32 %value to i64
            call void @llvm.aarch64.set.fpcr(i64 %wide)
            ret void
        }
        define i32 @read() {
            %wide = call i64 @llvm.aarch64.get.fpcr()
            %value = trunc i64 %wide to i32
            ret i32 %value
        }
    """,
}


@contextmanager
def environment(kind: str) -> Iterator[None]:
    """Another library has changed the floating-point environment, and finds it as it left it."""
    if kind == "default":
        yield
        return
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(REGISTER[platform.machine()]), machine)
    write = ctypes.CFUNCTYPE(None, ctypes.c_uint32)(engine.get_function_address("write"))
    read = ctypes.CFUNCTYPE(ctypes.c_uint32)(engine.get_function_address("read"))
    before = read()
    write((FLUSH if kind == "flush" else UPWARD)[platform.machine()])
    changed = _flushes() if kind == "flush" else _rounds_upward()
    # The lowest bits are flags of what has happened, no settings.
    mine = read() & ~0x3F
    try:
        yield
        if read() & ~0x3F != mine or not changed:
            raise SystemExit(f"the caller's floating-point environment {kind!r} was not kept")
    finally:
        write(before)


def _flushes() -> bool:
    """Whether the half of the least normal number is zero here."""
    least = np.array([np.finfo(np.float32).tiny])
    return bool((least * np.float32(0.5) == 0)[0])


def _rounds_upward() -> bool:
    """Whether -1/3, which nearest rounding takes down, is rounded up here."""
    third = np.array([-1], np.float32) / np.array([3], np.float32)
    return bool(third.view(np.uint32)[0] == 0xBEAAAAAA)


# The line that is printed -----------------------------------------------------------------------


def witnesses() -> dict[str, str]:
    """Digests of borrowed mathematics: what differs where the surroundings do."""
    libm = [math.exp(i * 1e-3) + math.sin(i * 0.1) for i in range(20_000)]
    numpy = np.exp(np.arange(10_000, dtype=np.float32) * np.float32(1e-3))
    return {"libm": digest(np.array(libm).tobytes()), "numpy": digest(numpy.tobytes())}


def machinery() -> dict[str, Any]:
    """Which kernels were used, as a digest, and how many of them were compiled here."""
    libraries = list(team._LIBRARIES.values())
    keys = sorted(key for library in libraries for key in library._known)
    return {
        "targets": sorted({library.target.name for library in libraries}),
        "kernels": digest("\n".join(keys).encode()),
        "used": len(keys),
        "compiled": sum(library.compiled for library in libraries),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=[*CASES, *(f"predict-{name}" for name in CASES)])
    parser.add_argument("--threads", type=int, help="default: one per core")
    parser.add_argument("--target", choices=TARGETS, help="default: the best of this machine")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000, help="of predictions")
    parser.add_argument("--out", type=Path, help="run folder; a run that is there is gone on with")
    parser.add_argument("--tiles", choices=("one", "narrow", "large"), help="forced register tiles")
    parser.add_argument("--no-fusion", action="store_true")
    parser.add_argument("--short-calls", action="store_true", help="one step in each native call")
    parser.add_argument(
        "--float-environment", choices=("default", "flush", "upward"), default="default"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run a case."""
    options = parse(arguments)
    counts: dict[str, Any] = {}
    count_work(counts)
    if options.tiles:
        force_tiles(options.tiles)
    if options.no_fusion:
        forbid_fusion()
    if options.short_calls:
        session.CALL_SECONDS = 0.0
    kind, _, name = options.case.partition("-")
    if kind == "predict":
        result = predict(CASES[name], options)
    else:
        with environment(options.float_environment):
            result = train(CASES[kind], options)
    line = {
        "arithmetic": ARITHMETIC_VERSION,
        "case": options.case,
        "result": result,
        "machine": platform.machine(),
        **machinery(),
        **counts,
        "threads": sorted(counts["threads"]),
        **witnesses(),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Run the cases that are asked for, each in a process of its own, and say how each ended."""
    for words in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            sys.stdin = None
            main(json.loads(words))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
