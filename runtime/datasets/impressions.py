"""What makes the impressions of a dataset: grown fingers on a sensor, or a bundle."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from ..fingers import Effects, PatternClass, SensorArea, make_finger, take_impression
from ..fingers.capture.look import EFFECTS
from ..images import Pixels
from ..minutiae import Template
from ..pipeline.stages import Pipeline, Stage
from ..pipeline.throughput import ImagePipeline
from .mated import Mate, MatedSynthesis
from .plan import Entry
from .table import Row, capture_columns

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Made:
    """An impression.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3).
        template: Its true minutiae, in its pixels; None where nobody knows them.
        columns: Of its row in the manifest: how it was made.
        provenance: Of its file, beyond what all images of the set share and its seed and impression.
        label: On a contact sheet.
    """

    pixels: Pixels
    template: Template | None
    columns: Row
    provenance: Row
    label: str


class Maker(Protocol):
    """Makes impressions on many threads."""

    def images(self, entries: Iterable[Entry], use: Callable[[Entry, Made], Result]) -> Generator[Result]:
        """What `use`, called on any thread, returns for the impression of each of `entries`, in any order.

        The first error ends everything and is raised. Close it (`contextlib.closing`) to end early.
        """
        ...


@dataclass(frozen=True)
class SensorMaker:
    """Impressions of grown fingers on a sensor.

    Attributes:
        window: (width, height) in pixels at 500 ppi.
        preset: How far impressions differ.
        effects: What is fixed.
        kind: Class of all fingers; None: drawn.
        workers: Threads.
        area: Of the sensor, about the window's middle; None: the window.
    """

    window: tuple[int, int]
    preset: str
    effects: Effects
    kind: PatternClass | None
    workers: int
    area: SensorArea | None = None

    def images(self, entries: Iterable[Entry], use: Callable[[Entry, Made], Result]) -> Generator[Result]:
        """See `Maker`; a finger is grown once for its impressions, on one thread."""

        def make(of_finger: list[Entry]) -> Iterator[Result]:
            first = of_finger[0]
            finger = make_finger(first.seed, self.window, self.kind, first.position)
            for entry in of_finger:
                effects = replace(self.effects, rolled=True) if entry.rolled else self.effects
                taken = take_impression(finger, entry.number, self.preset, effects, self.area)
                kind = finger.kind.value
                columns = capture_columns(taken, self.preset)
                label = f"{entry.seed} {entry.impression}: {kind}"
                yield use(entry, Made(taken.pixels, taken.template, columns, {"class": kind}, label))

        fingers = (list(group) for _, group in itertools.groupby(entries, lambda entry: entry.seed))
        stage = Stage("fingers", make, self.workers, room=2 * self.workers)
        with closing(iter(Pipeline(fingers, [stage]))) as results:
            yield from results


@dataclass(frozen=True)
class BundleMaker:
    """Impressions that a bundle makes; with ridge noise each has its true template.

    Attributes:
        steps: Of the synthesis.
        edit: Which mate an impression is, its edit included.
        batch: Images per call of the backend.
        workers: Threads per step beside those of the backend.
        area: That the images are cropped or padded to; None: they are as the bundle makes them.
    """

    steps: MatedSynthesis
    edit: Callable[[Entry], Mate]
    batch: int
    workers: int
    area: SensorArea | None = None

    def images(self, entries: Iterable[Entry], use: Callable[[Entry, Made], Result]) -> Generator[Result]:
        """Impressions that the bundle makes, batch by batch; see `Maker`."""
        under_way: dict[Mate, Entry] = {}
        results: dict[Mate, Result] = {}

        def mates() -> Iterator[Mate]:
            for entry in entries:
                mate = self.edit(entry)
                under_way[mate] = entry
                yield mate

        def finish(mate: Mate, pixels: Pixels) -> None:
            entry = under_way.pop(mate)
            results[mate] = use(entry, self._made(mate, pixels))

        run = ImagePipeline(self.steps, self.batch, self.workers, finish)
        with closing(run.images(mates())) as finished:
            for mate, _ in finished:
                yield results.pop(mate)

    def _made(self, mate: Mate, pixels: Pixels) -> Made:
        columns: Row = {}
        own: Row = {}
        label = f"{mate.seed} {mate.impression}"
        template = None
        taken = self.steps.taken.pop(mate, None) if self.steps.taken is not None else None
        if taken is not None:
            template = taken.template_at(pixels.shape[1])
            columns = capture_columns(taken, self.steps.preset_of(mate))
            if self.steps.looks_as_synth(mate):  # and not as the capture says
                columns = {name: text for name, text in columns.items() if name not in EFFECTS}
            own["class"] = columns["class"]
            label = f"{label}: {columns['class']}"
        if self.area is not None:
            pixels = self.area.of_image(pixels, self.area.ppi)
            template = template and self.area.of_template(template)
        if mate.direction is not None:
            own |= {"direction": str(mate.direction), "degree": str(mate.degree)}
            label = f"{label}: {mate.direction} {mate.degree:+g}"
        return Made(pixels, template, columns | own, own, label)
