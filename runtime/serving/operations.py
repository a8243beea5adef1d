"""The operations of a service: each takes a batch of requests and answers each with images or one line.

They know nothing of the server; `triton.py` connects them to it, and `fg-export --triton` writes their
tensors into the server's configuration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from ..datasets.mated import Mate, MatedSynthesis
from ..errors import BadInput
from ..fingers import Impression as ImpressionOfFinger
from ..fingers import find_preset
from ..images import Pixels
from ..minutiae import FORMATS, Minutia, Template, decode_template
from ..minutiae.formats import json
from ..model import Model
from ..pipeline.throughput import make_images

Request = Mapping[str, NDArray[Any]]
"""Tensors by name, each (rows, …); those that are optional may be missing."""

Row = Mapping[str, NDArray[np.uint8]]
"""Outputs of one row of a request, by name."""

Answer = Row | BadInput
"""Outputs of a request, each (rows, …), or why there are none."""

MOST_TEMPLATE_BYTES = 1 << 20
DEFAULT_SEED = 0  # of look and noise, where a template gives the finger; that of `fg-run reconstruct`


@dataclass(frozen=True)
class Tensor:
    """An input or output, for each row of a batch.

    Attributes:
        name: As clients write it.
        data_type: Triton's name of it.
        dims: Its shape without the batch.
        optional: Whether a request may leave it out.
    """

    name: str
    data_type: str
    dims: tuple[int, ...] = (1,)
    optional: bool = False


SEED = Tensor("SEED", "TYPE_UINT64")
TRUNCATION = Tensor("TRUNCATION", "TYPE_FP32", optional=True)
IMAGE, TEMPLATE = "IMAGE", "TEMPLATE"
TEMPLATE_FORMAT = "iso19794-2-2005"  # of what is answered, unless the request says another


def _text_input(name: str, optional: bool = False) -> Tensor:
    """Bytes of a file or of text; at TYPE_STRING, servers of before NumPy 2 crash beside NumPy 2."""
    return Tensor(name, "TYPE_UINT8", (-1,), optional)


class Operation(ABC):
    """What one of the server's models does.

    Attributes:
        inputs: The tensors of a request.
        images: Images per row.
        model: The bundle, loaded.
    """

    inputs: ClassVar[tuple[Tensor, ...]]
    images: ClassVar[int] = 1

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def outputs(cls, manifest: Manifest) -> tuple[Tensor, ...]:
        """The tensors of an answer.

        Args:
            manifest: Of the bundle.

        Returns:
            Images (side, side) or, in color, (side, side, 3), with their number first if there are many; and
            whatever else the operation answers.
        """
        side = manifest.image.output_size
        dims: tuple[int, ...] = (side, side) if manifest.architecture.channels == 1 else (side, side, 3)
        return (Tensor(IMAGE, "TYPE_UINT8", dims if cls.images == 1 else (cls.images, *dims)),)

    @classmethod
    def is_possible(cls, manifest: Manifest) -> bool:
        """Whether a bundle can do it.

        Args:
            manifest: Of the bundle.

        Returns:
            False where it lacks the networks.
        """
        return True

    @abstractmethod
    def example(self) -> Request:
        """A request that any bundle can answer: the first one, which prepares what is prepared at first use.

        Returns:
            Its tensors, of one row.
        """

    @abstractmethod
    def settings(self, request: Request, row: int) -> Hashable:
        """What rows must share to be computed together.

        Args:
            request: Its tensors, each (rows, …).
            row: Number of the row, from 0.

        Returns:
            A value that equals that of rows which may share a batch.

        Raises:
            BadInput: The row is wrong.
        """

    @abstractmethod
    def compute(self, settings: Any, rows: Sequence[Any]) -> Sequence[Row]:
        """The outputs of rows with the same settings.

        Args:
            settings: As `settings` returns them.
            rows: As `row` returns them.

        Returns:
            Outputs by name, for each row.

        Raises:
            BadInput: The bundle cannot make them.
        """

    @abstractmethod
    def row(self, request: Request, row: int) -> Any:
        """What a request's row asks for, besides its settings.

        Args:
            request: Its tensors, each (rows, …).
            row: Number of the row, from 0.

        Returns:
            What `compute` takes.

        Raises:
            BadInput: The row is wrong.
        """

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests; a bad one does not affect the others.

        Args:
            requests: Tensors by name, each (rows, …).

        Returns:
            For each request its outputs by name, each (rows, …), or the `BadInput` that says what is wrong.
        """
        answers: list[Answer | None] = [None] * len(requests)
        groups: dict[Hashable, list[tuple[int, Any]]] = {}
        for number, request in enumerate(requests):
            try:
                rows = range(len(request[self.inputs[0].name]))
                read = [(self.settings(request, row), self.row(request, row)) for row in rows]
            except BadInput as error:
                answers[number] = error
                continue
            for settings, row in read:
                groups.setdefault(settings, []).append((number, row))
        parts: dict[int, list[Row]] = {}
        for settings, members in groups.items():
            try:
                outputs = self.compute(settings, [row for _, row in members])
            except BadInput as error:
                for number, _ in members:
                    answers[number] = error
                continue
            for (number, _), output in zip(members, outputs, strict=True):
                parts.setdefault(number, []).append(output)
        return [
            answer if answer is not None else _stacked(parts[number]) for number, answer in enumerate(answers)
        ]


