"""Readers that others wrote, and what FingerGen writes: whether they find the same in every file.

    python -m tests.agreement              # 500 prints of the demo bundle; exits with 1 if any differ
    python -m tests.agreement --nfiq2      # and NFIQ 2 before and after WSQ at 15:1
    nice python -m tests.agreement --fingers 50

The readers are nistitl, iso19794, tifffile, asn1tools, afis, nbis-py and the decoder of the package wsq; one
that is not installed is named. No package of Python reads the other formats: ANSI/INCITS 378, ISO/IEC
19794-2:2011 and its card formats, ISO/IEC 19794-4:2005. They are compared with FingerGen's own reader.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from PIL import Image

from fingergen.runtime import Model, load
from fingergen.runtime.minutiae import FORMATS as TEMPLATE_FORMATS
from fingergen.runtime.minutiae import PPI, WRITABLE, MinutiaType, Template, decode_template, encode_template
from fingergen.runtime.records import FORMATS, Content, FingerImage, decode_record, encode_record

LOSSY = {"jp2", "wsq", "ansi-nist"}
LEAST_PSNR = 20.0  # of images at 15:1, in dB
NFIQ2_BOUND = 3  # of the median difference

ASN1 = """
FingerImage DEFINITIONS IMPLICIT TAGS ::= BEGIN
Block ::= [APPLICATION 4] SEQUENCE { version [0] Version, representations [1] SEQUENCE OF Representation }
Version ::= SEQUENCE { generation [0] INTEGER, year [1] INTEGER }
Code ::= CHOICE { code [0] INTEGER }
Representation ::= SEQUENCE {
  position [0] Code, impression [1] Code, format [2] Code, data [3] OCTET STRING, captured [4] Captured,
  rate [7] Rate, lossy [11] BOOLEAN }
Captured ::= SEQUENCE { year [0] INTEGER, month [1] INTEGER, day [2] INTEGER, hour [3] INTEGER,
  minute [4] INTEGER, second [5] INTEGER }
Rate ::= SEQUENCE { samples [0] INTEGER, unit [1] INTEGER }
END
"""


@dataclass(frozen=True)
class Subject:
    """What was written: an image, its truth, and the file of each format."""

    image: FingerImage
    template: Template
    files: dict[str, bytes]


@dataclass(frozen=True)
class Check:
    """Whether a reader finds in one format what was written."""

    format: str
    reader: str
    package: str
    agrees: Callable[[Subject, bytes], bool]


def subjects(model: Model, count: int) -> Iterator[Subject]:
    """Prints of the first `count` seeds, with their true templates, in every format."""
    assert model.finger_noise is not None
    for seed in range(count):
        template = model.finger_noise.impression(seed).template
        image = FingerImage(model.synthesize([seed])[0], model.ppi(), position=1 + seed % 10)
        files = {name: encode_template(TEMPLATE_FORMATS[name].carried(template), name) for name in WRITABLE}
        for name in FORMATS:
            content = Content((image,), (template,) if name == "ansi-nist" else ())
            files[name] = encode_record(content, name)[0]
        yield Subject(image, template, files)


def same_image(found: np.ndarray, subject: Subject, name: str) -> bool:
    """Whether pixels are those that were written or, where compression loses some, nearly those, and just
    those that FingerGen reads."""
    written = subject.image.pixels
    if name not in LOSSY or found.shape != written.shape:
        return np.array_equal(found, written)
    error = np.mean((found.astype(float) - written) ** 2)
    (own,) = decode_record(subject.files[name], name, name).images
    return bool(error < 255**2 / 10 ** (LEAST_PSNR / 10)) and np.array_equal(found, own.pixels)


def same_minutiae(
    found: list[tuple[float, float, float]], subject: Subject, pixels: float, degrees: float
) -> bool:
    """Whether rows of x, y, angle are the truth's, in its order, but for rounding."""
    written = subject.template.minutiae
    return len(found) == len(written) and all(
        abs(x - m.x) <= pixels
        and abs(y - m.y) <= pixels
        and abs((angle - m.angle + 180) % 360 - 180) <= degrees
        for (x, y, angle), m in zip(found, written, strict=True)
    )


