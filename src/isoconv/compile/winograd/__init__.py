"""Winograd's convolution: maps, contractions on the components, chunks."""
