"""What a dataset is: one request, from the command line, Python or another machine to its images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fingergen import __version__

from ..arguments import check_choice, check_type, check_whole, to_member
from ..bundle.manifest import NoiseMode
from ..errors import BadInput
from ..fingers import FULL_PRINT, MOISTURE, PPI, Effects, FingerPosition, PatternClass, SensorArea
from ..fingers.capture.presets import find_preset
from ..fingers.master import GROWTH
from ..images import FORMATS
from ..minutiae import WRITABLE
from ..pipeline.networks import Networks
from ..seeds import check_seed
from .impressions import BundleMaker, Maker, SensorMaker
from .layouts import LAYOUTS
from .mated import Mate, MatedSynthesis, check_directions, looks_as_synth, mate
from .plan import Entry, Plan
from .table import MOST_FINGERS, MOST_IMPRESSIONS
from .writer import Encoding, Gate

MOST_DIRECTIONS = 16  # of the default: those that change images most
MOST_DISTINCT = 100_000  # fingers, of whom all pairs are compared
_NAMES = {"noise": "sensor_noise"}  # of effects, as options call them


@dataclass(frozen=True)
class DatasetRequest:
    """Fingers with mated impressions.

    Attributes:
        fingers: How many.
        impressions: Of each finger.
        seed: Of the first finger; the next ones count up.
        subjects: Whether every ten fingers are the hands of one subject.
        rolled: How many impressions of each finger, the first ones, are rolled from nail to nail.
        renderer: `model`: the bundle; `sensor`: grown fingers touch a sensor, without a bundle.
        preset: How far impressions differ; None: `medium`, with a bundle the first is `easy`.
        pattern: Class of all fingers; None: drawn.
        position: Which of the ten fingers all are; None where that is not known.
        effects: What is fixed of impressions.
        window: (width, height) in pixels at 500 ppi of the sensor.
        area: Of the sensor, or that a bundle's images are cropped or padded to; None: the window, or what the
            bundle shows.
        templates: Formats of the true templates.
        directions: SeFa directions that impressions of a bundle are edited along; None: the first, with ridge
            noise none.
        degree: The farthest that an impression goes along its direction.
        layers: Style inputs that are edited; None: those that the bundle recommends.
        truncation: ψ; None: what the bundle recommends, and for looks that a preset or effects give, none.
        noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
        size: Pixels per side that a bundle's images are resized to; None: its `output_size`.
        layout: A name in `LAYOUTS`.
        database: Layout `fvc`: the n of DBn_A.
        image_format: A name in `images.FORMATS`.
        gate: Bounds of `gate.LIMITS` that images must keep.
        distinct: Bozorth3 score that no two fingers' first impressions reach.
        transactions: Whether each subject gets a transaction of ANSI/NIST-ITL.
    """

    fingers: int
    impressions: int = 2
    seed: int = 0
    subjects: bool = False
    rolled: int = 0
    renderer: Literal["model", "sensor"] = "model"
    preset: str | None = None
    pattern: PatternClass | None = None
    position: FingerPosition | None = None
    effects: Effects = field(default_factory=Effects)
    window: tuple[int, int] = FULL_PRINT
    area: SensorArea | None = None
    templates: tuple[str, ...] = ("json",)
    directions: Sequence[int] | None = None
    degree: float = 5.0
    layers: Sequence[int] | None = None
    truncation: float | None = None
    noise: NoiseMode | None = None
    size: int | None = None
    layout: str = "flat"
    database: int = 1
    image_format: str = "png"
    gate: Mapping[str, float] | None = None
    distinct: int | None = None
    transactions: bool = False

    def __post_init__(self) -> None:
        """Raises BadInput if a field is out of its range."""
        check_whole("fingers", self.fingers, 1, MOST_FINGERS)
        check_whole("impressions", self.impressions, 1, MOST_IMPRESSIONS)
        check_whole("rolled", self.rolled, 0, self.impressions)
        check_choice("renderer", self.renderer, ("model", "sensor"))
        object.__setattr__(self, "pattern", to_member("pattern", self.pattern, PatternClass))
        object.__setattr__(self, "position", to_member("position", self.position, FingerPosition))
        check_type("effects", self.effects, Effects, "Effects(...)")
        check_type("area", self.area, (SensorArea, type(None)), "SensorArea(width, height)")
        check_type("templates", self.templates, (tuple, list), "a tuple of formats")
        for template in self.templates:
            check_choice("templates", template, WRITABLE)
        check_choice("layout", self.layout, tuple(LAYOUTS))
        check_choice("image_format", self.image_format, tuple(FORMATS))
        if self.distinct is not None:
            needs_nbis("--distinct")
            check_whole("distinct", self.distinct, 1)
            if self.fingers > MOST_DISTINCT:
                raise BadInput(f"--distinct: compares all pairs; give at most {MOST_DISTINCT} fingers")
        if self.preset is not None:
            find_preset(self.preset)
        if check_seed(self.seed) + self.fingers > 2**64:
            raise BadInput("fingers: the last seed would be above 2**64 - 1")

    def plan(self, shard: tuple[int, int] = (1, 1)) -> Plan:
        """Its fingers and impressions, before any is replaced.

        Args:
            shard: (i, n), from 1: the i-th of n shares.

        Returns:
            The plan of that share.
        """
        return Plan(
            self.fingers, self.impressions, self.seed, self.position, shard, self.subjects, self.rolled
        )

    def given(self) -> dict[str, str]:
        """What was asked for of grown fingers, on any renderer.

        Returns:
            Text by option, without those that are left to chance.
        """
        said: dict[str, Any] = {
            "preset": self.preset,
            "pattern": self.pattern and self.pattern.value.replace(" ", "-"),
            "finger": self.position and self.position.value,
        }
        for name, value in asdict(self.effects).items():
            if name == "moisture":
                value = {number: word for word, number in MOISTURE.items()}.get(value, value)
            if name != "rolled":
                said[_NAMES.get(name, name)] = value
        return {key: str(value) for key, value in said.items() if value is not None}

    def open(self, model: Networks | None, workers: int, batch: int | None = None) -> OpenDataset:
        """What makes its images.

        Args:
            model: That the renderer `model` takes.
            workers: Threads.
            batch: Images per call of the backend; None: its best.

        Returns:
            Maker, encoding and gate.

        Raises:
            BadInput: If the model cannot make such a set.
        """
        if self.renderer == "sensor":
            return self._sensor(workers)
        if model is None:
            raise BadInput("renderer 'model': load a bundle, or give renderer 'sensor'")
        return self._of(model, workers, batch)

    def _sensor(self, workers: int) -> OpenDataset:
        window, ppi = self.window, float(PPI)
        if self.area is not None:
            window, ppi = self.area.window, self.area.ppi
        shared = {
            "synthetic": "yes",
            "operation": "dataset",
            "renderer": "sensor",
            **self.given(),
            "window": json.dumps(window),
            **({} if self.area is None else {"area": str(self.area)}),
            "fingergen": __version__,
        }
        maker = SensorMaker(window, self.preset or "medium", self.effects, self.pattern, workers, self.area)
        return self._opened(maker, ppi, True, shared, {})

    def _of(self, model: Networks, workers: int, batch: int | None) -> OpenDataset:
        truncation, noise = model.settings(self.truncation, self.noise)
        has_truth = noise == "ridges"
        directions: Sequence[int] = ()
        if self.directions:
            directions = check_directions(model, self.directions)
        elif not has_truth:
            directions = range(min(MOST_DIRECTIONS, len(model.bundle.latents.sefa_directions)))
        if not has_truth:
            grown = [*self.given(), *(name for name in ("subjects", "rolled") if getattr(self, name))]
            if grown:
                name = grown[0].replace("_", "-")
                raise BadInput(f"--{name}: this bundle's fingers are not grown; use --renderer sensor")
        layers = model.edit_layers(self.layers)
        draws_looks = not has_truth or looks_as_synth(self.preset, 1, self.effects)
        shared = model.provenance(
            "dataset",
            layers=layers,
            # Looks that are given are narrowed only where that is asked for.
            truncation=truncation if draws_looks else self.truncation,
            noise=noise,
            size=self.size,
            area=None if self.area is None else str(self.area),
            **(self.given() if has_truth else {}),
        )
        steps = MatedSynthesis(
            model, self.truncation, noise, layers, self.size, self.preset, self.effects, self.pattern, {}
        )

        def edit(entry: Entry) -> Mate:
            return mate(
                entry.seed,
                entry.impression,
                directions,
                self.degree,
                entry.number if entry.attempt else None,
                entry.position,
                entry.rolled,
            )

        maker = BundleMaker(steps, edit, batch or model.backend.batch, workers, self.area)
        own = {"directions": list(directions), "degree": self.degree}
        return self._opened(maker, model.ppi(self.size), has_truth, shared, own)

    def _opened(
        self, maker: Maker, ppi: float, has_truth: bool, shared: dict[str, str], own: dict[str, Any]
    ) -> OpenDataset:
        templates = self.templates if has_truth else ()
        encoding = Encoding(self.image_format, templates, ppi, shared, with_row=self.layout == "shards")
        settings: dict[str, Any] = {
            **{"fingers": self.fingers, "impressions": self.impressions, "first_seed": self.seed},
            **own,
            **{"ppi": ppi, "layout": self.layout, "database": self.database, "format": self.image_format},
            **{"templates": list(templates), **shared},
        }
        if has_truth:
            settings["growth"] = GROWTH
        optional = {
            "subjects": self.subjects,
            "rolled": self.rolled,
            "distinct": self.distinct,
            "transactions": self.transactions,
        }
        settings |= {name: value for name, value in optional.items() if value}
        gate = None
        if self.gate is not None:
            gate = _open_gate(self.gate, ppi, has_truth)
            settings["gate"] = dict(sorted(self.gate.items()))
        return OpenDataset(maker, encoding, settings, gate)


@dataclass(frozen=True)
class OpenDataset:
    """What makes and encodes the images of a set.

    Attributes:
        maker: Makes impressions.
        encoding: Of its files.
        settings: What makes the set, as JSON has it.
        gate: Refuses impressions.
    """

    maker: Maker
    encoding: Encoding
    settings: Mapping[str, Any]
    gate: Gate | None = None


def _open_gate(bounds: Mapping[str, float], ppi: float, has_truth: bool) -> Gate:
    needs_nbis("--gate")
    from .gate import NistGate

    if not has_truth and bounds.keys() & {"recall", "spurious"}:
        raise BadInput("--gate: images of this bundle have no true template; give nfiq2 only")
    return NistGate(bounds, ppi)


def needs_nbis(what: str) -> None:
    """`BadInput` where NIST's code is not installed, which `what` needs."""
    try:
        import nbis  # noqa: F401
    except ModuleNotFoundError:
        raise BadInput(f"{what}: needs nbis, which is not installed: pip install 'fingergen[eval]'") from None
