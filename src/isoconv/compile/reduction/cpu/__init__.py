"""Emitters for CPUs: sums, rows of classes, clipping by the global norm."""
