"""Small valid files of every kind that the library reads: what mutants are made of.

A seed is a folder's content in memory. All of them are made without a clock and without random
numbers of the machine's own, so that the same versions of Pillow and NumPy make the same bytes.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, features
from pyarrow import parquet
from tests.data.made import boxed_jpeg2000, jpeg2000, png, ramp, tiff, twelve_bits
from tests.exchange.onnx import graphs

from isoconv.data import pack

__all__ = ["Seed", "data_seeds", "idx", "tar_member"]


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid file or folder.

    Attributes:
        kind: of file, by which mutants are counted and tests are named.
        name: which of its kind.
        files: content by path within the folder.
        target: what a reader is given: a path within the folder; "" for the folder.
        spoiled: which files are mutated.
    """

    kind: str
    name: str
    files: dict[str, bytes]
    target: str = ""
    spoiled: tuple[str, ...] = ()

    @property
    def mutable(self) -> tuple[str, ...]:
        """The files that may be mutated."""
        return self.spoiled or tuple(self.files)


# Arrays


def idx(values: np.ndarray) -> bytes:
    """An idx file of unsigned bytes."""
    sides = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes((0, 0, 8, values.ndim)) + sides + values.astype(np.uint8).tobytes()


def _idx() -> Iterator[Seed]:
    def part(count: int, seed: int) -> tuple[bytes, bytes]:
        labels = np.arange(count) % 3
        return idx(ramp(count, 4, 5, 255, seed)), idx(labels)

    (images, labels), (more, others) = part(6, 0), part(4, 1)
    plain = {
        "train-images-idx3-ubyte": images,
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": more,
        "t10k-labels-idx1-ubyte": others,
    }
    yield Seed("idx", "plain", plain)
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.items()}
    yield Seed("idx", "gz", packed)


def _records(count: int, classes: int, seed: int) -> bytes:
    pixels = ramp(count, 8, 1, 255, seed).astype(np.uint8).reshape(count, 8)
    lead = 1 if classes == 10 else 2
    rows = b""
    for number in range(count):
        labels = bytes((number % 20, number % classes))[-lead:]
        rows += labels + pixels[number].tobytes() * 384
    return rows


