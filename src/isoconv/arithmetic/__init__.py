"""What the bits mean: fused multiply-add, orders of sums, elementary functions, random numbers.

``docs/arithmetic.md`` states the rules in full. A change to any of them is a new version.
"""

from __future__ import annotations

ARITHMETIC_VERSION = 1
"""Version of the rules, written in every receipt."""
