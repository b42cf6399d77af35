"""Windows in the browser: the terms of convolutions, poolings and gradients, and their bits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.browser import Remote
from tests.explain.patterns import SPECIAL

from isoconv.errors import IsoconvError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import operation
from isoconv.graph.terms import (
    Asked,
    Chain,
    Element,
    Formula,
    Largest,
    Number,
    Padding,
    Running,
    When,
    Wins,
)
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.geometry import ConvGeometry, WindowGeometry
from isoconv.ops.interpret import interpret
from isoconv.ops.pool import AvgPool, AvgPoolGrad

IMAGES = 2

WHOLE = """async (cases) => {
  const { bits } = await import("./float32.js");
  const m = await import("./windows.js");
  return cases.map(({ op, attrs, shapes, arrays, images, places }) => {
    const data = arrays.map((words) => new Float32Array(new Uint32Array(words).buffer));
    const plain = (term) => [term.left.place, term.left.index].concat(
      term.right ? [term.right.place, term.right.index] : [],
      term.candidates ? [term.number, term.candidates.map((one) => one.left.place)] : [],
      term.count ? [term.count] : []);
    return {
      shape: m.resultShape(op, attrs, shapes),
      whole: Array.from(m.whole(op, attrs, shapes, data, images), bits),
      terms: places.map((place) => m.termsOf(op, attrs, shapes, place, images).terms.map(plain)),
      counts: places.map((place) => m.termsOf(op, attrs, shapes, place, images).count ?? null),
    };
  });
}"""


@dataclasses.dataclass
class Case:
    """One operation with settings, arrays (images first where batched) and its result."""

    op: str
    attrs: Any
    arrays: list[np.ndarray]
    result: np.ndarray
    asked: Any

    @property
    def images(self) -> int:
        """How many images go into one element: a gradient by weight sums over them."""
        return IMAGES if self.op == "conv_grad_weight" else 1


def values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers with few equals, one in ten of them special."""
    array = rng.standard_normal(shape).astype(np.float32)
    special = rng.choice(SPECIAL, shape).view(np.float32)
    often = rng.integers(-2, 3, shape).astype(np.float32)
    return np.choose(rng.choice(3, shape, p=[0.6, 0.1, 0.3]), [array, special, often])


def case_of(op: str, attrs: Any, arrays: list[np.ndarray], batched: list[bool]) -> Case:
    """The case with its result by the exact reference."""
    b = GraphBuilder()
    nodes = [
        b.input("dataset" if lead else "parameter", f"x{i}", array.shape[lead:])
        for i, (array, lead) in enumerate(zip(arrays, batched, strict=True))
    ]
    y = b.add(op, *nodes, attrs=attrs)
    images = arrays[0].shape[0]
    named = {f"x{i}": array for i, array in enumerate(arrays)}
    with np.errstate(all="ignore"):
        result = interpret(b.graph([("y", y)]), named, images)["y"]
    specs = tuple(b.spec(i) for i in b[y].inputs)

    def read(element: Element) -> Any:
        return arrays[element.operand][element.index]

    def asked(place: tuple[int, ...]) -> Asked:
        index = (0, *place) if b[y].spec.batched else place
        return Asked(attrs, specs, b[y].spec, index, images, read)

    return Case(op, attrs, arrays, result[0] if b[y].spec.batched else result, asked)


