"""Networks rebuilt from a state dict alone: every size is read off the shapes of its tensors."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput

from ..networks import Generator

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)
NOISE = "noises."  # before the names of a generator's noise buffers
WRAPPERS = ("module.", "_orig_mod.")  # of (Distributed)DataParallel and of torch.compile
Network = TypeVar("Network", bound=nn.Module)


class StateDict:
    """A state dict from a file; errors name the file, the part and the key."""

    def __init__(self, where: str, tensors: object):
        """`where` opens every message: the file and the part of it."""
        self.where = where
        if not isinstance(tensors, Mapping):
            raise BadInput(f"{where}: expected a state dict, found {type(tensors).__name__}")
        for key, value in tensors.items():
            if not (isinstance(key, str) and isinstance(value, Tensor) and _is_plain(value)):
                raise BadInput(f"{where}: {key!r} is not a plain tensor")
        self.tensors: Mapping[str, Tensor] = {key: value.detach() for key, value in tensors.items()}
        # Networks saved while wrapped, more than once perhaps, have the wrappers' names before every key.
        while wrapper := next((each for each in WRAPPERS if self._all_start_with(each)), None):
            self.tensors = {key.removeprefix(wrapper): tensor for key, tensor in self.tensors.items()}

    def _all_start_with(self, prefix: str) -> bool:
        return bool(self.tensors) and all(key.startswith(prefix) for key in self.tensors)

    def part(self, prefix: str) -> "StateDict":
        """The keys that start with `prefix`, without it."""
        tensors = {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}
        if not tensors:
            raise BadInput(f"{self.where}: has no keys '{prefix}…'")
        return StateDict(f"{self.where}: {prefix.rstrip('.')}", tensors)

    def with_counters(self) -> "StateDict":
        """With the counts of batches that PyTorch before 0.4.1 did not write beside running statistics."""
        ends = "running_var", "num_batches_tracked"
        counters = {
            key.removesuffix(ends[0]) + ends[1]: torch.tensor(0)
            for key in self.tensors
            if key.endswith(ends[0])
        }
        return StateDict(self.where, counters | dict(self.tensors))

    def shape(self, key: str, dimensions: int) -> torch.Size:
        if key not in self.tensors:
            raise BadInput(f"{self.where}: lacks the key '{key}'")
        shape = self.tensors[key].shape
        if len(shape) != dimensions:
            raise BadInput(
                f"{self.where}: '{key}' has shape {tuple(shape)}, expected {dimensions} dimensions"
            )
        return shape

    def count(self, prefix: str, start: int = 0) -> int:
        """How many numbers from `start` on follow `prefix`; gaps count, so that `check` names what lacks."""
        heads = {key.removeprefix(prefix).split(".")[0] for key in self.tensors if key.startswith(prefix)}
        highest = max((int(head) for head in heads if head.isdecimal() and len(head) < 10), default=start - 1)
        if highest > len(self.tensors):
            raise BadInput(f"{self.where}: '{prefix}{highest}' in a file of {len(self.tensors)} tensors")
        return highest + 1 - start


def _is_plain(tensor: Tensor) -> bool:
    """Whether the values are all there, none sparse, quantized or one value spread over a huge shape."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.itemsize


def generator_architecture(state: StateDict) -> dict[str, Any]:
    """Arguments of `Generator`, but for `lr_mlp`, `image_padding` and `raw_z`, which no shape shows."""
    levels = state.count("to_rgbs.")
    widths = {4: state.shape("input.input", 4)[1]}
    for level in range(levels):
        widths[8 << level] = state.shape(f"convs.{2 * level}.conv.weight", 5)[1]
    return {
        "resolution": 4 << levels,
        "channels": state.shape("to_rgb1.bias", 4)[1],
        "style_dim": state.shape("conv1.conv.modulation.weight", 2)[1],
        "n_mlp": state.count("style.", start=1),  # style.0 normalizes z, or does nothing
        "widths": widths,
        "styled_noise": "conv1.noise.exponent" in state.tensors,
    }


def discriminator_architecture(state: StateDict) -> dict[str, Any]:
    """Arguments of `Discriminator`, but for `minibatch_std_group`."""
    blocks = state.count("convs.", start=1)  # convs.0 is the 1x1 convolution of the image
    resolution = 4 << blocks
    width, channels = state.shape("convs.0.0.weight", 4)[:2]
    widths = {resolution: width}
    for block in range(1, blocks + 1):
        widths[resolution >> block] = state.shape(f"convs.{block}.conv2.1.weight", 4)[0]
    return {"resolution": resolution, "channels": channels, "widths": widths}


