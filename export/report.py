"""What an export made, a line a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fingergen.runtime.bundle.manifest import Engine, Manifest


def lines(manifest: Manifest) -> Iterator[str]:
    """Name, size and figures of every file of the bundle."""
    engines = {engine.file: engine for engine in manifest.engines}
    width = max(map(len, manifest.files))
    for file, record in manifest.files.items():
        if file in engines:
            engine = engines[file]
            about = _engine(engine)
            graph = f"{engine.graph}.{engine.precision}"  # what the engine's graph was checked as
            if f"{graph}.onnx" not in manifest.files and graph in manifest.parity:
                about += f"; {_parity(manifest.parity[graph])}"
        else:
            about = _parity(manifest.parity.get(file.removesuffix(".onnx"), {}))
        yield f"{file:{width}} {record.bytes / 1e6:8.1f} MB  {about}".rstrip()


def _parity(figures: Mapping[str, Any]) -> str:
    if not figures:
        return ""
    parts = [f"max error {figures['max_abs_error']:.1e} of {figures['scale']:.3g}"]
    if "psnr_db" in figures:
        parts.append(f"PSNR {min(figures['psnr_db'], figures['rounded_psnr_db']):.1f} dB")
        parts.append(f"largest activation {figures['largest_activation']:.3g}")
        parts.append(f"over {sum(figures['inputs'].values())} inputs")
    return ", ".join(parts)


def _engine(engine: Engine) -> str:
    report = engine.report
    parts = [f"{engine.flavour} {engine.version} for {' '.join(engine.gpu_architectures)}"]
    if report["engine_layers"] is not None:
        parts.append(f"{report['engine_layers']} layers")
    plugins = [f"{count} {op}" for op, count in report["plugins"].items()]
    parts.append(f"plugins: {', '.join(plugins)}" if plugins else "no plugins")
    parts.append(f"built in {report['build_seconds']:.1f} s")
    if report["activation_bytes"] is not None:
        parts.append(f"{report['activation_bytes'] / 1e6:.0f} MB of activations at batch {engine.batch[2]}")
    return "; ".join(parts)
