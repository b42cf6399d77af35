"""Emitters for CPUs: Winograd's maps and the contractions between them."""
