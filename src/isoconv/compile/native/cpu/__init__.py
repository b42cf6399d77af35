"""Emitters for CPUs: the loop that runs a script, and the small kernels around it."""
