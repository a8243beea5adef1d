"""Options of the generator's training: augmentation, half precision, accumulation, compilation."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fingergen.runtime.errors import BadInput
from fingergen.training import distributed
from fingergen.training.checkpoints import files, load_generator, save_generator
from fingergen.training.trainers.generator import GeneratorConfig, GeneratorTrainer

from .tiny_generator import advance, weights

CPU = torch.device("cpu")
TINY = GeneratorConfig(
    resolution=8,
    style_dim=8,
    n_mlp=1,
    channel_base=64,
    channel_max=8,
    batch=8,
    r1_interval=2,
    path_interval=2,
    learning_rate=0.01,
    num_fp16_res=1,
)


class FewImages:
    """So few that a discriminator can learn them by heart: noise, the same every time."""

    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(4, 1, 8, 8), dtype=np.uint8))

    def batch(self, rng: np.random.Generator, count: int) -> Tensor:
        return self.images[rng.integers(len(self.images), size=count)]


class OwnImages:
    """Images that no discriminator can tell from the generator's, because a like generator makes them."""

    def __init__(self, config: GeneratorConfig) -> None:
        self.generator = GeneratorTrainer(config, FewImages(), {}, CPU).generator

    @torch.no_grad()
    def batch(self, rng: np.random.Generator, count: int) -> Tensor:
        z = torch.from_numpy(rng.standard_normal((count, TINY.style_dim), dtype=np.float32))
        return ((self.generator(z).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def trainer(**changes: object) -> GeneratorTrainer:
    return GeneratorTrainer(replace(TINY, **changes), FewImages(), {"ppi": 250}, CPU)


def test_accumulation_takes_the_step_of_the_whole_batch():
    whole, parts = trainer(augment=True, augment_p=0.5), trainer(augment=True, augment_p=0.5, accumulate=2)
    for expected, found in zip(advance(whole, 3), advance(parts, 3), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert whole.mean_path_length == pytest.approx(parts.mean_path_length, rel=1e-3)
    assert whole.mean_path_length > 0
    found = weights(parts)
    for key, value in weights(whole).items():
        torch.testing.assert_close(found[key], value, atol=1e-3, rtol=1e-3, msg=key)


@pytest.mark.parametrize(("batch", "processes"), [(4, 2), (8, 4), (2, 2), (12, 2)])
def test_every_process_must_hold_whole_groups(batch: int, processes: int, monkeypatch: pytest.MonkeyPatch):
    """Minibatch statistics over groups of two would be another discriminator than one process trains."""
    monkeypatch.setattr(distributed, "count", lambda: processes)
    with pytest.raises(BadInput, match=f"--batch {batch}: must be a multiple of {4 * processes}"):
        trainer(batch=batch)


def test_parts_must_be_equal_in_every_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "count", lambda: 8)
    with pytest.raises(
        BadInput,
        match="--batch 8: must be a multiple of 64, so that each of the 8 processes, times --accumulate 2",
    ):
        trainer(accumulate=2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_resumed_run_ends_bit_equal_with_everything_on(precision: str, tmp_path: Path):
    """The strength of augmentation and the scale of float16's losses are part of the state."""
    options = {"augment": True, "ada_target": -1.0, "ada_length": 64, "ada_interval": 16, "accumulate": 2}
    whole, first, resumed = (trainer(precision=precision, **options) for _ in range(3))
    advance(whole, 6)
    advance(first, 3)  # in the midst of an interval
    first.save(tmp_path / "state.pt")
    assert load_generator(tmp_path / "state.pt").ada_p == first.strength.p > 0
    resumed.load(tmp_path / "state.pt")
    advance(resumed, 3)
    found = weights(resumed)
    for key, value in weights(whole).items():
        assert torch.equal(found[key], value), key
    assert resumed.strength.p == whole.strength.p
    assert resumed.mean_path_length == whole.mean_path_length
    if precision == "fp16":
        assert whole.g_scaler and resumed.g_scaler
        assert resumed.g_scaler.state_dict() == whole.g_scaler.state_dict()


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.1), ("fp16", 0.02)])
def test_half_precision_takes_almost_the_same_step(precision: str, tolerance: float):
    full, half = trainer(), trainer(precision=precision, num_fp16_res=2)
    start = {key: value.clone() for key, value in weights(full).items()}
    expected, found = advance(full, 1)[0], advance(half, 1)[0]
    assert found != expected
    assert found == pytest.approx(expected, abs=tolerance)
    assert any(not torch.equal(value, start[key]) for key, value in weights(half).items())


def test_state_without_augmentation_or_scalers_is_continued(tmp_path: Path):
    """As the first version wrote it."""
    before = trainer()
    advance(before, 2)
    before.save(tmp_path / "state.pt")
    content = files.read(tmp_path / "state.pt")
    content["extra"] = {"mean_path_length": torch.tensor(content["extra"]["mean_path_length"])}
    files.write(tmp_path / "state.pt", content)
    after = trainer(precision="fp16", augment=True)
    after.load(tmp_path / "state.pt")
    assert after.images_seen == 16
    assert after.mean_path_length == pytest.approx(before.mean_path_length)
    assert after.transform_p == 0
    advance(after, 1)


@pytest.mark.slow
def test_strength_rises_with_overfitting_only():
    """Four images are soon learnt by heart; images like the generator's own can't be told from them."""
    config = replace(TINY, augment=True, ada_length=400, ada_interval=16, r1_weight=0.0, path_weight=0.0)

    def strength(dataset: FewImages | OwnImages) -> float:
        rows = advance(GeneratorTrainer(config, dataset, {}, CPU), 60)
        return float(np.mean([row["ada/p"] for row in rows[20:]]))

    assert strength(FewImages()) > 0.06
    assert strength(OwnImages(config)) < 0.03


def test_fixed_probability_does_not_adapt():
    fixed = trainer(augment=True, augment_p=0.25, ada_target=-1.0, ada_interval=1)
    assert {row["ada/p"] for row in advance(fixed, 2)} == {0.25}
    assert fixed.transform_p == 0.25


def test_start_from_a_checkpoint(tmp_path: Path):
    """The average alone, as published; or with the other networks, as of one's own run."""
    before = trainer()
    advance(before, 1)
    save_generator(tmp_path / "published.pt", g_ema=before.g_ema)
    before.save(tmp_path / "own.pt")
    average = before.g_ema.state_dict()
    for name, generator in (("published.pt", before.g_ema), ("own.pt", before.generator)):
        after = trainer(seed=1)
        after.start_from(tmp_path / name)
        assert after.images_seen == 0
        for key, value in generator.state_dict().items():
            assert torch.equal(after.generator.state_dict()[key], value), key
            assert torch.equal(after.g_ema.state_dict()[key], average[key]), key
    for key, value in before.discriminator.state_dict().items():
        assert torch.equal(after.discriminator.state_dict()[key], value), key
    with pytest.raises(BadInput, match=r"--start-from .*own.pt: its generator has style_dim 8, not 16"):
        trainer(style_dim=16).start_from(tmp_path / "own.pt")


@pytest.mark.slow
def test_compilation_changes_no_result(monkeypatch: pytest.MonkeyPatch):
    """The graphs that PyTorch captures; what it makes of them is its own affair, and takes minutes here."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    expected, found = advance(trainer(), 1)[0], advance(trainer(compile=True), 1)[0]
    assert {"loss/r1", "loss/path"} <= found.keys()
    assert found == pytest.approx(expected, abs=1e-5)
