"""What the text formats share: rows of numbers, errors that name the line."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import BadInput


def decode_text(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"not text, the byte at offset {error.start} is not UTF-8: give the format if it is a binary one"
        ) from None


def number_rows(data: bytes, columns: range, row_format: str) -> Iterator[tuple[int, list[float]]]:
    """(line number, numbers) of each line that is not blank; BadInput if their count is not in `columns`."""
    for line_number, line in enumerate(decode_text(data).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) not in columns:
            raise BadInput(f"line {line_number} has {len(words)} columns: a row is '{row_format}'")
        try:
            yield line_number, [float(word) for word in words]
        except ValueError:
            raise BadInput(
                f"line {line_number} {line.strip()[:40]!r} is not all numbers: a row is '{row_format}'"
            ) from None


def in_line(line_number: int, error: BadInput) -> BadInput:
    """`error`, told with the line that it comes from."""
    return BadInput(f"line {line_number}: {error}")
