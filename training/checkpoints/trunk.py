"""A pretrained trunk for the encoder: IR-SE weights of ArcFace (Deng et al., arXiv:1801.07698), say."""

from pathlib import Path

from fingergen.runtime.errors import BadInput

from ..networks import Encoder
from .files import read
from .shapes import StateDict, check, trunk_architecture

PARTS = ("input_layer.", "body.")


def load_trunk(path: Path, encoder: Encoder) -> None:
    """Fill the trunk of `encoder` with that in `path`; BadInput, one line, if it does not fit.

    A state dict, or a dictionary that holds one as `state_dict`, with the keys `input_layer.…` and `body.…`,
    whatever they are prefixed with; other keys, as of a face's last layers, are passed over.
    """
    content = read(path)
    state = StateDict(f"--trunk {path}", content.get("state_dict", content)).with_counters()
    prefix = next(
        (
            key.removesuffix(f"{PARTS[0]}0.weight")
            for key in state.tensors
            if key.endswith(f"{PARTS[0]}0.weight")
        ),
        None,
    )
    if prefix is None:
        raise BadInput(f"{path}: holds no trunk (lacks the key '{PARTS[0]}0.weight')")
    trunk = {
        key.removeprefix(prefix): tensor
        for key, tensor in state.tensors.items()
        if key.startswith(tuple(prefix + part for part in PARTS))
    }
    found = trunk_architecture(StateDict(str(path), trunk))
    wanted = encoder.architecture()
    for name, value in found.items():
        if value != wanted[name]:
            raise BadInput(
                f"{path}: its trunk has {name} {value}, the encoder {wanted[name]};"
                " choose --depth and --width to fit"
            )
    own = {key: value.cpu() for key, value in encoder.state_dict().items() if not key.startswith(PARTS)}
    check(Encoder, wanted, StateDict(str(path), own | trunk))
    encoder.load_state_dict(own | trunk)
