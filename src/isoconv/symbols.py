"""Convolutions and poolings in symbols: every result and every gradient written out as a sum."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.explain.symbols import conv, conv_transpose
from isoconv.explain.symbols_pooling import avg_pool, global_avg_pool, max_pool

__all__ = ["avg_pool", "conv", "conv_transpose", "global_avg_pool", "max_pool"]
# end of names

__public__ = {"isoconv": ["symbols"]}
