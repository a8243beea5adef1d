"""libfingergen by ctypes, for tests: a model of the C interface with NumPy arrays."""

from __future__ import annotations

import copy
import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np

from fingergen import cpp_ops
from fingergen.runtime.c_api import onnxruntime_library
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template

OK, BAD_INPUT = 0, 2
TYPES = (MinutiaType.OTHER, MinutiaType.ENDING, MinutiaType.BIFURCATION)


class Options(ctypes.Structure):
    _fields_ = (
        ("onnxruntime", ctypes.c_char_p),
        ("custom_ops", ctypes.c_char_p),
        ("threads", ctypes.c_int),
    )


class Info(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("ppi", ctypes.c_double),
        ("bytes", ctypes.c_size_t),
    )


class CMinutia(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_double),
        ("y", ctypes.c_double),
        ("angle", ctypes.c_double),
        ("type", ctypes.c_int),
        ("quality", ctypes.c_double),
    )


class CPoint(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))


class CTemplate(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("ppi", ctypes.c_double),
        ("minutiae", ctypes.POINTER(CMinutia)),
        ("minutiae_count", ctypes.c_size_t),
        ("cores", ctypes.POINTER(CPoint)),
        ("cores_count", ctypes.c_size_t),
        ("deltas", ctypes.POINTER(CPoint)),
        ("deltas_count", ctypes.c_size_t),
    )


def to_c(template: Template) -> CTemplate:
    """A template as C has it; it keeps its arrays alive."""
    minutiae = [
        CMinutia(m.x, m.y, m.angle, TYPES.index(m.type), -1 if m.quality is None else m.quality)
        for m in template.minutiae
    ]
    cores, deltas = ([CPoint(p.x, p.y) for p in points] for points in (template.cores, template.deltas))
    return CTemplate(
        template.width,
        template.height,
        template.ppi,
        (CMinutia * len(minutiae))(*minutiae),
        len(minutiae),
        (CPoint * len(cores))(*cores),
        len(cores),
        (CPoint * len(deltas))(*deltas),
        len(deltas),
    )


def from_c(given: CTemplate) -> Template:
    found = (given.minutiae[i] for i in range(given.minutiae_count))
    return Template(
        given.width,
        given.height,
        given.ppi,
        tuple(Minutia(m.x, m.y, m.angle, TYPES[m.type], None if m.quality < 0 else m.quality) for m in found),
        tuple(Point(given.cores[i].x, given.cores[i].y) for i in range(given.cores_count)),
        tuple(Point(given.deltas[i].x, given.deltas[i].y) for i in range(given.deltas_count)),
    )


class Loaded:
    """A model. `status` and `line` are of the last call of this object; each thread takes one of its own."""

    def __init__(self, bundle: Path, **options: Any) -> None:
        self.library = ctypes.CDLL(str(cpp_ops.library("c_api")))
        for free in (self.library.fingergen_free, self.library.fingergen_template_free):
            free.argtypes = [ctypes.c_void_p]
        self.model = ctypes.c_void_p()
        self.error = ctypes.create_string_buffer(512)
        given = Options(**{"onnxruntime": os.fsencode(onnxruntime_library())} | options)
        self.status = self.library.fingergen_load(
            os.fsencode(bundle), ctypes.byref(given), ctypes.byref(self.model), self.error, len(self.error)
        )
        self.info = Info()
        if self.status == OK:
            self.library.fingergen_image_info_of(self.model, ctypes.byref(self.info))

    def shared(self) -> Loaded:
        """The same model, for a call of another thread."""
        other = copy.copy(self)
        other.error = ctypes.create_string_buffer(len(self.error))
        return other

    def synthesize(self, seed: int, truncation: float | None = None, size: int | None = None) -> np.ndarray:
        return self._image("synthesize", ctypes.c_uint64(seed), _psi(truncation), size=size)

    def edit(self, seed: int, direction: str, degree: float, truncation: float | None = None) -> np.ndarray:
        given = (ctypes.c_uint64(seed), direction.encode(), ctypes.c_double(degree), _psi(truncation))
        return self._image("edit", *given)

    def impression(
        self, finger: int, number: int, preset: str | None = None
    ) -> tuple[np.ndarray, Template | None]:
        truth = ctypes.POINTER(CTemplate)()
        given = (ctypes.c_uint64(finger), ctypes.c_uint32(number), preset and preset.encode(), None)
        image = self._image("impression", *given, after=[ctypes.byref(truth)])
        template = from_c(truth.contents) if truth else None
        self.library.fingergen_template_free(truth)
        return image, template

    def reconstruct(self, template: CTemplate, seed: int = 0) -> np.ndarray:
        return self._image("reconstruct", ctypes.byref(template), ctypes.c_uint64(seed))

    def read(self, record: bytes) -> Template | None:
        made = ctypes.POINTER(CTemplate)()
        self.status = self.library.fingergen_template_read(
            record, ctypes.c_size_t(len(record)), ctypes.byref(made), self.error, len(self.error)
        )
        template = from_c(made.contents) if made else None
        self.library.fingergen_template_free(made)
        return template

    def _image(self, name: str, *given: Any, size: int | None = None, after: Any = ()) -> np.ndarray:
        pixels = np.zeros(self.info.bytes, np.uint8)
        room = ctypes.c_size_t(len(pixels) if size is None else size)
        self.status = getattr(self.library, f"fingergen_{name}")(
            self.model,
            *given,
            ctypes.c_void_p(pixels.ctypes.data),
            room,
            *after,
            self.error,
            ctypes.c_size_t(len(self.error)),
        )
        shape = (self.info.height, self.info.width, self.info.channels)
        return pixels.reshape(shape[:2] if self.info.channels == 1 else shape)

    @property
    def line(self) -> str:
        return self.error.value.decode()

    def close(self) -> None:
        self.library.fingergen_free(self.model)


def _psi(truncation: float | None) -> Any:
    return None if truncation is None else ctypes.byref(ctypes.c_double(truncation))
