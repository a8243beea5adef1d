"""The Python face of the runtime: a bundle that makes fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import latents
from .arguments import Floats, check_finite, check_iterable, check_one_per_image, check_whole, to_floats
from .backends import Backend, Precision, open_backend, usable_cores
from .bundle import Bundle, open_bundle
from .bundle.encoded import Encoded
from .bundle.manifest import NoiseMode
from .errors import BadInput
from .images import Pixels
from .minutiae import PPI
from .pipeline.networks import Networks
from .pipeline.request import MOST_IN_A_BATCH, SynthesisRequest, check_size
from .pipeline.steps import batches
from .pipeline.synthesis import Synthesis

if TYPE_CHECKING:  # what only some methods take is imported there, so that a first image comes soon
    from .datasets import MatedDataset
    from .fingers import Finger, FingerPosition, PatternClass
    from .minutiae import Template
    from .pipeline.reconstruction import Map, ReconstructionInput


def load(
    bundle: str | Path | None = None,
    backend: str = "auto",
    workers: int | None = None,
    device: int = 0,
    precision: Precision | None = None,
) -> Model:
    """Load a bundle.

    Args:
        bundle: Its directory; None: the packaged demo bundle.
        backend: `auto`, or one of `backends.BACKENDS`.
        workers: CPU threads, 1 or more; None: one per core.
        device: Number of the GPU, from 0.
        precision: `fp32` or `fp16`; None: what suits the backend.

    Returns:
        The model. Close it, or use it in a `with` statement.

    Raises:
        BadInput: The bundle is not whole, an argument is out of range, or no backend can run the bundle here.
    """
    _keep_freed_memory()
    opened = open_bundle(bundle)
    model = Model(opened, open_backend(backend, opened, workers, device, precision), workers)
    model.loading = partial(load, bundle, backend, workers, device, precision)
    return model


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory, which it would give back to the kernel, for what comes next.

    A first image takes one array after the other, and the kernel clears each page that it gives out. What is
    freed below a size is kept; freeing a larger array raises that size, at most to 32 MiB. This one is never
    written, so that it takes no memory. Without glibc nothing happens.
    """
    np.empty(2**25 - 2**13, np.uint8)


