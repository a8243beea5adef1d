"""Figures taken during training: distances against closed forms, features."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import impressions, make_finger
from fingergen.training.checkpoints import load_generator
from fingergen.training.checkpoints.files import write
from fingergen.training.cli import main
from fingergen.training.data.datasets import ImageFolder, ProceduralFingers
from fingergen.training.metrics.features import FingerprintFeatures, InceptionFeatures
from fingergen.training.metrics.fingerprints import NOTHING, Unreadable, bozorth3, measure
from fingergen.training.metrics.generator import GeneratorMetrics, MetricsConfig, to_print
from fingergen.training.networks import Generator
from fingergen.training.networks.minutiae_net import MinutiaeNet

CPU = torch.device("cpu")


# -- features -----------------------------------------------------------------------------------------------


def test_fingerprint_features_are_of_the_image_alone():
    torch.manual_seed(0)
    extractor = FingerprintFeatures(MinutiaeNet(width=2).eval())
    images = torch.rand(3, 1, 16, 16) * 2 - 1
    features = extractor(images)
    assert features.shape == (3, 2 * (2 + 4 + 8 + 16))
    torch.testing.assert_close(extractor(images[1:2]), features[1:2])
    assert (features[0] - features[1]).abs().max() > 1e-3


class _Inception(nn.Module):
    """Stands for torchvision's, where that is not installed: its interface, not its layers."""

    def __init__(self, weights: None, aux_logits: bool, transform_input: bool, init_weights: bool) -> None:
        super().__init__()
        assert aux_logits and not transform_input and weights is None
        self.convolution = nn.Conv2d(3, 2048, 8, 64)
        self.fc: nn.Module = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 299, 299) and not self.training
        return self.fc(self.convolution(x).mean(dim=(2, 3)))


