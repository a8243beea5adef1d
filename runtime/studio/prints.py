"""Prints for the page: a finger's impressions, reconstructions, and two impressions beside each other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.encoded import Encoded
from ..datasets.mated import looks_as_synth, mate, preset_of
from ..errors import BadInput
from ..fingers import PRESETS, Impression
from ..images import Pixels
from ..minutiae import Template
from ..model import Model
from ..pipeline.reconstruction import to_field_of_view
from .requests import MOST_DEGREE, PrintRequest

if TYPE_CHECKING:
    from ..datasets.nist import Nist

MOST_DIRECTIONS = 8  # SeFa directions that get sliders where the bundle names no traits
EDIT_DEGREE = 5.0  # farthest that impressions of bundles without ridge noise go along a direction


@dataclass(frozen=True, eq=False)
class Print:
    """A print that was made.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3).
        ppi: Its resolution.
        template: Its minutiae in its pixels, where they are known.
        caption: What it is, for people.
        provenance: For its file.
        truncation: Of its look.
        taken: The impression, of a finger that was grown.
    """

    pixels: Pixels
    ppi: float
    template: Template | None
    caption: str
    provenance: Mapping[str, str]
    truncation: float
    taken: Impression | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two impressions of one finger.

    Attributes:
        prints: Both.
        mates: Indices of the minutiae that both show, (left, right); known of grown fingers.
        score: Bozorth3's; None where it is not installed.
        remark: What the score means, or why there is none.
    """

    prints: tuple[Print, Print]
    mates: tuple[tuple[int, int], ...]
    score: int | None
    remark: str


class Studio:
    """Makes what the page asks for, one request at a time: a model's threads are shared."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._nist, self._no_score = _open_nist()

    @property
    def has_ridges(self) -> bool:
        """Whether fingers are grown, so that their minutiae are known."""
        return self.model.finger_noise is not None and self.model.settings(None, None)[1] == "ridges"

    def about(self) -> dict[str, Any]:
        """What the page needs to know of the bundle."""
        manifest = self.model.bundle.manifest
        return {
            "bundle": manifest.name,
            "traits": list(self.model.bundle.traits or map(str, self._directions)),
            "named": bool(self.model.bundle.traits),
            "most_degree": MOST_DEGREE,
            "presets": list(PRESETS) if self.has_ridges else [],
            "reconstructs": manifest.encoder is not None or manifest.graphs.fields is not None,
            "backend": self.model.backend.name,
            "score": self._no_score or "Bozorth3",
        }

    def make(self, request: PrintRequest) -> Print:
        """One print.

        Raises:
            BadInput: If the bundle cannot make it.
        """
        with self._lock:
            return self._impression(request) if request.source is None else self._reconstruction(request)

    def pair(self, request: PrintRequest, numbers: tuple[int, int]) -> Pair:
        """Impressions `numbers` of the request's finger.

        Raises:
            BadInput: If the bundle cannot make them, or the finger is a template's.
        """
        if request.source is not None:
            raise BadInput("template: mated impressions are of a seed's finger; remove the template")
        with self._lock:
            one, other = (self._impression(replace(request, number=number)) for number in numbers)
            if self._nist is None:
                return Pair((one, other), _mates(one, other), None, self._no_score)
            score = self._nist.bozorth3(one.pixels, other.pixels, one.ppi)
        return Pair((one, other), _mates(one, other), score, _meaning(score))

    def _impression(self, request: PrintRequest) -> Print:
        model, seed, number = self.model, request.seed, request.number
        truncation, noise = model.settings(request.truncation, None)
        taken = None
        if self.has_ridges:
            assert model.finger_noise is not None
            taken = model.finger_noise.impression(seed, number, preset_of(request.preset, number + 1))
            buffers = model.finger_noise.of_impressions([taken])
            as_synth = looks_as_synth(request.preset, number + 1)
            z = model.z([seed]) if as_synth else model.finger_noise.looks([taken])
            truncation = model.truncation(request.truncation, drawn=as_synth)
        else:  # impressions are edits, as in `fg-run dataset`
            buffers = list(model.noise_buffers(noise, [seed], 1))
            z = model.z([seed])
        styles = model.edited(model.map(z), request.traits, z=z)
        if taken is None:
            drawn = mate(seed, number + 1, self._directions, EDIT_DEGREE)
            if drawn.direction is not None:
                styles = model.edited(styles, {drawn.direction: drawn.degree})
        levels = model.backend.render(model.truncate(styles, truncation), buffers)
        pixels = model.finish(levels[0])
        template, caption = None, f"seed {seed}, impression {number}"
        if taken is not None:
            template = taken.template_at(pixels.shape[1])
            caption += f", {taken.finger.kind.value}"
        provenance = model.provenance(
            "studio",
            seed=seed,
            impression=number,
            preset=request.preset if taken is not None else None,
            **_described(request.traits),
            truncation=truncation,
            noise=noise,
        )
        return Print(pixels, model.ppi(), template, caption, provenance, truncation, taken)

    def _reconstruction(self, request: PrintRequest) -> Print:
        model, source = self.model, request.source
        assert source is not None
        model.check_encoder()
        template = to_field_of_view(source.template, model.bundle.manifest.image)
        if not template.minutiae:
            raise BadInput(f"{source.name}: its minutiae lie outside of what the bundle's images show")
        encoded = model.encoded(template, [request.seed])
        styles = model.edited(encoded.w, request.traits, z=encoded.z)
        truncation = model.truncation(request.truncation, drawn=False)
        styles = model.truncate(styles, truncation)
        pixels = model.render(Encoded(styles, encoded.noise), seeds=[request.seed])[0]
        provenance = model.provenance(
            "studio",
            template=source.name,
            seed=request.seed,
            **_described(request.traits),
            truncation=truncation,
        )
        return Print(
            pixels, model.ppi(), template, f"reconstruction of {source.name}", provenance, truncation
        )

    @property
    def _directions(self) -> range:
        return range(min(MOST_DIRECTIONS, len(self.model.bundle.latents.sefa_directions)))


def _described(traits: Mapping[int | str, float]) -> dict[str, str]:
    return {"traits": ",".join(f"{name}={degree:g}" for name, degree in traits.items())} if traits else {}


def _mates(one: Print, other: Print) -> tuple[tuple[int, int], ...]:
    """The minutiae of the finger that both impressions show."""
    if one.taken is None or other.taken is None:
        return ()
    _, left, right = np.intersect1d(
        one.taken.minutiae, other.taken.minutiae, assume_unique=True, return_indices=True
    )
    return tuple(zip(left.tolist(), right.tolist(), strict=True))


def _open_nist() -> tuple[Nist | None, str]:
    """Bozorth3, or why it is not there."""
    try:
        from ..datasets.nist import Nist
    except ModuleNotFoundError as error:
        return None, f"no score: {error.name} is not installed: pip install 'fingergen[eval]'"
    return Nist(), ""


def _meaning(score: int) -> str:
    from ..datasets.nist import LIKELY_MATCH

    return "a likely match" if score >= LIKELY_MATCH else f"below {LIKELY_MATCH}, no likely match"
