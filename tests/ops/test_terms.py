"""What one element is made of: terms worked off one by one give the bits of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.ops.cases import CASES, ELSEWHERE, IMAGES, Case, add_inputs, make_array

from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import operation, operations
from isoconv.graph.terms import Asked, Element, elements
from isoconv.graph.values import evaluate
from isoconv.ops.interpret import interpret


def whole(case: Case, dtype: str, seed: int) -> tuple[np.ndarray, list[np.ndarray], GraphBuilder]:
    """A case's result by its reference, the arrays it took and the graph that says so."""
    rng = np.random.default_rng(seed)
    arrays = [make_array(item, dtype, rng) for item in case.inputs]
    b = GraphBuilder()
    y = b.add(case.op, *add_inputs(b, case, arrays), attrs=case.attrs)
    named = {f"x{i}": array for i, array in enumerate(arrays)}
    return interpret(b.graph([("y", y)]), named, IMAGES)["y"], arrays, b


def asked_for(b: GraphBuilder, arrays: list[np.ndarray], index: tuple[int, ...]) -> Asked:
    """The question for one element of the last node."""
    node = b[len(b) - 1]
    specs = tuple(b.spec(i) for i in node.inputs)

    def read(element: Element) -> Any:
        return arrays[element.operand][element.index]

    return Asked(node.attrs, specs, node.spec, index, IMAGES, read)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_terms_give_the_bits_of_the_reference(case: Case, dtype: str) -> None:
    """First, last and some elements between: the same bits as the reference's."""
    result, arrays, b = whole(case, dtype, 11)
    rng = np.random.default_rng(12)
    places = {0, result.size - 1, *rng.integers(0, result.size, 10).tolist()}
    for flat in sorted(places):
        index = tuple(int(i) for i in np.unravel_index(flat, result.shape))
        term = operation(case.op).terms_of(asked_for(b, arrays, index))
        value = evaluate(term, arrays, result.dtype)
        assert np.asarray(value).dtype == result.dtype
        assert np.asarray(value).tobytes() == result[index].tobytes(), (index, value)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_terms_name_all_that_takes_part(case: Case) -> None:
    """An element that is not among the terms may become anything; the result stays."""
    result, arrays, b = whole(case, "float32", 13)
    index = tuple(side // 2 for side in result.shape)
    term = operation(case.op).terms_of(asked_for(b, arrays, index))
    named: list[set[tuple[int, ...]]] = [set() for _ in arrays]
    for element in elements(term):
        named[element.operand].add(element.index)
    others = []
    for array, kept, item in zip(arrays, named, case.inputs, strict=True):
        other = array.copy()
        if item.is_float:
            mask = np.ones(array.shape, np.bool_)
            for place in kept:
                mask[place] = False
            other[mask] = 3.25
        others.append(other)
    named_arrays = {f"x{i}": array for i, array in enumerate(others)}
    again = interpret(b.graph([("y", len(b) - 1)]), named_arrays, IMAGES)["y"]
    assert again[index].tobytes() == result[index].tobytes()


@pytest.mark.parametrize("name", sorted(set(operations()) - ELSEWHERE))
def test_operands_have_names(name: str) -> None:
    """Each operand has a name to be called by in an explanation."""
    case = next(case for case in CASES if case.op == name)
    names = operation(name).operand_names(len(case.inputs))
    assert len(names) == len(set(names)) == len(case.inputs)
