"""Reconstruction checkpoints: ours and the SynFing release's (the layout of pSp).

A dictionary with one `state_dict` for the keys `encoder.…` and `decoder.…`, `opts` (plain options of the
training) and, where the encoder works relative to it, the average latent `latent_avg`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fingergen.runtime.errors import BadInput

from ..networks import Encoder, Generator, Reconstructor
from .description import KEY, Description, read_description, shapeless
from .files import optional_dict, read, write
from .shapes import StateDict, average_latent, build, encoder_architecture, generator_architecture


@dataclass
class ReconstructionCheckpoint:
    """An encoder and its decoder, in evaluation mode, on the CPU.

    Attributes:
        encoder: Minutiae map → w.
        decoder: w → image.
        latent_avg: (style_dim,) or (num_ws, style_dim), to be added to w; None: nothing is added.
        opts: Options of the published training.
        optimizer: State of our optimizer.
        images_seen: Images of our training so far.
        config: Of our training.
        extra: Further state of our trainer.
        source_format: `fingergen` or `synfing`.
    """

    encoder: Encoder
    decoder: Generator
    latent_avg: Tensor | None = None
    opts: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] | None = None
    images_seen: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    source_format: str = "fingergen"

    def reconstructor(self) -> Reconstructor:
        """Both networks as one module.

        Returns:
            Minutiae map → image.
        """
        return Reconstructor(self.encoder, self.decoder, self.latent_avg)


def reconstruction_checkpoint(path: Path, content: Mapping[str, Any]) -> ReconstructionCheckpoint:
    """The checkpoint in `content`, the dictionary in the file `path`; `BadInput` names the key at fault."""
    if "state_dict" not in content:
        raise BadInput(f"{path}: lacks the key 'state_dict' (encoder and decoder)")
    description = read_description(path, content)
    if isinstance(opts := content.get("opts"), argparse.Namespace):
        content = {**content, "opts": vars(opts)}
    opts = optional_dict(path, content, "opts") or {}
    both = StateDict(f"{path}: state_dict", content["state_dict"])
    if strange := [key for key in both.tensors if not key.startswith(("encoder.", "decoder."))]:
        raise BadInput(f"{both.where}: '{strange[0]}' belongs to neither 'encoder.' nor 'decoder.'")
    state = both.part("decoder.")
    architecture = generator_architecture(state) | shapeless(path, description, "decoder")
    decoder = build(Generator, architecture, state)
    state = both.part("encoder.")
    encoder = build(Encoder, encoder_architecture(state, decoder.style_dim), state)
    if encoder.num_ws not in (None, decoder.num_ws):
        raise BadInput(
            f"{state.where}: 'linear.weight' gives {encoder.num_ws} styles, expected 1 or {decoder.num_ws}"
        )

    checkpoint = ReconstructionCheckpoint(encoder, decoder, opts=opts)
    # Encoders trained without `start_from_latent_avg` may still carry the average; it is not theirs to add.
    if content.get("latent_avg") is not None and opts.get("start_from_latent_avg", True):
        average = average_latent(f"{path}: latent_avg", content["latent_avg"], decoder)
        checkpoint.latent_avg = average[0] if len(average) == 1 else average
    if description:
        checkpoint.optimizer = optional_dict(path, content, "optimizer")
        checkpoint.extra = optional_dict(path, content, "extra") or {}
        checkpoint.images_seen, checkpoint.config = description.images_seen, description.config
    else:
        checkpoint.source_format = "synfing"
    return checkpoint


def load_reconstruction(path: Path | str) -> ReconstructionCheckpoint:
    """Read a reconstruction checkpoint.

    Args:
        path: The file.

    Returns:
        The checkpoint.

    Raises:
        BadInput: Names the key at fault, or says that the file is no checkpoint.
    """
    return reconstruction_checkpoint(Path(path), read(Path(path)))


def save_reconstruction(
    path: Path | str,
    *,
    encoder: Encoder,
    decoder: Generator,
    latent_avg: Tensor | None = None,
    optimizer: Optimizer | None = None,
    images_seen: int = 0,
    config: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint of ours, which is also one of the SynFing release's.

    Args:
        path: The file; an existing one is replaced whole or not at all.
        encoder: Minutiae map → w.
        decoder: w → image.
        latent_avg: (style_dim,) or (num_ws, style_dim), to be added to w; None: nothing is added.
        optimizer: That of the training.
        images_seen: Images of the training so far.
        config: Of the training: plain values, as JSON can hold them.
        extra: Tensors and plain values that the trainer needs to go on.
    """
    networks = {"encoder": encoder.architecture(), "decoder": decoder.architecture()}
    content: dict[str, Any] = {
        "state_dict": Reconstructor(encoder, decoder).state_dict(),
        "opts": {"start_from_latent_avg": latent_avg is not None, "output_size": decoder.resolution},
        "extra": dict(extra or {}),
        KEY: Description(networks, images_seen, dict(config or {})).to_plain(),
    }
    if latent_avg is not None:
        content["latent_avg"] = latent_avg
    if optimizer is not None:
        content["optimizer"] = optimizer.state_dict()
    write(Path(path), content)
