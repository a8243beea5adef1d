"""The steps from seeds to images, of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import latents
from ..arguments import Floats
from ..backends import Backend
from ..errors import BadInput
from ..images import Pixels
from .networks import Networks
from .request import Pair, SynthesisRequest
from .steps import SynthesisInputs

if TYPE_CHECKING:
    from ..fingers import Impression


class Synthesis:
    """The steps of a request, for the pipeline: seeds, with those that are mixed in, to images."""

    def __init__(
        self, model: Networks, request: SynthesisRequest, taken: dict[int, Impression] | None = None
    ) -> None:
        """Check the request.

        Args:
            model: Computes the networks.
            request: What is to be made.
            taken: Gets the impression of each seed's finger, for who wants its truth and takes it out again.

        Raises:
            BadInput: A setting has a wrong type or is out of range, or `taken` is given and the noise carries
                no fingers.
        """
        request.check()
        self.model = model
        self.truncation, self.noise = model.settings(request.truncation, request.noise)
        if taken is not None and self.noise != "ridges":
            raise BadInput(f"noise {self.noise}: true minutiae are known only with noise ridges")
        self._taken = taken
        self.size = request.size
        self._layers = latents.check_layers(request.mix_layers, model.num_ws)
        self._alpha = request.mix_alpha

    @property
    def backend(self) -> Backend:
        """The backend that computes the networks."""
        return self.model.backend

    def prepare(self, pairs: Sequence[Pair]) -> SynthesisInputs:
        """The networks' inputs of a batch, from its random numbers."""
        self.backend.preload(("mapping", "synthesis"), len(pairs))
        seeds = [seed for seed, _ in pairs]
        others = [other for _, other in pairs if other is not None]
        return SynthesisInputs(
            self.model.z(seeds),
            self.model.z(others) if others else None,
            self._noise(seeds),
        )

    def _noise(self, seeds: Sequence[int]) -> Sequence[Floats]:
        if self._taken is not None:
            return self.model.require_finger_noise().of_seeds(seeds, self._taken)
        return self.model.noise_buffers(self.noise, seeds, len(seeds))

    def compute(self, inputs: SynthesisInputs) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""
        w = self.model.map(inputs.z)
        if inputs.other_z is not None:
            w = self.model.mix(w, self.model.map(inputs.other_z), self._layers, self._alpha)
        w = self.model.styles(self.model.truncate(w, self.truncation))
        return self.model.backend.render(w, inputs.noise)

    def finish(self, levels: Pixels) -> Pixels:
        """One of the network's images (C, R, R) → uint8 (size, size), or (size, size, 3)."""
        return self.model.finish(levels, self.size)
