"""Many picture files brought to one shape: by several threads, and out of the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache as once
from math import prod
from pathlib import Path
from pkgutil import get_data

import numpy as np
from PIL import ImageFile, features
from PIL import __version__ as pillow_version

from isoconv.data.cache import Marks, PictureCache
from isoconv.data.counting import SILENT, Counting
from isoconv.data.decode import Stored, as_floats, as_pixels, least_depth, read
from isoconv.data.files import Failures, file_error
from isoconv.data.reading import Reading
from isoconv.data.scaling import scaled
from isoconv.data.tally import Tally, Trait, counted
from isoconv.data.threads import Take, each_in_order
from isoconv.memory import check_memory
from isoconv.rows import Array
from isoconv.wording import setting

_SOURCES = ("decode", "deep", "messages", "opening", "reader", "reading", "scaling", "tally")
_LIBRARIES = ("jpg", "libjpeg_turbo", "jpg_2000", "webp", "libtiff", "avif", "zlib", "zlib_ng")


@once
def decoders() -> str | None:
    """What pictures are decoded with: versions of libraries, and a digest of what is done here.

    None where that cannot be told, as from an archive.
    """
    digest = hashlib.sha256()
    try:
        for name in _SOURCES:
            source = get_data("isoconv.data", f"{name}.py")
            if source is None:
                return None
            digest.update(source)
    except OSError:
        return None
    versions = [f"pillow {pillow_version}", f"numpy {np.__version__}", f"code {digest.hexdigest()}"]
    # Names that a version of Pillow does not know are none of its libraries.
    known = {*features.modules, *features.codecs, *features.features}
    versions += [f"{name} {features.version(name)}" for name in _LIBRARIES if name in known]
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        versions.append(f"heif {pillow_heif.__version__} {pillow_heif.libheif_version()}")
    return ", ".join(versions)


@dataclass(frozen=True, slots=True)
class _Told:
    """What there is to tell of a file that was read.

    Attributes:
        found: traits and warnings, in their order.
        range: the least and the largest number of a file of floats.
    """

    found: tuple[Trait | str, ...]
    range: tuple[float, float] | None


class Reader:
    """Reads files by several threads, and remembers what is to be told of them.

    Args:
        reading: leaves nothing open.
        wanted: what was asked for before the rest followed from the files.
        scale: see `read_pictures`.
        cache: where scaled pictures are taken from and kept, if anywhere.
        counting: tells how far it has come.

    Attributes:
        dtype: of the images.
    """

    def __init__(
        self,
        reading: Reading,
        wanted: Reading,
        scale: float | None = None,
        cache: PictureCache | None = None,
        counting: Counting = SILENT,
    ) -> None:
        self._reading = reading
        # A size that the files have in common is none to scale to.
        self._fit = wanted.size
        # A depth of 8 that was made for other files says that there were none of more bits.
        self._own_depth = wanted.resolved and reading.depth in (None, 8)
        self._scale = scale
        self._as_is = scale in (None, 1)
        self._counting = counting
        self._tally = Tally()
        self._floats = 0
        self._range = (np.inf, -np.inf)
        floats = scale is not None or reading.dtype == "float32"
        self.dtype = np.dtype(np.float32 if floats else np.uint8)
        kept = cache is not None and self._fit is not None and scale is None
        # A switch of Pillow's for the whole process, by which cut pictures are filled up.
        kept = kept and not ImageFile.LOAD_TRUNCATED_IMAGES
        by = decoders() if kept else None
        self._cache = None if by is None else cache
        self._key = f"{json.dumps(reading.plain())} {by}"

    def array(self, files: Sequence[Path], failures: Failures) -> Array:
        """The files as ``(N, H, W, C)``; the place of one that cannot be read holds no picture."""
        images, told = self.read(files, failures)
        self.recall(files, told)
        return images

    def recall(self, files: Sequence[Path], told: Mapping[int, str]) -> None:
        """Remember what `read` gave of some files, by their places among them.

        Raises:
            ValueError: it gave something else.
        """
        try:
            found = {place: _untold(told[place]) for place in sorted(told)}
            paths = [files[place] for place in found]
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"what was told of files must be as `read` gave it: {error}"
            ) from error
        for path, each in zip(paths, found.values(), strict=True):
            self._add(path, each)

    def read(self, files: Sequence[Path], failures: Failures) -> tuple[Array, dict[int, str]]:
        """As `array`, with what there is to tell of each file, which is not remembered yet."""
        shape = (len(files), *self.shape)
        needs = {f"{len(files):,} images of {shape[1:]}": prod(shape) * self.dtype.itemsize}
        check_memory("the pictures", needs, "a smaller size, or fewer pictures")
        images = np.empty(shape, self.dtype)
        readable = set(failures.readable(files))
        places = [place for place, path in enumerate(files) if path in readable]
        told: dict[int, _Told] = {}

        def work(place: int, take: Take) -> _Told:
            images[place], found = self._found(files[place], take)
            return found

        with self._counting.of("reading", len(places)) as step:
            # What is kept comes by one thread: several would wait for each other.
            for place in places:
                if self._cache is None:
                    break
                kept = self._kept(self._cache.marks(files[place]))
                if kept is not None:
                    images[place], told[place] = kept
                    step()
            missing = [place for place in places if place not in told]
            with closing(each_in_order(work, missing)) as results:
                for place, result in results:
                    with failures.gathered(files[place]):
                        told[place] = result()
                    step()
        return images, {place: _packed(each) for place, each in told.items()}

    def notes(self, root: Path | None) -> list[str]:
        """What is to be told of the files that were read."""
        notes = self._tally.notes(root)
        if self._floats:
            low, high = self._range
            how = (
                "taken as they are"
                if self._as_is
                else f"multiplied with {setting('scale', f'{self._scale:g}')}"
            )
            notes.append(
                f"{counted(self._floats, 'picture')} of floats: the values are {how}, from "
                f"{low:g} to {high:g}"
            )
        return notes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        height, width = self._reading.size or (0, 0)
        return height, width, self._reading.channels or 0

    def _add(self, path: Path, told: _Told) -> None:
        self._tally.add(path, told.found)
        if told.range is not None:
            (low, high), (least, largest) = self._range, told.range
            self._range = (min(low, least), max(high, largest))
            self._floats += 1

    def _found(self, path: Path, take: Take) -> tuple[Array, _Told]:
        """A file's pixels and what there is to tell, from the cache if it has them."""
        cache = self._cache
        if cache is None:
            pixels, told, _ = self._decoded(path, take)
            return pixels, told
        marks = cache.marks(path)
        content = marks.facts.get("content")
        if content is None:
            content = marks.content()
            if content is not None:
                cache.remember(marks, "content", content)
        kept = self._kept(marks)
        if kept is not None:
            return kept
        pixels, told, stored = self._decoded(path, take)
        if content is not None and stored.size != self._fit and self._same(marks, content):
            key = self._key_of(marks, content, deep=stored.kind == "deep")
            cache.keep(key, _packed(told), np.ascontiguousarray(pixels).tobytes())
        return pixels, told

    def _kept(self, marks: Marks) -> tuple[Array, _Told] | None:
        """What the cache has of a file whose content is known."""
        content = marks.facts.get("content")
        if content is None or self._cache is None:
            return None
        for deep in (False, True):
            kept = self._cache.picture(self._key_of(marks, content, deep=deep))
            if kept is not None:
                return self._unpacked(*kept)
        return None

    def _key_of(self, marks: Marks, content: str, *, deep: bool) -> bytes:
        """What a picture is found by: its content, and all that it is read by.

        Whether it has the ending of its format is told, too. What becomes of more than 8 bits
        depends on whether the reading was made for such pictures; nothing else does.
        """
        how = f"deep {self._own_depth}" if deep else ""
        ending = marks.path.suffix.lower()
        return hashlib.sha256(f"{content} {ending!a} {how} {self._key}".encode()).digest()

    @staticmethod
    def _same(marks: Marks, content: str) -> bool:
        """Whether what was decoded is what was looked at before."""
        return marks.unchanged() if marks.settled else marks.content() == content

    def _unpacked(self, told: str, pixels: bytes) -> tuple[Array, _Told]:
        image = np.frombuffer(pixels, self.dtype).reshape(self.shape)
        return image, _untold(told)

    def _decoded(self, path: Path, take: Take) -> tuple[Array, _Told, Stored]:
        """A file's pixels, what there is to tell, and what it was decoded to."""
        reduced = self._fit if self._reading.reduced else None
        stored = read(path, reduced, take, self._reading.opacity)
        span = None
        found: tuple[str, ...] = ()
        if stored.kind == "float":
            pixels = self._from_floats(stored)
            span = float(pixels.min()), float(pixels.max())
        else:
            pixels, found = self._from_integers(stored)
        if pixels.shape[:2] != self._reading.size:
            height, width = self._reading.size or (0, 0)
            other = f"{pixels.shape[0]} by {pixels.shape[1]}"
            raise file_error(stored.path, f"{height} by {width} pixels", other)
        return pixels, _Told((*found, *stored.found), span), stored

    def _from_floats(self, stored: Stored) -> Array:
        if self._reading.dtype != "float32":
            raise file_error(stored.path, "integers, as the other pictures are", "floats")
        pixels = as_floats(stored, self._fit, self._reading.channels or 1)
        if self._scale is not None and not self._as_is:
            pixels = scaled(pixels, self._scale)
            if not np.isfinite(pixels).all():
                scale = setting("scale", f"{self._scale:g}")
                expected = f"numbers that float32 holds once multiplied with {scale}"
                raise file_error(stored.path, expected, "infinity")
        return pixels

    def _from_integers(self, stored: Stored) -> tuple[Array, tuple[str, ...]]:
        if self._reading.dtype == "float32" and self._scale is None:
            expected = "floats, as the other pictures are, or a scale that makes floats of integers"
            raise file_error(stored.path, expected, "integers")
        depth = self._reading.depth
        found: tuple[str, ...] = ()
        if stored.kind == "bytes":
            depth = 8
        elif self._own_depth or depth is None:
            depth = least_depth(stored.path, stored.most)
            found = (
                "more than 8 bits, as no picture had that the reading was made for; by their own "
                f"range {depth} bits are taken for full brightness",
            )
        pixels = as_pixels(stored, self._fit, self._reading.channels or 1, depth)
        return pixels if self._scale is None else scaled(pixels, self._scale), found


def _packed(told: _Told) -> str:
    found = [(True, each.name) if isinstance(each, Trait) else (False, each) for each in told.found]
    return json.dumps([found, told.range])


def _untold(text: str) -> _Told:
    """What `_packed` made a text of."""
    found, span = json.loads(text)
    traits = (Trait[text] if is_trait else text for is_trait, text in found)
    return _Told(tuple(traits), None if span is None else (span[0], span[1]))
