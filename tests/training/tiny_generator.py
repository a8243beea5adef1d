"""What the tests of the generator's training share: sizes, and a loop without files."""

import torch

from fingergen.training.trainers.generator import GeneratorConfig, GeneratorTrainer

CPU = torch.device("cpu")
TINY = GeneratorConfig(resolution=16, style_dim=16, n_mlp=2, channel_base=128, channel_max=16, batch=8)


def advance(trainer: GeneratorTrainer, steps: int) -> list[dict[str, float]]:
    """Take steps; the figures of each."""
    rows = []
    for _ in range(steps):
        rows.append(trainer.step(trainer.load_batch(trainer.images_seen)))
        trainer.images_seen += trainer.batch_size
    return rows


def weights(trainer: GeneratorTrainer) -> dict[str, torch.Tensor]:
    """All parameters and buffers, by name."""
    networks = {"g": trainer.generator, "d": trainer.discriminator, "ema": trainer.g_ema}
    return {
        f"{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
