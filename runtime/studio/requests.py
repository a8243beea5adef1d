"""What the page may ask for: the fields of its JSON, checked."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..arguments import check_choice, check_finite, check_whole
from ..errors import BadInput, printable
from ..fingers import PRESETS
from ..minutiae import FORMATS, Template, decode_template
from ..records import decode_record
from ..records.io import is_transaction
from ..seeds import SEEDS

MOST_TEMPLATE_BYTES = 1 << 20
MOST_REQUEST_BYTES = 2 * MOST_TEMPLATE_BYTES  # a template in base64, and little else
MOST_NUMBER = 9999
MOST_DEGREE = 20.0


@dataclass(frozen=True)
class TemplateFile:
    """A template that the user gave.

    Attributes:
        name: Of its file, as the browser says it.
        template: What it holds.
        warnings: What was odd about it.
    """

    name: str
    template: Template
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PrintRequest:
    """One print.

    Attributes:
        seed: Of the finger; with a template, of the look alone.
        number: Of the impression, from 0.
        preset: How far impressions differ; None: the first looks as `synth` makes it, others are `medium`.
        traits: Degrees by trait, or by number of a SeFa direction.
        truncation: None: what the bundle recommends.
        source: Whose finger it is, if not the seed's.
    """

    seed: int = 0
    number: int = 0
    preset: str | None = None
    traits: Mapping[int | str, float] = field(default_factory=dict)
    truncation: float | None = None
    source: TemplateFile | None = None


def parse_json(body: bytes) -> dict[str, Any]:
    """The object in a request's body; BadInput if it is none."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("request: no JSON") from None
    if not isinstance(fields, dict):
        raise BadInput("request: give a JSON object")
    return fields


def print_request(fields: Mapping[str, Any]) -> PrintRequest:
    """The request that JSON fields describe; seeds are text, for JavaScript's numbers end at 2**53.

    Raises:
        BadInput: Names the field that is wrong.
    """
    preset = fields.get("preset")
    if preset is not None:
        check_choice("preset", preset, PRESETS)
    truncation = fields.get("truncation")
    if truncation is not None:
        _check_within("truncation", truncation, 2.0)
    return PrintRequest(
        seed=parse_seed(fields.get("seed", "0")),
        number=check_whole("number", fields.get("number", 0), 0, MOST_NUMBER),
        preset=preset,
        traits=_traits(fields.get("traits", {})),
        truncation=truncation,
        source=_template_file(fields["template"]) if fields.get("template") else None,
    )


def parse_seed(text: Any) -> int:
    """A seed as the page sends it."""
    if not (
        isinstance(text, str)
        and text.isascii()
        and text.isdecimal()
        and len(text) <= 20
        and int(text) < SEEDS
    ):
        raise BadInput(f"seed {text!r:.40}: give a whole number from 0 to 2**64 - 1")
    return int(text)


def _traits(given: Any) -> dict[int | str, float]:
    if not isinstance(given, dict):
        raise BadInput("traits: give degrees by name")
    traits: dict[int | str, float] = {}
    for name, degree in given.items():
        _check_within(f"trait {printable(name[:40])}", degree, MOST_DEGREE)
        if degree:
            traits[int(name) if name.isascii() and name.isdecimal() and len(name) < 9 else name] = degree
    return traits


def _check_within(name: str, value: Any, most: float) -> None:
    check_finite(name, value)
    if abs(value) > most:
        raise BadInput(f"{name}: {value:g}; give -{most:g} to {most:g}")


def _template_file(given: Any) -> TemplateFile:
    """The template in `{"name", "data", "format", "width", "height", "ppi"}`; data is base64, the last four
    may be missing or null."""
    if not isinstance(given, dict) or not isinstance(given.get("data"), str):
        raise BadInput("template: give its name and its data in base64")
    name = printable(str(given.get("name") or "template")[:200])
    try:
        data = base64.b64decode(given["data"], validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{name}: its data is not base64") from None
    if len(data) > MOST_TEMPLATE_BYTES:
        raise BadInput(f"{name}: has more than {MOST_TEMPLATE_BYTES >> 20} MiB: give a minutiae template")
    format, size = given.get("format") or None, [given.get(key) or None for key in ("width", "height")]
    if format is not None:
        check_choice("format", format, FORMATS)
    width, height = (
        value if value is None else check_whole(key, value, 1, 1 << 16)
        for key, value in zip(("width", "height"), size, strict=True)
    )
    ppi = given.get("ppi") or None
    if ppi is not None:
        check_finite("ppi", ppi)
    warnings: list[str] = []
    if format is None and is_transaction(data):
        templates = decode_record(data, name, ppi=ppi).templates
        if not templates:
            raise BadInput(f"{name}: this transaction holds no minutiae, only images")
        template = templates[0]
    else:
        template = decode_template(
            data, name, format, width=width, height=height, ppi=ppi, on_warning=warnings.append
        )
    if not template.minutiae:
        raise BadInput(f"{name}: holds no minutiae; there is nothing to reconstruct a finger from")
    return TemplateFile(name, template, tuple(warnings))
