"""Emitters for CPUs: transposed values, and places along one axis taken and mixed."""