def own_image(name: str) -> Callable[[Subject, bytes], bool]:
    """FingerGen's own reader of images."""

    def agrees(subject: Subject, data: bytes) -> bool:
        size = subject.image.width, subject.image.height
        (image,) = decode_record(data, name, name, size=size, ppi=PPI).images
        return image.ppi == PPI and same_image(image.pixels, subject, name)

    return agrees


def own_template(name: str) -> Callable[[Subject, bytes], bool]:
    """FingerGen's own reader of templates; card formats carry tenths of a millimeter and coarse angles."""
    card = "card" in name

    def agrees(subject: Subject, data: bytes) -> bool:
        found = decode_template(
            data,
            name,
            name,
            width=subject.image.width,
            height=subject.image.height,
            ppi=PPI,
            on_warning=lambda _: None,
        )
        if card:  # its order is the card's
            return len(found.minutiae) == len(TEMPLATE_FORMATS[name].carried(subject.template).minutiae)
        return same_minutiae([(m.x, m.y, m.angle) for m in found.minutiae], subject, 0.51, 1.01)

    return agrees


def pillow_wsq(subject: Subject, data: bytes) -> bool:
    """NIST's decoder, in the package wsq."""
    import wsq  # registers the format with Pillow

    assert wsq
    with Image.open(io.BytesIO(data)) as picture:
        return picture.format == "WSQ" and same_image(np.asarray(picture), subject, "wsq")


def tifffile_tiff(subject: Subject, data: bytes) -> bool:
    """TIFF by tifffile."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        ppi = page.tags["XResolution"].value
        return round(ppi[0] / ppi[1]) == PPI and same_image(page.asarray(), subject, "tiff")


def netpbm(subject: Subject, data: bytes) -> bool:
    """PGM by its definition: three words, one byte per pixel."""
    header, size = b"P5", f"{subject.image.width} {subject.image.height}".encode()
    words = data[: -subject.image.pixels.size].split()
    return (
        words[0] == header and b" ".join(words[1:3]) == size and data.endswith(subject.image.pixels.tobytes())
    )


def raw(subject: Subject, data: bytes) -> bool:
    """Raw pixels by their definition."""
    return data == subject.image.pixels.tobytes()


def iso19794_image(subject: Subject, data: bytes) -> bool:
    """ISO/IEC 19794-4:2011 by the package iso19794."""
    import iso19794

    class Reader(iso19794.FIR.FIRImageFile):
        """Its reader sets `mode`, which newer Pillow does not allow."""

        mode = property(lambda self: self._mode, lambda self, value: setattr(self, "_mode", value))

    with Reader(io.BytesIO(data)) as picture:
        rate = picture.header["horizontal_image_sampling_rate"]
        return rate == PPI and same_image(np.asarray(picture), subject, "iso19794-4-2011")


def asn1_image(subject: Subject, data: bytes) -> bool:
    """ISO/IEC 39794-4 by asn1tools, as distinguished encoding of the module's fields that are written."""
    import asn1tools

    block = asn1tools.compile_string(ASN1, "der").decode("Block", data)
    (found,) = block["representations"]
    content = netpbm(subject, found["data"]) if found["format"][1] == 0 else False
    return content and found["rate"] == {"samples": round(PPI), "unit": 0} and not found["lossy"]


def nist_transaction(subject: Subject, data: bytes) -> bool:
    """An ANSI/NIST-ITL transaction by nistitl: image and minutiae."""
    import nistitl

    message = nistitl.Message()
    message.parse(data)
    fingerprint, minutiae = next(message.iter(14)), next(message.iter(9))[137]
    found = [tuple(map(float, row.values[1:4])) for row in minutiae]
    with Image.open(io.BytesIO(fingerprint.DATA)) as picture:
        pixels = np.asarray(picture)
    rows = [(x, y, 2 * angle) for x, y, angle in found]
    return same_image(pixels, subject, "ansi-nist") and same_minutiae(rows, subject, 0.51, 1.01)


def afis_template(subject: Subject, data: bytes) -> bool:
    """ISO/IEC 19794-2:2005 by afis."""
    from afis.io import decode_iso19794_2

    header, rows = decode_iso19794_2(data)
    found = [(x, y, np.degrees(angle)) for x, y, angle, _, _ in rows]
    kinds = [MinutiaType.BIFURCATION if kind == 1 else MinutiaType.ENDING for *_, kind, _ in rows]
    return (
        (header.width, header.height) == (subject.image.width, subject.image.height)
        and same_minutiae(found, subject, 0.51, 0.71)
        and kinds == [m.type for m in subject.template.minutiae]
    )


