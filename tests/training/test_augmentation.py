"""Adaptive discriminator augmentation: resampling, random transforms, and how their strength adapts."""

import math

import pytest
import torch
from torch import Tensor

from fingergen.training.augmentation.adaptive_strength import MOST, AdaptiveStrength
from fingergen.training.augmentation.augment import Transforms, augment, draw_transforms
from fingergen.training.augmentation.resampling import SYM6, transform

CPU = torch.device("cpu")
MANY = 40_000  # draws of which statistics are taken


def ridges(size: int = 32) -> Tensor:
    """Ridges of changing period and direction (1, 1, R, R)."""
    axis = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.sin(2 * math.pi / 8 * (x**2 + 2 * y**2 + 20 * x).add(400).sqrt())[None, None]


def affine(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 2, 3)


def inside(images: Tensor) -> Tensor:
    return images[..., 6:-6, 6:-6]


def test_sym6_is_the_symlet():
    """An orthonormal low-pass filter with six vanishing moments (Daubechies 1992, chapters 6 and 8)."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    assert taps.sum().item() == pytest.approx(math.sqrt(2), abs=1e-11)
    for shift in range(0, 12, 2):
        product = (taps[shift:] * taps[: 12 - shift]).sum().item()
        assert product == pytest.approx(float(shift == 0), abs=1e-11)
    index = torch.arange(12, dtype=torch.float64)
    for moment in range(6):
        assert ((-1) ** index * index**moment * taps).sum().item() == pytest.approx(0, abs=2e-6)


def test_the_identity_gives_the_image_itself():
    images = torch.randn(3, 1, 16, 16)
    eye = affine(1, 0, 0, 0, 1, 0).expand(3, 2, 3)
    torch.testing.assert_close(transform(images, eye), images, atol=1e-5, rtol=0)
    nothing = draw_transforms(3, 1, 16, 0.0, CPU)
    assert torch.equal(nothing.geometry, eye)
    assert torch.equal(nothing.color, torch.tensor([1.0, 0.0]).expand(3, 1, 2))
    assert augment(images, []) is images


@pytest.mark.parametrize(
    ("inverse", "expected"),
    [
        (affine(-1, 0, 0, 0, 1, 0), lambda x: x.flip(3)),
        (affine(0, 1, 0, -1, 0, 0), lambda x: x.rot90(-1, (2, 3))),
        (affine(-1, 0, 0, 0, -1, 0), lambda x: x.rot90(2, (2, 3))),
        (affine(1, 0, -3, 0, 1, 2), lambda x: x.roll((3, -2), (3, 2))),
    ],
)
def test_transforms_of_whole_pixels(inverse: Tensor, expected):
    images = ridges()
    difference = inside(transform(images, inverse)) - inside(expected(images))
    assert difference.abs().max() < 0.02


def test_transforms_of_part_pixels():
    """Turned by 30°, larger by a fifth, moved by half a pixel: compared with the pattern drawn so."""
    axis = torch.arange(32) - 15.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    wave = lambda x, y: torch.sin(0.5 * x + 0.3 * y + 1)[None, None]  # noqa: E731
    cos, sin = math.cos(math.pi / 6) / 1.2, math.sin(math.pi / 6) / 1.2
    found = transform(wave(x, y), affine(cos, sin, 0.5, -sin, cos, 0))
    expected = wave(cos * x + sin * y + 0.5, -sin * x + cos * y)
    assert (inside(found) - inside(expected)).abs().max() < 0.02


def test_beyond_the_border_is_the_mirror_image():
    images = ridges(16)
    moved = transform(images, affine(1, 0, 10, 0, 1, 0))  # shows pixels 10 … 25
    mirrored = torch.cat([images[..., 10:], images[..., 5:-1].flip(3)], dim=3)
    assert (moved - mirrored)[..., 8:].abs().max() < 0.15  # a ridge, mirrored, has a kink
    assert (moved - mirrored).abs().mean() < 0.02


def test_differentiable_twice():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    transforms = Transforms(*(each.double() for each in draw_transforms(2, 1, 8, 1.0, CPU)))
    assert torch.autograd.gradcheck(lambda x: augment(x, transforms), (images,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: augment(x, transforms).square(), (images,), fast_mode=True)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_transform_happens_with_probability_p(p: float):
    torch.manual_seed(0)
    geometry, color = draw_transforms(MANY, 1, 1000, p, CPU)
    unchanged = (geometry == torch.eye(3)[:2]).flatten(1).all(dim=1).float().mean().item()
    # Flips and quarter turns also draw what changes nothing, with a half and a quarter.
    expected = (1 - p / 2) * (1 - 3 * p / 4) * (1 - p) ** 5
    assert unchanged == pytest.approx(expected, abs=0.01)
    flipped = (torch.det(geometry[:, :, :2]) < 0).float().mean().item()
    assert flipped == pytest.approx(p / 2, abs=0.01)
    assert (color[:, 0, 0] != 1).float().mean().item() == pytest.approx(p, abs=0.01)
    assert (color[:, 0, 1] != 0).float().mean().item() == pytest.approx(p, abs=0.01)


def test_sizes_of_the_transforms():
    torch.manual_seed(0)
    geometry, color = draw_transforms(MANY, 1, 100, 1.0, CPU)
    linear = geometry[:, :, :2]
    octaves = torch.det(linear).abs().log2() / 2  # of the isotropic scaling alone
    assert octaves.mean().item() == pytest.approx(0, abs=0.01)
    assert octaves.std().item() == pytest.approx(0.2, abs=0.01)
    # The anisotropic scaling, s along one axis and 1/s along the other, is left in the singular values.
    stretch = torch.linalg.svdvals(linear).log2().diff(dim=1).abs() / 2
    assert stretch.square().mean().sqrt().item() == pytest.approx(0.2, abs=0.01)
    # Where the center goes: whole pixels, uniform within ±12.5, then part pixels, normal with deviation 12.5.
    center = -torch.linalg.solve(linear, geometry[:, :, 2:])
    scaling = math.exp(4 * (0.2 * math.log(2)) ** 2)  # mean square of both scalings
    expected = (12.5**2 / 3 * scaling + 12.5**2) ** 0.5
    assert center.mean().item() == pytest.approx(0, abs=0.3)
    assert center.std().item() == pytest.approx(expected, rel=0.03)
    contrast, brightness = color[:, 0, 0], color[:, 0, 1] / color[:, 0, 0]
    assert contrast.log2().mean().item() == pytest.approx(0, abs=0.01)
    assert contrast.log2().std().item() == pytest.approx(0.5, abs=0.01)
    assert brightness.std().item() == pytest.approx(0.2, abs=0.01)


def test_colors_of_rgb_images():
    """Gray stays gray; across the gray axis the hue only turns, the saturation stretches alike."""
    torch.manual_seed(0)
    matrix, _ = draw_transforms(MANY, 3, 16, 1.0, CPU).color.split([3, 1], dim=2)
    gray = matrix @ torch.ones(3)
    torch.testing.assert_close(gray, gray[:, :1].expand(-1, 3), atol=1e-4, rtol=1e-4)
    assert (gray[:, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.01)  # luma flip
    red, blue = torch.tensor([2.0, -1, -1]) / 6**0.5, torch.tensor([0.0, 1, -1]) / 2**0.5
    turned_red, turned_blue = matrix @ red, matrix @ blue
    assert (turned_red * turned_blue).sum(dim=1).abs().max() < 1e-3
    angle = torch.atan2(turned_red @ blue, turned_red @ red)
    assert angle.std().item() == pytest.approx(math.pi / 3**0.5, abs=0.03)  # uniform
    saturation = turned_red.norm(dim=1).log2() - gray[:, 0].abs().log2()
    assert saturation.std().item() == pytest.approx(1, abs=0.02)


def test_strength_follows_the_signs():
    strength = AdaptiveStrength(target=0.6, length=1000, interval=64)
    for _ in range(4):
        strength.observe(0.7, 32)  # too sure of real images
    assert strength.p == pytest.approx(128 / 1000)
    strength.observe(0.7, 32)
    assert strength.p == pytest.approx(128 / 1000)  # an interval is not over yet
    strength.observe(0.4, 32)  # 0.55 on average
    assert strength.p == pytest.approx(64 / 1000)
    for _ in range(10):
        strength.observe(-1, 32)
    assert strength.p == 0
    for _ in range(100):
        strength.observe(1, 32)
    assert strength.p == MOST


def test_strength_goes_on_from_its_state():
    whole, first, second = (AdaptiveStrength(target=0.6, length=1000, interval=96) for _ in range(3))
    signs = torch.rand(20).tolist()
    for sign in signs:
        whole.observe(sign, 32)
    for sign in signs[:10]:
        first.observe(sign, 32)
    second.load(first.p, first.state())
    for sign in signs[10:]:
        second.observe(sign, 32)
    assert second.p == whole.p > 0
    assert second.state() == whole.state()
