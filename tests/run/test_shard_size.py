"""How many images a thread takes at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isoconv import nn
from isoconv.compile.target import Target, target_named
from isoconv.graph.builder import GraphBuilder
from isoconv.nn.inference import inference_graph
from isoconv.run.inference import Predictor
from isoconv.run.shard_size import shard_size_for

MACHINE = replace(target_named("generic"), vector_bytes=64, cache_share=8 << 20)


def size_of(shape: tuple[int, ...], *layers: nn.Module, machine: Target = MACHINE) -> int:
    """For a sequence of layers."""
    graph = inference_graph(nn.Sequential(*layers), shape, "float32", "none")
    return shard_size_for(graph, machine)


def test_small_images_go_together() -> None:
    """What fits into the cache many times is taken many at a time."""
    assert size_of((8, 8, 1), nn.Conv2d(8, 3), nn.Flatten(), nn.Linear(10)) == 32


def test_large_images_go_alone() -> None:
    """A few images fill the cache of a core, and some more that of all cores."""
    assert size_of((112, 112, 16), nn.Conv2d(16, 3)) == 4
    assert size_of((112, 112, 8), nn.Conv2d(8, 3), nn.Conv2d(8, 3)) == 1
    assert size_of((56, 56, 16), nn.Conv2d(16, 3), nn.Conv2d(16, 3)) == 2


def test_large_linear_layers_want_company() -> None:
    """Weights that meet each image once are read for several at a time."""
    small = nn.GlobalAvgPool2d(), nn.Linear(10)
    large = nn.Flatten(), nn.Linear(4096)
    conv = nn.Conv2d(16, 3, padding=1)
    assert size_of((56, 56, 16), conv, *small) < size_of((56, 56, 16), conv, *large)


def test_filters_larger_than_what_they_meet_want_company() -> None:
    """Where all images of a shard pass by a block of filters, a shard reads it once."""
    late = nn.Conv2d(512, 3, padding=1)
    assert size_of((7, 7, 512), late) == 32
    # These filters come again for each image, one behind the other: company would not help.
    assert size_of((28, 28, 512), late) == 2


def test_a_large_common_cache_takes_more_images() -> None:
    """What is far on one machine is near on another."""
    layers = nn.Conv2d(32, 3, padding=1), nn.MaxPool2d(8), nn.Flatten(), nn.Linear(100)
    sizes = [
        size_of((56, 56, 32), *layers, machine=replace(MACHINE, cache_share=share << 20))
        for share in (4, 16, 128)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_memory_stays_modest() -> None:
    """However large the weights, a shard's values do not fill the memory."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (512, 512, 64))
    graph = b.graph([("y", b.add("relu", x))])
    assert shard_size_for(graph, MACHINE) == 32
    assert size_of((512, 512, 16), nn.Conv2d(64, 3), nn.Flatten(), nn.Linear(2)) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_predictors_ask(threads: int) -> None:
    """A predictor without a setting takes what suits its graph."""
    b = GraphBuilder()
    graph = b.graph([("y", b.add("neg", b.input("dataset", "x", (3,))))])
    with Predictor(graph, threads=threads) as predictor:
        assert predictor.shard_size == 32
