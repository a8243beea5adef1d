"""Trainers of the generator, the encoder and the minutiae network, and the loop they share."""
