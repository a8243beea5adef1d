"""`fg-run reconstruct`: minutiae templates to fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ..images import Pixels
from ..model import NoiseMode
from .area import AreaChoice, area, described
from .kit import (
    FILE,
    Running,
    Writing,
    expanded,
    list_bad,
    noise,
    noise_seed,
    running,
    size,
    writing,
)
from .output import Output, Planned, batches, named_after
from .templates import TemplateReading, noise_of_templates, template_reading


@click.command()
@click.argument("templates", metavar="TEMPLATE...", nargs=-1, required=True, type=FILE, callback=expanded)
@template_reading
@noise
@noise_seed
@size
@area
@writing
@running
def reconstruct(
    templates: Sequence[Path],
    reading: TemplateReading,
    noise: NoiseMode | None,
    noise_seed: int,
    size: int | None,
    area: AreaChoice,
    writing: Writing,
    running: Running,
) -> None:
    """Reconstruct fingerprints that have the minutiae of templates.

    A TEMPLATE is a file in a format that FingerGen reads, an ANSI/NIST-ITL transaction with minutiae, or an
    image of a minutiae map of the bundle's field of view. A template is brought to the bundle's resolution,
    its middle to the image's middle. Files that cannot be used are listed on standard error, the others are
    done, and the exit code is 3. For more files than a shell can pass, quote the pattern: 'templates/*.fmr'.

    \b
    Examples:
      fg-run reconstruct finger.xyt --template-size 500 550 --out prints
      fg-run reconstruct *.fmr --out prints --grid sheet.png
      fg-run reconstruct map.png --out prints --format bmp
    """
    paths = named_after(templates)
    with running.load() as model:
        model.check_encoder()
        noise, seed = noise_of_templates(model, noise, noise_seed)
        shown = area.of_bundle(model, size)
        shared = model.provenance(
            "reconstruct", noise=noise, noise_seed=seed, size=size, area=described(shown)
        )
        output = Output(writing, shared, model.ppi(size), running.workers, shown)
        plans = {name: Planned(name, name, {"template": path.name}) for name, path in paths.items()}
        output.refuse_inputs(plans.values(), templates)
        to_make = {name: path for name, path in paths.items() if output.is_missing(plans[name])}
        readable, bad = reading.read_all(to_make)
        planned = [plan for name, plan in plans.items() if name in readable or name not in to_make]
        missing = [plans[name] for name in readable]

        def made() -> Iterator[tuple[Planned, Pixels]]:
            for batch in batches(missing, model.backend.batch):
                read = reading.read_again(readable[plan.name] for plan in batch)
                images = model.reconstruct(read, noise, [noise_seed] * len(read), size)
                yield from zip(batch, images, strict=True)

        if planned:
            output.write(planned, missing, made())
        list_bad(bad, len(paths))
