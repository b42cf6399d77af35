"""Elementwise work in one pass: expressions, operations, conditions as bits, halos of zeros."""
