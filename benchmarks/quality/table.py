"""The figures of several sets side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fingergen.runtime.pipeline.tables import align

from .evaluation import Evaluation
from .reconstruction import TEMPLATES

ROWS: tuple[tuple[str, str], ...] = (
    ("images", "images"),
    ("fingers", "fingers"),
    ("NFIQ 2: median (5 % to 95 %)", "nfiq2"),
    ("MINDTCT minutiae", "minutiae.mindtct.count"),
    ("  per cm2", "minutiae.mindtct.per_square_cm"),
    ("  endings", "minutiae.mindtct.endings"),
    ("  recall of true ones", "minutiae.mindtct.recall"),
    ("  spurious", "minutiae.mindtct.spurious"),
    ("LEADER minutiae", "minutiae.leader.count"),
    ("  per cm2", "minutiae.leader.per_square_cm"),
    ("  recall of true ones", "minutiae.leader.recall"),
    ("  spurious", "minutiae.leader.spurious"),
    ("ridge period, pixels", "ridge_period"),
    ("orientation coherence", "coherence"),
    ("contact area", "contact_area"),
    ("holes in the print", "hole_area"),
    ("mated pairs", "bozorth3.mated_pairs"),
    ("  Bozorth3", "bozorth3.mated"),
    ("  minutiae in the same place", "mates_in_place"),
    ("  minutiae within 3 pixels, unaligned", "mates_near"),
    ("  correlation of pixels, unaligned", "mates_correlation"),
    ("non-mated pairs", "bozorth3.non_mated_pairs"),
    ("  Bozorth3", "bozorth3.non_mated"),
    ("fingers with a duplicate", "bozorth3.duplicate_fingers"),
    ("EER (95 % interval)", "bozorth3.rates.eer"),
    ("FMR100", "bozorth3.rates.fmr100"),
    ("FMR1000", "bozorth3.rates.fmr1000"),
    ("TAR at FMR 0.1 %", "bozorth3.rates.tar_at_fmr_0.001"),
    ("TAR at FMR 0.01 %", "bozorth3.rates.tar_at_fmr_0.0001"),
    ("MCC: mated", "mcc.mated"),
    ("  non-mated", "mcc.non_mated"),
    ("  EER (95 % interval)", "mcc.rates.eer"),
    ("nearest training finger, Bozorth3", "training_fingers.nearest"),
    ("  fingers with a copy", "training_fingers.fingers_with_a_copy"),
    ("non-mated Bozorth3, p against the reference", "reference.scores.non_mated.p"),
    ("FID to the reference", "reference.distances.fid"),
    ("  of the reference's halves", "reference.distances.fid_of_halves"),
    ("KID to the reference", "reference.distances.kid"),
    ("  of the reference's halves", "reference.distances.kid_of_halves"),
    ("classifier's accuracy (50 % by chance)", "reference.classifier"),
    *(
        row
        for kind, title in TEMPLATES.items()
        for row in (
            (f"reconstructions, templates: {title}: type I, Bozorth3", f"reconstruction.{kind}.type_1.score"),
            ("  match (score of 40 or more)", f"reconstruction.{kind}.type_1.match.bozorth3_40"),
            ("  match (FMR 0.1 %)", f"reconstruction.{kind}.type_1.match.fmr_0.001"),
            ("  type II match (score of 40 or more)", f"reconstruction.{kind}.type_2.match.bozorth3_40"),
            ("  type II match (FMR 0.1 %)", f"reconstruction.{kind}.type_2.match.fmr_0.001"),
            ("  recall of true minutiae", f"reconstruction.{kind}.recall"),
            ("  spurious", f"reconstruction.{kind}.spurious"),
        )
    ),
)


def table(evaluations: Sequence[Evaluation]) -> str:
    """Returns one column per set, then the flags of each and what could not be measured."""
    rows = [("figure", *(each.name for each in evaluations))]
    for title, path in ROWS:
        cells = [shown(each.figures, path) for each in evaluations]
        if any(each != "-" for each in cells):
            rows.append((title, *cells))
    rows += [
        (f"  {kind}", *(f"{each.figures['patterns'][kind]:.0%}" for each in evaluations))
        for kind in evaluations[0].figures["patterns"]
    ]
    lines = [*align(rows, 1), *_edits(evaluations), ""]
    for each in evaluations:
        lines += [f"{each.name}: {flag}" for flag in each.flags or ("no defect found",)]
        lines += [f"not measured: {line}" for line in each.unreadable]
    return "\n".join(lines)


def _edits(evaluations: Sequence[Evaluation]) -> list[str]:
    """How many edits keep the finger, by direction and degree."""
    lines = []
    for each in evaluations:
        directions = each.figures.get("edits", {}).get("directions", {})
        if directions:
            degrees = list(next(iter(directions.values()))["identity_kept"])
            rows = [("direction", *(f"degree {degree}" for degree in degrees))]
            rows += [
                (name, *(f"{share:.0%}" for share in figures["identity_kept"].values()))
                for name, figures in directions.items()
            ]
            lines += ["", f"{each.name}: edits that keep the finger (Bozorth3 score of 40 or more)"]
            lines += align(rows, 1)
    return lines


def shown(figures: dict[str, Any], path: str) -> str:
    """Returns the figure at a path of `ROWS`, as the table has it; a dash where there is none."""
    value = find(figures, path)
    return f"{value:.1%}" if ".match." in path and value is not None else cell(value)


def find(figures: dict[str, Any], path: str) -> Any:
    """The value at the end of dotted keys; a key may hold a dot itself."""
    value: Any = figures
    rest = path
    while rest and isinstance(value, dict):
        key = next(
            (k for k in sorted(value, key=len, reverse=True) if rest == k or rest.startswith(f"{k}.")), None
        )
        if key is None:
            return None
        value, rest = value[key], rest[len(key) + 1 :]
    return value


def cell(value: Any) -> str:
    """A figure as text: a median with its range, a rate with its interval, or a number; "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, dict) and "p50" in value:
        return f"{value['p50']:g} ({value['p5']:g} to {value['p95']:g})"
    if isinstance(value, dict):
        share = value.get("value", value.get("accuracy"))
        return "-" if share is None else f"{share:.2%} ({value['low']:.2%} to {value['high']:.2%})"
    return f"{value:g}"