def tar_member(name: str, content: bytes) -> tarfile.TarInfo:
    """The header of a regular file of a tar archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info


def _tar_gz(files: dict[str, bytes], folder: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            archive.addfile(tar_member(f"{folder}/{name}", content), io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 1, mtime=0)


def _cifar() -> Iterator[Seed]:
    ten = {
        "data_batch_1.bin": _records(3, 10, 0),
        "data_batch_2.bin": _records(2, 10, 1),
        "test_batch.bin": _records(2, 10, 2),
        "batches.meta.txt": "\n".join(f"class{number}" for number in range(10)).encode(),
    }
    hundred = {
        "train.bin": _records(3, 100, 3),
        "test.bin": _records(2, 100, 4),
        "fine_label_names.txt": "\n".join(f"fine{number}" for number in range(100)).encode(),
    }
    yield Seed("cifar", "10", ten)
    yield Seed("cifar", "100", hundred)
    for name, folder, files in (
        ("10", "cifar-10-batches-bin", ten),
        ("100", "cifar-100-binary", hundred),
    ):
        content = {f"{name}.tar.gz": _tar_gz(files, folder)}
        yield Seed("tar", name, content, target=f"{name}.tar.gz")


def _npz_of(arrays: dict[str, Any], compressed: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def _npz() -> Iterator[Seed]:
    images = ramp(6, 4, 5, 255).astype(np.uint8)
    labels = np.arange(6) % 2
    named = {"images": images, "labels": labels, "class_names": np.array(["cat", "dog"])}
    parts = {
        "x_train": images.astype(np.float32) / 255,
        "y_train": labels.reshape(-1, 1),
        "x_val": images[:4].astype(np.float32) / 255,
        "y_val": labels[:4].reshape(-1, 1),
        "x_test": images[:2].astype(np.float32) / 255,
        "y_test": labels[:2].reshape(-1, 1),
    }
    targets = {"images": images[..., np.newaxis], "labels": labels.astype(np.float64)}
    texts = {"images": images, "labels": np.array(["cat", "dög"])[labels]}
    for name, arrays, compressed in (
        ("stored", named, False),
        ("compressed", named, True),
        ("parts", parts, True),
        ("targets", targets, False),
        ("texts", texts, False),
    ):
        yield Seed("npz", name, {"data.npz": _npz_of(arrays, compressed)}, target="data.npz")


# Pictures


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def _image(mode: str, seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = ramp(6, 7, channels, 255, seed).astype(np.uint8)
    size = (7, 6)
    return Image.frombytes(mode, size, values.tobytes())


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _pngs() -> Iterator[tuple[str, bytes]]:
    yield "gray", png(ramp(6, 7, 1, 255), 8)
    yield "deep", png(ramp(6, 7, 1, 65535), 16)
    yield "deep-colour", png(ramp(6, 7, 4, 65535), 16, interlaced=True)
    yield "turned", _saved(_image("RGB"), "PNG", exif=_exif(6))
    text = [(b"tEXt", b"Comment\0made"), (b"gAMA", struct.pack(">I", 45455))]
    yield "text", png(ramp(6, 7, 3, 255), 8, before=text, after=[(b"zTXt", b"a\0\0x\x9c\x03\0")])
    yield "palette", _saved(_image("L").convert("P"), "PNG", transparency=3)
    yield "bits", png(ramp(6, 7, 1, 3), 2, interlaced=True)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    yield "colour", _saved(_image("RGB"), "JPEG", exif=_exif(5))
    yield "gray", _saved(_image("L"), "JPEG", progressive=True)
    yield "cmyk", _saved(_image("CMYK"), "JPEG")
    yield "pages", _saved(
        _image("RGB"), "MPO", save_all=True, append_images=[_image("RGB", 1)]
    )  # fmt: skip


def _tiffs() -> Iterator[tuple[str, bytes]]:
    floats = (ramp(6, 7, 1, 1000) / 999).astype(np.float32)
    yield "float", tiff(floats, (6, 7, 1), 32, sample=3)
    yield "float-packed", _saved(Image.fromarray(floats[..., 0]), "TIFF", compression="tiff_lzw")
    yield "deep", tiff(ramp(6, 7, 1, 65535).astype(np.uint16), (6, 7, 1), 16, order=">")
    yield "deep-colour", tiff(ramp(6, 7, 3, 65535).astype(np.uint16), (6, 7, 3), 16)
    yield "twelve", tiff(twelve_bits(ramp(6, 7, 1, 4095)), (6, 7, 1), 12)
    yield "packed", tiff(ramp(6, 7, 3, 255).astype(np.uint8), (6, 7, 3), 8, compressed=True)
    yield "lzw", _saved(_image("RGB"), "TIFF", compression="tiff_lzw", exif=_exif(8))
    yield "jpeg", _saved(_image("RGB"), "TIFF", compression="jpeg")
    yield "pages", _saved(_image("L"), "TIFF", save_all=True, append_images=[_image("L", 1)])


def _others() -> Iterator[tuple[str, str, bytes]]:
    """Kind with the file's ending, name, content."""
    pages = [_image("L", 1).convert("P"), _image("L", 2).convert("P")]
    yield (
        "gif",
        "pages",
        _saved(_image("L").convert("P"), "GIF", save_all=True, append_images=pages, transparency=1),
    )
    yield "bmp", "colour", _saved(_image("RGB"), "BMP")
    yield "bmp", "palette", _saved(_image("L").convert("P"), "BMP")
    yield "pgm", "deep", b"P5\n7 6\n65535\n" + ramp(6, 7, 1, 65535).astype(">u2").tobytes()
    yield "ppm", "text", b"P3 # comment\n2 2 255\n1 2 3 4 5 6\n7 8 9 10 11 255\n"
    yield "pfm", "float", b"Pf\n3 2\n-1.0\n" + np.arange(6, dtype="<f4").tobytes()
    yield "jp2", "boxed", boxed_jpeg2000(12)
    yield "j2k", "bare", jpeg2000(ramp(6, 7, 1, 1023), 10)
    if features.check("webp"):
        yield "webp", "lossy", _saved(_image("RGB"), "WEBP", exif=_exif(3))
        yield "webp", "lossless", _saved(_image("RGBA"), "WEBP", lossless=True)
        yield (
            "webp",
            "pages",
            _saved(_image("RGB"), "WEBP", save_all=True, append_images=[_image("RGB", 1)]),
        )
    if features.check("avif"):
        yield "avif", "colour", _saved(_image("RGB"), "AVIF")
    try:
        from pillow_heif import HeifFile, from_pillow
    except ImportError:
        return
    image: HeifFile = from_pillow(Image.new("RGB", (64, 64), (200, 100, 50)))
    stream = io.BytesIO()
    image.save(stream, quality=50)
    yield "heic", "colour", stream.getvalue()


def _pictures() -> Iterator[Seed]:
    made: tuple[tuple[str, Callable[[], Iterator[tuple[str, bytes]]]], ...] = (
        ("png", _pngs),
        ("jpeg", _jpegs),
        ("tiff", _tiffs),
    )
    for kind, all_of in made:
        for name, content in all_of():
            file = f"{name}.{kind}"
            yield Seed(kind, name, {file: content}, target=file)
    kinds = {"pgm": "pnm", "ppm": "pnm", "pfm": "pnm", "jp2": "jpeg2000", "j2k": "jpeg2000"}
    for ending, name, content in _others():
        file = f"{name}.{ending}"
        yield Seed(kinds.get(ending, ending), name, {file: content}, target=file)


