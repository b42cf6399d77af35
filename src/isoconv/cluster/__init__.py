"""Trainings on the machines of a Ray cluster, to the bits of one machine."""
