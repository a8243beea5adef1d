"""Training of the minutiae-to-vec encoder, and the pairs that it learns from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template, minutiae_map, write_template
from fingergen.training.checkpoints import load_reconstruction
from fingergen.training.checkpoints.files import read, write
from fingergen.training.checkpoints.manager import STATE
from fingergen.training.data.minutiae_maps import draw_maps
from fingergen.training.data.pairs import PairFolder, ProceduralPairs
from fingergen.training.losses.ridge_flow import flow_distance
from fingergen.training.networks import Generator
from fingergen.training.networks.minutiae_net import MinutiaeNet
from fingergen.training.trainers.adversary import Adversary
from fingergen.training.trainers.encoder import EncoderTrainer
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.training_loop import Interruption, train

from .tiny_encoder import CPU, MAP, RESOLUTION, TINY, WINDOW


@pytest.fixture(scope="module")
def procedural(masters) -> ProceduralPairs:
    return ProceduralPairs(masters, 4, WINDOW, RESOLUTION, MAP)


def test_procedural_pairs(procedural):
    one, again = (procedural.batch(np.random.default_rng(3), 5) for _ in range(2))
    assert one.images.shape == (5, 1, RESOLUTION, RESOLUTION)
    assert one.maps.shape == (5, 3, MAP, MAP)
    assert one.images.dtype == one.maps.dtype == torch.uint8
    assert torch.equal(one.images, again.images) and torch.equal(one.maps, again.maps)
    assert one.maps.any()
    spare = procedural.held_out(40)
    assert torch.equal(spare.images, procedural.held_out(40).images)
    assert not torch.equal(spare.images[0], spare.images[32])  # another impression of the same finger


def write_folder(folder: Path, partner: str, count: int = 12) -> list[Template]:
    """Images whose gray level is their number, with templates or maps."""
    (folder / "images").mkdir(parents=True)
    (folder / partner).mkdir()
    templates = [
        Template(64, 48, 500, (Minutia(20 + k, 20, 30 * k, MinutiaType.ENDING),)) for k in range(count)
    ]
    for k, template in enumerate(templates):
        Image.new("L", (64, 48), k).save(folder / "images" / f"{k:03d}.png")
        if partner == "templates":
            write_template(folder / partner / f"{k:03d}.json", template)
        else:
            Image.fromarray(minutiae_map(template)).save(folder / partner / f"{k:03d}.png")
    return templates


@pytest.mark.parametrize("partner", ["templates", "maps"])
def test_folder_pairs_belong_together(tmp_path, partner):
    templates = write_folder(tmp_path / "data", partner)
    dataset = PairFolder(tmp_path / "data", RESOLUTION, 1, MAP)
    pairs = dataset.batch(np.random.default_rng(0), 6)
    numbers = pairs.images[:, 0, RESOLUTION // 2, RESOLUTION // 2].tolist()
    padded = [templates[n].crop(0, -8, 64, 64) for n in numbers]
    assert torch.equal(
        pairs.images[:, 0, 0, 0], torch.full((6,), 255, dtype=torch.uint8)
    )  # padded with white
    difference = pairs.maps.int() - draw_maps(padded, 64, MAP).int()
    assert difference.abs().max() <= 1
    assert dataset.held_out(2).images[:, 0, 16, 16].tolist() == [2, 9]  # a tenth, by its name, is held out


def test_folder_without_partners(tmp_path):
    write_folder(tmp_path / "data", "templates")
    (tmp_path / "data/templates/003.json").unlink()
    with pytest.raises(BadInput, match=r"003\.png: has no partner .*templates/003 "):
        PairFolder(tmp_path / "data", RESOLUTION, 1, MAP)
    write_folder(tmp_path / "few", "maps", count=9)
    with pytest.raises(BadInput, match="few: holds 9 pairs"):
        PairFolder(tmp_path / "few", RESOLUTION, 1, MAP)


def test_folder_with_a_template_of_another_size(tmp_path):
    write_folder(tmp_path / "data", "templates")
    for k in range(12):
        Image.new("L", (60, 48)).save(tmp_path / f"data/images/{k:03d}.png")
    with pytest.raises(BadInput, match="64 x 48"):
        PairFolder(tmp_path / "data", RESOLUTION, 1, MAP).held_out(1)


# -- encoder ------------------------------------------------------------------------------------------------


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(RESOLUTION, style_dim=8, n_mlp=2, channel_base=128, channel_max=8)


def trainer_of(generator: Generator, dataset: ProceduralPairs, **options) -> EncoderTrainer:
    torch.manual_seed(1)
    network = MinutiaeNet(width=4).eval().requires_grad_(False)
    config = EncoderConfig(**{**TINY, **options})
    return EncoderTrainer(config, generator, network, dataset, WINDOW, {"ppi": 250}, CPU)


def advance(trainer: EncoderTrainer, out: Path, images: int) -> dict[str, float]:
    """Train up to `images`; the last losses."""
    return list(train(trainer, out, images, 8, Interruption()))[-1][1]


@torch.no_grad()
def test_training_starts_at_the_average_latent(generator, procedural):
    trainer = trainer_of(generator, procedural)
    maps = torch.rand(2, 3, MAP, MAP)
    assert torch.equal(trainer.reconstructor.encode(maps).w, trainer.w_avg.expand(2, 8))


@pytest.mark.parametrize(("w_plus", "shape"), [(False, (2, 8)), (True, (2, 8, 8))])
def test_the_encoder_learns_and_the_decoder_stays(generator, procedural, w_plus, shape):
    trainer = trainer_of(generator, procedural, w_plus=w_plus, learning_rate=0.01, w_weight=0.01)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    batch = procedural.batch(np.random.default_rng(0), 2)
    losses = [trainer.step(batch) for _ in range(20)]
    first, last = (np.mean([step["loss"] for step in part]) for part in (losses[:4], losses[-4:]))
    assert last < 0.8 * first
    assert set(losses[0]) == {"loss", "loss/l2", "loss/features", "loss/latent", "loss/w"}
    assert trainer.reconstructor.encode(torch.rand(2, 3, MAP, MAP)).w.shape == shape
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_the_decoder_can_be_trained_too(generator, procedural):
    trainer = trainer_of(generator, procedural, train_decoder=True)
    before = generator.conv1.conv.weight.detach().clone()
    trainer.step(procedural.batch(np.random.default_rng(0), 2))
    assert not torch.equal(generator.conv1.conv.weight, before)
    assert torch.equal(generator.style[1].weight, trainer.reconstructor.decoder.style[1].weight)


SPATIAL = {
    "map_size": 128,
    "noise_maps": True,
    "train_decoder": True,
    "decoder_rate": 1.0,
    "sampled": 0.0,
    "adversarial_weight": 0.5,
    "flow_weight": 1.0,
    "minutiae_weight": 1.0,
}


@pytest.fixture(scope="module")
def large_maps(masters) -> ProceduralPairs:
    return ProceduralPairs(masters, 4, WINDOW, RESOLUTION, 128)


@pytest.mark.slow
def test_the_spatial_path_learns_where_ridges_run(generator, large_maps):
    """After one batch, seen again and again, most of the images' variance is told by their maps."""
    trainer = trainer_of(generator, large_maps, **SPATIAL, learning_rate=0.01, l2_weight=10.0)
    batch = large_maps.batch(np.random.default_rng(0), 4)
    losses = [trainer.step(batch) for _ in range(60)]
    first, last = (np.mean([step["loss/l2"] for step in part]) for part in (losses[:4], losses[-4:]))
    assert last < 0.6 * first
    terms = {"l2", "w", "features", "flow", "minutiae", "adversarial", "d", "r1"}
    assert set(losses[0]) == {"loss", "logit/real", "logit/made", *(f"loss/{term}" for term in terms)}
    noise = trainer.reconstructor.encode(torch.rand(2, 3, 128, 128)).noise
    assert [each.shape for each in noise] == [(2, 1, side, side) for side in (8, 8, 16, 16, 32, 32)]


