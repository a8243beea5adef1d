"""FingerGen's own JSON: the only format here that keeps everything a Template holds, exactly.

    {"format": "fingergen-template", "format_version": 1,
     "width": 512, "height": 512, "ppi": 500,
     "minutiae": [{"type": "ending", "x": 120.5, "y": 88, "angle": 271.4, "quality": 80}, …],
     "cores":  [{"x": 250, "y": 240, "angles": [90]}, …],
     "deltas": [{"x": 180, "y": 400, "angles": [30, 150, 270]}, …],
     "unclear": [{"type": "ending", "x": 60, "y": 91.5, "angle": 12, "quality": null}, …]}

type: ending, bifurcation or other. quality: 0 to 100, or null. angles: [] where not known, else one for a
core and three for a delta. Units and directions are Template's, as is what `unclear` means. `quality`,
`angles`, `cores`, `deltas` and `unclear` may be left out; other keys are refused.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable
from typing import Any

from ...errors import BadInput
from ..template import Minutia, MinutiaType, Point, Template
from .format import Format, Reading, assemble, decode_text

_FORMAT, _VERSION = "fingergen-template", 1
_HEAD = ("format", "format_version", "width", "height", "ppi")
_TYPES = {kind.value: kind for kind in MinutiaType}


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """JSON text → Template. The format is ours: whatever is wrong is an error, with or without `strict`."""
    try:
        content = json.loads(decode_text(data))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}") from None
    content = _checked(content, "the file", (*_HEAD, "minutiae"), ("cores", "deltas", "unclear"))
    if content["format"] != _FORMAT or content["format_version"] != _VERSION:
        raise BadInput(
            f"format and format_version are not '{_FORMAT}' and {_VERSION}: give a template of FingerGen"
        )
    minutiae, unclear = (tuple(_minutiae(content, name)) for name in ("minutiae", "unclear"))
    width, height = (_whole(content[key], key) for key in ("width", "height"))
    cores, deltas = (tuple(_points(content, name)) for name in ("cores", "deltas"))
    template = Template(width, height, _number(content["ppi"], "ppi"), minutiae, cores, deltas, unclear)
    size, ppi = (template.width, template.height), (template.ppi, template.ppi)
    return (assemble(reading, size, ppi, minutiae, cores, deltas, unclear),)


def encode(template: Template) -> bytes:
    """Template → JSON text, one line for each minutia."""
    head = dict(zip(_HEAD, (_FORMAT, _VERSION, template.width, template.height, template.ppi), strict=True))
    members = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    lists: dict[str, list[dict[str, Any]]] = {
        "minutiae": _listed(template.minutiae),
        "cores": [{"x": core.x, "y": core.y, "angles": core.angles} for core in template.cores],
        "deltas": [{"x": delta.x, "y": delta.y, "angles": delta.angles} for delta in template.deltas],
    }
    if template.unclear:
        lists["unclear"] = _listed(template.unclear)
    for name, items in lists.items():
        rows = json.dumps(items)[1:-1].replace("}, {", "},\n  {")  # no text in them holds that
        members.append(f'"{name}": [\n  {rows}\n]' if rows else f'"{name}": []')
    return ("{" + ",\n ".join(members) + "}\n").encode()


def _listed(minutiae: Iterable[Minutia]) -> list[dict[str, Any]]:
    return [
        {"type": m.type.value, "x": m.x, "y": m.y, "angle": m.angle, "quality": m.quality} for m in minutiae
    ]


def _minutiae(content: dict[str, Any], name: str) -> Iterable[Minutia]:
    for where, item in _items(content, name):
        item = _checked(item, where, ("type", "x", "y", "angle"), ("quality",))
        kind = item["type"]
        if not isinstance(kind, str) or kind not in _TYPES:
            raise BadInput(f"{where}.type is {reprlib.repr(kind)}: give one of {', '.join(_TYPES)}")
        x, y, angle = (_number(item[key], f"{where}.{key}") for key in ("x", "y", "angle"))
        quality = None if item.get("quality") is None else _number(item["quality"], f"{where}.quality")
        yield Minutia(x, y, angle, _TYPES[kind], quality)


def _points(content: dict[str, Any], name: str) -> Iterable[Point]:
    for where, item in _items(content, name):
        item = _checked(item, where, ("x", "y"), ("angles",))
        angles = item.get("angles", [])
        if not isinstance(angles, list):
            raise BadInput(f"{where}.angles is not a list")
        yield Point(
            _number(item["x"], f"{where}.x"),
            _number(item["y"], f"{where}.y"),
            tuple(_number(angle, f"{where}.angles") for angle in angles),
        )


def _items(content: dict[str, Any], name: str) -> Iterable[tuple[str, Any]]:
    """(where, item) of each item of the list `name`."""
    items = content.get(name, [])
    if not isinstance(items, list):
        raise BadInput(f"{name} is not a list")
    return ((f"{name}[{index}]", item) for index, item in enumerate(items))


def _checked(item: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise BadInput(f"{where} is not a JSON object: give one with {', '.join(required)}")
    for key in required:
        if key not in item:
            raise BadInput(f"{where} has no '{key}'")
    for key in item:
        if key not in required + optional:
            raise BadInput(f"{where} has an unknown key {reprlib.repr(key)}: take it out")
    return item


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput(f"{where} is {reprlib.repr(value)}: give a whole number")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{where} is {reprlib.repr(value)}: give a number")
    return value


FORMAT = Format("json", "JSON of FingerGen", (".json",), decode, encode)
