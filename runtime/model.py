"""The Python face of the runtime: a bundle that makes fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import latents
from .arguments import Floats, check_finite, check_iterable, check_one_per_image, check_whole, to_floats
from .backends import Backend, Precision, open_backend
from .bundle import Bundle, open_bundle
from .bundle.encoded import Encoded, by_decoder, with_predicted
from .bundle.manifest import NoiseMode
from .errors import BadInput, FingerGenError
from .fingers import Finger, FingerPosition, PatternClass, make_fingers
from .fingers.noise import FingerNoise
from .images import Pixels, resize, to_picture
from .minutiae import PPI, Template
from .minutiae.raster import rasterize
from .pipeline.reconstruction import Map, ReconstructionInput, encoder_maps, list_templates, to_encoder_input
from .pipeline.request import MOST_IN_A_BATCH, SynthesisRequest, check_noise, check_size
from .pipeline.steps import batches
from .pipeline.synthesis import Synthesis
from .seeds import noise as draw_noise
from .seeds import z as draw_z

if TYPE_CHECKING:
    from .datasets import MatedDataset


def load(
    bundle: str | Path | None = None,
    backend: str = "auto",
    workers: int | None = None,
    device: int = 0,
    precision: Precision | None = None,
) -> Model:
    """Load a bundle directory (None: the packaged demo bundle).

    backend: `auto`, or one of `backends.BACKENDS`. workers: CPU threads; None: one a core. device: number of
    the GPU. precision: `fp32` or `fp16`; None: what suits the backend. `BadInput` where the bundle is not
    whole or the backend cannot run it here.
    """
    opened = open_bundle(bundle)
    model = Model(opened, open_backend(backend, opened, workers, device, precision), workers)
    model.loading = partial(load, bundle, backend, workers, device, precision)
    return model


class Model:
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
    - `size`: pixels a side that images are resized to; None: the bundle's `output_size`.
    """

    def __init__(self, bundle: Bundle, backend: Backend, workers: int | None = None) -> None:
        self.bundle = bundle
        self.workers = workers
        self.loading: Callable[[], Model] | None = None  # loads it again, in another process
        self._backend: Backend | None = backend
        ridges = bundle.manifest.ridge_noise is not None
        self.finger_noise = FingerNoise(bundle.manifest, workers) if ridges else None

    @property
    def backend(self) -> Backend:
        """The backend that runs the networks; `BadInput` once the model is closed."""
        if self._backend is None:
            raise BadInput(f"{self.bundle.path}: the model is closed; load it again")
        return self._backend

    def __reduce__(self) -> NoReturn:
        raise FingerGenError("a model cannot be pickled: load it in the process that uses it")

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the backend; the model cannot be used afterwards. Closing it again does nothing."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    @property
    def num_ws(self) -> int:
        """Style inputs of the synthesis network."""
        return self.bundle.manifest.architecture.num_ws

    @property
    def style_dim(self) -> int:
        """Number of components of a latent z or w."""
        return self.bundle.manifest.architecture.style_dim

    def ppi(self, size: int | None = None) -> float:
        """Resolution of images of `size` pixels a side."""
        check_size(size)
        image = self.bundle.manifest.image
        return image.output_ppi if size is None else image.output_ppi * size / image.output_size

    def provenance(self, operation: str, **details: Any) -> dict[str, str]:
        """Text for `images.save_image` that says where an image comes from: `operation`, details but None."""
        from importlib.metadata import version  # here, so that importing the runtime stays quick

        return {
            "synthetic": "yes",
            "operation": operation,
            **{key: _text(value) for key, value in details.items() if value is not None},
            "bundle": self.bundle.manifest.name,
            "bundle_sha256": self.bundle.sha256,
            "fingergen": version("fingergen"),
        }

    def settings(self, truncation: float | None, noise: NoiseMode | None) -> tuple[float, NoiseMode]:
        """The same, what the bundle recommends in place of None: what images of seeds are made with."""
        recommended = self.bundle.manifest.recommended
        check_noise(noise)
        truncation = recommended.truncation if truncation is None else truncation
        check_finite("truncation", truncation)
        return truncation, recommended.noise if noise is None else noise

    def z(self, seeds: Iterable[int]) -> Floats:
        """Latents of seeds: float32 (N, style_dim), standard normal."""
        check_iterable("seeds", seeds)
        drawn = [draw_z(seed, self.style_dim) for seed in seeds]
        if not drawn:
            raise BadInput("seeds: none given")
        return np.stack(drawn)

    def map(self, z: Floats) -> Floats:
        """Mapping network: z (N, style_dim) → w float32 (N, style_dim)."""
        z = to_floats("z", z)
        if z.ndim != 2 or z.shape[1] != self.style_dim or not len(z):
            raise BadInput(f"z: shape {z.shape}; must be (N, {self.style_dim}) with N at least 1")
        return self.backend.map(z)

    def mix(
        self, w: Floats, other: Floats, layers: Iterable[int] | None = None, alpha: float = 1.0
    ) -> Floats:
        """Style mixing: (1 - alpha) w + alpha other on the chosen style inputs → float32 (N, num_ws,
        style_dim).

        w: (N, style_dim) or (N, num_ws, style_dim); other: the same, or with N = 1 for all.
        """
        w, other = self.styles(w), self.styles(other)
        if len(other) not in (1, len(w)):
            raise BadInput(f"style mixing: {len(other)} latents to mix into {len(w)}; give one, or one each")
        return latents.mix(w, other, latents.check_layers(layers, self.num_ws), alpha)

    def truncate(self, w: Floats, truncation: float | None = None) -> Floats:
        """w_avg + ψ (w - w_avg) with ψ = truncation; w of any shape that ends in style_dim."""
        psi, _ = self.settings(truncation, None)
        return latents.truncate(to_floats("w", w), self.bundle.latents.w_avg, psi)

    def generate(
        self,
        w: Floats | Encoded,
        noise: NoiseMode | None = None,
        seeds: Sequence[int] | None = None,
        decoder: bool = False,
    ) -> Floats:
        """Synthesis: w → float32 (N, C, R, R), not clipped."""
        decoder = by_decoder(w, decoder)
        run = self.backend.decode if decoder else self.backend.synthesize
        return run(*self._synthesis_inputs(w, noise, seeds, decoder))

    def render(
        self,
        w: Floats | Encoded,
        noise: NoiseMode | None = None,
        seeds: Sequence[int] | None = None,
        decoder: bool = False,
        size: int | None = None,
    ) -> Pixels:
        """As `generate`, as uint8 images of `size`: (N, size, size), or (N, size, size, 3) in color."""
        decoder = by_decoder(w, decoder)
        levels = self.backend.render(*self._synthesis_inputs(w, noise, seeds, decoder), decoder)
        return np.stack([self.finish(each, size) for each in levels])

    def finish(self, levels: Pixels, size: int | None = None) -> Pixels:
        """`levels`, an image of the network, uint8 (C, R, R) → (size, size), or (size, size, 3)."""
        check_size(size)
        return resize(to_picture(levels), self.bundle.manifest.image.output_size if size is None else size)

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
            truncation: This, noise, mix_seeds, mix_layers, mix_alpha and size: see `SynthesisRequest`.

        Returns:
            uint8 (N, size, size), or (N, size, size, 3) for three channels.

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
        images = list(self.stream(seeds, truncation, noise, mix_seeds, mix_layers, mix_alpha, size))
        if not images:
            raise BadInput("seeds: none given")
        return np.stack(images)

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
        """Minutiae maps uint8 (N, H, W, 3) or templates → w, (N, style_dim) or (N, num_ws, style_dim).

        w alone, as the published encoder gives it; `encoded` has all that the bundle's encoder tells.
        """
        return self.encoded(maps).w

    def encoded(
        self, maps: ReconstructionInput | Iterable[ReconstructionInput], seeds: Sequence[int] | None = None
    ) -> Encoded:
        """Minutiae maps uint8 (N, H, W, 3) or templates → w and, with a spatial path, noise images.

        Maps of another size than the encoder's input are resized. A bundle with ridge noise takes templates;
        w is then that of `seeds` (None: of seed 0). `BadInput` where the bundle has no encoder.
        """
        if self.bundle.manifest.graphs.fields is not None:
            return self._with_ridges(list_templates(maps, self.bundle.manifest.image), seeds)
        return self.backend.encode(to_encoder_input(self.encoder_maps(maps)))

    def encoder_maps(self, inputs: ReconstructionInput | Iterable[ReconstructionInput]) -> Map:
        """`inputs`, templates or maps, one or many → the encoder's maps, uint8 (N, S, S, 3)."""
        self.check_encoder()
        encoder = self.bundle.manifest.encoder
        if encoder is None:
            raise BadInput(f"{self.bundle.path}: this bundle's encoder reads templates, not minutiae maps")
        return encoder_maps(inputs, self.bundle.manifest.image, encoder.input_size)

    def check_encoder(self) -> None:
        """`BadInput` if the bundle has no encoder, of minutiae maps or, for ridge noise, of templates."""
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
        """Fingerprints with the minutiae of templates (or of maps uint8 (H, W, 3)), one or many.

        Returns uint8 (N, size, size), or (N, size, size, 3) for three channels.
        """
        encoded = self.encoded(templates, seeds)
        if self.bundle.manifest.graphs.fields is not None:  # then w is a look, not a finger
            encoded = Encoded(self.truncate(encoded.w), encoded.noise)
        return self.render(encoded, noise, seeds, size=size)

    def _with_ridges(self, templates: Sequence[Template], seeds: Sequence[int] | None) -> Encoded:
        """Looks and noise of fingers that have the minutiae of templates."""
        assert self.finger_noise is not None
        seeds = check_one_per_image("seeds", [0] * len(templates) if seeds is None else seeds, len(templates))
        fields = self.backend.read_fields(np.stack([rasterize(template) for template in templates]))
        noise = self.finger_noise.of_templates(templates, fields, seeds)
        return Encoded(self.map(self.z(seeds)), tuple(noise))

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
        image = self.bundle.manifest.image
        side = round(image.output_size * PPI / image.output_ppi)
        return make_fingers(seeds, (side, side), kind, position)

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
        from .datasets import DatasetRequest, MatedDataset  # here, so that importing the runtime stays quick

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
    ) -> tuple[Pixels, Pixels, Pixels]:
        """Images of w - degree · direction, of w and of w + degree · direction.

        Truncation comes after the edit. Each of the three is as `render` returns it. `index` is the number of
        a SeFa direction (Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs", 2021), or
        the name of a trait: one of the manifest's `ridge_noise.looks`, two degrees to a standard deviation.
        """
        check_finite("degree", degree)
        direction = self.bundle.direction(index)
        chosen = self.edit_layers(layers)
        styles = self.styles(w.w if isinstance(w, Encoded) else w)

        def edited(by: float) -> Pixels:
            moved = self.truncate(latents.move(styles, direction, by, chosen), truncation)
            whole = Encoded(moved, w.noise) if isinstance(w, Encoded) else moved
            return self.render(whole, noise, seeds, decoder, size)

        return edited(-degree), edited(0.0), edited(degree)

    def edit_layers(self, layers: Iterable[int] | None) -> list[int]:
        """Style inputs that an edit acts on; None: those that the bundle recommends."""
        given = range(self.bundle.manifest.recommended.edit_from, self.num_ws) if layers is None else layers
        return latents.check_layers(given, self.num_ws)

    def styles(self, w: Floats) -> Floats:
        """w (N, style_dim) or (N, num_ws, style_dim) → the latter."""
        return latents.per_layer(w, self.num_ws, self.style_dim)

    def _synthesis_inputs(
        self, w: Floats | Encoded, noise: NoiseMode | None, seeds: Sequence[int] | None, decoder: bool
    ) -> tuple[Floats, Sequence[Floats]]:
        """Styles (N, num_ws, style_dim) and noise buffers, as a backend takes them."""
        styles = self.styles(w.w if isinstance(w, Encoded) else w)
        if isinstance(w, Encoded) and self.bundle.manifest.graphs.fields is not None:
            return styles, w.noise
        buffers = self.noise_buffers(noise, seeds, len(styles), decoder)
        if isinstance(w, Encoded):
            encoder = self.bundle.manifest.encoder
            buffers = with_predicted(buffers, w.noise, encoder.noise_layers if encoder else ())
        return styles, buffers

    def noise_buffers(
        self, mode: NoiseMode | None, seeds: Sequence[int] | None, images: int, decoder: bool = False
    ) -> Sequence[Floats]:
        """Noise of a `mode` as inputs of the backend: (1, 1, H, W) or (images, 1, H, W) for each layer."""
        check_noise(mode)
        shapes = self.bundle.manifest.architecture.noise_shapes
        if mode is None:
            _, mode = self.settings(None, None)
            mode = "const" if mode == "random" and seeds is None else mode
        if mode == "const":
            own = self.bundle.latents.decoder_noise if decoder else None
            return own or self.bundle.latents.noise
        if mode == "none":
            return [np.zeros(shape, np.float32) for shape in shapes]
        seeds = check_one_per_image(f"noise {mode}", seeds, images)
        if mode == "ridges":
            if self.finger_noise is None:
                raise BadInput(f"noise ridges: bundle {self.bundle.manifest.name} has no ridge noise")
            return self.finger_noise.of_seeds(seeds)
        drawn = [draw_noise(seed, shapes) for seed in seeds]
        return [np.concatenate(buffers) for buffers in zip(*drawn, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
