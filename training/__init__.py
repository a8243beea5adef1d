"""Train: networks, procedural fingers, losses, trainers, checkpoints."""
