"""Emitters for CPUs: pooling and its gradients."""
