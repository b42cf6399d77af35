"""Optimizers against plain loops written from their papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.graph.verify import verify
from isoconv.ops.interpret import interpret
from isoconv.train.optim import SGD, Adam, AdamW, Optimizer

STEPS = 7
SIZE = 33


def run(
    optimizer: Any, gradients: list[Array] | Array, p: Array, scale: float | None = None
) -> tuple[Array, dict[str, Array]]:
    """The parameters after some steps of the update graph, and the slots."""
    graph = verify(optimizer.update_graph(p.size, scale is not None))
    slots = {f"slot:{name}": np.zeros_like(p) for name in optimizer.slots}
    for step, g in enumerate(gradients):
        row = np.array(optimizer.hyper_row(step, optimizer.learning_rate)).astype(np.float32)
        scalars = dict(zip(optimizer.hyper, row, strict=True))
        if scale is not None:
            scalars["gradient_scale"] = np.float32(scale)
        values = interpret(graph, {"parameter": p, "gradient": g, **scalars, **slots}, 1)
        p = values.pop("parameter")
        slots = values
    return p, slots


@pytest.fixture
def numbers() -> tuple[Array, Array]:
    """First parameters and the gradients of some steps."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(STEPS, SIZE)).astype(np.float32), rng.normal(size=SIZE).astype("f4")


def sgd_loop(
    gradients: Array, p: Array, lr: float, momentum: float, nesterov: bool, decay: float
) -> Array:
    """SGD one number at a time, float32 rounded after each operation."""
    f = np.float32
    result = p.copy()
    for i in range(p.size):
        value, v = p[i], f(0)
        for g in gradients[:, i]:
            if decay:
                g = f(g + f(f(decay) * value))
            d = g
            if momentum:
                v = f(f(f(momentum) * v) + g)
                d = f(g + f(f(momentum) * v)) if nesterov else v
            value = f(value - f(f(lr) * d))
        result[i] = value
    return result


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("decay", [0.0, 5e-4])
def test_sgd_is_its_formula_bit_for_bit(
    numbers: tuple[Array, Array], momentum: float, nesterov: bool, decay: float
) -> None:
    """Every combination of momentum, Nesterov and decay equals the loop in all bits."""
    gradients, p = numbers
    found, slots = run(SGD(0.1, momentum, nesterov, decay), gradients, p)
    wanted = sgd_loop(gradients, p, 0.1, momentum, nesterov, decay)
    assert found.tobytes() == wanted.tobytes()
    assert list(slots) == (["slot:velocity"] if momentum else [])


def adam_loop(
    gradients: Array,
    p: Array,
    lr: float,
    b1: float,
    b2: float,
    eps: float,
    decay: float,
    decoupled: bool,
) -> Array:
    """Adam one number at a time; the paper's step with rounded corrections."""
    f = np.float32
    result = p.copy()
    for i in range(p.size):
        value, m, v = p[i], f(0), f(0)
        power1 = power2 = 1.0
        for g in gradients[:, i]:
            power1, power2 = power1 * b1, power2 * b2
            c1, c2 = f(1 / (1 - power1)), f(1 / (1 - power2))
            if decay and decoupled:
                value = f(value - f(f(lr * decay) * value))
            if decay and not decoupled:
                g = f(g + f(f(decay) * value))
            m = f(f(f(b1) * m) + f(f(1 - b1) * g))
            v = f(f(f(b2) * v) + f(f(1 - b2) * f(g * g)))
            size = f(np.sqrt(f(v * c2)) + f(eps))
            value = f(value - f(f(f(lr) * f(m * c1)) / size))
        result[i] = value
    return result


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_is_its_formula_bit_for_bit(
    numbers: tuple[Array, Array], kind: type, decay: float
) -> None:
    """Adam and AdamW with and without decay equal the loop in all bits."""
    gradients, p = numbers
    found, _ = run(kind(0.003, 0.9, 0.99, 1e-7, decay), gradients, p)
    wanted = adam_loop(gradients, p, 0.003, 0.9, 0.99, 1e-7, decay, kind is AdamW)
    assert found.tobytes() == wanted.tobytes()


def test_first_adam_step_has_the_size_of_the_learning_rate(numbers: tuple[Array, Array]) -> None:
    """After one step every parameter has moved by the learning rate, against the gradient."""
    gradients, p = numbers
    found, _ = run(Adam(0.01), gradients[:1], p)
    np.testing.assert_allclose(found - p, -0.01 * np.sign(gradients[0]), rtol=1e-4)


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), Adam(), AdamW()])
def test_clipping_scales_the_gradient_first(numbers: tuple[Array, Array], optimizer: Any) -> None:
    """With a gradient scale the update is that of the scaled gradients."""
    gradients, p = numbers
    clipped, _ = run(optimizer, gradients, p, scale=0.3)
    scaled, _ = run(optimizer, gradients * np.float32(0.3), p)
    assert clipped.tobytes() == scaled.tobytes()


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, True, 0.1), Adam(weight_decay=0.1), AdamW()])
def test_padding_stays_zero(optimizer: Any) -> None:
    """Elements between the arrays of the flat vector are 0 and stay 0."""
    zeros = np.zeros(5, np.float32)
    found, slots = run(optimizer, [zeros] * 3, zeros)
    assert not found.any()
    assert not any(slot.any() for slot in slots.values())


def test_corrections_do_not_depend_on_the_way_there() -> None:
    """A resumed run gets the same corrections as one that counted up from the first step."""
    counted = [Adam(beta1=0.87).hyper_row(step, 0.1) for step in range(50)]
    assert Adam(beta1=0.87).hyper_row(31, 0.1) == counted[31]
    assert Adam(beta1=0.87).hyper_row(2, 0.1) == counted[2]


def test_hyper_rows_have_the_columns_of_hyper() -> None:
    """Each optimizer names as many scalars as it gives, and AdamW multiplies in float64."""
    for optimizer in (SGD(1.0), Adam(), AdamW(), AdamW(weight_decay=0.0)):
        assert isinstance(optimizer, Optimizer)
        assert len(optimizer.hyper) == len(optimizer.hyper_row(0, 0.1))
    assert AdamW(weight_decay=0.3).hyper_row(0, 0.1)[1] == 0.1 * 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SGD(0.0),
            r"learning_rate must be a finite number above 0 and at most 3\.4.*; got 0.0",
        ),
        (lambda: SGD(float("nan")), "learning_rate"),
        (
            lambda: SGD("0.1"),  # type: ignore[arg-type]
            r"learning_rate must be a finite number above 0 and at most 3\.4.*; got '0.1'",
        ),
        (lambda: SGD(0.1, momentum=1.0), "momentum must be a finite number at least 0 and below 1"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay"),
        (lambda: Adam(beta2=1.0), "beta2"),
        (lambda: AdamW(eps=0.0), "eps"),
        (lambda: Adam(eps=1e-60), "eps must be above 0 in float32; got 1e-60"),
        (lambda: Adam(10**400), "learning_rate"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], message: str) -> None:
    """A setting outside its range is refused with its name and value."""
    with pytest.raises(ArgumentError, match=message.replace("(", r"\(")):
        make()
