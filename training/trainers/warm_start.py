"""A smaller network's weights in a larger one: in one that shows a larger field at the same pixels per inch,
in one whose layers have more channels, or both.

Convolutions do not know where they are: what draws ridges in the finest block of the smaller network draws
them in the finest of the larger one too. So blocks are matched from the finest down, and the larger network's
coarsest ones, which lay out the larger field, start afresh. Further channels of a layer start afresh too, but
nothing of the smaller network listens to them yet, so that images stay as they were.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fingergen.runtime.errors import BadOption

from ..networks import Generator

Weights = Mapping[str, Tensor]

_ENTRY = "convs.0.0.weight"  # of a discriminator's first layer: (width, channels, 1, 1)


def levels_between(path: Path, small: Generator, large: Generator) -> int:
    """How often a generator's resolution must double to become that of another.

    Args:
        path: File of the smaller one, for the error.
        small: The generator to begin with.
        large: The generator to be trained.

    Returns:
        Number of doublings; 0 for networks of one size.

    Raises:
        BadInput: If `small`, so grown, has another shape than `large`, or wider layers.
    """
    levels = max((large.resolution // small.resolution).bit_length() - 1, 0)
    # What the training may change.
    found = small.architecture() | {"image_padding": large.image_padding, "lr_mlp": large.lr_mlp}
    found["styled_noise"] |= large.styled_noise  # where it is not yet, it depends on w no further at first
    found["raw_z"] |= large.raw_z
    if levels:
        found |= {"resolution": small.resolution << levels, "widths": grown_widths(small.widths, levels)}
    for key, wanted in large.architecture().items():
        if key == "widths" and found[key].keys() == wanted.keys():
            fits = all(found[key][resolution] <= width for resolution, width in wanted.items())
        else:
            fits = found[key] == wanted
        if not fits:
            grown = f", grown to {large.resolution}," if levels else ""
            raise BadOption("start-from", path, f"its generator{grown} has {key} {found[key]}, not {wanted}")
    return levels


def with_mapping_rate(weights: Weights, before: float, after: float) -> dict[str, Tensor]:
    """Weights of a generator whose mapping network learns faster or more slowly, and computes the same.

    Args:
        weights: State dict of the generator.
        before: Its `lr_mlp`, which weights and biases are multiplied with at run time.
        after: That of the generator to be trained.

    Returns:
        A state dict.
    """
    return {
        key: value * (before / after) if key.startswith("style.") else value for key, value in weights.items()
    }


def grow_generator(fresh: Weights, small: Weights, levels: int) -> dict[str, Tensor]:
    """Weights of a generator whose resolution is 2^`levels` times that of another, or whose layers are wider.

    Args:
        fresh: State dict of the larger generator, newly initialized.
        small: State dict of the smaller one.
        levels: Number of doublings.

    Returns:
        A state dict with the shapes of `fresh`: mapping network and 4x4 input of `small`, its blocks `levels`
        further on, and `fresh` blocks before those. Noise buffers belong to a resolution: where the generator
        grows, they are those of `fresh`. Where a layer of `fresh` has more channels, the further ones are
        `fresh`, with weights of 0 to the channels of `small`.
    """
    known = {
        _later(key, levels): value
        for key, value in small.items()
        if levels == 0 or not key.startswith("noises.")
    }
    return _overlay(fresh, {key: _widened(fresh[key], value) for key, value in known.items()})


def _widened(fresh: Tensor, known: Tensor) -> Tensor:
    """`fresh` with `known`, as large or smaller in each dimension, in its first places."""
    if fresh.shape == known.shape:
        return known
    wide = fresh.clone()
    if known.ndim == 5:  # a modulated convolution's (1, out, in, k, k), divided at run time by √(in·k²)
        outputs, inputs = known.shape[1:3]
        wide[:, :outputs] = 0.0
        known = known * (fresh.shape[2] / inputs) ** 0.5
    wide[tuple(slice(size) for size in known.shape)] = known
    return wide


def grow_discriminator(fresh: Weights, small: Weights) -> dict[str, Tensor]:
    """Weights of a discriminator of a larger resolution.

    Args:
        fresh: State dict of the larger discriminator, newly initialized.
        small: State dict of the smaller one.

    Returns:
        A state dict with the shapes of `fresh`: the blocks of `small`, which are counted from the finest, and
        its last layers; `fresh` blocks after those. Where `fresh` sees fewer channels, those of `small` that
        come after them, numbers of a look, are left out.
    """
    seen, known = fresh[_ENTRY].shape[1], small.get(_ENTRY)
    if known is not None and known.shape[1] > seen:
        # The layer divides by the square root of its channels.
        small = {**small, _ENTRY: known[:, :seen] * (seen / known.shape[1]) ** 0.5}
    return _overlay(fresh, small)


def grown_widths(small: Mapping[int, int], levels: int) -> dict[int, int]:
    """Feature channels by resolution of a network grown by `levels` doublings: those of `small`, moved up;
    its coarsest levels have as many as `small` has at 4x4."""
    coarsest = {4 << level: small[4] for level in range(levels)}
    return coarsest | {resolution << levels: width for resolution, width in small.items()}


def _later(key: str, levels: int) -> str:
    def renumber(found: re.Match[str]) -> str:
        blocks = levels * (2 if found["part"] == "convs" else 1)
        return f"{found['part']}.{int(found['number']) + blocks}."

    return re.sub(r"^(?P<part>convs|to_rgbs)\.(?P<number>\d+)\.", renumber, key)


def _overlay(fresh: Weights, known: Weights) -> dict[str, Tensor]:
    return {key: known.get(key, value) for key, value in fresh.items()}