class Synthesize(Operation):
    """The finger of a seed."""

    inputs = (SEED, TRUNCATION)

    def example(self) -> Request:
        return {SEED.name: _row(np.uint64(0))}

    def settings(self, request: Request, row: int) -> float | None:
        return _truncation(request, row)

    def row(self, request: Request, row: int) -> int:
        return int(request[SEED.name][row, 0])

    def compute(self, settings: float | None, rows: Sequence[int]) -> Sequence[Row]:
        return _images(self.model.synthesize(rows, truncation=settings))


class Edit(Operation):
    """The finger of a seed after an edit one way, before it, and after one the other way."""

    inputs = (SEED, _text_input("INDEX"), Tensor("DEGREE", "TYPE_FP32"), TRUNCATION)
    images = 3

    def example(self) -> Request:
        return {SEED.name: _row(np.uint64(0)), "INDEX": _row(*b"0"), "DEGREE": _row(np.float32(1))}

    def settings(self, request: Request, row: int) -> tuple[int | str, float, float | None]:
        text = _text(request, "INDEX", row) or ""
        index = int(text) if text.isdecimal() else text
        self.model.bundle.direction(index)  # raises what is wrong with it
        return index, _finite("DEGREE", request["DEGREE"][row, 0]), _truncation(request, row)

    def row(self, request: Request, row: int) -> int:
        return int(request[SEED.name][row, 0])

    def compute(self, settings: tuple[int | str, float, float | None], rows: Sequence[int]) -> Sequence[Row]:
        index, degree, truncation = settings
        z = self.model.z(rows)
        edited = self.model.edit(self.model.map(z), index, degree, truncation=truncation, seeds=rows, z=z)
        return _images(np.stack(edited, axis=1))


class Reconstruct(Operation):
    """A finger that has the minutiae of a template."""

    inputs = (
        _text_input(TEMPLATE),
        _text_input("FORMAT", optional=True),
        Tensor("SEED", "TYPE_UINT64", optional=True),
    )

    @classmethod
    def is_possible(cls, manifest: Manifest) -> bool:
        return manifest.encoder is not None or manifest.graphs.fields is not None

    def example(self) -> Request:
        side = self.model.bundle.manifest.image.output_size
        minutiae = [Minutia(x * side, y * side, 45) for x in (0.3, 0.5, 0.7) for y in (0.3, 0.5, 0.7)]
        template = Template(side, side, self.model.ppi(), tuple(minutiae))
        return {"TEMPLATE": _row(*json.encode(template))}

    def settings(self, request: Request, row: int) -> None:
        return None

    def row(self, request: Request, row: int) -> tuple[Template, int]:
        data = request["TEMPLATE"][row].tobytes()
        if len(data) > MOST_TEMPLATE_BYTES:
            raise BadInput(f"TEMPLATE: has more than {MOST_TEMPLATE_BYTES} bytes: give a minutiae template")
        name = _format(request, row, FORMATS)
        template = decode_template(data, "TEMPLATE", name, on_warning=_ignore)
        if not template.minutiae:
            raise BadInput("TEMPLATE: holds no minutiae; there is nothing to reconstruct a finger from")
        seeds = request.get("SEED")
        return template, DEFAULT_SEED if seeds is None else int(seeds[row, 0])

    def compute(self, settings: None, rows: Sequence[tuple[Template, int]]) -> Sequence[Row]:
        templates, seeds = [template for template, _ in rows], [seed for _, seed in rows]
        return _images(self.model.reconstruct(templates, seeds=seeds))


