"""How many images a thread takes through a forward graph at a time: a written model of traffic.

Per image, for shards of s images:

- a weight that meets each image once only, as in a linear layer, is read from afar 1 / s times;
- what a layer reads and writes comes from afar when it does not fit into a core's own cache for
  all s images, and from further away when it does not fit into a core's share of the common one.

The cheapest s is taken, among those whose memory stays modest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod

from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.operation import operation

__all__ = ["shard_size_for"]

_SIZES = (32, 16, 8, 4, 2, 1)
_CACHES = ((1 << 20, 1), (8 << 20, 2))  # bytes of each cache, and what a byte costs beyond it
_MEMORY = 64 << 20  # bytes of the largest layer's input and result that a shard may take


def shard_size_for(graph: Graph) -> int:
    """Images in a shard of a prediction; changes speed and memory alone.

    Args:
        graph: a forward graph.
    """
    once = 1
    layers = [1]
    for node in graph.nodes:
        if not operation(node.op).heavy or not node.spec.batched:
            continue
        specs = [node.spec, *(graph[index].spec for index in node.inputs)]
        layers.append(_bytes(spec for spec in specs if spec.batched))
        if prod(node.spec.shape[:-1]) == 1:
            once += _bytes(spec for spec in specs if not spec.batched)

    def traffic(size: int) -> float:
        far = once / size
        for layer, (cache, cost) in product(layers, _CACHES):
            far += cost * layer if size * layer > cache else 0
        return far

    modest = [size for size in _SIZES if size * max(layers) <= _MEMORY or size == 1]
    return min(modest, key=traffic)


def _bytes(specs: Iterable[TensorSpec]) -> int:
    total = 0
    for spec in specs:
        total += spec.size * spec.itemsize
    return total
