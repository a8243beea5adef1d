"""Adapting a generator with ridge noise to scans: energy score, looks, resuming, command and errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.bundle.ridge_noise import noise_images, of_white
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.training.checkpoints import load_generator
from fingergen.training.cli import main
from fingergen.training.data.scans import ScanDataset, Scans
from fingergen.training.losses.energy import energy_score
from fingergen.training.trainers.adaptation import AdaptationConfig, AdaptationTrainer
from fingergen.training.trainers.generator_config import SHAPE
from fingergen.training.trainers.training_loop import Interruption, train

from .test_distributed import assert_same_run, assert_same_weights, together
from .test_ridge_noise import stripes, tiny_trainer

CPU = torch.device("cpu")


class BrightScans:
    """Scans of straight ridges, brighter than most looks of `Stripes`; no two are alike bright."""

    scans = tuple(f"{number}_1" for number in range(24))

    def draw(self, rng: np.random.Generator, count: int) -> Scans:
        return self._scans(rng.permutation(len(self.scans))[:count])

    def spare(self, count: int) -> Scans:
        return self._scans(np.arange(count))

    def _scans(self, numbers: np.ndarray) -> Scans:
        ridges = torch.cat([stripes(np.random.default_rng(number), 1) for number in numbers])
        brightness = torch.from_numpy(140 + 4.0 * numbers)[:, None, None, None]
        images = (brightness - 20 * ridges).round().to(torch.uint8)
        maps = torch.cat([ridges, torch.ones_like(ridges)], dim=1)
        shown = torch.ones(images.shape, dtype=torch.bool)
        return Scans(torch.from_numpy(numbers), images, maps, shown)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with ridge noise, of 16 pixels."""
    path = tmp_path_factory.mktemp("start") / "state.pt"
    tiny_trainer().save(path)
    return path


def adaptation(start: Path, images: int = 400, **changes: float) -> AdaptationTrainer:
    config = replace(AdaptationConfig(learning_rate=0.01), **changes)
    return AdaptationTrainer(config, load_generator(start), BrightScans(), images, CPU)  # type: ignore[arg-type]


def advance(trainer: AdaptationTrainer, steps: int) -> list[dict[str, float]]:
    rows = []
    for _ in range(steps):
        rows.append(trainer.step(trainer.load_batch(trainer.images_seen)))
        trainer.images_seen += trainer.batch_size
    return rows


@pytest.mark.parametrize(("wrong", "by"), [(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 0.7)])
def test_energy_score_is_least_for_images_as_varied_as_the_real_ones(wrong: float, by: float):
    """Too little grain, none or too much is worse than the right one, and so is another brightness."""
    torch.manual_seed(0)
    reals, one, two = torch.randn(3, 16, 1, 32, 32)
    everywhere = torch.ones_like(reals)
    right = energy_score(one, two, reals, everywhere)
    assert right < energy_score(by + wrong * one, by + wrong * two, reals, everywhere)


def test_energy_score_leaves_out_what_lies_beyond_a_scan():
    torch.manual_seed(0)
    reals, one, two = torch.randn(3, 2, 1, 32, 32)
    shown = torch.ones_like(reals)
    shown[..., 20:] = 0
    before = energy_score(one, two, reals, shown)
    reals[..., 20:] = 7.0
    assert energy_score(one, two, reals, shown) == before


def test_seeds_have_looks_like_those_of_the_scans(start: Path):
    trainer = adaptation(start)
    torch.manual_seed(1)
    with torch.no_grad():
        trainer.looks.copy_(0.3 * torch.randn_like(trainer.looks) * torch.linspace(0, 1, 16) + 0.5)
    adapted = trainer.adapted()
    z = torch.randn(50_000, 16)
    found = trainer.g_ema.style[0](z)
    # Of the first layer, before its activation: what it makes of the looks themselves, and of z.
    first, before = adapted.style[1], trainer.g_ema.style[1]
    with torch.no_grad():
        seeds = found @ (first.weight * first.scale).T + first.bias * first.lr_mul
        scans = trainer.looks @ (before.weight * before.scale).T + before.bias * before.lr_mul
    torch.testing.assert_close(seeds.mean(dim=0), scans.mean(dim=0), atol=0.02, rtol=0.02)
    torch.testing.assert_close(torch.cov(seeds.T), torch.cov(scans.T), atol=0.02, rtol=0.05)