def trunk_architecture(state: StateDict) -> dict[str, Any]:
    """Arguments of `Encoder` that its trunk shows."""
    width, input_channels = state.shape("input_layer.0.weight", 4)[:2]
    units = state.count("body.")
    channels = [state.shape(f"body.{unit}.res_layer.1.weight", 4)[0] for unit in range(units)]
    depth = tuple(len(list(stage)) for _, stage in groupby(channels))
    return {"depth": depth, "width": width, "input_channels": input_channels}


def encoder_architecture(state: StateDict, style_dim: int) -> dict[str, Any]:
    """Arguments of `Encoder` for a decoder with `style_dim`."""
    trunk = trunk_architecture(state)
    outputs = state.shape("linear.weight", 2)[0]
    if outputs % style_dim:
        raise BadInput(
            f"{state.where}: 'linear.weight' gives {outputs} values, no multiple of the decoder's {style_dim}"
        )
    return {
        **trunk,
        "style_dim": style_dim,
        "num_ws": None if outputs == style_dim else outputs // style_dim,
        "noise_levels": state.count("noise.merge."),
    }


def check(network: type[Network], architecture: Mapping[str, Any], state: StateDict) -> Network:
    """`network` of this architecture, without weights; `BadInput` if `state` does not fit it.

    A generator's noise buffers may be missing, if all are: see `complete`.
    """
    try:
        with torch.device("meta"):
            module = network(**architecture)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise BadInput(f"{state.where}: is no {network.__name__}: {error}") from error
    expected = module.state_dict()
    optional = () if any(key.startswith(NOISE) for key in state.tensors) else (NOISE,)
    if missing := [key for key in expected if key not in state.tensors and not key.startswith(optional)]:
        raise BadInput(f"{state.where}: lacks the key '{missing[0]}'{_and_more(missing)}")
    if unexpected := [key for key in state.tensors if key not in expected]:
        raise BadInput(
            f"{state.where}: '{unexpected[0]}' is not a key of {network.__name__}{_and_more(unexpected)}"
        )
    for key, tensor in state.tensors.items():
        if tensor.shape != expected[key].shape:
            found, wanted = tuple(tensor.shape), tuple(expected[key].shape)
            raise BadInput(f"{state.where}: '{key}' has shape {found}, expected {wanted}")
        if not torch.isfinite(tensor).all():
            raise BadInput(f"{state.where}: '{key}' holds values that are not finite")
    return module


def complete(module: nn.Module, state: StateDict) -> Mapping[str, Tensor]:
    """The tensors of `state`, which `module` was checked with; where it has no noise, that of seed 0.

    Files that rosinality's code loads with `strict=False` have none. Drawn, they are the same at every
    reading.
    """
    missing = {key: own for key, own in module.state_dict().items() if key not in state.tensors}
    drawn = seeds.noise(0, [tuple(own.shape) for own in missing.values()])
    return dict(state.tensors) | dict(zip(missing, map(torch.from_numpy, drawn), strict=True))


def build(network: type[Network], architecture: Mapping[str, Any], state: StateDict) -> Network:
    """`network` with the weights of `state`, float32, in evaluation mode."""
    module = check(network, architecture, state)
    found = complete(module, state)
    tensors = {key: found[key].to(own.dtype, copy=True) for key, own in module.state_dict().items()}
    module.load_state_dict(tensors, assign=True)
    return module.eval()


def average_latent(where: str, value: object, generator: Generator) -> Tensor:
    """An average w as float32 (1, style_dim), or (num_ws, style_dim) with one per style input."""
    if isinstance(value, Tensor) and _is_plain(value) and value.is_floating_point():
        average = value.detach().float().reshape(-1, value.shape[-1]) if value.ndim in (1, 2) else value
        if average.shape in ((1, generator.style_dim), (generator.num_ws, generator.style_dim)):
            if not torch.isfinite(average).all():
                raise BadInput(f"{where}: holds values that are not finite")
            return average
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise BadInput(
        f"{where}: is {found}, expected a tensor ({generator.style_dim},) or "
        f"({generator.num_ws}, {generator.style_dim})"
    )


def _and_more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