def sides_and_window(rng: np.random.Generator, rank: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Sides of an input and settings of a window that fits into it."""
    while True:
        sides = tuple(rng.integers(1, 7, rank).tolist())
        window: dict[str, Any] = {
            "kernel": tuple(rng.integers(1, 4, rank).tolist()),
            "stride": tuple(rng.integers(1, 4, rank).tolist()),
            "padding": tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2))),
            "dilation": tuple(rng.integers(1, 3, rank).tolist()),
        }
        try:
            ConvGeometry(**window).output_sides(sides)
        except IsoconvError:
            continue
        return sides, window


def conv_cases(rng: np.random.Generator, rank: int) -> list[Case]:
    """A convolution and its two gradients."""
    sides, window = sides_and_window(rng, rank)
    groups, inner, filters = (int(n) for n in rng.integers(1, 3, 3))
    geometry = ConvGeometry(**window, groups=groups, flip=bool(rng.integers(2)))
    x = values(rng, (1, *sides, groups * inner))
    w = values(rng, (*geometry.kernel, inner, groups * filters))
    dy = values(rng, (1, *geometry.output_sides(sides), groups * filters))
    many = [values(rng, (IMAGES, *one.shape[1:])) for one in (x, dy)]
    return [
        case_of("conv", geometry, [x, w], [True, False]),
        case_of("conv_grad_input", ConvGradInput(geometry, sides), [dy, w], [True, False]),
        case_of("conv_grad_weight", geometry, many, [True, True]),
    ]


def pool_cases(rng: np.random.Generator, rank: int) -> list[Case]:
    """Max and average pooling and their gradients."""
    while True:
        sides, settings = sides_and_window(rng, rank)
        try:
            window = WindowGeometry(**settings, ceil_mode=bool(rng.integers(2)))
            outputs = window.output_sides(sides)
            padded = bool(rng.integers(2))
            x, dy = values(rng, (1, *sides, 2)), values(rng, (1, *outputs, 2))
            return [
                case_of("max_pool", window, [x], [True]),
                case_of("max_pool_grad", window, [x, dy], [True, True]),
                case_of("avg_pool", AvgPool(window, padded), [x], [True]),
                case_of("avg_pool_grad", AvgPoolGrad(window, padded, sides), [dy], [True]),
            ]
        except IsoconvError:  # a window that misses the input, or padding as large as the kernel
            continue


def given(case: Case, places: list[tuple[int, ...]]) -> dict[str, Any]:
    """A case as the page gets it."""
    batched = [operand.batched for operand in case.asked(places[0]).operands]
    shapes = [list(a.shape[lead:]) for a, lead in zip(case.arrays, batched, strict=True)]
    return {
        "op": case.op,
        "attrs": dataclasses.asdict(case.attrs),
        "shapes": shapes,
        "arrays": [array.view(np.uint32).ravel().tolist() for array in case.arrays],
        "images": case.images,
        "places": [list(place) for place in places],
    }


def python_terms(case: Case, place: tuple[int, ...]) -> tuple[list[list[Any]], float | None]:
    """Python's terms of one element in the page's form, and what a window's sum is divided by."""
    asked = case.asked(place)
    term = operation(case.op).terms_of(asked)

    def leaf(one: Any) -> list[Any]:
        spec = asked.operands[one.operand]
        where = one.index[1:] if spec.batched else one.index
        if isinstance(one, Padding):
            return [list(where), -1]
        return [list(where), int(np.ravel_multi_index(one.index, case.arrays[one.operand].shape))]

    if isinstance(term, Chain):
        return [leaf(a) + leaf(b) for a, b in term.pairs], None
    if isinstance(term, Largest):
        return [leaf(one) for one in term.terms], None
    if isinstance(term, Formula):
        total, counted = term.arguments
        assert isinstance(counted, Number)
        assert isinstance(total, Running)
        return [leaf(one) for one in total.terms], counted.value
    assert isinstance(term, Running)
    rows = []
    for one in term.terms:
        if isinstance(one, Formula):
            share, counted = one.arguments
            assert isinstance(counted, Number)
            rows.append([*leaf(share), int(counted.value)])
        else:
            assert isinstance(one, When)
            assert isinstance(one.condition, Wins)
            window = [leaf(other)[0] for other in one.condition.choice.terms]
            rows.append([*leaf(one.then), one.condition.number, window])
    return rows, None


@pytest.mark.slow
@pytest.mark.parametrize("make", [conv_cases, pool_cases])
def test_windows_are_those_of_the_engine(page: Remote, make: Any) -> None:
    """Hundreds of random settings of ranks 0 to 2: all elements in every bit, terms one by one."""
    rng = np.random.default_rng(31 if make is conv_cases else 32)
    ranks = [0, 1, 1, 2, 2, 2] * 12 if make is conv_cases else [1, 2, 2] * 17
    cases = [case for rank in ranks for case in make(rng, rank)]
    assert len(cases) > 200
    spots = []
    for case in cases:
        flat = rng.integers(0, case.result.size, 2)
        spots.append([tuple(map(int, np.unravel_index(i, case.result.shape))) for i in flat])
    sent = [given(case, places) for case, places in zip(cases, spots, strict=True)]
    for case, places, found in zip(cases, spots, page.evaluate(WHOLE, sent), strict=True):
        assert tuple(found["shape"]) == case.result.shape, case.attrs
        got = np.array(found["whole"], np.uint32).view(np.float32).reshape(case.result.shape)
        same = (got.view(np.uint32) == case.result.view(np.uint32)) | (
            np.isnan(got) & np.isnan(case.result)
        )
        assert same.all(), (case.op, case.attrs, np.argwhere(~same)[0])
        for place, rows, counted in zip(places, found["terms"], found["counts"], strict=True):
            assert (rows, counted) == python_terms(case, place), (case.op, case.attrs, place)


def test_the_receptive_field_is_what_can_change_an_element(page: Remote) -> None:
    """Through three windows: exactly the corners of the rectangle reach the element."""
    rng = np.random.default_rng(33)
    ask = """async (cases) => {
      const { receptiveField } = await import("./windows.js");
      return cases.map(([steps, output]) => receptiveField(steps, output));
    }"""
    cases: list[Any] = []
    wanted: list[Any] = []
    while len(cases) < 60:
        side, sizes, steps = 24, [], []
        try:
            for _ in range(3):
                k, s, d = (int(n) for n in rng.integers(1, 4, 3))
                before, after = (int(n) for n in rng.integers(0, 3, 2))
                geometry = ConvGeometry((k,), (s,), ((before, after),), (d,))
                steps.append(geometry)
                sizes.append(side)
                (side,) = geometry.output_sides((side,))
        except IsoconvError:
            continue
        output = int(rng.integers(side))
        seen = {output}
        for geometry, size in zip(reversed(steps), reversed(sizes), strict=True):
            (k,), (s,), ((before, _),), (d,) = (
                geometry.kernel, geometry.stride, geometry.padding, geometry.dilation,
            )  # fmt: skip
            met = {o * s - before + m * d for o in seen for m in range(k)}
            seen = {i for i in met if 0 <= i < size}
        back = [
            {"geometry": dataclasses.asdict(geometry), "sides": [size]}
            for geometry, size in zip(reversed(steps), reversed(sizes), strict=True)
        ]
        cases.append([back, [output]])
        wanted.append([[min(seen), max(seen)]] if seen else None)
    found = page.evaluate(ask, cases)
    assert found == wanted