class Impression(Operation):
    """An impression of the finger of a seed, with its true minutiae; without a preset, number 0 is what
    `Synthesize` makes."""

    inputs = (
        SEED,
        Tensor("NUMBER", "TYPE_UINT32", optional=True),
        _text_input("PRESET", optional=True),
        _text_input("FORMAT", optional=True),
        TRUNCATION,
    )

    @classmethod
    def is_possible(cls, manifest: Manifest) -> bool:
        return manifest.ridge_noise is not None

    @classmethod
    def outputs(cls, manifest: Manifest) -> tuple[Tensor, ...]:
        return (*super().outputs(manifest), Tensor(TEMPLATE, "TYPE_UINT8", (-1,)))

    def example(self) -> Request:
        return {SEED.name: _row(np.uint64(0))}

    def settings(self, request: Request, row: int) -> tuple[str | None, float | None]:
        preset = _text(request, "PRESET", row)
        if preset is not None:
            find_preset(preset)  # raises what is wrong with it
        return preset, _truncation(request, row)

    def row(self, request: Request, row: int) -> tuple[Mate, str]:
        numbers = request.get("NUMBER")
        number = 0 if numbers is None else int(numbers[row, 0])
        name = _format(request, row, [each.name for each in FORMATS.values() if each.encode is not None])
        return Mate(int(request[SEED.name][row, 0]), 1, number=number), name or TEMPLATE_FORMAT

    def compute(
        self, settings: tuple[str | None, float | None], rows: Sequence[tuple[Mate, str]]
    ) -> Sequence[Row]:
        preset, truncation = settings
        mates = [mate for mate, _ in rows]
        taken: dict[Mate, ImpressionOfFinger] = {}
        steps = MatedSynthesis(self.model, truncation, "ridges", preset=preset, taken=taken)
        images = make_images(steps, mates, self.model.workers)
        side = self.model.bundle.manifest.image.output_size
        outputs = []
        for image, (mate, name) in zip(images, rows, strict=True):
            encode = FORMATS[name].encode
            assert encode is not None
            record = encode(taken[mate].template_at(side))
            outputs.append({IMAGE: image, TEMPLATE: np.frombuffer(record, np.uint8)})
        return outputs


def _images(images: Pixels) -> list[Row]:
    return [{IMAGE: image} for image in images]


def _stacked(rows: Sequence[Row]) -> Row:
    """Outputs of rows as those of their request; files are padded with zeros to the longest."""
    stacked = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if values[0].ndim == 1:
            longest = max(map(len, values))
            values = [np.pad(value, (0, longest - len(value))) for value in values]
        stacked[name] = np.stack(values)
    return stacked


def _ignore(warning: str) -> None:
    """Warnings of templates that are read all the same have no place in an answer."""


def _row(*values: Any) -> NDArray[Any]:
    """A tensor of one row, of bytes if they are plain integers."""
    return np.array([values], None if isinstance(values[0], np.generic) else np.uint8)


def _text(request: Request, name: str, row: int) -> str | None:
    """Text of a request; None where it is left out or empty."""
    given = request.get(name)
    return None if given is None else given[row].tobytes().decode(errors="replace") or None


def _format(request: Request, row: int, known: Iterable[str]) -> str | None:
    """The name of a template format; None where it is left out."""
    name = _text(request, "FORMAT", row)
    if name is not None and name not in known:
        raise BadInput(f"FORMAT: {name[:40]!a} is not known: give one of {', '.join(known)}")
    return name


def _truncation(request: Request, row: int) -> float | None:
    given = request.get(TRUNCATION.name)
    return None if given is None else _finite(TRUNCATION.name, given[row, 0])


def _finite(name: str, value: np.floating[Any]) -> float:
    if not np.isfinite(value):
        raise BadInput(f"{name}: {value}; must be a finite number")
    return float(value)


OPERATIONS: dict[str, type[Operation]] = {
    "synthesize": Synthesize,
    "reconstruct": Reconstruct,
    "edit": Edit,
    "impression": Impression,
}
"""Every operation, by the name that its model has on the server."""
