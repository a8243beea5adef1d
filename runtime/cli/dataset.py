"""`fg-run dataset`: fingers with mated impressions, their templates, and a table of what every file is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from ..backends import usable_cores
from ..datasets.impressions import BundleMaker, Maker, SensorMaker
from ..datasets.mated import Mate, MatedSynthesis, check_directions, mate
from ..datasets.plan import Entry, Plan
from ..datasets.writer import Encoding
from ..errors import BadInput
from ..fingers import PPI, FingerPosition
from ..model import Model, NoiseMode
from .area import AreaChoice, area, described
from .dataset_run import Arrangement, DatasetRun, arrangement, use_existing
from .kit import LAYERS, SEED, Number, Ranges, Running, Writing, noise, running, size, truncation, writing
from .output import MOST_ON_A_SHEET
from .sensor import Prints, prints

if TYPE_CHECKING:
    from ..datasets.gate import NistGate

MOST_DIRECTIONS = 16  # of the default: those that change images most


@click.command()
@click.option("--fingers", type=click.IntRange(1, 10**8), help="Number of fingers.")
@click.option(
    "--subjects",
    type=click.IntRange(1, 10**7),
    help="Number of subjects with ten fingers each, in place of --fingers; classes are drawn at the"
    " frequencies of each finger.",
)
@click.option(
    "--impressions", type=click.IntRange(1, 1000), default=2, show_default=True, help="Images of each finger."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the first finger.")
@click.option(
    "--directions",
    type=Ranges("directions"),
    help=f"SeFa directions to draw from, such as 0-3,7.  [default: the first {MOST_DIRECTIONS}; with ridge"
    " noise none]",
)
@click.option(
    "--degree",
    type=Number(0, 1000),
    default=5.0,
    show_default=True,
    help="The farthest that an impression goes along its direction, either way.",
)
@click.option(
    "--layers",
    type=LAYERS,
    help="Style inputs that are edited, such as 0-3.  [default: what the bundle recommends]",
)
@click.option(
    "--renderer",
    type=click.Choice(["model", "sensor"]),
    default="model",
    show_default=True,
    help="What makes images: the bundle; or a sensor that grown fingers touch, without a bundle. The options"
    " of the other have no effect.",
)
@arrangement
@prints
@truncation
@noise
@size
@area
@writing
@click.option("--batch", type=click.IntRange(1), help="Images a call of the backend.  [default: its best]")
@running
def dataset(
    fingers: int | None,
    subjects: int | None,
    impressions: int,
    seed: int,
    directions: Sequence[int] | None,
    degree: float,
    layers: Sequence[int] | None,
    renderer: str,
    arrangement: Arrangement,
    prints: Prints,
    truncation: float | None,
    noise: NoiseMode | None,
    size: int | None,
    area: AreaChoice,
    writing: Writing,
    batch: int | None,
    running: Running,
) -> None:
    """Write a data set of mated impressions: FINGER_IMPRESSION images of fingers that seeds name.

    Impression 1 is the finger as synth makes it. With ridge noise, and with --renderer sensor, fingers are
    grown from the seeds: each impression has its own placement, distortion, contact and skin, and its true
    template beside it. Impressions of other bundles are edits along a SeFa direction, direction and degree
    drawn by the seed, and have no template.

    The same command writes the same images, on any number of machines (--shard), and more fingers or
    impressions leave those as they are: after an interruption, or to make the set larger, add --resume.
    dataset.json says how all were made; impressions.csv, written last, has a row per image.

    \b
    Examples:
      fg-run dataset --fingers 1000 --impressions 4 --out prints
      fg-run dataset --fingers 8 --impressions 6 --grid mates.png
      fg-run dataset --renderer sensor --preset easy --fingers 1000 --impressions 4 --out prints
      fg-run dataset --renderer sensor --fingers 110 --impressions 8 --layout fvc --pairs --out fvc
      fg-run dataset --renderer sensor --fingers 100000 --layout shards --shard 1/8 --out set
      fg-run dataset --renderer sensor --sensor fap30-1000ppi --fingers 100 --out fine
      fg-run dataset --verify --out prints
    """
    workers = running.workers or usable_cores()
    if subjects is not None:
        if fingers is not None or prints.position is not None:
            raise click.UsageError("--subjects: gives the fingers; leave out --fingers and --finger")
        fingers = subjects * len(FingerPosition)
    if arrangement.merge or (arrangement.verify and fingers is None):
        return use_existing(arrangement, writing, workers)
    if fingers is None:
        raise click.UsageError("give --fingers or --subjects")
    if seed + fingers > 2**64:
        raise click.UsageError("--fingers: the last seed would be above 2**64 - 1")
    plan = Plan(fingers, impressions, seed, prints.position, arrangement.shard, subjects is not None)
    if writing.grid is not None and plan.images > MOST_ON_A_SHEET:
        raise BadInput(f"--grid: {plan.images} images, but a sheet holds at most {MOST_ON_A_SHEET}")
    with ExitStack() as stack:
        if renderer == "sensor":
            shown = area.chosen(size=prints.window)
            window = prints.window if shown is None else shown.window
            maker: Maker = SensorMaker(
                window, prints.preset or "medium", prints.effects, prints.kind, workers, shown
            )
            shared, has_truth = prints.sensor_provenance(shown), True
            ppi = float(PPI) if shown is None else shown.ppi
            own: dict[str, Any] = {}
        else:
            model = stack.enter_context(running.load())
            shown = area.of_bundle(model, size)
            truncation, noise = model.settings(truncation, noise)
            has_truth = noise == "ridges"
            usual: Sequence[int] = () if has_truth else _first_directions(model)
            chosen = check_directions(model, directions) if directions else usual
            layers = model.edit_layers(layers)
            given = prints.given() if has_truth else {}
            shared = model.provenance(
                "dataset",
                layers=layers,
                truncation=truncation,
                noise=noise,
                size=size,
                area=described(shown),
                **given,
            )
            ppi, own = model.ppi(size), {"directions": list(chosen), "degree": degree}
            steps = MatedSynthesis(
                model, truncation, noise, layers, size, prints.preset, prints.effects, prints.kind, {}
            )

            def edit(entry: Entry) -> Mate:
                return mate(
                    entry.seed,
                    entry.impression,
                    chosen,
                    degree,
                    entry.number if entry.attempt else None,
                    entry.position,
                )

            maker = BundleMaker(steps, edit, batch or model.backend.batch, workers, shown)
        encoding = Encoding(
            writing.image_format,
            prints.templates if has_truth else (),
            ppi,
            shared,
            with_row=arrangement.layout == "shards",
        )
        settings: dict[str, Any] = {
            **{"fingers": fingers, "impressions": impressions, "first_seed": seed, **own, "ppi": ppi},
            **{"layout": arrangement.layout, "database": arrangement.database},
            **{"format": writing.image_format, "templates": list(encoding.template_formats)},
            **shared,
        }
        if subjects is not None:
            if not has_truth:
                raise BadInput("--subjects: this bundle's fingers have no classes; use --renderer sensor")
            settings["subjects"] = True
        gate = None
        if arrangement.gate is not None:
            gate = _open_gate(arrangement.gate, ppi, has_truth)
            settings["gate"] = dict(sorted(gate.bounds.items()))
        DatasetRun(plan, maker, encoding, settings, arrangement, writing, gate).write()


def _open_gate(text: str, ppi: float, has_truth: bool) -> NistGate:
    try:
        from ..datasets.gate import NistGate, parse_gate
    except ModuleNotFoundError as error:
        raise BadInput(
            f"--gate: needs {error.name}, which is not installed: pip install 'fingergen[eval]'"
        ) from None
    bounds = parse_gate(text)
    if not has_truth and bounds.keys() & {"recall", "spurious"}:
        raise BadInput(f"--gate {text}: images of this bundle have no true template; give nfiq2 only")
    return NistGate(bounds, ppi)


def _first_directions(model: Model) -> Sequence[int]:
    return range(min(MOST_DIRECTIONS, len(model.bundle.latents.sefa_directions)))
