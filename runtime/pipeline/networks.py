"""A bundle's networks on a backend: what synthesis, data sets and the `Model` compute with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np

from .. import latents
from ..arguments import Floats, check_finite, check_iterable, check_one_per_image, to_floats
from ..backends import Backend
from ..bundle import Bundle
from ..bundle.encoded import Encoded, by_decoder, with_predicted
from ..bundle.manifest import NoiseMode
from ..errors import BadInput, FingerGenError
from ..fingers.noise import FingerNoise
from ..images import Pixels, resize, to_picture
from ..seeds import noise as draw_noise
from ..seeds import z as draw_z
from .request import check_noise, check_size


class Networks:
    """The networks of an open bundle, step by step; `Model` has whole operations, and explains arguments."""

    def __init__(self, bundle: Bundle, backend: Backend, workers: int | None = None) -> None:
        self.bundle = bundle
        self.workers = workers
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

    def __enter__(self) -> Self:
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
