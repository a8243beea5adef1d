"""FingerGen: train, export and deploy a generator of synthetic fingerprints.

The parts of this package are the top-level folders of the repository; `setup.py` maps them here:
`fingergen.runtime`, `fingergen.export`, `fingergen.training`, `fingergen.cpp_ops`, `fingergen.benchmarks`.
This package itself holds the version alone, so that importing one part imports no other.
"""

__version__ = "0.1.0"
