"""Half precision in the highest resolutions of generator and discriminator."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.training.networks import Discriminator, Generator
from fingergen.training.networks.layers import ModulatedConv
from fingergen.training.networks.precision import CLAMP, MixedPrecision

HALF = [(torch.bfloat16, 0.1), (torch.float16, 0.015)]  # and the error allowed, of the values' deviation


def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(resolution=32, style_dim=32, n_mlp=2, channel_base=512, channel_max=32)


def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(resolution=32, channel_base=512, channel_max=32)


def activation_types(network: nn.Module, run) -> dict[int, torch.dtype]:
    """Side in pixels → type of the feature maps that the network's activations give."""
    found: dict[int, torch.dtype] = {}

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        assert found.setdefault(output.shape[-1], output.dtype) == output.dtype

    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if type(module).__name__ == "FusedLeakyReLU"
    ]
    run()
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def test_the_highest_resolutions_are_half_and_no_others():
    precision = MixedPrecision(torch.bfloat16, 2)
    g, d = generator(), discriminator()
    w = g.map(torch.randn(2, 32))
    full, half = torch.float32, torch.bfloat16
    types = activation_types(g, lambda: g.synthesize(w, precision=precision))
    assert types == {4: full, 8: full, 16: half, 32: half}
    # A block's second convolution already gives the next lower resolution, in the block's own type.
    images = torch.randn(4, 1, 32, 32)
    blocks: list[torch.dtype] = []
    for block in d.convs[1:]:
        block.register_forward_pre_hook(lambda _, inputs: blocks.append(inputs[0].dtype))
    assert d(images, precision).dtype == full
    assert blocks == [half, half, full]
    assert g.synthesize(w, precision=precision).dtype == full


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_half_resolutions_change_no_bit(dtype: torch.dtype):
    g, d = generator(), discriminator()
    w = g.map(torch.randn(2, 32))
    images = g.synthesize(w)
    resolutions = 9 if dtype == torch.float32 else 0
    assert torch.equal(g.synthesize(w, precision=MixedPrecision(dtype, resolutions)), images)
    assert torch.equal(d(images, MixedPrecision(dtype, resolutions)), d(images))


@pytest.mark.parametrize("resolutions", [2, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), HALF)
def test_half_precision_is_close(dtype: torch.dtype, tolerance: float, resolutions: int):
    g, d = generator(), discriminator()
    z = torch.randn(8, 32)
    results = []
    for precision in (MixedPrecision(), MixedPrecision(dtype, resolutions)):
        images = g.synthesize(g.map(z), precision=precision)
        logits = d(images, precision)
        gradient = torch.autograd.grad(F.softplus(-logits).mean(), list(g.parameters()), allow_unused=True)
        results.append((images, logits, torch.cat([each.flatten() for each in gradient if each is not None])))
    (images, logits, gradient), (half_images, half_logits, half_gradient) = results
    assert (half_images - images).abs().max() < tolerance * images.std()
    assert (half_logits - logits).abs().max() < tolerance * logits.std()
    assert F.cosine_similarity(half_gradient, gradient, dim=0) > 0.99


@torch.no_grad()
@pytest.mark.parametrize("demodulate", [True, False])
def test_large_weights_and_styles_do_not_overflow_float16(demodulate: bool):
    """Their plain products, up to 1e9, are far beyond float16's 65504."""
    torch.manual_seed(1)
    conv = ModulatedConv(64, 8, 3, style_dim=16, demodulate=demodulate)
    conv.weight.mul_(1000)
    style = 1000 * torch.randn(2, 16)
    x = CLAMP * torch.randn(2, 64, 8, 8).sign()
    exact = conv(x, style)
    found = conv(x.half(), style)
    assert found.dtype == (torch.float16 if demodulate else torch.float32)
    assert (found - exact).abs().max() < 0.01 * exact.std()


@torch.no_grad()
def test_activations_are_clamped_in_half_precision_only():
    d = discriminator()
    images = 1e4 * torch.randn(4, 1, 32, 32)
    largest: list[float] = []
    for block in d.convs:
        block.register_forward_hook(lambda _m, _i, output: largest.append(output.abs().max().item()))
    assert d(images, MixedPrecision(torch.float16, 4)).isfinite().all()
    assert 0 < max(largest) <= CLAMP
    d(images)
    assert max(largest) > CLAMP
