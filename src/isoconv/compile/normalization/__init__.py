"""Normalisation by statistics of the values themselves: along a row."""
