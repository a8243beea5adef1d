"""Maps the top-level folders onto the import package `fingergen`, and builds the op libraries of `cpp_ops`.

The libraries are optional: without a compiler or headers the install goes on, and `fingergen.cpp_ops` tells
why. FINGERGEN_BUILD_OPS=0 leaves them out. The rest of the packaging is in pyproject.toml.
"""

import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).parent
PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks")

sys.path.insert(0, str(ROOT / "cpp_ops" / "build_support"))
import libraries  # noqa: E402

package_dir = {"fingergen": "src/fingergen"} | {f"fingergen.{part}": part for part in PARTS}
packages = list(package_dir) + [
    f"fingergen.{part}.{package}" for part in PARTS for package in find_packages(part)
]


class BuildOps(Command):
    """Builds the op libraries: into the source tree for an editable install, else beside the modules."""

    description = "build the C++/CUDA op libraries where this machine can"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False  # set by setuptools for `pip install -e`

    def initialize_options(self):
        self.build_lib = None

    def finalize_options(self):
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self):
        for name, entry in libraries.build(
            ROOT / "cpp_ops", ROOT / "build" / "cpp_ops", self._folder()
        ).items():
            state = "built" if entry["built"] else "not built"
            print(
                f"{name} ops: {state}" + (f" ({entry['reason']}; {entry['fix']})" if entry["reason"] else "")
            )

    def get_outputs(self):
        return [str(self._wheel_folder() / path.name) for path in libraries.outputs(self._folder())]

    def get_output_mapping(self):
        if not self.editable_mode:
            return {}
        return {
            str(self._wheel_folder() / path.name): str(path) for path in libraries.outputs(self._folder())
        }

    def get_source_files(self):
        return []  # MANIFEST.in names them

    def _folder(self):
        return ROOT / "cpp_ops" if self.editable_mode else self._wheel_folder()

    def _wheel_folder(self):
        return Path(self.build_lib) / "fingergen" / "cpp_ops"


class BuildWithOps(build):
    sub_commands: ClassVar = [*build.sub_commands, ("build_ops", None)]


class PlatformWheel(bdist_wheel):
    """A wheel with libraries is for this platform, though for any Python."""

    def get_tag(self):
        if not any(
            path.suffix == ".so" for path in libraries.outputs(Path(self.bdist_dir) / "fingergen" / "cpp_ops")
        ):
            return super().get_tag()
        self.root_is_pure = False
        return "py3", "none", super().get_tag()[2]


setup(
    packages=packages,
    package_dir=package_dir,
    cmdclass={"build": BuildWithOps, "build_ops": BuildOps, "bdist_wheel": PlatformWheel},
)
