"""Maps the top-level folders onto the import package `fingergen`; the rest is in pyproject.toml."""

from setuptools import find_packages, setup

PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks")

package_dir = {f"fingergen.{part}": part for part in PARTS}
packages = list(package_dir) + [
    f"fingergen.{part}.{package}" for part in PARTS for package in find_packages(part)
]

setup(packages=packages, package_dir=package_dir)
