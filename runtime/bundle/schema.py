"""Checks the content of `bundle.json` against `bundle.schema.json`.

The package jsonschema says what is wrong with a manifest. Importing it takes about as long as importing
NumPy, so that `fits` looks first whether anything is: it knows the keywords of our schema, and no others.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import NoneType
from typing import Any

from ..errors import BadInput

FORMAT = "fingergen-bundle"
FORMAT_VERSION = 1
DEEPEST, MOST_ITEMS, LARGEST = 32, 4096, 2**63 - 1  # of a manifest's values

Schema = dict[str, Any]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": NoneType,
}


def check_content(content: Any, source: str) -> None:
    """Check the values of a manifest, each by itself.

    Args:
        content: What `bundle.json` holds, as `json.loads` gives it.
        source: The file, for messages.

    Raises:
        BadInput: Names the field that is wrong.
    """
    # Format and version come first: a bundle of another version would fail the rest for no clear reason.
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadInput(f'{source}: format: not "{FORMAT}"; this is no FingerGen bundle')
    version = content.get("format_version")
    if version != FORMAT_VERSION or not isinstance(version, int) or isinstance(version, bool):
        raise BadInput(
            f"{source}: format_version: {repr(version)[:100]}; this FingerGen reads version {FORMAT_VERSION}"
            " (install the release that wrote the bundle, or export it again)"
        )
    _check_values(content, source)
    schema = json.loads(Path(__file__).with_name("bundle.schema.json").read_text(encoding="utf-8"))
    if not fits(content, schema, schema["$defs"]) and (error := _first_error(content, schema)):
        raise BadInput(f"{source}: {error}")


def fits(value: Any, schema: Schema, definitions: Schema) -> bool:
    """Whether a value fits a schema of JSON Schema 2020-12.

    Args:
        value: Of JSON, in Python's types.
        schema: It has the keywords of `bundle.schema.json` only.
        definitions: What `$ref` refers to.

    Returns:
        Never True where jsonschema finds an error. False, too, where jsonschema finds none because it takes
        values for equal that Python tells apart, such as 1 and 1.0 in `enum`.

    Raises:
        KeyError: The schema has another keyword.
    """
    return all(_fits(value, keyword, schema, definitions) for keyword in schema)


def _fits(value: Any, keyword: str, schema: Schema, definitions: Schema) -> bool:
    argument = schema[keyword]
    text = value if isinstance(value, str) else None
    number = value if isinstance(value, int | float) else None
    items = value if isinstance(value, list) else None
    fields = value if isinstance(value, dict) else {}
    match keyword:
        case "$schema" | "$defs" | "title" | "description":
            return True
        case "$ref":
            return fits(value, definitions[argument.removeprefix("#/$defs/")], definitions)
        case "anyOf":
            return any(fits(value, each, definitions) for each in argument)
        case "type":
            return isinstance(value, _TYPES[argument]) and (
                argument == "boolean" or not isinstance(value, bool)
            )
        case "enum":
            return any(type(value) is type(each) and value == each for each in argument)
        case "const":
            return type(value) is type(argument) and value == argument
        case "pattern":
            return text is None or re.search(argument, text) is not None
        case "minLength":
            return text is None or len(text) >= argument
        case "maxLength":
            return text is None or len(text) <= argument
        case "minimum":
            return number is None or number >= argument
        case "maximum":
            return number is None or number <= argument
        case "minItems":
            return items is None or len(items) >= argument
        case "maxItems":
            return items is None or len(items) <= argument
        case "uniqueItems":
            return all(isinstance(each, str | int) for each in items or []) and len(set(items or [])) == len(
                items or []
            )
        case "items":
            return all(fits(each, argument, definitions) for each in items or [])
        case "required":
            return not isinstance(value, dict) or all(name in value for name in argument)
        case "properties":
            return all(fits(fields[name], argument[name], definitions) for name in argument if name in fields)
        case "propertyNames":
            return all(fits(name, argument, definitions) for name in fields)
        case "additionalProperties":
            others = [name for name in fields if name not in schema.get("properties", {})]
            return (
                not others
                if argument is False
                else all(fits(fields[name], argument, definitions) for name in others)
            )
    raise KeyError(keyword)


def _first_error(content: Any, schema: Schema) -> str | None:
    """What jsonschema says is wrong, and where."""
    import jsonschema  # type: ignore[import-untyped]

    # JSON Schema takes 512.0 for an integer; Python's range does not.
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=types)
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(content))
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where + ': ' if where else ''}{error.message[:300]}"


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _check_values(content: Any, source: str) -> None:
    """What no field may be: too deep, of too many items, a number that is none, text that is not Unicode."""
    remaining: list[tuple[Any, str, int]] = [(content, "", 0)]
    while remaining:
        value, where, depth = remaining.pop()
        reason = None
        if isinstance(value, dict | list):
            if depth > DEEPEST:
                reason = f"more than {DEEPEST} levels deep"
            elif isinstance(value, list) and len(value) > MOST_ITEMS:  # uniqueItems compares each with each
                reason = f"{len(value)} items; at most {MOST_ITEMS}"
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, each in items:
                remaining.append((each, f"{where}.{key}" if where else str(key), depth + 1))
                remaining.append((key, where, depth + 1))
        elif isinstance(value, int | float) and not abs(value) <= LARGEST:
            reason = "too large a number"
        elif isinstance(value, str) and not value.isascii() and any(map(_is_surrogate, value)):
            reason = "holds half of a surrogate pair"
        if reason is not None:
            raise BadInput(f"{source}: {where}: {reason}")
