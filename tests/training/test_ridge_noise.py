"""Training with ridge noise: its loss, the condition, the data, resuming, and that ridges are learned."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.runtime.fingers.capture.look import EFFECTS, EXTREME
from fingergen.training.augmentation.augment import augment, draw_transforms
from fingergen.training.checkpoints import load_generator
from fingergen.training.cli import main
from fingergen.training.data import ridge_maps
from fingergen.training.data.ridge_maps import FIELDS, LOOK, SLOW, ProceduralRidges, RidgeImages
from fingergen.training.losses.ridges import ridge_loss, rim_loss
from fingergen.training.networks.generator import NoiseInjection
from fingergen.training.trainers.generator import GeneratorTrainer
from fingergen.training.trainers.noise import RidgeNoise

from . import tiny_generator
from .tiny_generator import advance

CPU = torch.device("cpu")
TINY = replace(
    tiny_generator.TINY,
    noise="ridges",
    r1_weight=1.0,
    path_weight=0.0,
    mixing=0.0,
    l1_images=0,
    ema_half_life=200,
)


def stripes(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Ridge maps (N, 1, 16, 16) of straight ridges in any direction."""
    y, x = np.mgrid[:16, :16]
    angle, phase = rng.uniform(0, 2 * np.pi, (2, count, 1, 1))
    waves = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / 5 + phase)
    return torch.from_numpy(waves.astype(np.float32))[:, None]


class Stripes:
    """Prints of straight ridges; the first number of the look is their brightness."""

    look = 2
    names = ("brightness",)
    known = (2,)  # the second layer of 8 pixels

    def batch(self, rng: np.random.Generator, count: int) -> RidgeImages:
        ridges = stripes(rng, count)
        look = torch.from_numpy(rng.standard_normal((count, self.look), np.float32))
        images = 127.5 - 50 * ridges + 35 * look[:, :1, None, None].clamp(-2, 2)
        maps = torch.cat([ridges, torch.ones_like(ridges)], dim=1)
        field = torch.from_numpy(rng.standard_normal((count, 1, 8, 8), np.float32))
        return RidgeImages(images.round().to(torch.uint8), maps, look, (field,))

    def held_out(self, count: int) -> RidgeImages:
        return self.batch(np.random.default_rng(99), count)


class UnknownLooks(Stripes):
    look = 0
    names = ()
    known = ()

    def batch(self, rng: np.random.Generator, count: int) -> RidgeImages:
        return Stripes().batch(rng, count)._replace(look=torch.empty((count, 0)), fields=())


def tiny_trainer(**changes: Any) -> GeneratorTrainer:
    return GeneratorTrainer(replace(TINY, **changes), Stripes(), {"ppi": 250.0}, CPU)


@pytest.mark.parametrize(("contrast", "brightness"), [(1.0, 0.0), (0.5, 0.3), (0.3, -0.5)])
def test_ridge_loss_knows_ridges_from_valleys_whatever_the_look(contrast: float, brightness: float):
    ridges = stripes(np.random.default_rng(0), 4)
    contact = torch.ones_like(ridges)
    right = ridge_loss(brightness - contrast * ridges, -ridges, ridges, contact, 250.0)
    wrong = ridge_loss(brightness + contrast * ridges, -ridges, ridges, contact, 250.0)
    flat = ridge_loss(torch.full_like(ridges, brightness), -ridges, ridges, contact, 250.0)
    assert right < 0.05
    assert wrong > 1.95
    assert flat == pytest.approx(1.0, abs=0.01)


def test_ridge_loss_wants_ridges_no_clearer_than_real_ones():
    ridges = stripes(np.random.default_rng(0), 4)
    contact, grain = torch.ones_like(ridges), torch.randn(ridges.shape)
    broken = grain - ridges
    assert ridge_loss(broken, broken, ridges, contact, 250.0) == 0
    assert ridge_loss(-ridges, broken, ridges, contact, 250.0) == 0
    assert ridge_loss(broken, -ridges, ridges, contact, 250.0) > 0.1


def test_ridge_loss_counts_inside_the_contact_only():
    ridges = stripes(np.random.default_rng(0), 1)
    contact = torch.zeros_like(ridges)
    contact[..., :8] = 1
    images = -ridges
    images[..., 14:] = ridges[..., 14:]  # wrong, but out of reach of the window of what touches
    assert ridge_loss(images, -ridges, ridges, contact, 250.0) < 0.1
    assert ridge_loss(images, -ridges, ridges, 1 - contact, 250.0) > 0.3


