"""FingerGen: train, export and deploy a generator of synthetic fingerprints.

The parts of this package are the top-level folders of the repository; `setup.py` maps them here:
`fingergen.runtime`, `fingergen.export`, `fingergen.training`, `fingergen.cpp_ops`, `fingergen.benchmarks`.
This package itself imports none of them, so that importing one part imports no other.
"""

import os

# ONNX Runtime 1.32 and later report their use unless this is set before anybody imports them; every program
# and subprocess of ours passes here first. See `fingergen.runtime.backends.ort.library`.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
