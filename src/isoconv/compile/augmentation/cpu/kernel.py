"""Augmentation of images: moved, mirrored, turned and partly covered copies.

    for n, row i, column j, channel c:
        m = width - 1 - j if flip[n] else j
        copied: y = tap(i + dy[n], m + dx[n])
        turned: y = a mixture of tap at the four pixels around the turned (i, m)
        result[n, i, j, c] = fill where (i, j) is covered, else y

``tap`` is the fill outside the image. The exact formulas are in ``ops/image.py``.

Schedule: an image's row of the table is read once. When copying, a row of the result is a stretch
of the source's row between two stretches of fill; unmirrored, it is copied as one vector loop over
columns and channels. Covered columns are overwritten at the end of a row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isoconv.compile.augmentation.kernel import AugmentSpec
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import F32, I64, Kernel, Value
from isoconv.compile.native.nest import over_channels
from isoconv.compile.pointwise.cpu.expression import row_of
from isoconv.compile.pointwise.expression import Operand
from isoconv.ops.image import TABLE_COLUMNS


@emits(AugmentSpec)
def augmentation(k: Kernel, spec: AugmentSpec) -> None:
    """Share out images."""
    begin, end = k.share(k.field("images"))
    with k.loop(begin, end) as image:
        _Image(k, spec, image).run()


class _Image:
    """One image."""

    def __init__(self, k: Kernel, spec: AugmentSpec, image: Value) -> None:
        self.k, self.spec = k, spec
        self.height, self.width, self.channels = spec.domain.axes
        # Labels are copied as they are; images become float32.
        self.dtype = spec.result.dtype
        fill = spec.attrs.fill
        self.fill = int(fill) if self.dtype == "int32" else float(np.float32(fill))
        self.source = self._base(spec.images, image)
        self.result = self._base(spec.result, image)
        table = self._base(spec.table, image)
        (step,) = spec.table.strides
        self.numbers = {
            name: k.load_scalar(k.at(table, i * step, "float32"), "float32")
            for i, name in enumerate(TABLE_COLUMNS)
        }
        self.whole = {name: k.builder.fptosi(self.numbers[name], I64) for name in TABLE_COLUMNS[:7]}
        self.flips = k.builder.icmp_signed("!=", self.whole["flip"], k.const(0))

    def _base(self, operand: Operand, image: Value) -> Value:
        k = self.k
        shift = k.add(operand.offset, k.mul(row_of(k, operand, image), operand.image))
        return k.at(k.buffers[operand.buffer], shift, operand.dtype)

    def run(self) -> None:
        """Every row of the image."""
        k = self.k
        with k.loop(0, self.height) as i:
            row = k.at(self.result, k.mul(i, self.spec.result.strides[0]), self.dtype)
            if self.spec.attrs.interpolate:
                self._turned(i, row)
            else:
                self._copied(i, row)
            self._cover(i, row)

    def _between(self, x: Value, low: Value | int, high: Value | int) -> Value:
        """Whether low <= x < high."""
        k, b = self.k, self.k.builder
        first, last = (k.const(v) if isinstance(v, int) else v for v in (low, high))
        return b.and_(b.icmp_signed(">=", x, first), b.icmp_signed("<", x, last))

    def _clamped(self, x: Value) -> Value:
        """A column's number within the row, or one behind it."""
        return self.k.minimum(self.k.maximum(x, self.k.const(0)), self.k.const(self.width))

    def _flat(self, operand: Operand) -> bool:
        """Columns and channels lie behind each other."""
        return operand.strides[1:] == (self.channels, 1)

    # Fill ---------------------------------------------------------------------------------------

    def _cover(self, i: Value, row: Value) -> None:
        """Overwrite what is cut out of a row."""
        k, cut = self.k, self.whole
        with k.when(self._between(i, cut["cut_y0"], cut["cut_y1"])):
            self._blank(row, self._clamped(cut["cut_x0"]), self._clamped(cut["cut_x1"]))

    def _blank(self, row: Value, first: Value, last: Value) -> None:
        """Fill columns [first, last) of a row."""
        k = self.k

        def put(place: Value, lanes: int) -> None:
            k.store(k.splat_const(self.fill, self.dtype, lanes), k.at(row, place, self.dtype))

        if self._flat(self.spec.result):
            self._stretch(first, last, put)
            return
        *_, across, deep = self.spec.result.strides
        with k.loop(first, last) as j, k.loop(0, self.channels) as c:
            put(k.add(k.mul(j, across), k.mul(c, deep)), 1)

    def _stretch(self, first: Value, last: Value, body: Callable[[Value, int], None]) -> None:
        """``body(element, lanes)`` along columns [first, last): whole vectors, then elements."""
        k, b = self.k, self.k.builder
        lanes = k.target.lanes("float32")
        start, stop = k.mul(first, self.channels), k.mul(last, self.channels)
        room = k.maximum(b.sub(stop, start), k.const(0))
        whole = b.sub(k.add(start, room), b.srem(room, k.const(lanes)))
        with k.loop(start, whole, lanes) as e:
            body(e, lanes)
        with k.loop(whole, stop) as e:
            body(e, 1)

    # Copies -------------------------------------------------------------------------------------

    def _copied(self, i: Value, row: Value) -> None:
        k, b = self.k, self.k.builder
        y = k.add(i, self.whole["dy"])
        with b.if_else(self._between(y, 0, self.height)) as (inside, outside):
            with inside:
                source = k.at(
                    self.source, k.mul(y, self.spec.images.strides[0]), self.spec.images.dtype
                )
                self._row(source, row)
            with outside:
                self._blank(row, k.const(0), k.const(self.width))

    def _row(self, source: Value, row: Value) -> None:
        """A row that comes from a row of the image: fill, pixels, fill."""
        k, b = self.k, self.k.builder
        dx, zero, width = self.whole["dx"], k.const(0), k.const(self.width)
        # Mirrored, column j comes from width - 1 - j + dx; otherwise from j + dx.
        shift = b.select(self.flips, dx, b.neg(dx))
        first, last = self._clamped(shift), self._clamped(k.add(shift, self.width))
        self._blank(row, zero, first)
        with b.if_else(self.flips) as (mirrored, straight):
            with mirrored:
                origin = k.add(dx, self.width - 1)
                self._pixels(source, row, first, last, lambda j: b.sub(origin, j))
            with straight:
                if self._flat(self.spec.images) and self._flat(self.spec.result):
                    start = k.at(source, k.mul(dx, self.channels), self.spec.images.dtype)
                    self._stretch(first, last, lambda e, lanes: self._copy(start, e, row, e, lanes))
                else:
                    self._pixels(source, row, first, last, lambda j: k.add(j, dx))
        self._blank(row, last, width)

    def _copy(self, source: Value, x: Value, row: Value, j: Value, lanes: int) -> None:
        k = self.k
        k.store(self._load(source, x, lanes), k.at(row, j, self.dtype))

    def _load(self, source: Value, x: Value, lanes: int) -> Value:
        """Neighbours of the source as they are in the result."""
        k, dtype = self.k, self.spec.images.dtype
        value = k.load_vector(k.at(source, x, dtype), dtype, lanes)
        if dtype == "uint8":
            return k.builder.uitofp(value, k.vector_type("float32", lanes))
        return value

    def _pixels(
        self, source: Value, row: Value, first: Value, last: Value, column: Callable[[Value], Value]
    ) -> None:
        """Pixel by pixel; ``column(j)`` is where column j comes from."""
        k, images, result = self.k, self.spec.images, self.spec.result
        with k.loop(first, last) as j:
            x, place = k.mul(column(j), images.strides[1]), k.mul(j, result.strides[1])
            self._each(
                lambda c, lanes: self._copy(
                    source,
                    k.add(x, k.mul(c, images.strides[2])),
                    row,
                    k.add(place, k.mul(c, result.strides[2])),
                    lanes,
                )
            )

    def _each(self, body: Callable[[Value, int], None]) -> None:
        """``body(channel, lanes)`` over all channels of a pixel."""
        k, spec = self.k, self.spec
        if spec.images.strides[2] == spec.result.strides[2] == 1:
            lanes = k.target.lanes("float32")
            over_channels(k, self.channels, lanes, 1, lambda c, widths: body(c, widths[0]))
            return
        with k.loop(0, self.channels) as c:
            body(c, 1)

    # Turned images ------------------------------------------------------------------------------

    def _number(self, value: float) -> Value:
        return F32(value)

    def _turned(self, i: Value, row: Value) -> None:
        """A row of an image that is turned: each pixel is mixed from four."""
        k, b, given = self.k, self.k.builder, self.numbers
        cy, cx = (self._number((side - 1) / 2) for side in (self.height, self.width))
        u = b.fsub(b.sitofp(i, F32), cy)
        cos_u, sin_u = b.fmul(given["cos"], u), b.fmul(given["sin"], u)
        down, right = b.fadd(cy, given["dy"]), b.fadd(cx, given["dx"])
        with k.loop(0, self.width) as j:
            m = b.select(self.flips, b.sub(k.const(self.width - 1), j), j)
            v = b.fsub(b.sitofp(m, F32), cx)
            sy = b.fadd(b.fsub(cos_u, b.fmul(given["sin"], v)), down)
            sx = b.fadd(b.fadd(sin_u, b.fmul(given["cos"], v)), right)
            self._mix(sy, sx, k.at(row, k.mul(j, self.spec.result.strides[1]), "float32"))

    def _floor(self, x: Value) -> tuple[Value, Value]:
        """The floor as an integer, and x minus it."""
        b = self.k.builder
        toward_zero = b.fptosi(x, I64)
        back = b.sitofp(toward_zero, F32)
        above = b.fcmp_ordered(">", back, x)
        number = b.select(above, b.sub(toward_zero, self.k.const(1)), toward_zero)
        floor = b.select(above, b.fsub(back, self._number(1.0)), back)
        # A whole number is its own floor, with its sign: -0.0 minus +0.0 would be -0.0.
        return number, b.fsub(x, b.select(b.fcmp_ordered("==", back, x), x, floor))

    def _mix(self, sy: Value, sx: Value, pixel: Value) -> None:
        k, b, result = self.k, self.k.builder, self.spec.result
        y, fy = self._floor(sy)
        x, fx = self._floor(sx)
        one = self._number(1.0)
        gy, gx = b.fsub(one, fy), b.fsub(one, fx)
        taps = [self._tap(k.add(y, down), k.add(x, right)) for down in (0, 1) for right in (0, 1)]

        def body(c: Value, lanes: int) -> None:
            left_top, right_top, left_bottom, right_bottom = (tap(c, lanes) for tap in taps)
            fy_, fx_, gy_, gx_ = (k.splat(share, lanes) for share in (fy, fx, gy, gx))
            top = b.fadd(b.fmul(gx_, left_top), b.fmul(fx_, right_top))
            bottom = b.fadd(b.fmul(gx_, left_bottom), b.fmul(fx_, right_bottom))
            value = b.fadd(b.fmul(gy_, top), b.fmul(fy_, bottom))
            k.store(value, k.at(pixel, k.mul(c, result.strides[2]), "float32"))

        self._each(body)

    def _tap(self, y: Value, x: Value) -> Callable[[Value, int], Value]:
        """A pixel's channels, or the fill outside the image."""
        k, b, images = self.k, self.k.builder, self.spec.images
        inside = b.and_(self._between(y, 0, self.height), self._between(x, 0, self.width))
        zero = k.const(0)
        row, column = b.select(inside, y, zero), b.select(inside, x, zero)
        shift = k.add(k.mul(row, images.strides[0]), k.mul(column, images.strides[1]))
        pixel = k.at(self.source, shift, images.dtype)

        def load(c: Value, lanes: int) -> Value:
            value = self._load(pixel, k.mul(c, images.strides[2]), lanes)
            return b.select(inside, value, k.splat_const(self.fill, "float32", lanes))

        return load