def inception(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Put weights in `path` that `InceptionFeatures` takes, of torchvision's network if it is there."""
    try:
        from torchvision.models import inception_v3
    except (ImportError, RuntimeError):  # not installed, or not of this PyTorch
        inception_v3 = _Inception
        models = type(sys)("torchvision.models")
        models.inception_v3 = inception_v3  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchvision", type(sys)("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.models", models)
    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
    write(path, network.state_dict())


def test_inception_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    inception(monkeypatch, tmp_path / "inception.pth")
    extractor = InceptionFeatures(tmp_path / "inception.pth", CPU)
    features = extractor(torch.stack([torch.full((1, 32, 32), 1.0), torch.full((1, 32, 32), -1.0)]))
    assert features.shape == (2, 2048)
    assert not torch.equal(features[0], features[1])
    write(tmp_path / "other.pth", {"fc.weight": torch.zeros(3)})
    with pytest.raises(BadInput, match=r"other.pth: are not the weights of torchvision's inception_v3"):
        InceptionFeatures(tmp_path / "other.pth", CPU)


def test_missing_torchvision_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(BadInput, match=r"--inception: needs the torchvision of PyTorch .*; install that"):
        InceptionFeatures(tmp_path / "inception.pth", CPU)


# -- NIST's code --------------------------------------------------------------------------------------------


def test_a_fingerprint_is_told_from_noise():
    images, templates = impressions([make_finger(10_000_000, (192, 192))], [0])
    finger = measure(images[0])
    assert finger.quality > 30
    assert abs(len(finger.minutiae) - len(templates[0].minutiae)) <= len(templates[0].minutiae) / 3
    noise = measure(np.random.default_rng(0).integers(256, size=(192, 192), dtype=np.uint8))
    certain, uncertain = (np.median([row[4] for row in seen.minutiae]) for seen in (finger, noise))
    assert noise.quality < finger.quality and uncertain < certain / 2


def test_an_image_without_any_print_is_said():
    with pytest.raises(Unreadable, match="NFIQ 2 and MINDTCT cannot read it"):
        measure(np.full((128, 128), 255, np.uint8))


def test_nothing_matches_nothing():
    assert bozorth3([NOTHING.record, NOTHING.record], [(0, 1)]).tolist() == [0]


def test_images_get_the_resolution_that_nfiq2_is_defined_at():
    image = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    image[:, :, :16] = 0
    measured = to_print(image, 250)
    assert measured.shape == (64, 64) and measured.dtype == np.uint8
    assert (measured[5, 5], measured[5, 60]) == (0, 255)
    assert to_print(image, 500).shape == (32, 32)


# -- measurement --------------------------------------------------------------------------------------------


class Ramps:
    """Images of random slope."""

    def __init__(self, images: int = 200) -> None:
        slope = np.random.default_rng(0).uniform(0, 255 / 16, size=(images, 1, 1, 1))
        self.images = torch.from_numpy((slope * np.arange(16) * np.ones((16, 1))).astype(np.uint8))

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return self.images[rng.integers(len(self.images), size=count)]

    def distinct(self, first: int, count: int) -> torch.Tensor:
        return self.images[first : first + count]


class Extractor(FingerprintFeatures):
    """Counts what it sees."""

    seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return super().__call__(images)


def measurement(
    folder: Path, metrics: str = "fid,kid,diversity", images: int = 70, dataset: Ramps | None = None
) -> GeneratorMetrics:
    torch.manual_seed(0)
    generator = Generator(16, 1, 8, 1, 64, 4).eval()
    config = MetricsConfig(metrics_every=8, metrics=metrics, metrics_images=images, quality_images=2)
    extractors = {"": Extractor(MinutiaeNet(width=2).eval())}
    return GeneratorMetrics(config, generator, dataset or Ramps(), 50, extractors, folder)


def test_measurement(tmp_path: Path):
    first = measurement(tmp_path)
    figures = first.compute()
    assert list(figures) == ["fid", "kid", "diversity", "real/diversity"] and first.names == [
        "fid",
        "kid",
        "diversity",
    ]
    assert figures["fid"] > 0 and figures["diversity"] > 0
    assert seen_by(first) == 2 * 70
    state = torch.random.get_rng_state()
    assert first.compute() == figures
    assert torch.equal(torch.random.get_rng_state(), state)
    assert seen_by(first) == 3 * 70, "statistics of the data are kept in memory"
    again = measurement(tmp_path)
    assert again.compute() == figures
    assert seen_by(again) == 70, "and in the run directory"


def seen_by(metrics: GeneratorMetrics) -> int:
    extractor = metrics.extractors[""]
    assert isinstance(extractor, Extractor)
    return extractor.seen


def other_last_image(one: GeneratorMetrics) -> None:
    assert isinstance(one.dataset, Ramps)
    one.dataset.images[69, 0, 3, 3] ^= 1


def other_network(one: GeneratorMetrics) -> None:
    with torch.no_grad():
        one.extractors[""].network.get_parameter("up.0.0.weight").mul_(1.01)


def fewer_images(one: GeneratorMetrics) -> None:
    one.config = replace(one.config, metrics_images=69)


@pytest.mark.parametrize("change", [other_last_image, other_network, fewer_images])
def test_statistics_of_other_data_are_not_used(change: Callable[[GeneratorMetrics], None], tmp_path: Path):
    before = measurement(tmp_path).compute()
    changed, anew = measurement(tmp_path), measurement(tmp_path / "empty")
    change(changed)
    change(anew)
    found = changed.compute()
    assert found == anew.compute() != before
    assert seen_by(changed) == seen_by(anew) == 2 * changed.config.metrics_images


@pytest.mark.parametrize("option", ["ppi", "quality_images"])
def test_statistics_of_another_quality_are_not_used(option: str, tmp_path: Path):
    one, other = (measurement(tmp_path, "quality,minutiae", images=40) for _ in range(2))
    if option == "ppi":
        other.ppi = 60
    else:
        other.config = replace(other.config, quality_images=3)
    assert one._real_digest() != other._real_digest()


class Pixels:
    """The image itself as its features."""

    network = nn.Identity()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def test_an_image_of_the_data_counts_once(tmp_path: Path):
    """The data are 200 images of noise, a perfect generator makes other images of noise. A set
    drawn from 200 images with replacement has k(x, x) in the place of k(x, x') once in 200 times: 0.007."""
    noise = torch.from_numpy(np.random.default_rng(0).integers(256, size=(1200, 1, 16, 16), dtype=np.uint8))
    dataset = Ramps()
    dataset.images, perfect = noise[:200], noise[200:]
    found = measurement(tmp_path, "kid", images=1000, dataset=dataset)
    found.extractors = {"": Pixels()}
    assert [len(images) for images in found._real_images()] == [32] * 6 + [8]
    found._made_images = lambda: iter(perfect.split(32))  # type: ignore[method-assign]
    assert abs(found.compute()["kid"]) < 0.001
    drawn = perfect[np.random.default_rng(3).integers(200, size=1000)]
    found._made_images = lambda: iter(drawn.split(32))  # type: ignore[method-assign]
    assert found.compute()["kid"] > 0.005


def test_generated_images_are_compared_as_bytes(tmp_path: Path):
    """As their files will be: 256 levels, nothing beyond black and white."""
    metrics = measurement(tmp_path)
    with torch.no_grad():
        metrics.generator.to_rgbs[-1].bias.fill_(0.7)
    assert metrics.generator(torch.randn(4, 8)).max() > 1
    images = torch.cat(list(metrics._made_images()))
    assert images.dtype == torch.uint8 and images.shape == (70, 1, 16, 16)
    z = torch.from_numpy(np.stack([seeds.z(seed, 8) for seed in range(70)]))
    expected = ((metrics.generator(z).detach().numpy() + 1) * 127.5).round().clip(0, 255)
    np.testing.assert_array_equal(images.numpy(), expected.astype(np.uint8))


@pytest.mark.parametrize("memory", [4 << 30, 0])
def test_distinct_images_of_a_folder(memory: int, tmp_path: Path):
    for index in range(40):
        Image.new("L", (4, 4), index).save(tmp_path / f"{index}.png")
    dataset = ImageFolder(tmp_path, 4, 1, memory=memory)
    parts = [dataset.distinct(first, 16) for first in (0, 16, 32, 48)]
    assert [len(part) for part in parts] == [16, 16, 8, 0] and parts[-1].shape == (0, 1, 4, 4)
    levels = torch.cat(parts)[:, 0, 0, 0].tolist()
    assert sorted(levels) == list(range(40)) != levels


def test_distinct_images_of_procedural_fingers(tmp_path: Path):
    dataset = ProceduralFingers(tmp_path, 3, 64, 32)
    images = torch.cat([dataset.distinct(0, 4), dataset.distinct(4, 2)])
    assert images.shape == (6, 1, 32, 32)
    assert len({image.numpy().tobytes() for image in images}) == 6


def test_one_image_is_too_few(tmp_path: Path):
    with pytest.raises(BadInput, match="--metrics fid,kid,diversity: the dataset has 1 image; give 2"):
        measurement(tmp_path, dataset=Ramps(1)).compute()


def test_measurement_of_the_data_itself_is_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    same = measurement(tmp_path)
    monkeypatch.setattr(same, "_made_images", same._real_images)
    figures = same.compute()
    assert figures["fid"] == pytest.approx(0, abs=1e-6)
    assert figures["diversity"] == figures["real/diversity"]


def test_damaged_statistics_are_taken_anew(tmp_path: Path):
    figures = measurement(tmp_path).compute()
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert measurement(tmp_path).compute() == figures


def test_measured_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measured = measurement(tmp_path, "quality,minutiae", images=40)
    measured.extractors = {}
    assert measured.quality == ["quality", "minutiae"]
    figures = measured.compute()
    assert set(figures) == {"quality", "minutiae", "real/quality", "real/minutiae"}
    assert 0 <= figures["quality"] <= 100 and figures["minutiae"] >= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"metrics": "fid,fud"},
            "--metrics fid,fud: 'fud' is none of fid, kid, diversity, quality, minutiae",
        ),
        ({"metrics_images": 1}, "--metrics-images 1: must be 2 or more"),
        ({"metrics_every": -1}, "--metrics-every -1: must be 0 or more"),
        (
            {"metrics_images": 5, "quality_images": 6},
            "--quality-images 6: must not be more than --metrics-images",
        ),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str):
    with pytest.raises(BadInput, match=message):
        MetricsConfig(**options)  # type: ignore[arg-type]