@pytest.mark.slow
def test_a_run_with_a_discriminator_resumes_to_the_bit(tmp_path, generator, large_maps):
    initial = {name: value.clone() for name, value in generator.state_dict().items()}
    advance(trainer_of(generator, large_maps, **SPATIAL), tmp_path / "whole", 16)
    for images in (8, 16):
        generator.load_state_dict(initial)
        advance(trainer_of(generator, large_maps, **SPATIAL), tmp_path / "parts", images)
    states = [load_reconstruction(tmp_path / run / STATE) for run in ("whole", "parts")]
    for one, other in zip(
        *(each.extra["adversary"]["discriminator"].values() for each in states), strict=True
    ):
        assert torch.equal(one, other)
    whole, parts = (each.reconstructor().state_dict() for each in states)
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    with pytest.raises(BadInput, match="trained without a discriminator"):
        advance(
            trainer_of(generator, large_maps, **SPATIAL | {"adversarial_weight": 0.0}), tmp_path / "none", 4
        )
        generator.load_state_dict(initial)
        advance(trainer_of(generator, large_maps, **SPATIAL), tmp_path / "none", 8)


def test_the_discriminator_sees_the_map(generator):
    """The same images beside other maps get other logits."""
    torch.manual_seed(0)
    adversary = Adversary(generator, 0.002, 10.0, CPU)
    images, maps = torch.rand(4, 1, RESOLUTION, RESOLUTION), torch.rand(4, 3, MAP, MAP)
    assert not torch.allclose(adversary.logits(images, maps), adversary.logits(images, maps.flip(0)))


