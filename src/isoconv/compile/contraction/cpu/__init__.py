"""Emitters for CPUs: chains of fused multiply-adds over register tiles, and packed weights."""
