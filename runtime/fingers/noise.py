"""Fingers as the noise inputs of a bundle's synthesis network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

import numpy as np

from ..arguments import Floats
from ..backends.cores import usable_cores
from ..bundle.manifest import Manifest
from ..bundle.ridge_noise import map_size, noise_images, of_white
from ..minutiae import PPI
from ..seeds import impression_noise
from ..seeds import look as draw_look
from .capture.look import EFFECTS, look_of, traits_of
from .capture.parameters import sample_traits
from .capture.presets import PRESETS, Effects
from .finger import Finger, make_finger, take_impression
from .identity.patterns import FingerPosition, PatternClass
from .impression import Impression

if TYPE_CHECKING:
    from ..minutiae import Template

FINGERS = 32  # masters that are kept, of about a megabyte each: impressions of a finger share its growth


class FingerNoise:
    """Draws fingers for a bundle with ridge noise. May be used from many threads."""

    def __init__(self, manifest: Manifest, workers: int | None = None) -> None:
        """Nothing is drawn yet.

        Args:
            manifest: Of the bundle.
            workers: Fingers that are grown at a time, whoever asks for them, and threads that grow a single
                one; None: one per core.
        """
        self.manifest = manifest
        self.workers = workers

    @property
    def side(self) -> int:
        """Pixels a side at 500 ppi of what an image of the network shows."""
        return round(self.manifest.architecture.resolution * PPI / self.manifest.image.ppi)

    def impression(
        self,
        seed: int,
        number: int = 0,
        preset: str = "easy",
        effects: Effects | None = None,
        kind: PatternClass | None = None,
        position: FingerPosition | None = None,
        threads: int = 1,
    ) -> Impression:
        """An impression of a seed's finger, with its template; arguments as of `make_finger` and
        `take_impression`.

        Raises:
            BadInput: If an argument is out of range.
        """
        finger = _kept(seed, self.side, kind, position).get(threads)
        return take_impression(finger, number, preset, effects)

    def of_impressions(self, impressions: Sequence[Impression]) -> list[Floats]:
        """Noise inputs of N impressions: float32 (N, 1, H, W) per layer."""
        step = self.side // self._map_size
        ridges, contact = (
            np.stack(maps) for maps in zip(*(one.maps(step) for one in impressions), strict=True)
        )
        return self._composed(ridges, contact, [(one.finger.seed, one.capture.number) for one in impressions])

    def looks(self, impressions: Sequence[Impression]) -> Floats:
        """Latents with the looks of impressions: of moisture, pressure and what else the bundle has named.

        Returns:
            z, float32 (N, style_dim); what has no name is drawn for each finger and number.
        """
        width = self.manifest.architecture.style_dim
        drawn = [draw_look(one.finger.seed, one.capture.number, width) for one in impressions]
        return self._named(drawn, [traits_of(one.capture) for one in impressions])

    def clear_looks(self, seeds: Sequence[int]) -> Floats:
        """Latents of looks as in `easy`, for fingers that are not grown from seeds.

        Returns:
            z, float32 (N, style_dim).
        """
        width = self.manifest.architecture.style_dim
        drawn = [draw_look(seed, 0, width) for seed in seeds]
        return self._named(drawn, [sample_traits(seed, PRESETS["easy"]) for seed in seeds])

    def _named(self, drawn: Sequence[Floats], traits: Sequence[Mapping[str, float]]) -> Floats:
        assert self.manifest.ridge_noise is not None
        named = [(i, name) for i, name in enumerate(self.manifest.ridge_noise.looks) if name in EFFECTS]
        places, names = [i for i, _ in named], [name for _, name in named]
        z = np.stack(drawn)
        z[:, places] = [look_of(each, names) for each in traits]
        return z

    def of_maps(self, ridges: Floats, contact: Floats, seeds: Sequence[int]) -> list[Floats]:
        """Noise inputs.

        Args:
            ridges: float32 (N, M, M), ridge maps times contact, M their `map_size`.
            contact: float32 (N, M, M), masks of contact.
            seeds: N seeds, of what is random in their noise.

        Returns:
            float32 (N, 1, H, W) per layer.
        """
        return self._composed(ridges, contact, [(seed, 0) for seed in seeds])

    @property
    def _map_size(self) -> int:
        assert self.manifest.ridge_noise is not None
        return map_size(self.manifest.ridge_noise.layers)

    def _composed(self, ridges: Floats, contact: Floats, numbered: Sequence[tuple[int, int]]) -> list[Floats]:
        """`numbered`: seed and number of the impression of each image, which its white noise is drawn for."""
        noise = self.manifest.ridge_noise
        assert noise is not None
        shapes = of_white(noise.layers, self.manifest.architecture.noise_shapes)
        drawn = [impression_noise(seed, number, shapes) for seed, number in numbered]
        white = [each[0] if len(each) == 1 else np.concatenate(each) for each in zip(*drawn, strict=True)]
        return noise_images(noise.layers, ridges[:, None], contact[:, None], white)

    def of_templates(
        self, templates: Sequence[Template], fields: Floats, seeds: Sequence[int]
    ) -> list[Floats]:
        """Noise inputs of fingers that have the minutiae of templates.

        Args:
            templates: N templates of the field of view of the network's images.
            fields: float32 (N, FIELDS, CELLS, CELLS), what the field network reads off them.
            seeds: N seeds, of what is random in their noise.

        Returns:
            float32 (N, 1, H, W) per layer.
        """
        # Here, so that importing the runtime stays quick.
        from .reconstruction.ridges import reconstruct_ridges

        size = self._map_size
        found = [reconstruct_ridges(each, field, size) for each, field in zip(templates, fields, strict=True)]
        ridges, contact = (np.stack(maps) for maps in zip(*found, strict=True))
        return self.of_maps(ridges, contact, seeds)

    def of_seeds(self, seeds: Sequence[int], taken: dict[int, Impression] | None = None) -> list[Floats]:
        """Noise inputs of impression 0 of each seed's finger.

        Args:
            seeds: N seeds.
            taken: Gets these impressions by their seeds, for who wants their truth.

        Returns:
            float32 (N, 1, H, W) per layer.
        """
        threads = self.workers or usable_cores()
        if len(seeds) == 1:
            return self._of_seed(taken, seeds[0], threads)
        from concurrent.futures import ThreadPoolExecutor  # here, so that a single finger comes soon

        # Several are grown side by side, each on one thread.
        with ThreadPoolExecutor(max(1, min(len(seeds), threads))) as pool:
            return [
                np.concatenate(layer)
                for layer in zip(*pool.map(partial(self._of_seed, taken), seeds), strict=True)
            ]

    def _of_seed(self, taken: dict[int, Impression] | None, seed: int, threads: int = 1) -> list[Floats]:
        with self._growing:
            impression = self.impression(seed, threads=threads)
        if taken is not None:
            taken[seed] = impression
        return self.of_impressions([impression])

    @cached_property
    def _growing(self) -> Semaphore:
        """Held while a finger is grown: callers on several threads are not to grow `workers` each."""
        return Semaphore(self.workers or usable_cores())


class _Kept:
    """A finger that is grown once, however many threads ask for it: those that come later wait."""

    def __init__(
        self, seed: int, side: int, kind: PatternClass | None, position: FingerPosition | None
    ) -> None:
        self._grow = partial(make_finger, seed, (side, side), kind, position)
        self._finger: Finger | None = None
        self._lock = Lock()

    def get(self, threads: int) -> Finger:
        with self._lock:
            if self._finger is None:
                self._finger = self._grow(threads=threads)
            return self._finger


_kept = lru_cache(maxsize=FINGERS)(_Kept)
