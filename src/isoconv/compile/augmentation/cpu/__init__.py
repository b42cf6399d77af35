"""Emitters for CPUs: augmentation of images."""
