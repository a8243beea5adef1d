"""A smaller network's weights in a larger one."""

from pathlib import Path

import pytest
import torch

from fingergen.runtime.errors import BadInput
from fingergen.training.networks import Discriminator, Generator
from fingergen.training.trainers.generator import GeneratorConfig, GeneratorTrainer
from fingergen.training.trainers.warm_start import grow_discriminator, grow_generator, grown_widths

CPU = torch.device("cpu")
WIDTHS = {4: 6, 8: 5, 16: 4}


class NoImages:
    def batch(self, rng: object, count: int) -> torch.Tensor:
        raise NotImplementedError


def trainer(resolution: int, **options) -> GeneratorTrainer:
    config = GeneratorConfig(
        resolution=resolution, style_dim=8, n_mlp=2, channel_max=6, batch=8,
        channel_base=4 * resolution, **options,
    )  # fmt: skip
    return GeneratorTrainer(config, NoImages(), {}, CPU)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_finest_blocks_of_a_grown_generator_draw_what_they_drew(levels: int):
    """The same features in, the same features and image out, whatever the size of the field."""
    torch.manual_seed(0)
    small = Generator(16, style_dim=8, n_mlp=1, widths=WIDTHS)
    large = Generator(16 << levels, style_dim=8, n_mlp=1, widths=grown_widths(WIDTHS, levels))
    large.load_state_dict(grow_generator(large.state_dict(), small.state_dict(), levels))
    w, z = torch.randn(2, 8), torch.randn(2, 8)
    assert torch.equal(large.map(z), small.map(z))
    features, image, noise = torch.randn(2, 5, 8, 8), torch.randn(2, 1, 8, 8), torch.randn(2, 1, 16, 16)

    def finest(network: Generator) -> torch.Tensor:
        x = network.convs[-1](network.convs[-2](features, w, noise), w, noise)
        return network.to_rgbs[-1](x, w, image)

    assert torch.equal(finest(large), finest(small))


def test_a_start_leaves_the_padding_of_images_to_the_training(tmp_path: Path):
    zeros = trainer(8)
    zeros.save(tmp_path / "zeros.pt")
    replicate = trainer(8, image_padding="replicate")
    replicate.start_from(tmp_path / "zeros.pt")
    z = torch.randn(1, 8)
    different = (zeros.g_ema(z) != replicate.g_ema(z))[0, 0]
    assert different[0].all() and not different[1:-1, 1:-1].any()


def test_a_start_lets_noise_depend_on_w_but_does_not_take_that_away(tmp_path: Path):
    plain, styled = trainer(8), trainer(8, styled_noise=True)
    for network, name in ((plain, "plain"), (styled, "styled")):
        network.save(tmp_path / f"{name}.pt")
    styled.start_from(tmp_path / "plain.pt")
    z = torch.randn(1, 8)
    assert torch.equal(styled.g_ema(z), plain.g_ema(z))
    with pytest.raises(BadInput, match=r"styled\.pt: its generator has styled_noise True, not False"):
        plain.start_from(tmp_path / "styled.pt")


def test_a_start_may_let_the_mapping_network_learn_faster(tmp_path: Path):
    slow, fast = trainer(8), trainer(8, lr_mlp=0.5)
    slow.save(tmp_path / "slow.pt")
    fast.start_from(tmp_path / "slow.pt")
    z = torch.randn(2, 8)
    for before, after in ((slow.generator, fast.generator), (slow.g_ema, fast.g_ema)):
        torch.testing.assert_close(after(z), before(z))
    assert fast.g_ema.style[1].lr_mul == 0.5
    with pytest.raises(BadInput, match=r"was trained with lr_mlp 0\.01, not 0\.5"):
        fast.load(tmp_path / "slow.pt")