def nbis_template(subject: Subject, data: bytes) -> bool:
    """ISO/IEC 19794-2:2005 by nbis-py.

    Its reader and writer both have a layout of their own: no resolution, zero views, a view header without
    view number and quality, so that the number of minutiae lies at offset 25 and the minutiae at 26 instead
    of 27 and 28 (7.4). A record as the standard has it loads as one of 0 minutiae; its minutiae are moved.
    """
    import nbis

    settings = nbis.NbisExtractorSettings(
        min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=False, ppi=PPI
    )
    count = data[27]
    length = (26 + 6 * count).to_bytes(4, "big")
    own = data[:8] + length + data[12:18] + bytes(7) + bytes((count,)) + data[28 : 28 + 6 * count]
    found = nbis.new_nbis_extractor(settings).load_iso_19794_2_2005(own).get()
    rows = [(m.x(), m.y(), m.angle()) for m in found]
    return same_minutiae(rows, subject, 0.51, 6.5)  # NBIS keeps angles in steps of 11.25 degrees


CHECKS = (
    *(Check(name, "FingerGen", "fingergen", own_image(name)) for name in FORMATS),
    *(Check(name, "FingerGen", "fingergen", own_template(name)) for name in WRITABLE),
    Check("tiff", "tifffile", "tifffile", tifffile_tiff),
    Check("pgm", "definition", "fingergen", netpbm),
    Check("raw", "definition", "fingergen", raw),
    Check("wsq", "wsq (NIST's decoder)", "wsq", pillow_wsq),
    Check("iso19794-4-2011", "iso19794", "iso19794", iso19794_image),
    Check("iso39794-4", "asn1tools", "asn1tools", asn1_image),
    Check("ansi-nist", "nistitl", "nistitl", nist_transaction),
    Check("iso19794-2-2005", "afis", "afis", afis_template),
    Check("iso19794-2-2005", "nbis-py", "nbis", nbis_template),
)


def run(count: int, nfiq2: bool = False) -> bool:
    """Make `count` impressions, print how many of each format every reader agrees on; whether all do."""
    known = [check for check in CHECKS if find_spec(check.package) is not None]
    for check in CHECKS:
        if check not in known:
            print(f"{check.format} by {check.reader}: {check.package} is not installed")
    agreed = dict.fromkeys(known, 0)
    sizes: dict[str, int] = dict.fromkeys(FORMATS, 0)
    scores: list[tuple[int, int]] = []
    with load() as model:
        for number, subject in enumerate(subjects(model, count), 1):
            if number % 50 == 0:
                print(f"{number} of {count} prints", file=sys.stderr, flush=True)
            for check in known:
                agreed[check] += check.agrees(subject, subject.files[check.format])
            for name in FORMATS:
                sizes[name] += len(subject.files[name])
            if nfiq2:
                scores.append(wsq_scores(subject))
    for check, number in agreed.items():
        print(f"{check.format} by {check.reader}: {number} of {count}")
    for name in ("wsq", "jp2"):
        print(f"{name}: {sizes['raw'] / sizes[name]:.1f}:1")
    right = all(number == count for number in agreed.values())
    if nfiq2:
        differences = np.array([after - before for before, after in scores])
        median = float(np.median(differences))
        within = (np.abs(differences) <= NFIQ2_BOUND).mean()
        print(f"NFIQ 2 after WSQ: median {median:+g}, {within:.0%} within {NFIQ2_BOUND} of {len(scores)}")
        right &= abs(median) <= NFIQ2_BOUND
    return right


def wsq_scores(subject: Subject) -> tuple[int, int]:
    """NFIQ 2 of an image and of what WSQ leaves of it."""
    from fingergen.runtime.datasets.nist import Nist

    nist = Nist(with_quality=True)
    (after,) = decode_record(subject.files["wsq"], "wsq").images
    return tuple(  # type: ignore[return-value]
        int(nist.extract(pixels, PPI).quality().score) for pixels in (subject.image.pixels, after.pixels)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fingers", type=int, default=500)
    parser.add_argument("--nfiq2", action="store_true")
    arguments = parser.parse_args()
    sys.exit(not run(arguments.fingers, arguments.nfiq2))


if __name__ == "__main__":
    main()