def test_condition_says_noise_look_and_what_the_discriminator_sees():
    noise = RidgeNoise(TINY, 2, 250.0, known=(2,))
    images, condition = noise.split(Stripes().held_out(4))
    ridges = condition[0][:, :1]
    white = [torch.randn(4, 1, size, size) for size in (4, 8, 8, 16, 16)]
    made = noise.noise(white, condition)
    assert made[0] is white[0] and made[4] is white[4]
    torch.testing.assert_close(made[2], condition[2])  # a known field is the second of its size
    torch.testing.assert_close(made[3], 1.5 * ridges)
    z = noise.z(torch.randn(4, 2, 16), condition)
    assert torch.equal(z[:, 0, :2], condition[1]) and torch.equal(z[:, 1, :2], condition[1])
    assert not torch.equal(z[:, 0, 2:], z[:, 1, 2:])
    seen = noise.beside(images.float() / 127.5 - 1, condition)
    assert seen.shape == (4, 1 + 2 + 2, 16, 16)
    torch.testing.assert_close(seen[:, 1:2], ridges)
    assert (seen[:, 2] == 1).all()
    assert torch.equal(seen[:, 3, 5, 7], condition[1][:, 0])


def test_rim_loss_sees_ridges_that_break_off_whatever_the_paper():
    ridges = stripes(np.random.default_rng(0), 4)
    contact = torch.linspace(0.2, 0.01, 16).expand_as(ridges)
    fading = 0.5 - ridges * contact
    broken = torch.where(contact > 0.1, fading, torch.full_like(fading, 0.5))
    assert rim_loss(fading, fading, contact, 250.0) == 0
    assert rim_loss(fading + 0.1, fading, contact, 250.0) < 1e-6
    assert rim_loss(broken, fading, contact, 250.0) > 0.003
    assert rim_loss(broken, fading, torch.ones_like(contact), 250.0) == 0


@pytest.mark.parametrize("name", ["grain", "roughness", "spot", "tone"])
def test_weights_count_in_the_loss(name: str):
    config = replace(TINY, resolution=64, l1_images=0, **{f"{name}_weight": 2.0})
    noise, plain = (
        RidgeNoise(one, 2, 250.0, known=(2,)) for one in (config, replace(config, **{f"{name}_weight": 0.0}))
    )
    images, condition = noise.split(Stripes().held_out(4))
    images, condition[0] = (
        torch.nn.functional.interpolate(each.float(), size=64) for each in (images, condition[0])
    )
    reals = images / 127.5 - 1
    fakes = reals + 0.1 * torch.randn_like(reals)
    total, figures = noise.loss(fakes, reals, condition, 0)
    without, _ = plain.loss(fakes, reals, condition, 0)
    torch.testing.assert_close(total, without + 2.0 * figures[f"loss/{name}"])
    assert figures[f"loss/{name}"] > 0


def test_l1_weight_falls_in_a_straight_line():
    noise = RidgeNoise(replace(TINY, l1_weight=4.0, l1_images=1000, ridge_weight=0.0), 2, 250.0, known=(2,))
    images, condition = noise.split(Stripes().held_out(4))
    reals = images.float() / 127.5 - 1
    fakes = reals + 0.5
    for seen, expected in ((0, 2.0), (500, 1.0), (1000, 0.0), (5000, 0.0)):
        total, _ = noise.loss(fakes, reals, condition, seen)
        assert total.item() == pytest.approx(expected, abs=1e-4)


def test_transforms_move_the_ridge_map_with_the_image_and_keep_its_values():
    torch.manual_seed(3)
    image = stripes(np.random.default_rng(0), 6)
    transforms = draw_transforms(6, 1, 16, 1.0, CPU)
    alone = augment(image, transforms)
    both = augment(torch.cat([image, image], dim=1), transforms)
    torch.testing.assert_close(both[:, :1], alone)
    neutral = transforms._replace(color=torch.tensor([[[1.0, 0.0]]]).expand(6, 1, 2))
    torch.testing.assert_close(both[:, 1:], augment(image, neutral))
    assert not torch.allclose(both[:, :1], both[:, 1:])


