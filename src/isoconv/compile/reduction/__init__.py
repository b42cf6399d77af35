"""Sums, rows of classes, clipping by the global norm."""
