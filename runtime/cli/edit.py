"""`fg-run edit`: SeFa edits of fingers that seeds or templates name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from ..bundle.encoded import Encoded
from ..images import Pixels
from ..model import NoiseMode
from .area import AreaChoice, area, described
from .kit import (
    FILE,
    LAYERS,
    SEEDS,
    Number,
    Running,
    Writing,
    expanded,
    list_bad,
    noise,
    noise_seed,
    running,
    size,
    truncation,
    writing,
)
from .output import Output, Planned, batches, named_after
from .templates import TemplateReading, noise_of_templates, template_reading


class Direction(click.ParamType):
    """A number, or a name that the bundle knows."""

    name = "direction"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "NUMBER|NAME"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        text = str(value)
        return int(text) if text.isascii() and text.isdigit() else text


@click.command()
@click.argument("templates", metavar="[TEMPLATE...]", nargs=-1, type=FILE, callback=expanded)
@click.option("--seeds", type=SEEDS, help="Seeds of the fingers, such as 7 or 0-9, instead of templates.")
@click.option(
    "--index",
    type=Direction(),
    required=True,
    help="Number of a SeFa direction, of which 0 changes images most, or name of a trait, such as moisture; "
    "`fg-run info` lists both.",
)
@click.option(
    "--degree",
    type=Number(-1000, 1000),
    default=5.0,
    show_default=True,
    help="How far: of a trait, two degrees are a standard deviation.",
)
@click.option(
    "--layers",
    type=LAYERS,
    help="Style inputs that are edited, such as 0-3.  [default: what the bundle recommends]",
)
@truncation
@template_reading
@noise
@noise_seed
@size
@area
@writing
@running
def edit(
    templates: Sequence[Path],
    seeds: Sequence[int] | None,
    index: int | str,
    degree: float,
    layers: Sequence[int] | None,
    truncation: float | None,
    reading: TemplateReading,
    noise: NoiseMode | None,
    noise_seed: int,
    size: int | None,
    area: AreaChoice,
    writing: Writing,
    running: Running,
) -> None:
    """Change one trait of fingers: images with less of it, as they are, and with more of it.

    Writes NAME_minus, NAME_original and NAME_plus of each; a sheet shows the three in a row.

    \b
    Examples:
      fg-run edit --seeds 0-3 --index moisture --grid edits.png
      fg-run edit --seeds 0-3 --index 0 --grid edits.png
      fg-run edit --seeds 7 --index 22 --degree 3 --layers 0-3 --truncation 0.7 --out edits
      fg-run edit --seeds 7 --index moisture --sensor fap30 --out edits
      fg-run edit finger.xyt --index 1 --out edits
    """
    if bool(templates) == (seeds is not None):
        raise click.UsageError("give --seeds or templates, not both")
    files = named_after(templates)
    named = files if seeds is None else {f"{seed:08d}": seed for seed in seeds}
    with running.load() as model:
        drawn = seeds is not None or model.bundle.manifest.graphs.fields is None
        truncation = model.truncation(truncation, drawn)
        model.bundle.direction(index)
        seed = None
        if seeds is None:
            model.check_encoder()
            noise, seed = noise_of_templates(model, noise, noise_seed)
        else:
            _, noise = model.settings(None, noise)
        layers = model.edit_layers(layers)
        shown = area.of_bundle(model, size)
        settings = {
            "index": index,
            "layers": layers,
            "truncation": truncation,
            "noise": noise,
            "noise_seed": seed,
            "size": size,
            "area": described(shown),
        }
        shared = model.provenance("edit", **settings)
        output = Output(writing, shared, model.ppi(size), running.workers, shown)
        triples = {name: _planned(name, source, degree) for name, source in named.items()}
        output.refuse_inputs([plan for triple in triples.values() for plan in triple], templates)
        missing = [name for name, triple in triples.items() if any([output.is_missing(p) for p in triple])]
        readable, bad = reading.read_all({name: files[name] for name in missing} if seeds is None else {})
        if seeds is None:
            triples = {
                name: each for name, each in triples.items() if name in readable or name not in missing
            }
            missing = list(readable)

        def styles(
            names: Sequence[str],
        ) -> tuple[NDArray[np.float32] | Encoded, NDArray[np.float32] | None, Sequence[int]]:
            """w and z of some of the fingers, and the seeds of their noise."""
            if seeds is None:
                read = reading.read_again(readable[name] for name in names)
                noise_seeds = [noise_seed] * len(names)
                return model.encoded(read, noise_seeds), None, noise_seeds
            chosen = [int(name) for name in names]
            z = model.z(chosen)
            return model.map(z), z, chosen

        def made() -> Iterator[tuple[Planned, Pixels]]:
            for batch in batches(missing, model.backend.batch):
                w, z, noise_seeds = styles(batch)
                edited = model.edit(w, index, degree, layers, truncation, noise, noise_seeds, size=size, z=z)
                for name, images in zip(batch, zip(*edited, strict=True), strict=True):
                    yield from zip(triples[name], images, strict=True)

        planned = [plan for triple in triples.values() for plan in triple]
        to_make = [plan for name in missing for plan in triples[name]]
        if planned:
            output.write(planned, to_make, made(), sheet_columns=3)
        list_bad(bad, len(files))


def _planned(name: str, source: int | Path, degree: float) -> list[Planned]:
    own = {"template": source.name} if isinstance(source, Path) else {"seed": str(source)}
    label = name if isinstance(source, Path) else str(source)
    degrees = {"minus": -degree, "original": 0.0, "plus": degree}
    return [
        Planned(f"{name}_{kind}", f"{label} {value:+g}" if value else label, {**own, "degree": str(value)})
        for kind, value in degrees.items()
    ]
