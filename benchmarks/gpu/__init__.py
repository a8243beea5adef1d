"""Sections of `gpu_check`: a module a section, with

- `run(settings, deadline)`: yields what it finds, `Check`s and `Row`s, as soon as it is known.

Each runs in a process of its own (`sections`), for what a GPU does to a process can end it.
"""

SECTIONS = {"kernels": 60, "models": 90, "backends": 70, "speed": 160, "training": 110, "tensorrt": 60}
"""Section → the seconds that it may take, unless told otherwise: some nine minutes together."""

NEED_MODELS = ("backends", "speed", "tensorrt")