def test_the_look_of_scans_is_learned_and_the_fingers_stay(start: Path):
    trainer = adaptation(start)
    scans = trainer.dataset.spare(16)
    torch.manual_seed(2)
    z = torch.randn(16, 16)

    def brightness() -> tuple[float, float]:
        """Of images of seeds; and how their pixels follow the ridge map."""
        ridges, contact = scans.maps.split(1, dim=1)
        generator = trainer.adapted()
        white = generator.random_noise(len(ridges), torch.Generator().manual_seed(0))
        noise = noise_images(trainer.layers, ridges, contact, of_white(trainer.layers, white))
        with torch.no_grad():
            images = generator.synthesize(generator.map(z), noise)
        even = images - images.mean(dim=(1, 2, 3), keepdim=True)
        likeness = np.corrcoef(even.flatten(), -ridges.flatten())[0, 1]
        return images.mean().item() * 127.5 + 127.5, likeness

    before, unlike = brightness()
    rows = advance(trainer, 100)
    after, likeness = brightness()
    assert rows[0].keys() == {"loss/score", "loss/texture", "loss/ridges"}
    assert abs(after - 186) < 12 < abs(before - 186)
    assert likeness > 0.65 > 0.5 > unlike
    # With the looks that were learned of them, scans are in the order of their brightness.
    scans = trainer.dataset.spare(24)
    with torch.no_grad():
        w = trainer._map(trainer.g_ema, trainer.looks)
        drawn = trainer.generator.random_noise(24, torch.Generator().manual_seed(0))
        white = of_white(trainer.layers, drawn)
        images = trainer.g_ema.synthesize(w, noise_images(trainer.layers, *scans.maps.split(1, dim=1), white))
    assert np.corrcoef(images.mean(dim=(1, 2, 3)), np.arange(24))[0, 1] > 0.7


def test_resumed_adaptation_ends_bit_equal(start: Path, tmp_path: Path):
    whole, first, resumed = (adaptation(start) for _ in range(3))
    advance(whole, 6)
    advance(first, 3)
    first.save(tmp_path / "state.pt")
    resumed.load(tmp_path / "state.pt")
    assert resumed.images_seen == first.images_seen
    advance(resumed, 3)
    assert torch.equal(whole.looks, resumed.looks)
    for expected, found in ((whole.generator, resumed.generator), (whole.adapted(), resumed.adapted())):
        for key, value in expected.state_dict().items():
            assert torch.equal(value, found.state_dict()[key]), key


def test_a_state_says_what_its_layers_take_and_of_which_scans_it_is(start: Path, tmp_path: Path):
    trainer = adaptation(start)
    advance(trainer, 1)
    trainer.save(tmp_path / "state.pt")
    saved = load_generator(tmp_path / "state.pt")
    assert saved.config["noise"] == "ridges" and saved.config["looks"] == [] and saved.config["ppi"] == 250
    assert saved.config["noise_layers"][3] == {"source": "ridges", "gain": 1.5}
    origin = load_generator(start).config
    assert {key: saved.config[key] for key in SHAPE} == {key: origin[key] for key in SHAPE}
    trainer.dataset.scans = trainer.dataset.scans[::-1]  # type: ignore[misc]
    with pytest.raises(BadInput, match="was adapted to other scans"):
        trainer.load(tmp_path / "state.pt")
    with pytest.raises(BadInput, match="is no state of an adaptation"):
        adaptation(start).load(start)


def test_a_state_is_continued_with_a_generator_like_its_own_alone(start: Path, tmp_path: Path):
    """Not with the same weights, and z as it is, where they were learned for normalized z."""
    adaptation(start).save(tmp_path / "state.pt")
    tiny_trainer(raw_z=True).save(tmp_path / "raw.pt")
    with pytest.raises(BadInput, match=r"state\.pt: was adapted from a generator of another architecture"):
        adaptation(tmp_path / "raw.pt").load(tmp_path / "state.pt")


