"""FingerNet (Tang et al., arXiv:1709.02228) as a loss, with weights published for PyTorch; it brings none.

Layers, their names and the loss are those of the published training of minutiae-to-vec encoders, which took
FingerNet for its minutiae loss. The weights are a state dict with the keys `conv1_1.weight` …
`mnt_s_1_2.bias`; those for Keras are another file.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.files import read
from ..checkpoints.shapes import StateDict, build

CELL = 8  # pixels per side that an output describes
DIRECTIONS = 90  # of ridges, two degrees apart
SCALES = (1, 4, 8)  # dilations at which ridges are looked at
FILTER = 25  # pixels per side of the Gabor filters
STEM = {"1_1": (1, 64), "1_2": (64, 64), "2_1": (64, 128), "2_2": (128, 128),
        "3_1": (128, 256), "3_2": (256, 256), "3_3": (256, 256)}  # fmt: skip
MINUTIAE = {"mnt_1_1": (2, 64, 9), "mnt_2_1": (64, 128, 5), "mnt_3_1": (128, 256, 3)}
HEADS = {
    "o": 180,
    "w": CELL,
    "h": CELL,
    "s": 1,
}  # of a cell's minutia: direction, place, whether there is one


class Seen(NamedTuple):
    """What FingerNet sees in images (N, 1, H, W), for each cell, in [0, 1]."""

    flow: Tensor  # (N, 90, H / 8, W / 8): direction of the ridges
    o: Tensor  # (N, 180, …): direction of the cell's minutia
    w: Tensor  # (N, 8, …): its column
    h: Tensor  # (N, 8, …): its row
    s: Tensor  # (N, 1, …): whether there is one


class FingerNet(nn.Module):
    """Gray images (N, 1, H, W) of 500 ppi in [0, 1], H and W multiples of 8 → `Seen`."""

    def __init__(self) -> None:
        super().__init__()
        for name, (inputs, outputs) in STEM.items():
            self._add(name, inputs, outputs, 3)
        for scale, dilation in enumerate(SCALES, start=1):
            self._add(f"4_{scale}", 256, 256, 3, dilation)
            for head, outputs in (("ori", DIRECTIONS), ("seg", 1)):
                self._add(f"{head}_{scale}_1", 256, 128, 1)
                self.add_module(f"{head}_{scale}_2", nn.Conv2d(128, outputs, 1))
        self.enh_img_real_1 = nn.Conv2d(1, DIRECTIONS, FILTER, padding=FILTER // 2)
        self.enh_img_imag_1 = nn.Conv2d(1, DIRECTIONS, FILTER, padding=FILTER // 2)
        self.ori_peak = nn.Conv2d(DIRECTIONS, DIRECTIONS, 1, bias=False)
        for name, (inputs, outputs, size) in MINUTIAE.items():
            self._add(name, inputs, outputs, size)
        for head, outputs in HEADS.items():
            self._add(f"mnt_{head}_1_1", 256 + (DIRECTIONS if head == "o" else 0), 256, 1)
            self.add_module(f"mnt_{head}_1_2", nn.Conv2d(256, outputs, 1))

    def _add(self, name: str, inputs: int, outputs: int, size: int, dilation: int = 1) -> None:
        padding = dilation * (size // 2)
        self.add_module(_convolution(name), nn.Conv2d(inputs, outputs, size, 1, padding, dilation))
        self.add_module(f"bn{name}", nn.BatchNorm2d(outputs))
        self.add_module(f"prelu{name}", nn.PReLU(outputs))

    def _unit(self, name: str, x: Tensor) -> Tensor:
        for part in (_convolution(name), f"bn{name}", f"prelu{name}"):
            x = self.get_submodule(part)(x)
        return x

    def _head(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(f"{name}_2")(self._unit(f"{name}_1", x))

    def forward(self, images: Tensor) -> Seen:
        x = _standardised(images)
        for name in STEM:
            x = self._unit(name, x)
            if name in ("1_2", "2_2", "3_3"):
                x = F.max_pool2d(x, 2)
        near, middle, far = (self._unit(f"4_{scale}", x) for scale in (1, 2, 3))
        flow, print_here = (
            torch.sigmoid(
                self._head(f"{head}_1", near) + self._head(f"{head}_2", middle) + self._head(f"{head}_3", far)
            )
            for head in ("ori", "seg")
        )
        # What a Gabor filter of each cell's direction shows: the phase of its ridges, and where the print is.
        chosen = F.interpolate(_peak(self.ori_peak(flow)), scale_factor=float(CELL), mode="nearest")
        imaginary = (self.enh_img_imag_1(images) * chosen).sum(dim=1, keepdim=True)
        real = (self.enh_img_real_1(images) * chosen).sum(dim=1, keepdim=True)
        phase = torch.atan2(imaginary, real + 1e-7)
        x = torch.cat(
            [phase, F.interpolate(F.softsign(print_here), scale_factor=float(CELL), mode="nearest")], 1
        )
        for name in MINUTIAE:
            x = F.max_pool2d(self._unit(name, x), 2)
        found = {
            head: torch.sigmoid(self._head(f"mnt_{head}_1", torch.cat([x, flow], 1) if head == "o" else x))
            for head in HEADS
        }
        return Seen(flow, **found)


def _convolution(name: str) -> str:
    """The published name: those that look wider are called otherwise."""
    return f"{'atrousconv' if name in ('4_2', '4_3') else 'conv'}{name}"


def _standardised(images: Tensor) -> Tensor:
    """Mean 0 and deviation 1 in every image."""
    mean, deviation = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
    return (images - mean) / (deviation + 1e-6)


def _peak(strength: Tensor) -> Tensor:
    """The strongest direction of each cell: 1 there, shared where several are, else 0."""
    highest = (strength >= 0.999 * strength.amax(dim=1, keepdim=True)).to(strength.dtype)
    return highest / highest.sum(dim=1, keepdim=True)


class FingerNetDistance:
    """Distance of two sets of images (N, C, R, R) in [-1, 1], gray or RGB; scalar, 0 for equal ones.

    Mean absolute differences of what FingerNet sees, and of the images, where the second ones have a minutia;
    a tenth of that elsewhere. Gradients reach the first images only.
    """

    FLOW_WEIGHT = 0.5
    ELSEWHERE = 0.1

    def __init__(self, weights: Path, window: int, device: torch.device) -> None:
        """`weights`: file of FingerNet's state dict, BadInput for any other; `window`: side of the images'
        view in pixels at 500 ppi."""
        state = StateDict(f"--feature-network {weights}", read(weights)).with_counters()
        self.network = build(FingerNet, {}, state).to(device).requires_grad_(False)
        self._side = max(1, round(window / CELL)) * CELL

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        images, targets = self._enlarge(images), self._enlarge(targets.detach())
        found = self.network((images + 1) / 2)
        with torch.no_grad():
            wanted = self.network((targets + 1) / 2)
        weight = self.ELSEWHERE + (wanted.s > 0.5).to(images.dtype)
        differences = [
            (one - other).abs().mul(weight).mean() * (self.FLOW_WEIGHT if name == "flow" else 1)
            for name, one, other in zip(Seen._fields, found, wanted, strict=True)
        ]
        of_images = F.l1_loss(images, targets, reduction="none")
        over = F.interpolate(weight, size=tuple(images.shape[2:]), mode="bilinear", align_corners=True)
        return torch.stack([*differences, (of_images * over).mean()]).sum()

    def _enlarge(self, images: Tensor) -> Tensor:
        gray = images.mean(dim=1, keepdim=True)
        return F.interpolate(gray, size=(self._side, self._side), mode="bilinear", align_corners=True)
