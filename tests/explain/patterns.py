"""Bit patterns of float32 where arithmetic goes wrong first, for tests."""

from __future__ import annotations

import numpy as np

SPECIAL = np.array(
    [
        0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000,
        0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800001,
        0x3F7FFFFF, 0x34000000, 0x33800000, 0x33FFFFFF, 0x4B800000, 0x4B800001, 0x1A000001,
    ],
    np.uint32,
)  # fmt: skip
