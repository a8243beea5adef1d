"""Fingerprint images as records: image files, ISO/IEC 19794-4 and 39794-4, ANSI/NIST-ITL transactions, WSQ.

from fingergen.runtime.records import FingerImage, read_record, write_record

write_record("finger.an2", FingerImage(pixels, ppi=500, position=2), "ansi-nist")
(image,) = read_record("finger.an2").images
"""

from .compression import COMPRESSIONS
from .image import Content, Details, FingerImage
from .io import FORMATS, decode_record, encode_record, read_record, write_record

__all__ = [
    "COMPRESSIONS",
    "FORMATS",
    "Content",
    "Details",
    "FingerImage",
    "decode_record",
    "encode_record",
    "read_record",
    "write_record",
]