def test_ridge_flow():
    """Parallel ridges flow the same way wherever they lie; turned by 45° they are half way off."""
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")

    def ridges(degrees: float, phase: float) -> torch.Tensor:
        angle = torch.tensor(degrees).deg2rad()
        return torch.sin(1.4 * (x * angle.cos() + y * angle.sin()) + phase)[None, None]

    assert flow_distance(ridges(30, 0), ridges(30, 2)) < 0.01
    quarter, half = (flow_distance(ridges(0, 0), ridges(turn, 0)) for turn in (45, 90))
    assert 1.8 < quarter < 2.1 and 3.7 < half < 4
    assert flow_distance(torch.ones(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)) == 0
    images = ridges(10, 0).requires_grad_()
    flow_distance(images, ridges(60, 0)).backward()
    assert images.grad is not None and images.grad.any()


def test_sampled_pairs_show_what_the_network_sees(generator, procedural):
    trainer = trainer_of(generator, procedural)
    trainer.network.head.bias.fill_(-9.0)  # sees nothing
    images, maps, w = trainer.sample_pairs(torch.randn(3, 8))
    assert torch.equal(images, generator.synthesize(w))
    assert not maps.any()


def grown(large_maps: ProceduralPairs, path: Path, **options) -> EncoderTrainer:
    """Of twice the resolution and field, begun with the networks in the file `path`."""
    large = Generator(2 * RESOLUTION, style_dim=8, n_mlp=2, channel_base=256, channel_max=8)
    network = MinutiaeNet(width=4).eval().requires_grad_(False)
    config = EncoderConfig(**{**TINY, **SPATIAL, "map_size": 256, **options})
    trainer = EncoderTrainer(config, large, network, large_maps, 2 * WINDOW, {"ppi": 250}, CPU)
    trainer.start_from(path)
    return trainer


def test_training_starts_from_a_smaller_run(tmp_path, generator, large_maps):
    """Away from their edges, the same minutiae ask for the same noise images."""
    small = trainer_of(generator, large_maps, **SPATIAL)
    advance(small, tmp_path / "small", 8)
    large = grown(large_maps, tmp_path / "small" / STATE)
    assert large.images_seen == 0
    for ours, theirs in (
        (large.current.decoder.convs[-1].conv, small.reconstructor.decoder.convs[-1].conv),
        (large.adversary.discriminator.convs[1].conv1[0], small.adversary.discriminator.convs[1].conv1[0]),
    ):
        assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(large.w_avg, small.w_avg)
    maps = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        whole = large.reconstructor.encode(maps).noise[-1]
        part = small.reconstructor.encode(maps[..., 64:192, 64:192]).noise[-1]
    assert whole.shape[-1] == 2 * part.shape[-1] == 2 * RESOLUTION
    middle = (..., slice(12, -12), slice(12, -12))
    assert (
        torch.corrcoef(torch.stack([whole[..., 16:48, 16:48][middle].flatten(), part[middle].flatten()]))[
            0, 1
        ]
        > 0.9
    )


def test_a_start_keeps_what_a_mapping_network_of_another_rate_computes(tmp_path, generator, procedural):
    trainer_of(generator, procedural).save(tmp_path / "state.pt")
    torch.manual_seed(2)
    quick = Generator(RESOLUTION, style_dim=8, n_mlp=2, channel_base=128, channel_max=8, lr_mlp=0.5)
    trainer = trainer_of(quick, procedural)
    trainer.start_from(tmp_path / "state.pt")
    z = torch.randn(3, 8)
    for started in (trainer.current, trainer.reconstructor):
        torch.testing.assert_close(started.decoder.map(z), generator.map(z))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 8}, "its encoder has width 4, not 8"),
        ({"start_from_latent_avg": False}, "was trained with start_from_latent_avg True"),
    ],
)
def test_a_smaller_run_of_another_shape_is_refused(tmp_path, generator, large_maps, options, words):
    advance(trainer_of(generator, large_maps, **SPATIAL), tmp_path / "small", 4)
    with pytest.raises(BadInput, match=f"--start-from .*{words}"):
        grown(large_maps, tmp_path / "small" / STATE, **options)


