"""libfingergen, the C interface: where its header, its CMake package and ONNX Runtime's library lie.

python -m fingergen.runtime.c_api                  # for CMAKE_PREFIX_PATH
python -m fingergen.runtime.c_api --pkg-config     # for PKG_CONFIG_PATH
python -m fingergen.runtime.c_api --onnxruntime    # for FINGERGEN_ONNXRUNTIME
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import BadInput

FOLDER = Path(__file__).parent
"""Of `include/fingergen.h` and the CMake package."""

PKG_CONFIG = FOLDER / "pkgconfig"
"""Of `fingergen.pc`."""

__all__ = ["FOLDER", "PKG_CONFIG", "onnxruntime_library"]


def onnxruntime_library() -> Path:
    """The shared library of the installed ONNX Runtime, which libfingergen loads; it is not imported.

    Returns:
        Its path.

    Raises:
        BadInput: If ONNX Runtime is not installed, or without its library.
    """
    found = importlib.util.find_spec("onnxruntime")
    libraries = (
        sorted(Path(found.origin).parent.glob("capi/libonnxruntime.so*")) if found and found.origin else []
    )
    if not libraries:
        raise BadInput("no libonnxruntime.so on this machine: pip install onnxruntime")
    return libraries[-1]
