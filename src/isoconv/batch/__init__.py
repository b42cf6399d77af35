"""Batch prediction: a model on any number of pictures, into a table, in parts that last."""
