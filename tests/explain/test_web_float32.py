"""The browser's float32 arithmetic beside the exact references: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.browser import Remote
from tests.explain.patterns import SPECIAL

from isoconv.arithmetic.fma import fma
from isoconv.arithmetic.sums import partial_sum, tree_sum

RUN = """async ([name, rows]) => {
  const m = await import("./float32.js");
  const real = (bits) => new Float32Array(new Uint32Array([bits]).buffer)[0];
  const words = (values) => Array.from(values, m.bits);
  const take = {
    fma: ([a, b, s]) => [m.bits(m.fma(real(a), real(b), real(s)))],
    add: ([a, b]) => [m.bits(m.add(real(a), real(b)))],
    divide: ([a, b]) => [m.bits(m.divide(real(a), real(b)))],
    chain: (row) => words(m.chain(row.map(([a, b]) => [real(a), real(b)]))),
    runningSum: (row) => words(m.runningSum(row.map((x) => (x === null ? null : real(x))))),
    partials: (row) => [m.bits(m.partialSums(row.map(real)).value)],
    tree: (row) => [m.bits(m.treeSum(row.map(real)))],
    shown: ([x]) => [m.shown(real(x)), m.bits(m.parsed(m.shown(real(x))))],
    bits: ([x]) => [m.bits(real(x)), m.hex(real(x))],
    brief: ([x]) => [m.brief(real(x))],
  }[name];
  return rows.map(take);
}"""


def run(page: Remote, name: str, rows: list[Any]) -> Any:
    """One function of the module on many rows of bits."""
    return page.evaluate(RUN, [name, rows])


def numbers(count: int, seed: int) -> np.ndarray:
    """Bits of float32: any at all, near 1, of near-by sizes, and special ones."""
    rng = np.random.default_rng(seed)
    any_bits = rng.integers(0, 2**32, count, np.uint32)
    near = rng.standard_normal(count).astype(np.float32).view(np.uint32)
    short = (rng.integers(-4096, 4096, count) / 64).astype(np.float32).view(np.uint32)
    special = rng.choice(SPECIAL, count)
    return np.choose(rng.integers(0, 4, count), [any_bits, near, short, special])


def same(found: list[int], wanted: np.ndarray) -> np.ndarray:
    """Where bits agree; any NaN agrees with any other."""
    got = np.array(found, np.uint32)
    bits = np.ascontiguousarray(wanted, np.float32).view(np.uint32).reshape(got.shape)
    nan = np.isnan(got.view(np.float32)) & np.isnan(bits.view(np.float32))
    agree: np.ndarray = (got == bits) | nan
    return agree


@pytest.mark.slow
def test_fused_multiply_add_rounds_once(page: Remote) -> None:
    """Thousands of triples, halfway cases and special values among them."""
    a, b, c = (numbers(6000, seed) for seed in (1, 2, 3))
    # Sums that nearly cancel, and products just beside the middle between two float32.
    x, y, z = (bits.view(np.float32).copy() for bits in (a, b, c))
    with np.errstate(all="ignore"):
        z[:2000] = -(x[:2000] * y[:2000])
        x[2000:3000], y[2000:3000] = 1 + 2.0**-12, 1 + np.float32(2.0**-12)
        z[2000:3000] = np.ldexp(np.float32(1), np.random.default_rng(4).integers(-149, 20, 1000))
        z[3000:4000] *= np.float32(2.0**-20)
    every = [x, y, z]
    rows = np.stack([one.view(np.uint32) for one in every], 1)
    found = [row[0] for row in run(page, "fma", rows.tolist())]
    wanted = fma(*every)
    wrong = np.flatnonzero(~same(found, wanted))
    assert wrong.size == 0, [(one[wrong[0]]) for one in every]


@pytest.mark.slow
def test_sums_and_quotients_are_float32(page: Remote) -> None:
    """Additions and divisions of any two numbers."""
    a, b = numbers(4000, 5), numbers(4000, 6)
    rows = np.stack([a, b], 1).tolist()
    x, y = a.view(np.float32), b.view(np.float32)
    with np.errstate(all="ignore"):
        wanted = {"add": x + y, "divide": x / y}
    for name, values in wanted.items():
        assert same([row[0] for row in run(page, name, rows)], values).all(), name


def test_a_chain_shows_the_sum_after_each_link(page: Remote) -> None:
    """Chains of 0 to 40 links: every sum on the way has the bits of the reference."""
    rng = np.random.default_rng(7)
    rows = [np.stack([numbers(n, i), numbers(n, 99 + i)], 1) for i, n in
            enumerate(rng.integers(0, 40, 60))]  # fmt: skip
    for row, found in zip(rows, run(page, "chain", [row.tolist() for row in rows]), strict=True):
        sums: list[Any] = [np.float32(0)]
        for a, b in row.view(np.float32):
            sums.append(fma(a, b, sums[-1]))
        assert same(found, np.array(sums)).all()


def test_a_running_sum_leaves_out_what_does_not_count(page: Remote) -> None:
    """Null adds nothing, not even +0.0; -0 from +0.0 is +0.0."""
    third, minus_zero = int(np.float32(1 / 3).view(np.uint32)), 0x80000000
    found = run(page, "runningSum", [[third, None, third, None], [minus_zero], []])
    once = np.float32(1 / 3)
    assert same(found[0], np.array([0, once, once, once + once, once + once], np.float32)).all()
    assert found[1:] == [[0, 0], [0]]


def test_partial_sums_and_trees_keep_their_order(page: Remote) -> None:
    """Lengths around the eight partial sums and around powers of two."""
    rows = [numbers(n, n) for n in (1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 100)]
    partials = run(page, "partials", [row.tolist() for row in rows])
    trees = run(page, "tree", [row.tolist() for row in rows])
    for row, partial, tree in zip(rows, partials, trees, strict=True):
        values = row.view(np.float32)
        assert same(partial, partial_sum(values)).all()
        assert same(tree, tree_sum([np.asarray(value) for value in values])).all()


def test_text_is_the_shortest_that_reads_back(page: Remote) -> None:
    """Digits as few as NumPy's, the same number read back; infinities, NaN and -0 too."""
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).view(np.uint32)
    every = np.concatenate([numbers(3000, 8), SPECIAL, powers, powers + 1, powers - 1])
    rows = run(page, "shown", every[:, None].tolist())
    for bits, (text, back) in zip(every, rows, strict=True):
        value = bits.view(np.float32)
        assert same([back], np.array([value])).all(), (value, text)
        if np.isfinite(value):
            least = np.format_float_scientific(value, unique=True, trim="-").partition("e")[0]
            digits = text.partition("e")[0].replace(".", "").strip("-0")
            assert len(digits) == len(least.replace(".", "").strip("-0")), (value, text)


