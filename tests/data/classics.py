"""Files of CIFAR and MNIST as their makers write them, for tests."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np


def cifar_records(count: int, lead: int, classes: int, seed: int) -> tuple[bytes, Any, Any]:
    """Records of CIFAR's binary version, with their images (N, 32, 32, 3) and labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, classes, count).astype(np.uint8)
    rows = b""
    for image, label in zip(images, labels, strict=True):
        rows += bytes([7] * (lead - 1)) + bytes([label]) + image.transpose(2, 0, 1).tobytes()
    return rows, images, labels


def cifar_files(classes: int) -> dict[str, bytes]:
    """All files of a small CIFAR-10 or CIFAR-100."""
    if classes == 10:
        files = {f"data_batch_{k}.bin": cifar_records(3, 1, 10, k)[0] for k in range(1, 6)}
        files["test_batch.bin"] = cifar_records(4, 1, 10, 0)[0]
        files["batches.meta.txt"] = "\n".join(f"c{k}" for k in range(10)).encode() + b"\n\n"
        return files
    names = "\n".join(f"f{k}" for k in range(100)).encode()
    train, test = cifar_records(5, 2, 100, 1)[0], cifar_records(2, 2, 100, 0)[0]
    return {"train.bin": train, "test.bin": test, "fine_label_names.txt": names}


RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 6, 5)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 4
NAMES = {"train": "train", "test": "t10k"}


def idx(array: np.ndarray) -> bytes:
    """An array as an idx file of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def write(path: Path, content: bytes) -> Path:
    """Write a file, gzipped when its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_idx(folder: Path, ending: str = "", splits: tuple[str, ...] = ("train", "test")) -> Path:
    """A folder in MNIST's manner."""
    for split in splits:
        prefix = folder / NAMES[split]
        write(Path(f"{prefix}-images-idx3-ubyte{ending}"), idx(IMAGES))
        write(Path(f"{prefix}-labels-idx1-ubyte{ending}"), idx(LABELS))
    return folder
