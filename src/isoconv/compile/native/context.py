"""What a kernel is called with: its buffers, and a context that says which images to work on.

A kernel is a native function ``void kernel(void **args, int64_t *context)``. ``args`` points at
its buffers, ``context`` says which images to work on:

====== ==================================================================
field  meaning
====== ==================================================================
0      number of images in this shard
1, 2   this call does part `part` of `parts` of the work
3      position of the shard's first image in the order of samples
4      how far the first image moves on after each turn of a script
====== ==================================================================
"""

from __future__ import annotations

CONTEXT = {"images": 0, "part": 1, "parts": 2, "first": 3, "stride": 4}
CONTEXT_WORDS = 8
