"""Fingerprints as a service: what runs inside NVIDIA Triton Inference Server."""

from .operations import OPERATIONS, Operation, Tensor

__all__ = ["OPERATIONS", "Operation", "Tensor"]