def test_bits_are_those_of_memory(page: Remote) -> None:
    """The number and the eight digits."""
    rows = run(page, "bits", SPECIAL[:, None].tolist())
    for bits, (number, text) in zip(SPECIAL.tolist(), rows, strict=True):
        if not np.isnan(np.uint32(bits).view(np.float32)):
            assert (number, text) == (bits, f"{bits:08x}")


def test_what_people_type_is_read_or_refused(page: Remote) -> None:
    """A comma, a fraction and a typographic minus are read; the rest is null."""
    found = page.evaluate(
        """async (texts) => {
          const { parsed } = await import("./float32.js");
          return texts.map((text) => { const x = parsed(text); return x === null ? "no" : x; });
        }""",
        [" 1,5 ", "-2", "\u22123e-1", "1/4", ".5", "a", "", "1/0", "1 2", "0x10", "1/2/3", "1e999"],
    )
    third = float(np.float32(-0.3))
    infinite = float("inf")
    assert found == [1.5, -2, third, 0.25, 0.5, "no", "no", "no", "no", "no", "no", infinite]


def test_short_forms_fit_into_cells(page: Remote) -> None:
    """At most eight characters for any number, and close to it."""
    every = np.concatenate([numbers(2000, 9), SPECIAL])
    for bits, (text,) in zip(every, run(page, "brief", every[:, None].tolist()), strict=True):
        value = bits.view(np.float32)
        assert len(text) <= 8, text
        if np.isfinite(value):
            assert abs(float(np.float32(text)) - float(value)) <= 0.05 * abs(float(value))
