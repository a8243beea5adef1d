"""A bundle's networks on a backend: what synthesis, datasets and the `Model` compute with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from fingergen import __version__

from .. import latents
from ..arguments import Floats, check_finite, check_iterable, check_one_per_image, to_floats
from ..backends import Backend
from ..bundle import Bundle
from ..bundle.encoded import Encoded, by_decoder, with_predicted
from ..bundle.manifest import NoiseMode
from ..errors import BadInput, FingerGenError
from ..images import Pixels, resize, to_picture
from ..seeds import noise as draw_noise
from ..seeds import z as draw_z
from .request import check_noise, check_size

if TYPE_CHECKING:
    from ..fingers.noise import FingerNoise


class Networks:
    """The networks of an open bundle, step by step; `Model` has whole operations, and explains arguments."""

    def __init__(self, bundle: Bundle, backend: Backend, workers: int | None = None) -> None:
        self.bundle = bundle
        self.workers = workers
        self._backend: Backend | None = backend

    @property
    def backend(self) -> Backend:
        """The backend that runs the networks.

        Raises:
            BadInput: The model is closed.
        """
        if self._backend is None:
            raise BadInput(f"{self.bundle.path}: the model is closed; load it again")
        return self._backend

    @cached_property
    def finger_noise(self) -> FingerNoise | None:
        """Draws fingers for the noise of the synthesis network; None for a bundle without ridge noise."""
        if self.bundle.manifest.ridge_noise is None:
            return None
        from ..fingers.noise import FingerNoise  # here, so that the networks load meanwhile

        return FingerNoise(self.bundle.manifest, self.workers)

    def require_finger_noise(self) -> FingerNoise:
        """`finger_noise`, where there is no doing without.

        Returns:
            What draws fingers for the noise.

        Raises:
            BadInput: The bundle has no ridge noise.
        """
        if self.finger_noise is None:
            raise BadInput(f"noise ridges: bundle {self.bundle.manifest.name} has no ridge noise")
        return self.finger_noise

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
        """Resolution of the images that the model makes.

        Args:
            size: Their pixels per side; None: the bundle's `output_size`.

        Returns:
            Pixels per inch.

        Raises:
            BadInput: The size is out of range.
        """
        check_size(size)
        image = self.bundle.manifest.image
        return image.output_ppi if size is None else image.output_ppi * size / image.output_size

    def provenance(self, operation: str, **details: Any) -> dict[str, str]:
        """What `images.save_image` writes into a file to say where its image comes from.

        Args:
            operation: What made it, such as `synth`.
            details: What it was made with, by name; what is None is left out.

        Returns:
            Text by name: these, and the name of the bundle, its SHA-256 and FingerGen's version.
        """
        return {
            "synthetic": "yes",
            "operation": operation,
            **{key: _text(value) for key, value in details.items() if value is not None},
            "bundle": self.bundle.manifest.name,
            "bundle_sha256": self.bundle.sha256,
            "fingergen": __version__,
        }

    def settings(self, truncation: float | None, noise: NoiseMode | None) -> tuple[float, NoiseMode]:
        """What images of seeds are made with.

        Args:
            truncation: ψ; None: what the bundle recommends.
            noise: A mode; None: what the bundle recommends.

        Returns:
            Both, with what the bundle recommends in place of None.

        Raises:
            BadInput: One of them is wrong.
        """
        recommended = self.bundle.manifest.recommended
        check_noise(noise)
        truncation = recommended.truncation if truncation is None else truncation
        check_finite("truncation", truncation)
        return truncation, recommended.noise if noise is None else noise

    def truncation(self, asked: float | None, drawn: bool) -> float:
        """How far looks are narrowed.

        Args:
            asked: ψ; None: what the bundle recommends for looks that are drawn, and 1 for given ones.
            drawn: Whether the look was drawn, and not given by a preset or for a reconstruction.

        Returns:
            ψ.
        """
        return self.settings(asked if drawn or asked is not None else 1.0, None)[0]

    def z(self, seeds: Iterable[int]) -> Floats:
        """Latents of seeds, the input of the mapping network.

        Args:
            seeds: Integers in [0, 2**64).

        Returns:
            float32 (N, style_dim), standard normal.

        Raises:
            BadInput: A seed is none, or there are none.
        """
        check_iterable("seeds", seeds)
        drawn = [draw_z(seed, self.style_dim) for seed in seeds]
        if not drawn:
            raise BadInput("seeds: none given")
        return np.stack(drawn)

    def map(self, z: Floats) -> Floats:
        """The mapping network: z → w.

        Args:
            z: float32 (N, style_dim).

        Returns:
            float32 (N, style_dim).

        Raises:
            BadInput: For another shape, or values that are not finite.
        """
        z = to_floats("z", z)
        if z.ndim != 2 or z.shape[1] != self.style_dim or not len(z):
            raise BadInput(f"z: shape {z.shape}; must be (N, {self.style_dim}) with N at least 1")
        return self.backend.map(z)

    def mix(
        self, w: Floats, other: Floats, layers: Iterable[int] | None = None, alpha: float = 1.0
    ) -> Floats:
        """Style mixing: (1 - alpha) w + alpha other on the chosen style inputs.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim).
            other: The same, or with N = 1 for all.
            layers: Style inputs that are mixed, in [0, num_ws); None: all.
            alpha: Share of `other`; 1 replaces.

        Returns:
            float32 (N, num_ws, style_dim).

        Raises:
            BadInput: For other shapes, or values that are not finite.
        """
        w, other = self.styles(w), self.styles(other)
        if len(other) not in (1, len(w)):
            raise BadInput(f"style mixing: {len(other)} latents to mix into {len(w)}; give one, or one each")
        return latents.mix(w, other, latents.check_layers(layers, self.num_ws), alpha)

    def truncate(self, w: Floats, truncation: float | None = None) -> Floats:
        """w_avg + ψ (w - w_avg).

        Args:
            w: float32, of any shape that ends in style_dim.
            truncation: ψ; None: what the bundle recommends.

        Returns:
            float32, of w's shape.

        Raises:
            BadInput: For another shape, or values that are not finite.
        """
        psi, _ = self.settings(truncation, None)
        return latents.truncate(to_floats("w", w), self.bundle.latents.w_avg, psi)

    def generate(
        self,
        w: Floats | Encoded,
        noise: NoiseMode | None = None,
        seeds: Sequence[int] | None = None,
        decoder: bool = False,
    ) -> Floats:
        """The synthesis network: w → the network's own images.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim), or what `encoded` gives.
            noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
            seeds: One per image, of noise `random` and `ridges`.
            decoder: Whether w comes from `encode`, so that the bundle's decoder makes the images.

        Returns:
            float32 (N, C, R, R), nominally in [-1, 1], not clipped.

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
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
        """As `generate`, as images of 256 levels.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim), or what `encoded` gives.
            noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
            seeds: One per image, of noise `random` and `ridges`.
            decoder: Whether w comes from `encode`, so that the bundle's decoder makes the images.
            size: Pixels per side that images are resized to; None: the bundle's `output_size`.

        Returns:
            uint8 (N, size, size), or (N, size, size, 3) for three channels.

        Raises:
            BadInput: An argument has a wrong type or is out of range.
        """
        decoder = by_decoder(w, decoder)
        levels = self.backend.render(*self._synthesis_inputs(w, noise, seeds, decoder), decoder)
        return np.stack([self.finish(each, size) for each in levels])

    def finish(self, levels: Pixels, size: int | None = None) -> Pixels:
        """One image of the network as files have it.

        Args:
            levels: uint8 (C, R, R).
            size: Pixels per side that it is resized to; None: the bundle's `output_size`.

        Returns:
            uint8 (size, size), or (size, size, 3) for three channels.

        Raises:
            BadInput: The size is out of range.
        """
        check_size(size)
        return resize(to_picture(levels), self.bundle.manifest.image.output_size if size is None else size)

    def edit_layers(self, layers: Iterable[int] | None) -> list[int]:
        """The style inputs that an edit acts on.

        Args:
            layers: In [0, num_ws); None: those that the bundle recommends.

        Returns:
            The same, checked.

        Raises:
            BadInput: One of them is out of range.
        """
        given = range(self.bundle.manifest.recommended.edit_from, self.num_ws) if layers is None else layers
        return latents.check_layers(given, self.num_ws)

    def styles(self, w: Floats) -> Floats:
        """A w for each style input.

        Args:
            w: float32 (N, style_dim) or (N, num_ws, style_dim).

        Returns:
            float32 (N, num_ws, style_dim).

        Raises:
            BadInput: For another shape, or values that are not finite.
        """
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
        """The noise inputs of the synthesis network.

        Args:
            mode: `const`, `random`, `none` or `ridges`; None: what the bundle recommends, or `const` where
                that is `random` and no seeds are given.
            seeds: One per image, of noise `random` and `ridges`.
            images: How many images.
            decoder: Whether the decoder makes them, which has stored buffers of its own.

        Returns:
            For each layer float32 (1, 1, H, W), shared by all images, or (images, 1, H, W).

        Raises:
            BadInput: The mode is not to be had of this bundle, or seeds are missing.
        """
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
            return self.require_finger_noise().of_seeds(seeds)
        drawn = [draw_noise(seed, shapes) for seed in seeds]
        return [np.concatenate(buffers) for buffers in zip(*drawn, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
