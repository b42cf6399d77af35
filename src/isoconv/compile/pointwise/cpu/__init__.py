"""Emitters for CPUs: expressions, operations, conditions as bits, pointwise kernels, halos."""
