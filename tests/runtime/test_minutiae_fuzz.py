"""Whatever the bytes, a decoder gives templates or one line of BadInput."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import FORMATS, Template, read_template
from fingergen.runtime.minutiae.formats.format import Reading

DATA = Path(__file__).parents[1] / "data" / "minutiae"
SAMPLES = {
    "iso19794-2-2005": "sample.fmr",
    "iso19794-2-2011": "sample.fmr2011",
    "iso19794-2-card-normal": "sample.iso-fmc-ns",
    "iso19794-2-card-compact": "sample.iso-fmc-cs",
    "ansi378-2004": "sample.ansi",
    "ansi378-2009": "sample.ansi2009",
    "nbis-min": "sample.min",
    "xyt": "sample.xyt",
    "synfing": "sample.txt",
    "json": "sample.json",
}
STARTS = [
    b"",
    *(bytes(start, "ascii") for start in ("FMR\0 20\0", "FMR\0 20\0\0\0", "FMR\x00030\0", "1 2 3 ", "{")),
]
EACH_FORMAT = pytest.mark.parametrize("name", FORMATS)


def sample(name: str) -> bytes:
    return (DATA / SAMPLES[name]).read_bytes()


def refused(name: str, data: bytes, strict: bool = False) -> bool:
    """Whether `data` is refused, in one short line; else it gives templates."""
    reading = Reading(300, 400, 500, override=False, strict=strict)
    try:
        views = FORMATS[name].decode(data, reading)
    except BadInput as error:
        message = str(error)
        assert message and message.isprintable() and len(message) < 400
        return True
    assert all(isinstance(view, Template) for view in views)
    assert all(warning.isprintable() and len(warning) < 400 for warning in reading.warnings)
    return False


@EACH_FORMAT
@given(st.sampled_from(STARTS), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes(name: str, start: bytes, data: bytes):
    refused(name, start + data)


@pytest.mark.parametrize("name", ["xyt", "synfing", "json", "nbis-min"])
@given(st.text(alphabet='0123456789.-+eEinfa \t\r\n\x00\x0b\x1b\u2028{}[]":,_٣', max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_text(name: str, text: str):
    refused(name, text.encode())


@EACH_FORMAT
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_spliced_samples(name: str, data: st.DataObject):
    """A stretch of the file replaced by one of any file or by any bytes; lengths and counts contradict it."""
    whole = sample(name)
    cuts = st.integers(0, len(whole))
    first, last = sorted((data.draw(cuts), data.draw(cuts)))
    other = sample(data.draw(st.sampled_from(sorted(FORMATS))))
    start = data.draw(st.integers(0, len(other)))
    middle = data.draw(st.one_of(st.binary(max_size=8), st.just(other[start : start + 16])))
    refused(name, whole[:first] + middle + whole[last:])


def bit_flips(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        for bit in range(8):
            yield data[:index] + bytes((data[index] ^ 1 << bit,)) + data[index + 1 :]


@EACH_FORMAT
def test_every_bit_flip(name: str):
    results = {refused(name, flipped, strict=True) for flipped in bit_flips(sample(name))}
    if name.startswith("iso19794-2-card"):
        return  # every byte of these means something
    assert results == {False, True}  # some flips hurt nothing, some are seen


@pytest.mark.parametrize("name", ["iso19794-2-2005", "iso19794-2-2011", "ansi378-2004", "ansi378-2009"])
def test_every_truncation_is_seen(name: str):
    whole = sample(name)
    assert not refused(name, whole, strict=True)
    assert all(refused(name, whole[:length], strict=True) for length in range(len(whole)))


@pytest.mark.parametrize("name", ["xyt", "synfing", "json", "nbis-min"])
def test_every_truncation_of_text(name: str):
    whole = sample(name)
    for length in range(len(whole)):
        refused(name, whole[:length])


@given(
    st.sampled_from(STARTS),
    st.binary(max_size=60),
    st.sampled_from(["", ".fmr", ".xyt", ".txt", ".json", ".ansi"]),
)
@settings(max_examples=200, deadline=None)
def test_files(tmp_path_factory: pytest.TempPathFactory, start: bytes, data: bytes, extension: str):
    path = tmp_path_factory.getbasetemp() / f"fuzz{extension}"
    path.write_bytes(start + data)
    try:
        assert isinstance(read_template(path, on_warning=[].append), Template)
    except BadInput as error:
        assert str(error).startswith(f"{path}: ") and str(error).isprintable()