# -- command ------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A dataset of 12 images with maps."""
    rng = np.random.default_rng(0)
    for kind, channels in (("images", ()), ("maps", (3,))):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(256, size=(16, 16, *channels), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / kind / f"{index:02d}.png")
    return tmp_path / "data"


def command(data: Path, out: Path, *options: str) -> list[str]:
    return [
        *("generator", f"--data={data}", f"--out={out}", "--resolution=16", "--style-dim=8", "--n-mlp=1"),
        *("--channel-base=64", "--channel-max=4", "--batch=4", "--device=cpu", "--images=32"),
        *("--ppi=50", "--checkpoint-every=16", "--metrics-every=8", "--metrics-images=40", *options),
    ]


@pytest.mark.slow
def test_command_measures_and_keeps_the_best(pairs: Path, tmp_path: Path):
    """The minutiae network is trained first, and serves a second run."""
    options = ["--metrics=fid,kid", "--best-by=fid", "--keep=1"]
    result = CliRunner().invoke(main, command(pairs, tmp_path / "run", *options, "--minutiae-images=16"))
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    figures = {row["images"]: (row["fid"], row["kid"]) for row in rows if "fid" in row}
    assert list(figures) == [8, 16, 24, 32] and len(set(figures.values())) == 4
    best = min(figures, key=lambda images: figures[images])
    assert load_generator(tmp_path / "run" / "best.pt").images_seen == best
    assert len(list((tmp_path / "run" / "states").iterdir())) == 1

    options[2:] = [f"--minutiae-net={tmp_path / 'run' / 'minutiae_net'}"]
    result = CliRunner().invoke(main, command(pairs, tmp_path / "again", *options))
    assert result.exit_code == 0, result.output
    files = [tmp_path / run / "metrics.jsonl" for run in ("run", "again")]
    assert files[0].read_text() == files[1].read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics=fid"], "has no templates or maps to train a minutiae network with; give --minutiae-net"),
        (
            ["--metrics=kid", "--minutiae-net={net}"],
            "sees images of 100 ppi, these have 50; give another or none",
        ),
        (["--metrics=fid", "--minutiae-net={other}"], "is not a state of a minutiae network"),
        (["--keep=0"], "--keep 0: must be 1 or more"),
    ],
)
def test_wrong_options_get_one_line(options: list[str], message: str, pairs: Path, tmp_path: Path):
    network = {"minutiae_net": MinutiaeNet(width=2).state_dict()}
    write(tmp_path / "net.pt", {**network, "config": {"resolution": 16, "window": 80, "width": 2}})
    write(tmp_path / "other.pt", {"g": {}})
    files = {"net": tmp_path / "net.pt", "other": tmp_path / "other.pt"}
    given = [option.format(**files) for option in options]
    result = CliRunner().invoke(main, command(pairs / "images", tmp_path / "run", *given))
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
