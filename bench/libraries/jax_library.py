"""JAX's side of the benchmarks: one jitted function for a step, channels last."""

from __future__ import annotations

from typing import Any

import jax  # type: ignore[import-not-found]
import jax.numpy as jnp  # type: ignore[import-not-found]
import jaxlib  # type: ignore[import-not-found]
import numpy as np
from jax import lax

from bench.worker import Array, Library, Prepared, serve

__all__ = ["JaxLibrary"]

RATE, MOMENTUM, KEPT = 0.01, 0.9, 0.9
Weights = dict[str, Any]


class JaxLibrary(Library):
    """XLA on the CPU; its threads are as many as the process has cores."""

    def versions(self) -> dict[str, str]:
        """JAX and jaxlib."""
        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}

    def step(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """A step of SGD with momentum; weights and velocities are donated."""
        description, batch = request["description"], request["batch"]
        images, labels = jnp.asarray(arrays["images"]), jnp.asarray(arrays["labels"])
        batches, turn = len(images) // batch, 0

        def weights() -> tuple[Weights, Weights]:
            found = {
                name: jnp.asarray(array)
                for name, array in arrays.items()
                if name not in ("images", "labels")
            }
            learned = {name: a for name, a in found.items() if "running" not in name}
            return found, {name: jnp.zeros_like(a) for name, a in learned.items()}

        step = _step_function(description)
        losses = _first_losses(
            description, *weights(), images[:batch], labels[:batch], request["shard"]
        )
        state = weights()

        def work() -> None:
            nonlocal state, turn
            part = slice(turn % batches * batch, (turn % batches + 1) * batch)
            turn += 1
            *state, loss = step(*state, images[part], labels[part])
            loss.block_until_ready()

        return Prepared(work, {"losses": np.array(losses)})


def forward(description: list[dict[str, Any]], weights: Weights, x: Any, states: Weights) -> Any:
    """The network in training mode; new running statistics go to `states`."""
    for step in description:
        kind = step["op"]
        if kind == "conv":
            pairs = [tuple(step["padding"])] * 2
            x = lax.conv_general_dilated(
                x, weights[f"{step['name']}.weight"], [step["stride"]] * 2, pairs,
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=step["groups"],
            )  # fmt: skip
            if step["bias"]:
                x = x + weights[f"{step['name']}.bias"]
        elif kind == "conv_transpose":
            x = weights[f"{step['name']}.bias"] + lax.conv_transpose(
                x, weights[f"{step['name']}.weight"], [step["stride"]] * 2, "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True,
            )  # fmt: skip
        elif kind == "batch_norm":
            x = _batch_norm(step, weights, x, states)
        elif kind == "relu":
            x = jnp.maximum(x, 0)
        elif kind == "relu6":
            x = jnp.clip(x, 0, 6)
        elif kind == "max_pool":
            sides = (1, step["kernel"], step["kernel"], 1)
            strides = (1, step["stride"], step["stride"], 1)
            pairs = [(0, 0), *[(step["padding"], step["padding"])] * 2, (0, 0)]
            x = lax.reduce_window(x, -jnp.inf, lax.max, sides, strides, pairs)
        elif kind == "global_avg_pool":
            x = jnp.mean(x, axis=(1, 2))
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind == "linear":
            x = x @ weights[f"{step['name']}.weight"] + weights[f"{step['name']}.bias"]
        elif kind == "sequence":
            x = forward(step["body"], weights, x, states)
        elif kind == "branches":
            found = [forward(body, weights, x, states) for body in step["bodies"]]
            x = jnp.concatenate(found, axis=-1)
        else:
            inner = forward(step["body"], weights, x, states)
            x = inner + forward(step["shortcut"], weights, x, states)
    return x


def _batch_norm(step: dict[str, Any], weights: Weights, x: Any, states: Weights) -> Any:
    name = step["name"]
    if step["frozen"]:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    else:
        mean = jnp.mean(x, axis=(0, 1, 2))
        variance = jnp.mean(jnp.square(x - mean), axis=(0, 1, 2))
        for part, value in (("running_mean", mean), ("running_var", variance)):
            key = f"{name}.{part}"
            states[key] = KEPT * weights[key] + (1 - KEPT) * lax.stop_gradient(value)
    scale = weights[f"{name}.weight"] * lax.rsqrt(variance + step["eps"])
    return (x - mean) * scale + weights[f"{name}.bias"]


def _loss(learned: Weights, rest: Weights, description: Any, x: Any, y: Any) -> tuple[Any, Weights]:
    states: Weights = {}
    scores = forward(description, {**rest, **learned}, x, states)
    logs = jax.nn.log_softmax(scores)
    return -jnp.mean(jnp.take_along_axis(logs, y[..., None], axis=-1)), states


def _update(
    weights: Weights, velocities: Weights, gradients: Weights, states: Weights
) -> tuple[Weights, Weights]:
    moved = {name: MOMENTUM * velocities[name] + gradients[name] for name in velocities}
    kept = {name: weights[name] - RATE * moved[name] for name in moved}
    return {**weights, **states, **kept}, moved


def _step_function(description: Any) -> Any:
    def step(weights: Weights, velocities: Weights, x: Any, y: Any) -> Any:
        learned = {name: weights[name] for name in velocities}
        find = jax.value_and_grad(_loss, has_aux=True)
        (loss, states), gradients = find(learned, weights, description, x, y)
        return *_update(weights, velocities, gradients, states), loss

    return jax.jit(step, donate_argnums=(0, 1))


def _first_losses(
    description: Any, weights: Weights, velocities: Weights, x: Any, y: Any, shard: int
) -> list[float]:
    """Losses of the first two steps, each shard normalised by itself."""

    @jax.jit  # type: ignore[untyped-decorator]
    def shard_step(weights: Weights, x: Any, y: Any) -> Any:
        learned = {name: weights[name] for name in velocities}
        find = jax.value_and_grad(_loss, has_aux=True)
        (loss, _), gradients = find(learned, weights, description, x, y)
        return loss, gradients

    losses = []
    for _ in range(2):
        total, sums = 0.0, {name: jnp.zeros_like(a) for name, a in velocities.items()}
        for first in range(0, len(x), shard):
            part = slice(first, first + shard)
            share = len(x[part]) / len(x)
            loss, gradients = shard_step(weights, x[part], y[part])
            total += float(loss) * share
            sums = {name: sums[name] + share * gradients[name] for name in sums}
        weights, velocities = _update(weights, velocities, sums, {})
        losses.append(total)
    return losses


if __name__ == "__main__":
    serve(JaxLibrary())