def test_a_training_that_starts_from_an_adapted_generator_has_its_looks(start: Path, tmp_path: Path):
    adapted = adaptation(start)
    torch.nn.init.normal_(adapted.looks)
    adapted.save(tmp_path / "state.pt")
    trainer = tiny_trainer()
    trainer.start_from(tmp_path / "state.pt")
    z = torch.randn(3, 16)
    for network in (trainer.generator, trainer.g_ema):
        assert torch.equal(network.map(z), adapted.adapted().map(z))


def train_adaptation(start: Path, out: Path) -> None:
    for _ in train(adaptation(start), out, 64, 64, Interruption()):
        pass


@pytest.mark.slow
def test_adaptation_of_two_processes_is_that_of_one(start: Path, tmp_path: Path):
    train_adaptation(start, tmp_path / "one")
    together(train_adaptation, start, tmp_path / "two")
    assert_same_run(tmp_path / "two", tmp_path / "one")
    one, two = (load_generator(tmp_path / run / "state.pt") for run in ("one", "two"))
    torch.testing.assert_close(two.extra["looks"], one.extra["looks"], rtol=2e-3, atol=2e-3)
    assert_same_weights(two.g_ema, one.g_ema)


def write_scans(folder: Path, count: int, size: tuple[int, int] = (64, 64)) -> Path:
    """A dataset as `fg-train prepare --size 64 --ridge-maps` writes it, of gray images."""
    for name in ("images", "ridges"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        Image.new("L", size, 100).save(folder / f"images/{number}_1.png")
        Image.new("RGB", size, (127, 255, 0)).save(folder / f"ridges/{number}_1.png")
    (folder / "dataset.json").write_text('{"size": [64, 64], "target_ppi": 500}')
    return folder


def test_what_lies_beyond_a_scan_is_told(tmp_path: Path):
    folder = write_scans(tmp_path, 20)
    for path in (folder / "ridges").iterdir():
        ridges = Image.new("RGB", (64, 64), (127, 255, 0))
        ridges.paste((127, 0, 255), (0, 0, 32, 64))
        ridges.save(path)
    scans = ScanDataset(folder, 16, 125.0).draw(np.random.default_rng(0), 4)
    assert len(set(scans.numbers.tolist())) == 4
    assert not scans.shown[..., :8].any() and scans.shown[..., 8:].all()


def test_prepare_marks_what_lies_beyond_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    pixels = take_impression(make_finger(1, (256, 256)), 0).pixels[20:236]
    Image.fromarray(pixels).save("raw/1_1.png", dpi=(500, 500))
    words = ["--size", "256", "--background", "keep", "--extractor", "none", "--ridge-maps"]
    result = CliRunner().invoke(main, ["prepare", "raw", *words, "--processes", "1", "--out", "scans"])
    assert result.exit_code == 0, result.output
    beyond = np.asarray(Image.open("scans/ridges/1_1.png"))[..., 2] == 255
    assert (beyond.sum(axis=0) >= 40).all()  # rows above and below; the middle of the print is in the middle
    assert (np.asarray(Image.open("scans/images/1_1.png"))[beyond] == 255).all()
    assert not beyond[80:176, 80:176].any()


def test_the_command_adapts_a_generator_and_says_what_is_wrong(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def run(*words: str) -> tuple[int, str]:
        common = ["generator", "--start-from", str(start), "--device", "cpu", "--out", "run"]
        result = CliRunner().invoke(main, [*common, *words])
        return result.exit_code, result.stderr

    monkeypatch.chdir(tmp_path)
    write_scans(tmp_path / "few", 19)
    write_scans(tmp_path / "scans", 20)
    # 64 pixels of 500 ppi are 16 of 125 ppi; the generator's have 250.
    assert run("--data", "scans", "--images", "8") == (
        2, f"main: error: scans: its images, as 16 x 16 pixels, have 125 ppi; those of {start} have 250: "
        "fg-train prepare --size 32 --ridge-maps\n")  # fmt: skip
    code, error = run("--data", "few", "--ppi", "250")
    assert code == 2 and "few: holds 19 scans; give 20 at least" in error
    code, error = run("--data", "scans", "--ppi", "250", "--r1-weight", "3")
    assert code == 2 and "r1-weight 3.0: has no effect without --noise ridges" in error
    code, error = run("--data", "scans", "--ppi", "250", "--images", "8", "--batch", "4")
    assert code == 0, error
    assert load_generator(tmp_path / "run/state.pt").images_seen == 8
