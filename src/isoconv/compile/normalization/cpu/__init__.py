"""Emitters for CPUs: normalisation along a row."""
