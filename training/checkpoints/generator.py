"""Generator checkpoints: ours, the SynFing release's and rosinality's StyleGAN2.

All are dictionaries with the state dicts `g`, `d`, `g_ema`, the optimizers' states `g_optim`, `d_optim`,
`args` (argparse.Namespace) and `ada_aug_p`; all but `g_ema` may be missing. A converted rosinality file has
`latent_avg`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fingergen.runtime.errors import BadInput

from ..networks import Discriminator, Generator
from .description import KEY, Description, read_description, shapeless
from .files import optional_dict, read, write
from .shapes import (
    StateDict,
    average_latent,
    build,
    check,
    complete,
    discriminator_architecture,
    generator_architecture,
)


@dataclass
class GeneratorCheckpoint:
    """A generator and whatever else the file holds to go on training it; None where it holds nothing.

    Attributes:
        g_ema: The averaged weights, in evaluation mode, on the CPU.
        g: State dict of a network shaped as `g_ema`.
        d: State dict of a `Discriminator`.
        g_optim: State of g's optimizer.
        d_optim: State of d's optimizer.
        ada_p: Strength of the augmentation, in [0, 1].
        latent_avg: (style_dim,).
        images_seen: Images of the training so far.
        config: Of the training.
        extra: Further state of our trainer.
        source_format: `fingergen`, `synfing` (one image channel) or `rosinality`.
    """

    g_ema: Generator
    g: Mapping[str, Tensor] | None = None
    d: Mapping[str, Tensor] | None = None
    g_optim: dict[str, Any] | None = None
    d_optim: dict[str, Any] | None = None
    ada_p: float | None = None
    latent_avg: Tensor | None = None
    images_seen: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    source_format: str = "fingergen"


def generator_checkpoint(path: Path, content: Mapping[str, Any]) -> GeneratorCheckpoint:
    """The checkpoint in `content`, the dictionary in the file `path`; `BadInput` names the key at fault."""
    if "g_ema" not in content:
        raise BadInput(f"{path}: lacks the key 'g_ema', the generator's state dict")
    description = read_description(path, content)
    state = StateDict(f"{path}: g_ema", content["g_ema"])
    if "conv1.noise.modulation" in state.tensors:
        raise BadInput(
            f"{path}: conv1.noise.modulation: its styled noise is that of an older version; train it again"
        )
    architecture = generator_architecture(state) | shapeless(path, description, "generator")
    checkpoint = GeneratorCheckpoint(
        g_ema=build(Generator, architecture, state),
        g_optim=optional_dict(path, content, "g_optim"),
        d_optim=optional_dict(path, content, "d_optim"),
        ada_p=_number(path, content, "ada_aug_p"),
        extra=optional_dict(path, content, "extra") or {},
    )
    if not is_empty(content.get("g")):
        g = StateDict(f"{path}: g", content["g"])
        checkpoint.g = complete(check(Generator, architecture, g), g)
    if not is_empty(content.get("d")):
        d = StateDict(f"{path}: d", content["d"])
        check(Discriminator, discriminator_architecture(d), d)
        checkpoint.d = d.tensors
    if content.get("latent_avg") is not None:
        checkpoint.latent_avg = average_latent(
            f"{path}: latent_avg", content["latent_avg"], checkpoint.g_ema
        )[0]
    if description:
        checkpoint.images_seen, checkpoint.config = description.images_seen, description.config
    else:
        checkpoint.source_format = "synfing" if checkpoint.g_ema.channels == 1 else "rosinality"
        if isinstance(args := content.get("args"), argparse.Namespace):
            checkpoint.config = vars(args)
    return checkpoint


def load_generator(path: Path | str) -> GeneratorCheckpoint:
    """Read a generator checkpoint.

    Args:
        path: The file.

    Returns:
        The checkpoint.

    Raises:
        BadInput: Names the key at fault, or says that the file is no checkpoint.
    """
    return generator_checkpoint(Path(path), read(Path(path)))


def save_generator(
    path: Path | str,
    *,
    g_ema: Generator,
    g: Generator | None = None,
    d: Discriminator | None = None,
    g_optim: Optimizer | None = None,
    d_optim: Optimizer | None = None,
    ada_p: float = 0.0,
    images_seen: int = 0,
    config: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint of ours, which is also one of the SynFing release's.

    Args:
        path: The file; an existing one is replaced whole or not at all.
        g_ema: The averaged weights, which are exported.
        g: The network that is trained.
        d: Its discriminator.
        g_optim: The optimizer of `g`.
        d_optim: The optimizer of `d`.
        ada_p: Strength of the augmentation, in [0, 1].
        images_seen: Images of the training so far.
        config: Of the training: plain values, as JSON can hold them.
        extra: Tensors and plain values that the trainer needs to go on.
    """
    networks = {"generator": g_ema.architecture()}
    if d is not None:
        networks["discriminator"] = d.architecture()
    states = {"g": g, "d": d, "g_ema": g_ema, "g_optim": g_optim, "d_optim": d_optim}
    content: dict[str, Any] = {
        key: holder.state_dict() for key, holder in states.items() if holder is not None
    }
    content["args"] = argparse.Namespace(size=g_ema.resolution, latent=g_ema.style_dim, n_mlp=g_ema.n_mlp)
    content["ada_aug_p"] = ada_p
    content["extra"] = dict(extra or {})
    content[KEY] = Description(networks, images_seen, dict(config or {})).to_plain()
    write(Path(path), content)


def is_empty(value: object) -> bool:
    """Whether a part of a checkpoint holds nothing: some files keep the key without its tensors."""
    return value is None or (isinstance(value, Mapping) and not value)


def _number(path: Path, content: Mapping[str, Any], key: str) -> float | None:
    value = content.get(key)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if value is not None and not isinstance(value, int | float):
        raise BadInput(f"{path}: '{key}' is not a number but {type(value).__name__}")
    return value