class Model(Networks):
    """A loaded bundle. An image is the same in any batch, order or thread count.

    Arguments that several methods have:

    - `seeds`: integers in [0, 2**64), one per image.
    - `noise`: `const` (the stored buffers), `random` (sampled for each of `seeds`), `none` or, of a bundle
      with ridge noise, `ridges` (it carries impression 0 of the finger of each of `seeds`); None: what the
      bundle recommends, or `const` where that is `random` and no `seeds` are given.
    - `truncation`: ψ of w_avg + ψ (w - w_avg); None: what the bundle recommends.
    - `layers`: indices of style inputs, in [0, num_ws); None: all or, of edits, those that the bundle
      recommends.
    - `w`: float32 (N, style_dim) or (N, num_ws, style_dim); or what `encoded` gives, whose noise images then
      take the place of the mode's, and which the decoder makes images of.
    - `decoder`: w comes from `encode`, so the bundle's decoder makes the images, where it has one of its own.
    - `size`: pixels per side that images are resized to; None: the bundle's `output_size`.
    """

    def __init__(self, bundle: Bundle, backend: Backend, workers: int | None = None) -> None:
        """Put a model together; `load` opens what it takes.

        Args:
            bundle: What it runs.
            backend: Opened for the bundle.
            workers: Threads that grow fingers; None: one per core.
        """
        super().__init__(bundle, backend, workers)
        self.loading: Callable[[], Model] | None = None  # loads it again, in another process

    def synthesize(
        self,
        seeds: Iterable[int],
        truncation: float | None = None,
        noise: NoiseMode | None = None,
        mix_seeds: int | Iterable[int] | None = None,
        mix_layers: Iterable[int] | None = None,
        mix_alpha: float = 1.0,
        size: int | None = None,
    ) -> Pixels:
        """Fingerprints of seeds.

        Args:
            seeds: Integers in [0, 2**64), one per image.
            truncation: ψ of w_avg + ψ (w - w_avg); None: what the bundle recommends.
            noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
            mix_seeds: Seeds whose w is mixed in, one for all images or one per image; None: no mixing.
            mix_layers: Style inputs that are mixed, in [0, num_ws); None: all.
            mix_alpha: Share of what is mixed in; 1 replaces.
            size: Pixels per side that images are resized to; None: the bundle's `output_size`.

        Returns:
            uint8 (N, size, size), or (N, size, size, 3) for three channels.

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
        request = SynthesisRequest(seeds, truncation, noise, mix_seeds, mix_layers, mix_alpha, size)
        steps = Synthesis(self, request)
        pairs = list(request.pairs())
        if not pairs:
            raise BadInput("seeds: none given")
        if len(pairs) <= self.backend.batch:
            return np.stack([steps.finish(levels) for levels in steps.compute(steps.prepare(pairs))])
        from .pipeline.throughput import make_images

        return np.stack(make_images(steps, pairs, self.workers))

    def stream(
        self,
        seeds: SynthesisRequest | Iterable[int],
        *settings: Any,
        batch: int | None = None,
        **named: Any,
    ) -> Iterator[Pixels]:
        """As `synthesize`, but one image after the other, for any number of seeds; a batch is held at a time.

        Args:
            seeds: Integers in [0, 2**64), one per image; or a whole request.
            settings: The other fields of `SynthesisRequest`, where `seeds` are integers.
            batch: Images per call of the backend; None: what keeps it busy.
            named: Fields of `SynthesisRequest` by name, likewise.

        Returns:
            An iterator over uint8 (size, size), or (size, size, 3).

        Raises:
            BadInput: A field is wrong.
        """
        if not isinstance(seeds, SynthesisRequest):
            seeds = SynthesisRequest(seeds, *settings, **named)
        steps = Synthesis(self, seeds)
        images = self.backend.batch if batch is None else check_whole("batch", batch, 1, MOST_IN_A_BATCH)
        pairs = batches(seeds.pairs(), images)
        return (steps.finish(levels) for part in pairs for levels in steps.compute(steps.prepare(part)))

    def encode(self, maps: ReconstructionInput | Iterable[ReconstructionInput]) -> Floats:
        """The w of minutiae, as the published encoder gives it; `encoded` has all that the encoder gives.

        Args:
            maps: Templates, or minutiae maps uint8 (H, W, 3), one or many.

        Returns:
            float32 (N, style_dim) or, of an encoder into W+, (N, num_ws, style_dim).

        Raises:
            BadInput: The bundle has no encoder, or `maps` is not what it reads.
        """
        return self.encoded(maps).w

    def encoded(
        self, maps: ReconstructionInput | Iterable[ReconstructionInput], seeds: Sequence[int] | None = None
    ) -> Encoded:
        """What the bundle's encoder makes of minutiae: w and, with a spatial path, noise images.

        Args:
            maps: Templates, or minutiae maps uint8 (H, W, 3), one or many; maps of another size than the
                encoder's input are resized. A bundle with ridge noise takes templates only.
            seeds: With ridge noise, one per template: its w, and what the minutiae leave open; None: 0.

        Returns:
            w float32 (N, style_dim) or (N, num_ws, style_dim), and noise images (N, 1, H, W).

        Raises:
            BadInput: The bundle has no encoder, or an argument is not what it takes.
        """
        from .pipeline.reconstruction import list_templates, to_encoder_input

        if self.bundle.manifest.graphs.fields is not None:
            return self._with_ridges(list_templates(maps, self.bundle.manifest.image), seeds)
        return self.backend.encode(to_encoder_input(self.encoder_maps(maps)))

    def encoder_maps(self, inputs: ReconstructionInput | Iterable[ReconstructionInput]) -> Map:
        """The minutiae maps that the encoder reads.

        Args:
            inputs: Templates, which are drawn, or maps uint8 (H, W, 3), which are resized; one or many.

        Returns:
            uint8 (N, S, S, 3), S being the encoder's input size in pixels.

        Raises:
            BadInput: The bundle has no encoder of maps, or `inputs` is neither templates nor maps.
        """
        from .pipeline.reconstruction import encoder_maps

        self.check_encoder()
        encoder = self.bundle.manifest.encoder
        if encoder is None:
            raise BadInput(f"{self.bundle.path}: this bundle's encoder reads templates, not minutiae maps")
        return encoder_maps(inputs, self.bundle.manifest.image, encoder.input_size)

    def check_encoder(self) -> None:
        """Check that the bundle can reconstruct.

        Raises:
            BadInput: It has no encoder of minutiae maps nor, for ridge noise, of templates.
        """
        manifest = self.bundle.manifest
        if manifest.encoder is None and manifest.graphs.fields is None:
            raise BadInput(f"{self.bundle.path}: this bundle has no encoder; it cannot reconstruct")

    def reconstruct(
        self,
        templates: ReconstructionInput | Iterable[ReconstructionInput],
        noise: NoiseMode | None = None,
        seeds: Sequence[int] | None = None,
        size: int | None = None,
    ) -> Pixels:
        """Fingerprints with given minutiae.

        Args:
            templates: Templates, or minutiae maps uint8 (H, W, 3), one or many.
            noise: Of the layers whose noise the encoder does not give: `const`, `random` or `none`; None:
                what the bundle recommends.
            seeds: One per template: of `random` noise or, with ridge noise, of the look; None: 0.
            size: Pixels per side that images are resized to; None: the bundle's `output_size`.

        Returns:
            uint8 (N, size, size), or (N, size, size, 3) for three channels.

        Raises:
            BadInput: The bundle cannot reconstruct, or an argument is not what it takes.
        """
        encoded = self.encoded(templates, seeds)
        return self.render(encoded, noise, seeds, size=size)

    def _with_ridges(self, templates: Sequence[Template], seeds: Sequence[int] | None) -> Encoded:
        """Looks and noise of fingers that have the minutiae of templates."""
        from .minutiae.raster import rasterize

        assert self.finger_noise is not None
        seeds = check_one_per_image("seeds", [0] * len(templates) if seeds is None else seeds, len(templates))
        fields = self.backend.read_fields(np.stack([rasterize(template) for template in templates]))
        noise = self.finger_noise.of_templates(templates, fields, seeds)
        z = self.finger_noise.clear_looks(seeds)
        return Encoded(self.map(z), tuple(noise), z)

    def fingers(
        self,
        seeds: Iterable[int],
        kind: PatternClass | None = None,
        position: FingerPosition | None = None,
    ) -> list[Finger]:
        """Fingers grown from seeds, for impressions of the size of this bundle's images.

        Args:
            seeds: Integers in [0, 2**64), one per finger.
            kind: Their pattern class; None draws one for each at its natural frequency.
            position: Which of the ten fingers they are: the class is drawn at its frequency there.

        Returns:
            A finger per seed; `finger.impression(0, "easy")` has `pixels` of a sensor, uint8 (H, W) at
            500 ppi, and the true `template`.

        Raises:
            BadInput: If a seed is out of range, or the bundle's images show too small or large a view.
        """
        from .fingers import make_fingers

        image = self.bundle.manifest.image
        side = round(image.output_size * PPI / image.output_ppi)
        return make_fingers(seeds, (side, side), kind, position)

    def templates(self, seeds: Iterable[int], size: int | None = None) -> list[Template]:
        """The true templates of the prints that `synthesize` makes of seeds, with noise `ridges`.

        Args:
            seeds: Integers in [0, 2**64).
            size: Pixels per side of the prints; None: the bundle's `output_size`.

        Returns:
            A template per seed, in the pixels of its print.

        Raises:
            BadInput: The bundle's noise carries no fingers, or an argument is not what it takes.
        """
        check_iterable("seeds", seeds)
        check_size(size)
        side = self.bundle.manifest.image.output_size if size is None else size
        fingers, threads = self.require_finger_noise(), self.workers or usable_cores()
        return [fingers.impression(seed, threads=threads).template_at(side) for seed in seeds]

    def dataset(
        self, fingers: int, impressions: int = 2, batch: int | None = None, **fields: Any
    ) -> MatedDataset:
        """Fingers with mated impressions, as `fg-run dataset` writes them.

        Args:
            fingers: How many.
            impressions: Of each finger.
            batch: Images per call of the backend; None: what keeps it busy.
            fields: Of `DatasetRequest`, such as `preset="easy"`.

        Returns:
            A sequence of `Sample`; iterate over it, take one by its index, or `write` it into a folder.

        Raises:
            BadInput: If a field is out of its range, or not to be had of this bundle.
        """
        from .datasets import DatasetRequest, MatedDataset

        request = DatasetRequest(fingers, impressions, renderer="model", **fields)
        return MatedDataset(request, self.loading, self, self.workers, batch)

    def edit(
        self,
        w: Floats | Encoded,
        index: int | str,
        degree: float,
        layers: Iterable[int] | None = None,
        truncation: float | None = None,
        noise: NoiseMode | None = None,
        seeds: Sequence[int] | None = None,
        decoder: bool = False,
        size: int | None = None,
        z: Floats | None = None,
    ) -> tuple[Pixels, Pixels, Pixels]:
        """Images after an edit one way, of w, and after one the other way; truncation comes afterwards.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim), or what `encoded` gives.
            index: Number of a SeFa direction (Shen and Zhou, "Closed-Form Factorization of Latent Semantics
                in GANs", 2021), or name of a trait: one of the manifest's `ridge_noise.looks`.
            degree: How far; of traits, two degrees are a standard deviation.
            layers: Style inputs that are edited, in [0, num_ws); None: those that the bundle recommends.
            truncation: ψ; None: what the bundle recommends, and 1 for reconstructions whose look is given.
            noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
            seeds: One per image, of noise `random` and `ridges`.
            decoder: Whether w comes from `encode`, so that the bundle's decoder makes the images.
            size: Pixels per side that images are resized to; None: the bundle's `output_size`.
            z: Of which w is the map, float32 (N, style_dim), as for `edited`.

        Returns:
            Three arrays, uint8 (N, size, size), or (N, size, size, 3) for three channels.

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
        check_finite("degree", degree)
        self.bundle.direction(index)  # raises what is wrong with it
        chosen = self.edit_layers(layers)
        styles = self.styles(w.w if isinstance(w, Encoded) else w)
        if isinstance(w, Encoded) and z is None:
            z = w.z
        drawn = not isinstance(w, Encoded) or self.bundle.manifest.graphs.fields is None
        psi = self.truncation(truncation, drawn)

        def images(by: float) -> Pixels:
            moved = self.truncate(self.edited(styles, {index: by}, chosen, z), psi)
            whole = Encoded(moved, w.noise) if isinstance(w, Encoded) else moved
            return self.render(whole, noise, seeds, decoder, size)

        return images(-degree), images(0.0), images(degree)

    def edited(
        self,
        w: Floats,
        degrees: Mapping[int | str, float],
        layers: Iterable[int] | None = None,
        z: Floats | None = None,
    ) -> Floats:
        """w after edits.

        A trait of z is changed before z is mapped, as when the generator learned what traits do. Without z, w
        moves along the mean direction of the trait, which far out is another path.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim).
            degrees: Numbers of SeFa directions and names of traits, and how far to go along each: w +
                degree · direction, or half a standard deviation of the trait for each degree.
            layers: Style inputs that are edited, in [0, num_ws); None: those that the bundle recommends.
            z: Of which w is the map, float32 (N, style_dim).

        Returns:
            float32 (N, num_ws, style_dim).

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
        if not isinstance(degrees, Mapping):
            raise BadInput(f"degrees: {type(degrees).__name__}; must map numbers and names to degrees")
        moved, chosen = self.styles(w), self.edit_layers(layers)
        if z is not None:
            traits = {name: degree for name, degree in degrees.items() if name in self.bundle.traits}
            changed = to_floats("z", z).copy()
            if changed.shape != (len(moved), self.style_dim):
                raise BadInput(f"z: shape {changed.shape}; must be ({len(moved)}, {self.style_dim}), as w")
            for name, degree in traits.items():
                check_finite("degree", degree)
                changed[:, self.bundle.traits.index(str(name))] += np.float32(degree / latents.DEGREES)
            if traits:
                moved = moved.copy()
                moved[:, chosen] = self.map(changed)[:, None]
            degrees = {name: degree for name, degree in degrees.items() if name not in traits}
        for index, degree in degrees.items():
            moved = latents.move(moved, self.bundle.direction(index), degree, chosen)
        return moved