@pytest.mark.slow
def test_ridges_and_look_are_learned():
    """Ridges run where the map of an unseen print says, and the look says how bright it is."""
    trainer = tiny_trainer(learning_rate=0.01, n_mlp=1)
    batch = Stripes().held_out(32)
    reals, condition = trainer._prepare(batch)

    def figures() -> tuple[float, float]:
        images = trainer.looks(condition)[0]
        ridges, contact = condition[0].split(1, dim=1)
        brightness = np.corrcoef(images.mean(dim=(1, 2, 3)).numpy(), reals.mean(dim=(1, 2, 3)).numpy())[0, 1]
        return ridge_loss(images, -ridges, ridges, contact, 250.0).item(), brightness

    before, _ = figures()
    advance(trainer, 100)
    after, brightness = figures()
    assert before > 0.7
    assert after < 0.15
    assert brightness > 0.9


@pytest.mark.parametrize(
    "options", [{}, {"augment": True, "augment_p": 0.3, "accumulate": 2, "path_weight": 2.0}]
)
def test_resumed_training_ends_bit_equal(tmp_path: Path, options: dict[str, Any]):
    whole, first, resumed = (tiny_trainer(**options) for _ in range(3))
    advance(whole, 6)
    advance(first, 3)
    first.save(tmp_path / "state.pt")
    resumed.load(tmp_path / "state.pt")
    advance(resumed, 3)
    for network in ("generator", "discriminator", "g_ema"):
        expected, found = (getattr(trainer, network).state_dict() for trainer in (whole, resumed))
        for key, value in expected.items():
            assert torch.equal(value, found[key]), f"{network}.{key}"


def test_a_state_says_what_its_layers_take_and_is_no_other_kind_of_training(tmp_path: Path):
    trainer = tiny_trainer()
    trainer.save(tmp_path / "state.pt")
    config = load_generator(tmp_path / "state.pt").config
    assert config["noise"] == "ridges"
    assert config["noise_layers"][3] == {"source": "ridges", "gain": 1.5}
    assert config["look"] == 2
    assert config["looks"] == ["brightness"]
    with pytest.raises(BadInput, match=r"state.pt: was trained with noise ridges, not random"):
        GeneratorTrainer(replace(TINY, noise="random"), Stripes(), {"ppi": 250.0}, CPU).load(
            tmp_path / "state.pt"
        )
    with pytest.raises(BadInput, match=r"state.pt: was trained with look 2, not 0"):
        GeneratorTrainer(TINY, UnknownLooks(), {"ppi": 250.0}, CPU).load(tmp_path / "state.pt")


def test_procedural_impressions_come_with_their_ridge_maps(tmp_path: Path):
    dataset = ProceduralRidges(tmp_path, 1, 128, 64)
    rng = np.random.default_rng(0)
    one, two = dataset.batch(rng, 3), dataset.batch(rng, 3)
    assert one.images.shape == (3, 1, 64, 64) and one.images.dtype == torch.uint8
    assert one.maps.shape == (3, 2, 64, 64) and one.maps.dtype == torch.float32
    assert one.look.shape == (3, LOOK)
    assert [field.shape[-1] for field in one.fields] == list(FIELDS.values())  # 64 and 32 are taken
    assert not torch.equal(one.maps, two.maps)
    ridges, contact = one.maps.split(1, dim=1)
    images = one.images.float() / 127.5 - 1
    # Fading, dryness and blotches hide some of the ridges.
    assert ridge_loss(images, -ridges, ridges, contact, 250.0) < 0.5
    assert ridge_loss(images.roll(1, 0), -ridges, ridges, contact, 250.0) > 0.8
    held_out = dataset.held_out(2)
    assert torch.equal(held_out.images, dataset.held_out(2).images)
    with pytest.raises(BadInput, match="--window 100: must be a multiple of --resolution 64"):
        ProceduralRidges(tmp_path, 1, 100, 64)


def test_a_network_of_500_ppi_takes_maps_of_250(tmp_path: Path):
    config = replace(TINY, resolution=128, l1_weight=5.0, paired_images=10**6)
    dataset = ProceduralRidges(tmp_path, 1, 128, 128)
    trainer = GeneratorTrainer(config, dataset, {"ppi": 500.0}, CPU)
    drawn = dataset.held_out(2)
    assert drawn.maps.shape == (2, 2, 64, 64) and drawn.images.shape == (2, 1, 128, 128)
    # 8, 16, 32 and 64 pixels; then both layers of 128 pixels, which take no ridges.
    assert dataset.known == (2, 4, 6, 8, 9, 10)
    assert [field.shape[-1] for field in drawn.fields] == [8, 16, 32, 64, 128, 128]
    strengths = [
        layer.weight.item() for layer in trainer.generator.modules() if isinstance(layer, NoiseInjection)
    ]
    assert strengths[0] == 0 and all(strengths[1:])  # nobody knows what the noise of 4 pixels would say
    images, condition = trainer._prepare(drawn)
    assert trainer.noise.beside(images, condition).shape == (2, 1 + 2 + LOOK, 128, 128)
    assert advance(trainer, 1)[0].keys() == {"loss/ridges", "loss/l1", "loss/rim"}


