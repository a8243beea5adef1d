"""ONNX Runtime, imported here and nowhere else in FingerGen, so that its telemetry is off.

ONNX Runtime 1.32 and later keep a device identifier under the user's home and report to a collector, unless
`ORT_DISABLE_TELEMETRY=1` is in the environment when the library is loaded. The package `fingergen` sets it
where the user has not, and Python runs that before this module.
"""

from __future__ import annotations

import onnxruntime  # type: ignore[import-untyped]

__all__ = ["onnxruntime"]
