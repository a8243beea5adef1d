"""Training of the minutiae-to-vec encoder and its parts: maps read back, pairs, minutiae features."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map, write_template
from fingergen.runtime.minutiae.agreement import Agreement, agreement
from fingergen.training.checkpoints import load_reconstruction, save_generator
from fingergen.training.checkpoints.files import read, write
from fingergen.training.checkpoints.manager import STATE
from fingergen.training.commands.encoder import encoder as encoder_command
from fingergen.training.data.minutiae_maps import MapReader, draw_maps
from fingergen.training.data.pairs import PairFolder, Pairs, ProceduralPairs
from fingergen.training.losses.ridge_flow import flow_distance
from fingergen.training.metrics.minutiae_matching import agreement_figures
from fingergen.training.networks import Encoder, Generator
from fingergen.training.networks.minutiae_net import MinutiaeNet, feature_distance
from fingergen.training.trainers.adversary import Adversary
from fingergen.training.trainers.encoder import EncoderTrainer
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.minutiae import MinutiaeTrainer, pairs_to_floats
from fingergen.training.trainers.run_dir import Interruption
from fingergen.training.trainers.training_loop import train

RESOLUTION, WINDOW, MAP = 32, 64, 32
CPU = torch.device("cpu")
TINY = {"depth": "ir_se_10", "width": 4, "map_size": MAP, "batch": 4}


def spread_template(seed: int, side: int = 256) -> Template:
    """Minutiae of both types on a jittered grid, 42 pixels apart, and a core."""
    rng = np.random.default_rng(seed)
    kinds = (MinutiaType.ENDING, MinutiaType.BIFURCATION)
    minutiae = tuple(
        Minutia(x + rng.uniform(-4, 4), y + rng.uniform(-4, 4), rng.uniform(0, 360), kinds[rng.integers(2)])
        for x in range(24, side - 16, 50)
        for y in range(24, side - 16, 50)
    )
    return Template(side, side, 500, minutiae, cores=(Point(110.0, 90.0),))


# -- maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 128])
def test_maps_are_read_back(size):
    templates = [spread_template(seed) for seed in range(4)]
    read = MapReader(256)(draw_maps(templates, 256, size).float() / 255)
    for found, true in zip(read, templates, strict=True):
        result = agreement(found, true, distance=4, degrees=20)
        assert result.matched == result.found == result.true == len(true.minutiae)
        assert len(found.cores) == 1
        assert abs(found.cores[0].x - 110) <= 2 and abs(found.cores[0].y - 90) <= 2
        kinds = [sum(m.type is MinutiaType.BIFURCATION for m in t.minutiae) for t in (found, true)]
        assert kinds[0] == kinds[1]


def test_an_empty_map_has_no_minutiae():
    assert MapReader(64)(torch.zeros(2, 3, 32, 32)) == [Template(64, 64, 500)] * 2


def test_agreement_counts_each_minutia_once():
    true = Template(99, 99, 500, (Minutia(10, 10, 0), Minutia(50, 50, 355), Minutia(80, 20, 90)))
    found = Template(
        99, 99, 500, (Minutia(12, 12, 5), Minutia(8, 8, 5), Minutia(50, 57, 10), Minutia(80, 20, 180))
    )
    result = agreement(found, true)  # the second has no partner left, the last is turned
    assert result == Agreement(matched=2, found=4, true=3)
    assert (result.precision, result.recall) == (2 / 4, 2 / 3)
    assert agreement(Template(9, 9), Template(9, 9)) == Agreement(0, 0, 0)
    figures = agreement_figures([true, Template(99, 99)], [true, found])
    assert figures == {"precision": 1.0, "recall": 3 / 7, "chance_recall": 2 / 7}


# -- minutiae network ---------------------------------------------------------------------------------------


def test_feature_distance():
    torch.manual_seed(0)
    network = MinutiaeNet(width=4).eval().requires_grad_(False)
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    targets = torch.rand(2, 1, 32, 32, requires_grad=True)
    assert network(images).shape == (2, 3, 32, 32)
    assert feature_distance(network, images, images) == 0
    distance = feature_distance(network, images, targets)
    distance.backward()
    assert distance > 0
    assert images.grad is not None and images.grad.any()
    assert targets.grad is None


def test_minutiae_network_learns_its_pairs():
    """After one batch, seen again and again, it tells the map better than the best constant does."""
    dataset = Repeated(draw_maps([spread_template(seed, 128) for seed in range(4)], 128, 64))
    trainer = MinutiaeTrainer(dataset, 64, 128, 4, 0, CPU)
    for _ in range(30):
        trainer.step(dataset.held_out(4))
    images, maps = pairs_to_floats(dataset.held_out(4), CPU)
    loss = F.binary_cross_entropy_with_logits(trainer.network(images), maps)
    assert loss < 0.8 * torch.distributions.Bernoulli(maps.mean(dim=(0, 2, 3))).entropy().mean()


class Repeated:
    """Always the same pairs; an image is the negative of its map, so that it can be learnt quickly."""

    def __init__(self, maps: torch.Tensor):
        self.maps = maps

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        return self.held_out(count)

    def held_out(self, count: int) -> Pairs:
        maps = self.maps[:count]
        return Pairs(255 - maps.amax(dim=1, keepdim=True), maps)


# -- pairs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masters(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("masters")


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
    assert torch.equal(trainer.reconstructor.encode(maps).w, trainer.average.expand(2, 8))


@pytest.mark.parametrize(("w_plus", "shape"), [(False, (2, 8)), (True, (2, 8, 8))])
def test_the_encoder_learns_and_the_decoder_stays(generator, procedural, w_plus, shape):
    trainer = trainer_of(generator, procedural, w_plus=w_plus, learning_rate=0.01, w_weight=0.01)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    batch = procedural.batch(np.random.default_rng(0), 2)
    losses = [trainer.step(batch) for _ in range(20)]
    first, last = (np.mean([step["loss/l2"] for step in part]) for part in (losses[:4], losses[-4:]))
    assert last < 0.95 * first
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
    assert torch.equal(large.average, small.average)
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


# -- command ------------------------------------------------------------------------------------------------


def run_command(*arguments: object, **options: object):
    named = {f"--{name.replace('_', '-')}": value for name, value in {**TINY, **options}.items()}
    words = [f"{name}={value}" if value != "" else name for name, value in named.items()]
    return CliRunner().invoke(encoder_command, [*map(str, arguments), *words])


def test_command(tmp_path, generator, masters):
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    files = {"generator": tmp_path / "g.pt", "masters": masters, "out": tmp_path / "run"}
    small = {"fingers": 4, "images": 8, "minutiae_images": 8, "checkpoint_every": 8}
    result = run_command(**files, **small, trunk=tmp_path / "g.pt")
    assert isinstance(result.exception, BadInput) and "g.pt" in str(result.exception)
    write(tmp_path / "trunk.pt", Encoder("ir_se_10", 4, style_dim=4).state_dict())
    assert run_command(**files, **small, trunk=tmp_path / "trunk.pt").exit_code == 0
    assert run_command(**files, **{**small, "images": 12}).exit_code == 0
    checkpoint = load_reconstruction(tmp_path / "run" / STATE)
    assert checkpoint.images_seen == 12
    assert (checkpoint.config["map_size"], checkpoint.config["ppi"]) == (MAP, 250)
    assert checkpoint.latent_avg is not None
    names = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert names == [f"{kind}_{images:09d}.png" for kind in ("held_out", "sampled") for images in (8, 12)]
    assert list((tmp_path / "run/tensorboard").iterdir())
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"held_out/recall", "held_out/precision", "held_out/chance_recall"} <= set().union(*rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either --data FOLDER or --fingers N"),
        ({"fingers": 4, "data": "x"}, "either --data FOLDER or --fingers N"),
        ({"fingers": 4, "depth": "resnet"}, "--depth resnet: must be one of"),
        ({"fingers": 4, "sampled": 1.5}, "--sampled 1.5"),
        ({"fingers": 4, "noise_maps": "", "map_size": 96}, "--map-size 96: with --noise-maps a power of two"),
        ({"fingers": 4, "device": "warp"}, "--device warp"),
        ({"data": "/nowhere"}, "/nowhere: no such folder"),
    ],
)
def test_command_refuses(tmp_path, generator, options, words):
    save_generator(tmp_path / "g.pt", g_ema=generator)
    result = run_command(generator=tmp_path / "g.pt", out=tmp_path / "run", **options)
    assert isinstance(result.exception, BadInput)
    assert words in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_command_refuses_a_minutiae_network_of_other_images(tmp_path, generator, masters):
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    other = MinutiaeTrainer(Repeated(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)), 16, 16, 4, 0, CPU)
    (tmp_path / "net").mkdir()
    other.save(tmp_path / "net" / STATE)
    result = run_command(
        generator=tmp_path / "g.pt",
        fingers=4,
        masters=masters,
        out=tmp_path / "run",
        minutiae_net=tmp_path / "net",
    )
    assert isinstance(result.exception, BadInput)
    assert "is of a minutiae network for" in str(result.exception)


def test_a_minutiae_network_of_another_field_is_used(tmp_path, generator, masters):
    """It is convolutional throughout: images of the same pixels per inch are enough."""
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    smaller = MinutiaeTrainer(Repeated(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)), 16, 32, 4, 0, CPU)
    smaller.images_seen = 8
    (tmp_path / "net").mkdir()
    smaller.save(tmp_path / "net" / STATE)
    before = (tmp_path / "net" / STATE).read_bytes()
    result = run_command(
        generator=tmp_path / "g.pt", fingers=4, masters=masters, out=tmp_path / "run", images=4,
        minutiae_net=tmp_path / "net", minutiae_images=8, workers=1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "net" / STATE).read_bytes() == before
    assert load_reconstruction(tmp_path / "run" / STATE).images_seen == 4
