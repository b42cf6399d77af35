"""Convolutional networks for images, trained to the same bits on every machine."""