def test_half_of_the_impressions_look_as_in_a_preset(tmp_path: Path):
    drawn = ProceduralRidges(tmp_path, 1, 128, 128).batch(np.random.default_rng(0), 32)
    films = drawn.look[:, list(EFFECTS).index("film")]
    plain = films < -EXTREME + 0.01  # no preset has a film, and no other look is that extreme
    assert 8 <= plain.sum() <= 24
    assert len(films[~plain].unique()) == (~plain).sum()


def test_some_looks_are_edited_in_one_trait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset, named = ProceduralRidges(tmp_path, 1, 128, 128), slice(len(EFFECTS))

    def drawn(edited: float) -> RidgeImages:
        monkeypatch.setattr(ridge_maps, "EDITED", edited)
        return dataset.batch(np.random.default_rng(0), 32)

    plain, edited = drawn(0.0), drawn(1.0)
    assert plain.look[:, named].abs().max() < 4.5
    far = (edited.look[:, named].abs() > 3.5).sum(dim=1)
    assert far.sum() >= 4 and far.max() == 1
    assert all((edited.images[i] != plain.images[i]).any() for i in range(32) if far[i])


def test_half_of_the_edits_are_of_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset, places = ProceduralRidges(tmp_path, 1, 128, 128), [list(EFFECTS).index(name) for name in SLOW]
    monkeypatch.setattr(ridge_maps, "EDITED", 1.0)
    monkeypatch.setattr(ridge_maps, "SAMPLED", (None,))
    looks = torch.cat([dataset.batch(np.random.default_rng(i), 32).look for i in range(4)])
    far = looks.abs() > 3.5  # as an edit alone can change a look, and one in three does
    assert 0.3 < far[:, places].sum() / far.sum() < 0.8