@pytest.mark.parametrize("levels", [0, 1])
def test_a_wider_generator_draws_what_the_narrow_one_drew(levels: int):
    torch.manual_seed(0)
    narrow = Generator(16, style_dim=8, n_mlp=1, widths=WIDTHS)
    grown = grown_widths(WIDTHS, levels)
    wide = Generator(16 << levels, style_dim=8, n_mlp=1, widths={res: n + 3 for res, n in grown.items()})
    large = Generator(16 << levels, style_dim=8, n_mlp=1, widths=grown)
    large.load_state_dict(grow_generator(large.state_dict(), narrow.state_dict(), levels))
    wide.load_state_dict(grow_generator(wide.state_dict(), large.state_dict(), 0))
    z, noise = torch.randn(2, 8), large.random_noise(2)
    images = wide.synthesize(wide.map(z), noise)
    assert torch.allclose(images, large.synthesize(large.map(z), noise), atol=1e-5)
    images.square().mean().backward()
    # What is new learns: its first weights to known channels are 0, but their gradients are not.
    assert wide.to_rgbs[-1].conv.weight.grad[:, :, -3:].abs().min() > 0


def test_a_grown_generator_lays_out_its_field_afresh():
    torch.manual_seed(0)
    small = Generator(16, style_dim=8, n_mlp=1, widths=WIDTHS)
    fresh = Generator(32, style_dim=8, n_mlp=1, widths=grown_widths(WIDTHS, 1)).state_dict()
    grown = grow_generator(fresh, small.state_dict(), 1)
    for key in ("convs.0.conv.weight", "convs.1.conv.weight", "to_rgbs.0.conv.weight", "noises.noise_4"):
        assert torch.equal(grown[key], fresh[key]), key
    for key in ("input.input", "conv1.conv.weight", "to_rgb1.conv.weight", "style.1.weight"):
        assert torch.equal(grown[key], small.state_dict()[key]), key


def test_finest_blocks_of_a_grown_discriminator_see_what_they_saw():
    """A part of a larger image is seen as if it were an image, away from its edges."""
    torch.manual_seed(0)
    small, large = Discriminator(16, widths=WIDTHS), Discriminator(32, widths=grown_widths(WIDTHS, 1))
    large.load_state_dict(grow_discriminator(large.state_dict(), small.state_dict()))
    image = torch.randn(1, 1, 32, 32)
    in_whole = large.convs[1](large.convs[0](image))[:, :, 4:12, 4:12]
    of_part = small.convs[1](small.convs[0](image[:, :, 8:24, 8:24]))
    inner = (..., slice(2, -2), slice(2, -2))
    assert torch.allclose(in_whole[inner], of_part[inner], atol=1e-6)
    assert not torch.allclose(in_whole, of_part, atol=1e-6)


def test_training_starts_from_a_smaller_run(tmp_path: Path):
    small = trainer(8)
    small.save(tmp_path / "small.pt")
    large = trainer(16)
    large.start_from(tmp_path / "small.pt")
    assert large.images_seen == 0
    for network, source in (
        (large.generator, small.generator),
        (large.g_ema, small.g_ema),
    ):
        assert torch.equal(network.convs[2].conv.weight, source.convs[0].conv.weight)
    assert torch.equal(
        large.discriminator.convs[1].conv1[0].weight, small.discriminator.convs[1].conv1[0].weight
    )


def test_training_goes_on_with_wider_layers(tmp_path: Path):
    narrow = trainer(16)
    narrow.save(tmp_path / "narrow.pt")
    wide = trainer(16, channel_min=5)
    assert wide.generator.widths == {4: 6, 8: 6, 16: 5}
    wide.start_from(tmp_path / "narrow.pt")
    assert torch.allclose(wide.samples(2), narrow.samples(2), atol=1e-5)


def test_what_does_not_fit_is_refused(tmp_path: Path):
    trainer(8).save(tmp_path / "small.pt")
    with pytest.raises(BadInput, match=r"--start-from .*small.pt: its generator, grown to 16, has widths"):
        GeneratorTrainer(
            GeneratorConfig(resolution=16, style_dim=8, n_mlp=2, channel_base=64, channel_max=4, batch=8),
            NoImages(), {}, CPU,
        ).start_from(tmp_path / "small.pt")  # fmt: skip
    trainer(16).save(tmp_path / "large.pt")
    with pytest.raises(BadInput, match=r"large.pt: its generator has resolution 16, not 8"):
        trainer(8).start_from(tmp_path / "large.pt")
