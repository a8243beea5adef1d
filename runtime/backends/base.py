"""What a backend is: something that runs a bundle's graphs on float32 arrays.

A backend is a subclass of `Backend` that `registry` lists. It imports its library when it is opened, so that
a process loads no library but the one that it uses.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..bundle.encoded import Encoded, split
from ..bundle.manifest import GraphName
from ..errors import BadInput, FingerGenError
from ..images import Pixels, to_levels
from .graphs import Floats, Inputs, batch_size, input_shapes, output_shape, part, synthesis_inputs

Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CALLS_IN_FLIGHT = 2
"""Calls of a GPU's backend that are worth having under way: one computes while the other's arrays travel."""


class Options(NamedTuple):
    """How a backend is to run.

    Attributes:
        workers: Threads of a backend that computes on the CPU, at least 1.
        device: Number of the GPU, as CUDA counts them, from 0.
        precision: Of feature maps and convolutions; None for the one that suits the backend best among those
            that the bundle has.
    """

    workers: int
    device: int = 0
    precision: Precision | None = None


class Backend(ABC):
    """Runs the graphs of one bundle. May be used from many threads at once.

    N is any batch size; what comes out for an image does not depend on the rest of its batch: on a CPU not by
    a bit, on a GPU by no more than the precision's rounding. A noise buffer is (1, 1, H, W), shared by the
    batch, or (N, 1, H, W); shapes are `Architecture.noise_shapes`. All methods raise `BadInput` for arrays of
    a wrong shape or with values that are not finite, and `FingerGenError` where a graph fails or gives such.

    Attributes:
        name: What users call the backend.
        description: One line for people: library, version, device, whether our custom ops run.
        batch: Images in a call that keep it busy.
    """

    name: ClassVar[str]
    description: str
    batch: int

    def __init__(self, bundle: Bundle) -> None:
        """Called by subclasses, which users open with `open_backend`.

        Args:
            bundle: Whose graphs it runs.
        """
        self._bundle = bundle
        self._input_shapes = cache(partial(input_shapes, bundle.manifest))
        self._closed = False
        self._process = os.getpid()

    @classmethod
    @abstractmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> str | None:
        """Why the backend cannot run a bundle here.

        Args:
            bundle: What it is to run.
            options: How.

        Returns:
            One line with the fix; None where it can run it.
        """

    @classmethod
    @abstractmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        """Open the backend for a bundle that it is not `unavailable` for; graphs load at first use.

        Args:
            bundle: What it is to run.
            options: How.

        Returns:
            The backend, ready to run.
        """

    @abstractmethod
    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        """One graph's output, for inputs that have been checked.

        Args:
            graph: One that the bundle has.
            inputs: float32 arrays of length N, or 1 for what the batch shares.
            pixels: Whether to give the output `graphs.PIXELS` (uint8) instead of the float32 one.

        Returns:
            Array (N, …) of shape `graphs.output_shape`. Where `pixels`, the image behind it is finite.
        """

    def preload(self, graphs: Sequence[GraphName], images: int) -> None:  # noqa: B027, optional to override
        """Begin to load graphs that will run next, so that their inputs can be computed meanwhile.

        By default nothing happens: a graph loads when it is first used. What cannot be loaded raises then.

        Args:
            graphs: Ones that the bundle has, in the order of their use.
            images: How many a call will have.
        """

    def makes_pixels(self, graph: GraphName) -> bool:
        """Whether a graph, as it runs here, has the output `graphs.PIXELS`.

        Args:
            graph: One that the bundle has.

        Returns:
            True where `compute` may be called with `pixels`.
        """
        return False

    def shows_all(self, graph: GraphName) -> bool:
        """Whether a value that is not finite, in any input of a graph, reaches the output and is found there.

        Inputs of such a graph, which are as large as its images, are looked through only where that happened.

        Args:
            graph: One that the bundle has.

        Returns:
            True where it is certain.
        """
        return False

    @abstractmethod
    def release(self) -> None:
        """Free what the backend holds, once calls that are under way have ended; called once."""

    def close(self) -> None:
        """Free what the backend holds; it cannot be used afterwards. Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            if self._process == os.getpid():  # what it holds is not a forked process's to free
                self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, graph: GraphName, inputs: Inputs, pixels: bool = False) -> NDArray[Any]:
        """As `compute`, with inputs and output checked.

        Args:
            graph: One that the bundle has.
            inputs: float32 arrays of length N, or 1 for what the batch shares.
            pixels: Whether to give the output `graphs.PIXELS` (uint8) instead of the float32 one.

        Returns:
            Array (N, …) of shape `graphs.output_shape`, finite.

        Raises:
            BadInput: For inputs of another name, type or shape, or that are not finite.
            FingerGenError: If the backend is closed, was loaded before a fork, or gives a wrong output.
        """
        if self._closed:
            raise FingerGenError(f"the {self.name} backend is closed")
        if self._process != os.getpid():
            raise FingerGenError(
                "this process was forked after the model was loaded, whose threads stayed behind: load the"
                " model in the process that uses it (for a DataLoader: in worker_init_fn)"
            )
        self._check_inputs(graph, inputs)
        if not self.shows_all(graph):
            self._check_inputs_finite(graph, inputs)
        try:
            return self._checked(graph, inputs, pixels)
        except FingerGenError:
            self._check_inputs_finite(graph, inputs)  # which says more
            raise

    def _checked(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        """As `compute`, with the output checked."""
        output = self.compute(graph, inputs, pixels)
        shape = (batch_size(inputs), *output_shape(self._bundle.manifest, graph))
        kind = np.dtype(np.uint8 if pixels else np.float32)
        if output.shape != shape or output.dtype != kind:
            raise self._wrong_output(graph, f"is {output.dtype} {output.shape}; must be {kind} {shape}")
        if not pixels:
            self._check_finite(graph, output)
        return output

    def map(self, z: Floats) -> Floats:
        """The mapping network.

        Args:
            z: float32 (N, style_dim), standard normal.

        Returns:
            w, float32 (N, style_dim).
        """
        return self.run("mapping", {"z": z})

    def synthesize(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        """The synthesis network.

        Args:
            w: float32 (N, num_ws, style_dim).
            noise: For each layer float32 (N, 1, H, W), or (1, 1, H, W) for all images.

        Returns:
            Images float32 (N, C, R, R), nominally in [-1, 1].
        """
        return self.run("synthesis", synthesis_inputs(w, noise))

    def encode(self, maps: Floats) -> Encoded:
        """The encoder of minutiae maps.

        Args:
            maps: float32 (N, 3, S, S), in [0, 1].

        Returns:
            w, and noise images for some of the decoder's layers.
        """
        return split(self.run("encoder", {"map": maps}), self._bundle.manifest)

    def read_fields(self, rasters: Floats) -> Floats:
        """The encoder of bundles with ridge noise; see `minutiae.raster`.

        Args:
            rasters: Of templates, float32 (N, CHANNELS, CELLS, CELLS).

        Returns:
            Fields, float32 (N, FIELDS, CELLS, CELLS).
        """
        return self.run("fields", {"raster": rasters})

    def decode(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        """As `synthesize`, for what `encode` gives: by the decoder graph, where there is one.

        Args:
            w: float32 (N, num_ws, style_dim).
            noise: For each layer float32 (N, 1, H, W), or (1, 1, H, W) for all images.

        Returns:
            Images float32 (N, C, R, R), nominally in [-1, 1].
        """
        return self.run(self._decoder, synthesis_inputs(w, noise))

    def render(self, w: Floats, noise: Sequence[Floats], decoder: bool = False) -> Pixels:
        """As `synthesize` or `decode`, in the 256 levels of image files.

        Levels are made where the networks are computed, so that only these bytes come from a GPU, if the
        bundle can.

        Args:
            w: float32 (N, num_ws, style_dim).
            noise: For each layer float32 (N, 1, H, W), or (1, 1, H, W) for all images.
            decoder: Whether as `decode`.

        Returns:
            Images uint8 (N, C, R, R).
        """
        graph = self._decoder if decoder else "synthesis"
        inputs = synthesis_inputs(w, noise)
        if self.makes_pixels(graph):
            return self.run(graph, inputs, pixels=True)
        return to_levels(self.run(graph, inputs))

    @property
    def _decoder(self) -> GraphName:
        return "decoder" if self._bundle.manifest.graphs.decoder else "synthesis"

    def _check_inputs(self, graph: GraphName, inputs: Inputs) -> None:
        expected = self._input_shapes(graph)
        if set(inputs) != set(expected):
            raise BadInput(f"{graph} graph: inputs {sorted(inputs)}; must be {sorted(expected)}")
        images = batch_size(inputs)
        for i, (name, values) in enumerate(inputs.items()):
            lengths = {images} if i == 0 else {1, images}  # all but the first may be shared by the batch
            if values.dtype != np.float32 or values.shape[1:] != expected[name] or len(values) not in lengths:
                length = "N" if i == 0 else f"1 or {images}"
                wanted = ", ".join([length, *map(str, expected[name])])
                raise BadInput(
                    f"{graph} graph: {name}: {values.dtype} {values.shape}; must be float32 ({wanted})"
                )
            if not images:
                raise BadInput(f"{graph} graph: {name}: shape {values.shape}; must have 1 image or more")

    def _check_inputs_finite(self, graph: GraphName, inputs: Inputs) -> None:
        for name, values in inputs.items():
            if not np.isfinite(values).all():
                raise BadInput(f"{graph} graph: {name}: has values that are not finite")

    def _check_image_behind(self, graph: GraphName, inputs: Inputs, levels: Pixels) -> None:
        """For devices that keep the image and give its levels alone, which cannot say that it is not finite.

        Values that are no numbers become level 0 or 255, and spread from layer to layer. So images of which
        half is of level 0, or all of one level, are computed again as float32, which `run` checks.
        """
        flat = levels.reshape(len(levels), -1)
        suspicious = ((flat == 0).mean(axis=1) > 0.5) | (flat.min(axis=1) == flat.max(axis=1))
        for i in np.flatnonzero(suspicious).tolist():
            self.run(graph, part(inputs, i, 1))

    def _check_finite(self, graph: GraphName, output: Floats) -> None:
        if not np.isfinite(output).all():
            raise self._wrong_output(graph, "has values that are not finite")

    def _wrong_output(self, graph: GraphName, what: str) -> FingerGenError:
        return FingerGenError(f"{self._bundle.path}: {graph} graph: its output {what}; {self.description}")
