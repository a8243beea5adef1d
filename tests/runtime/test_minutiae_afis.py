"""Records that other software writes and reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fingergen.runtime.minutiae import (
    Template,
    read_template,
    write_template,
)

from .test_minutiae_formats import BIFURCATION, SAMPLE, read, same_places


def afis_rows(template: Template) -> np.ndarray:
    """(N, 5) as afis has them: x, y, radians, 0 ending or 1 bifurcation, quality 0 to 1."""
    return np.array(
        [
            (m.x, m.y, np.radians(m.angle), m.type is BIFURCATION, (m.quality or 0) / 100)
            for m in template.minutiae
        ]
    )


def test_afis_reads_what_we_write(tmp_path: Path):
    afis_io = pytest.importorskip("afis.io", reason="PyPI afis, of the extra 'eval', is not installed")
    sample = read_template(SAMPLE)
    write_template(tmp_path / "t.fmr", sample)
    header, rows = afis_io.decode_iso19794_2((tmp_path / "t.fmr").read_bytes())
    assert (header.width, header.height, header.resolution_x) == (300, 400, 197)
    expected = afis_rows(sample)
    assert np.array_equal(rows[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    assert np.abs(rows[:, 2] - expected[:, 2]).max() <= np.pi / 256 + 1e-9
    assert np.allclose(rows[:, 4] * 255, expected[:, 4] * 100)


def test_we_read_what_afis_writes(tmp_path: Path):
    afis_io = pytest.importorskip("afis.io", reason="PyPI afis, of the extra 'eval', is not installed")
    sample = read_template(SAMPLE)
    header = afis_io.FingerprintTemplateHeader(300, 400, 500, 500)
    template = read(tmp_path, afis_io.encode_iso19794_2_2011(header, afis_rows(sample)))
    assert same_places(template, replace(sample, cores=(), deltas=()))
    rows, expected = afis_rows(template), afis_rows(sample)
    assert np.array_equal(rows[:, 3:], expected[:, 3:])
    assert np.abs(rows[:, 2] - expected[:, 2]).max() <= np.pi / 256 + 1e-9


def test_afis_reads_our_xyt(tmp_path: Path):
    afis_io = pytest.importorskip("afis.io", reason="PyPI afis, of the extra 'eval', is not installed")
    sample = read_template(SAMPLE)
    write_template(tmp_path / "t.xyt", sample)
    rows = afis_io.xyt_to_array(afis_io.read_xyt(str(tmp_path / "t.xyt")), height=400, flip_y=True)
    expected = afis_rows(sample)
    assert np.array_equal(rows[:, :2], expected[:, :2]) and np.allclose(rows[:, 4], expected[:, 4])
    turned = (rows[:, 2] - expected[:, 2]) % (2 * np.pi)
    assert np.allclose(turned, np.pi)  # NBIS points the other way
