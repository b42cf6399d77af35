"""How many images a thread takes through a forward graph at a time: a written model of traffic.

Per image, for shards of s images:

- a weight that is read once for a whole shard costs 1 / s of its way: one that meets each image
  once only, as in a linear layer, and those of a convolution whose filters are larger than what
  they meet (`weights_pass_once`);
- what a layer reads and writes comes from afar when it does not fit into a core's own cache for
  all s images, and from further away when it does not fit into a core's share of the common one.

Values of a layer are read in the order in which they lie, which the machine foresees, and weights
of many filters from many places, which it does not: a byte of weights costs twice as much. The
cheapest s is taken, among those whose memory stays modest.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod

from isoconv.compile.contraction.tiles import vector_lanes, weights_pass_once
from isoconv.compile.target import Target
from isoconv.graph.ir import Graph, Node, TensorSpec
from isoconv.graph.operation import operation

_SIZES = (32, 16, 8, 4, 2, 1)
_WEIGHTS = 2.0  # what a byte of weights costs, in bytes of values beyond a core's own cache
_SHARED = 2.0  # and what a byte costs beyond the share of the common one
_BLOCK = 2  # vectors of filters in a block, in most tiles
_MEMORY = 64 << 20  # bytes of the largest layer's input and result that a shard may take


def shard_size_for(graph: Graph, target: Target) -> int:
    """Images in a shard of a prediction; changes speed and memory alone.

    Args:
        graph: a forward graph.
        target: the machine.
    """
    once = 1
    layers = [1]
    for node in graph.nodes:
        if not operation(node.op).heavy or not node.spec.batched:
            continue
        specs = [node.spec, *(graph[index].spec for index in node.inputs)]
        layers.append(_bytes(spec for spec in specs if spec.batched))
        source = graph[node.inputs[0]].spec
        once += _bytes(
            spec for spec in specs if not spec.batched and _read_once(node, source, spec, target)
        )
    caches = ((target.core.own_cache, 1.0), (target.cache_share, _SHARED))

    def traffic(size: int) -> float:
        far = _WEIGHTS * once / size
        for layer, (cache, cost) in product(layers, caches):
            far += cost * layer if size * layer > cache else 0.0
        return far

    modest = [size for size in _SIZES if size * max(layers) <= _MEMORY or size == 1]
    return min(modest, key=traffic)


def _read_once(node: Node, source: TensorSpec, weight: TensorSpec, target: Target) -> bool:
    """Whether a shard reads these weights once, however many images it has."""
    if prod(node.spec.shape[:-1]) == 1:
        return True
    filters = node.spec.shape[-1]
    blocks = -(-filters // (_BLOCK * vector_lanes(target, node.spec.dtype, filters)))
    return weights_pass_once(target, weight.size, source.size, blocks, weight.itemsize)


def _bytes(specs: Iterable[TensorSpec]) -> int:
    total = 0
    for spec in specs:
        total += spec.size * spec.itemsize
    return total
