"""The encoder's training works: fingers it never saw get ridges that run the way their minutiae point."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.feature import structure_tensor

from fingergen.runtime.minutiae import Template
from fingergen.training.data.minutiae_maps import MapReader
from fingergen.training.data.pairs import ProceduralPairs
from fingergen.training.networks import Generator
from fingergen.training.networks.minutiae_net import MinutiaeNet
from fingergen.training.trainers.encoder import EncoderTrainer
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.minutiae import pairs_to_floats
from fingergen.training.trainers.training_loop import Interruption, train

CPU = torch.device("cpu")
RESOLUTION, WINDOW, MAP = 64, 128, 128
CHANCE = 45  # degrees, on average, between two directions
BORDER = 6  # pixels in which an image does not tell which way its ridges run


def misdirection(images: torch.Tensor, templates: Sequence[Template]) -> float:
    """Mean angle in degrees, 0 to 90, between the directions of minutiae and of the ridges about them.

    Ridges are read by scikit-image, which no loss has to do with.
    """
    angles = []
    for image, template in zip(images[:, 0].numpy(), templates, strict=True):
        rows, mixed, columns = structure_tensor(image, sigma=3.0, order="rc")
        ridges = np.degrees(np.arctan2(-2 * mixed, columns - rows) / 2) + 90
        for minutia in template.minutiae:
            x, y = (int(place * RESOLUTION / WINDOW) for place in (minutia.x, minutia.y))
            if min(x, y) >= BORDER and max(x, y) < RESOLUTION - BORDER:
                angles.append(abs((ridges[y, x] - minutia.angle + 90) % 180 - 90))
    return float(np.mean(angles))


@pytest.mark.slow
def test_ridges_run_as_the_minutiae_of_unseen_fingers_tell(tmp_path: Path):
    dataset = ProceduralPairs(tmp_path / "masters", 8, WINDOW, RESOLUTION, MAP)
    images, maps = pairs_to_floats(dataset.held_out(32), CPU)
    templates = MapReader(WINDOW)(maps)
    real = misdirection(images, templates)
    assert real < 20  # else there is nothing to learn

    torch.manual_seed(0)
    generator = Generator(RESOLUTION, style_dim=16, n_mlp=2, channel_base=1024, channel_max=32)
    config = EncoderConfig(
        depth="ir_se_10",
        width=8,
        map_size=MAP,
        noise_maps=True,
        train_decoder=True,
        decoder_rate=1.0,
        sampled=0.0,
        learning_rate=0.01,
        l2_weight=1.0,
        feature_weight=0.0,
        flow_weight=2.0,
        ema_half_life=50,
    )
    network = MinutiaeNet(4).eval().requires_grad_(False)
    trainer = EncoderTrainer(config, generator, network, dataset, WINDOW, {}, CPU)
    before = misdirection(trainer.reconstructor(maps), templates)
    for _ in train(trainer, tmp_path / "run", 560, 560, Interruption()):
        pass
    made = trainer.reconstructor(maps)
    after = misdirection(made, templates)
    others = misdirection(made, [*templates[1:], templates[0]])
    print(f"\nreal {real:.1f}°, untrained {before:.1f}°, trained {after:.1f}°, other fingers {others:.1f}°")
    assert before > CHANCE - 10
    assert after < CHANCE / 2
    assert others > 1.5 * after  # it is this finger that is shown, not an average one