def _folders() -> Iterator[Seed]:
    plain = {
        "cat/1.png": png(ramp(6, 7, 3, 255), 8),
        "cat/2.jpg": _saved(_image("RGB"), "JPEG"),
        "dog/1.bmp": _saved(_image("RGB", 1), "BMP"),
        "dog/2.png": png(ramp(6, 7, 1, 65535), 16),
        "dog/.hidden.png": b"",
        "notes.txt": b"two classes",
    }
    yield Seed("folder", "classes", plain)
    parts = {
        f"{part}/{name}/{number}.png": png(ramp(5, 5, 1, 255, number), 8)
        for part in ("train", "val", "test")
        for name in ("cat", "dog")
        for number in range(2)
    }
    yield Seed("folder", "parts", parts)
    floats = {
        f"{name}/{number}.tiff": tiff(
            (ramp(5, 5, 1, 255, number) / 255).astype(np.float32), (5, 5, 1), 32, sample=3
        )
        for name in ("cat", "dog")
        for number in range(2)
    }
    yield Seed("folder", "floats", floats)
    masks = {
        "classes.json": b'{"0": "ground", "1": "tree", "7": "road"}',
        "images/1.png": png(ramp(6, 7, 3, 255), 8),
        "images/2.jpg": _saved(_image("RGB"), "JPEG"),
        "masks/1.png": png(ramp(6, 7, 1, 1), 8),
        "masks/2_mask.png": _saved(Image.new("P", _image("RGB").size, 7), "PNG"),
    }
    yield Seed("folder", "masks", masks)


def _torch() -> Iterator[Seed]:
    """Files that PyTorch wrote, in both of its formats."""
    folder = Path(__file__).parents[1] / "exchange" / "torch_files"
    for name in ("network.pt", "network.pth", "nested.pt", "nested.pth", "protocol4.pt"):
        yield Seed("torch", name, {name: (folder / name).read_bytes()}, target=name)


def _onnx() -> Iterator[Seed]:
    """Networks as the onnx package writes them."""
    for graph in (graphs.classifier, graphs.shuffled, graphs.excited):
        content = graph().SerializeToString()
        yield Seed("onnx", graph.__name__, {"model.onnx": content}, target="model.onnx")


def _parquet() -> Iterator[Seed]:
    """Tables of pictures: bytes, packed and in groups of rows; bytes with paths."""
    content = png(ramp(5, 4, 3, 255), 8)
    bare = pa.table({"label": range(9), "image": [content] * 9})
    both = pa.table({"image": [{"bytes": content, "path": "a.png"}, {"path": "b.png"}, None]})
    settings: dict[str, dict[str, Any]] = {
        "plain": {"compression": "none", "use_dictionary": False},
        "groups": {"row_group_size": 4, "compression": "zstd", "write_page_checksum": True},
        "second": {"data_page_version": "2.0", "column_encoding": {"image": "DELTA_BYTE_ARRAY"},
                   "use_dictionary": False},
    }  # fmt: skip
    for name, table, how in (
        *((name, bare, how) for name, how in settings.items()), ("both", both, {}),
    ):  # fmt: skip
        stream = io.BytesIO()
        parquet.write_table(table, stream, **how)
        yield Seed("parquet", name, {"a.parquet": stream.getvalue()}, target="a.parquet")


def _packs() -> Iterator[Seed]:
    """Packed data sets: classes in three parts with paths, floats with float targets, maps."""
    images = ramp(6, 4, 5, 255).astype(np.uint8)
    ten = ramp(5, 4, 5, 255).astype(np.float32), np.linspace(0, 1, 5)
    maps = images, np.arange(6 * 20).reshape(6, 4, 5) % 3 - 1
    with TemporaryDirectory() as folder:
        named = Path(folder) / "named.npz"
        parts = {"x_train": images, "y_train": ["cat", "dog"] * 3,
                 "x_test": images[:2], "y_test": ["cat", "cat"]}  # fmt: skip
        named.write_bytes(_npz_of(parts, compressed=False))
        for name, source in (("named", named), ("floats", ten), ("maps", maps)):
            path = Path(folder) / f"{name}.pack"
            pack(source, path, progress=False)
            yield Seed("pack", name, {"data.pack": path.read_bytes()}, target="data.pack")


def data_seeds() -> list[Seed]:
    """All seeds but those of runs and models."""
    return [
        *_idx(),
        *_cifar(),
        *_npz(),
        *_packs(),
        *_pictures(),
        *_folders(),
        *_torch(),
        *_onnx(),
        *_parquet(),
    ]
