"""The bundle: a directory of ONNX graphs, latents and a manifest that has every file's SHA-256 and size."""

from .bundle import Bundle, Latents, check_replaceable, open_bundle, read_bundle, read_manifest, write_bundle

__all__ = [
    "Bundle",
    "Latents",
    "check_replaceable",
    "open_bundle",
    "read_bundle",
    "read_manifest",
    "write_bundle",
]