@pytest.mark.slow
def test_training_in_bfloat16_learns_alike(generator, large_maps):
    losses = {}
    initial = {name: value.clone() for name, value in generator.state_dict().items()}
    for precision in ("fp32", "bf16"):
        generator.load_state_dict(initial)
        trainer = trainer_of(generator, large_maps, **SPATIAL, precision=precision, l2_weight=10.0)
        batch = large_maps.batch(np.random.default_rng(0), 4)
        losses[precision] = [trainer.step(batch)["loss/l2"] for _ in range(6)]
        assert all(each.dtype == torch.float32 for each in trainer.current.state_dict().values()
                   if each.is_floating_point())  # fmt: skip
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted_training(tmp_path, generator, procedural):
    initial = {name: value.clone() for name, value in generator.state_dict().items()}
    advance(trainer_of(generator, procedural, train_decoder=True), tmp_path / "whole", 16)
    for images in (8, 16):
        generator.load_state_dict(initial)
        advance(trainer_of(generator, procedural, train_decoder=True), tmp_path / "parts", images)
    whole, parts = (load_reconstruction(tmp_path / run / STATE) for run in ("whole", "parts"))
    assert whole.images_seen == parts.images_seen == 16
    states = [run.reconstructor().state_dict() for run in (whole, parts)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    rows = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "parts")]
    assert rows[0] == rows[1] != ""


@pytest.mark.slow
def test_w_plus_with_noise_maps_and_without_the_average(tmp_path, generator, large_maps):
    """Every option that changes what is stored: trained with Ranger, killed beyond its first slow step."""
    options = {**SPATIAL, "adversarial_weight": 0.0, "w_plus": True, "start_from_latent_avg": False}
    options |= {"optimizer": "ranger", "train_decoder": False, "sampled": 0.5, "ema_half_life": 4}
    for run, stops in (("whole", [32]), ("parts", [20, 32])):
        for images in stops:
            advance(trainer_of(generator, large_maps, **options), tmp_path / run, images)
    whole, parts = (load_reconstruction(tmp_path / run / STATE) for run in ("whole", "parts"))
    assert whole.latent_avg is None
    found, expected = parts.reconstructor().state_dict(), whole.reconstructor().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    maps = torch.rand(2, 3, 128, 128)
    w, noise = whole.reconstructor().encode(maps)
    assert w.shape == (2, generator.num_ws, 8) and len(noise) == 6
    assert torch.equal(w, whole.encoder(maps))
    for change, words in (
        ({"optimizer": "adam"}, "was trained with optimizer ranger, not adam"),
        ({"start_from_latent_avg": True}, "was trained with start_from_latent_avg False, not True"),
    ):
        with pytest.raises(BadInput, match=words):
            advance(trainer_of(generator, large_maps, **options | change), tmp_path / "parts", 36)


def test_a_run_older_than_an_option_continues(tmp_path, generator, procedural):
    advance(trainer_of(generator, procedural), tmp_path, 4)
    content = read(tmp_path / STATE)
    for option in ("optimizer", "start_from_latent_avg", "lpips_weight", "feature_network"):
        del content["fingergen"]["config"][option]
    write(tmp_path / STATE, content)
    assert advance(trainer_of(generator, procedural), tmp_path, 8)


def test_a_run_continues_with_other_weights_but_not_with_another_shape(tmp_path, generator, procedural):
    advance(trainer_of(generator, procedural), tmp_path, 4)
    changed = trainer_of(generator, procedural, l2_weight=2.0, learning_rate=0.5)
    advance(changed, tmp_path, 8)
    assert changed.images_seen == 8
    assert changed.optimizer.param_groups[0]["lr"] == 0.5
    with pytest.raises(BadInput, match=r"state\.pt: was trained with depth ir_se_10, not ir_se_18"):
        advance(trainer_of(generator, procedural, depth="ir_se_18"), tmp_path, 12)


def test_what_is_saved_is_the_average_of_the_encoder(tmp_path, generator, procedural):
    trainer = trainer_of(generator, procedural, ema_half_life=10**9)
    first = {name: value.clone() for name, value in trainer.current.encoder.state_dict().items()}
    batch = procedural.batch(np.random.default_rng(0), 2)
    trainer.step(batch)  # half-life of 2 images for a batch of 4: a quarter of the start is left
    trainer.save(tmp_path / STATE)
    saved, trained = (
        load_reconstruction(tmp_path / STATE).encoder.state_dict(),
        trainer.current.encoder.state_dict(),
    )
    for name in ("linear.weight", "input_layer.0.weight", "input_layer.1.running_mean"):
        torch.testing.assert_close(saved[name], 0.25 * first[name] + 0.75 * trained[name])
    assert not torch.equal(first["linear.weight"], trained["linear.weight"])