def test_texture_lies_where_the_image_shows_it(tmp_path: Path):
    """Over a whole image, gray follows the texture of its own place more than that of a pixel beside it."""
    drawn = ProceduralRidges(tmp_path, 1, 128, 128).batch(np.random.default_rng(0), 8)
    images, texture = drawn.images.float(), drawn.fields[4]
    dark = images.mean() - images

    def likeness(rows: int, columns: int) -> float:
        return (dark * texture.roll((rows, columns), (2, 3))).mean().item()

    around = [likeness(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    assert likeness(0, 0) > 1.2 * max(around) > 0


@pytest.mark.slow
def test_fine_noise_of_an_impression_is_given_at_a_lower_resolution(tmp_path: Path):
    fields = ProceduralRidges(tmp_path, 1, 512, 256).batch(np.random.default_rng(0), 2).fields
    assert [field.shape[-1] for field in fields[len(FIELDS) :]] == [128, 256]
    assert all(field.std().item() == pytest.approx(1.0, abs=0.03) for field in fields[len(FIELDS) :])


def test_the_paired_phase_needs_no_discriminator():
    """The generator approaches the impressions; what the discriminator is and remembers stays as it was."""
    trainer = tiny_trainer(paired_images=80, r1_interval=1)
    before = [each.clone() for each in trainer.discriminator.parameters()]
    reals, condition = trainer._prepare(Stripes().held_out(16))
    far = (trainer.looks(condition)[0] - reals).abs().mean()
    rows = advance(trainer, 10)
    assert rows[0].keys() == {"loss/ridges", "loss/l1", "loss/rim"}
    assert all(map(torch.equal, before, trainer.discriminator.parameters()))
    assert (trainer.looks(condition)[0] - reals).abs().mean() < 0.9 * far
    assert {"loss/d", "loss/g", "loss/r1"} <= advance(trainer, 1)[0].keys()


def test_a_discriminator_that_knew_looks_goes_on_without_them(tmp_path: Path):
    """A model of procedural fingers adapts to scans, whose looks nobody knows."""
    trainer = tiny_trainer()
    advance(trainer, 1)
    trainer.save(tmp_path / "state.pt")

    other = GeneratorTrainer(TINY, UnknownLooks(), {"ppi": 250.0}, CPU)
    other.start_from(tmp_path / "state.pt")
    reals, condition = trainer._prepare(Stripes().held_out(8))
    known = [condition[0], torch.zeros_like(condition[1])]
    unknown = [condition[0], torch.empty((8, 0))]
    torch.testing.assert_close(other._logits(reals, unknown, []), trainer._logits(reals, known, []))
    rows = advance(other, 2)
    assert "loss/l1" not in rows[0] and "loss/d" in rows[0]


@pytest.mark.slow
def test_scans_with_ridge_maps_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a user does it: images, `prepare --ridge-maps`, shards or not, `generator --noise ridges --data`."""
    for number in range(12):
        finger = make_finger(number // 2, (256, 256))
        scan = Image.fromarray(take_impression(finger, number % 2).pixels)
        (tmp_path / "raw").mkdir(exist_ok=True)
        scan.save(tmp_path / f"raw/{number // 2 + 1}_{number % 2 + 1}.png", dpi=(500, 500))
    words = ["prepare", "raw", "--size", "256", "--extractor", "none", "--ridge-maps", "--shards", "6"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*words, "--processes", "1", "--out", "prints"])
    assert result.exit_code == 0, result.output
    for data in ("prints", "prints/shards"):
        out = data.replace("/", "-") + "-run"
        result = CliRunner().invoke(main, [*WORDS, "--data", data, "--images", "4", "--out", out])
        assert result.exit_code == 0, result.output
        state = load_generator(tmp_path / out / "state.pt")
        assert state.config["look"] == 0 and state.config["looks"] == []
    for path in (tmp_path / "prints/ridges").iterdir():
        path.unlink()
        break
    result = CliRunner().invoke(main, [*WORDS, "--data", "prints", "--images", "8", "--out", "more"])
    assert result.exit_code == 2 and "has no ridge map ridges/" in result.stderr


WORDS = ["generator", "--noise", "ridges", "--resolution", "32", "--style-dim", "16", "--n-mlp", "1",
         "--channel-base", "128", "--channel-max", "8", "--batch", "4", "--path-weight", "0",
         "--device", "cpu"]  # fmt: skip


def test_command_writes_a_run_and_continues_it(tmp_path: Path):
    words = [
        *WORDS,
        "--fingers",
        "1",
        "--window",
        "64",
        "--out",
        str(tmp_path / "run"),
        "--checkpoint-every",
        "8",
    ]
    for images in ("8", "16"):
        result = CliRunner().invoke(main, [*words, "--images", images])
        assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [8, 16]
    assert all({"loss/ridges", "loss/l1", "loss/rim"} <= row.keys() for row in rows)
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
    assert load_generator(tmp_path / "run" / "state.pt").config["look"] == LOOK


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "scans"], "scans: no such folder"),
        (["--data", "scans", "--paired-images", "8"], "--paired-images: needs images whose looks are known"),
        (["--data", "scans", "--tone-weight", "1"], "--tone-weight: needs images whose looks are known"),
        (["--fingers", "1", "--noise", "random", "--grain-weight", "1"], "--grain-weight 1.0: needs --noise"),
        (
            ["--fingers", "1", "--roughness-weight", "1", "--l1-weight", "0"],
            "--roughness-weight 1.0: has no effect without --l1-weight",
        ),
        (["--fingers", "1", "--spot-weight", "1"], "--spot-weight 1.0: needs --resolution 64 or more"),
        (
            ["--fingers", "1", "--resolution", "8", "--grain-weight", "1"],
            "--grain-weight 1.0: needs --resolution 16 or more",
        ),
        (["--fingers", "1", "--channels", "3"], "--noise ridges: needs --channels 1"),
        (["--fingers", "1", "--noise", "const"], "--noise const: must be one of random, ridges"),
        (["--fingers", "1", "--l1-images", "-1"], "--l1-images -1: must be 0 or more"),
        (["--fingers", "1", "--paired-images", "-1"], "--paired-images -1: must be 0 or more"),
        (["--fingers", "1", "--window", "64", "--style-dim", "8"], "--style-dim 8: must be at least 16"),
    ],
)
def test_wrong_options_get_one_line(tmp_path: Path, words: list[str], message: str):
    common = ["--images", "4", "--out", str(tmp_path / "run")]  # what is not refused ends soon
    result = CliRunner().invoke(main, [*WORDS, *common, *words])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
