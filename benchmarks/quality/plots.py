"""The plots of the report, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from fingergen.runtime.fingers import PatternClass

from .error_rates import curve
from .evaluation import Evaluation
from .flags import DUPLICATE
from .minutiae_statistics import CELL, CELLS, DISTANCE, DISTANCES, mean_histogram

COLORS = ("#2563a8", "#d97706", "#15803d", "#9333ea", "#be123c", "#0e7490")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": "#334155",
    "axes.grid": True,
    "grid.color": "#e6eaef",
    "axes.axisbelow": True,
    "xtick.color": "#64748b",
    "ytick.color": "#64748b",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the font of the page
    "svg.hashsalt": "fingergen",
}
SIZE = (4.6, 2.9)  # inches
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g} %")
LEAST_RATE = 1e-4  # that a DET plot shows

Evaluations = Sequence[Evaluation]


@contextmanager
def figure(
    size: tuple[float, float] = SIZE, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes], list[str]]]:
    """A figure with axes side by side; after the block, the list has its SVG."""
    made: list[str] = []
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=size, layout="constrained")
        axes = [drawn.add_subplot(1, columns, n + 1) for n in range(columns)]
        yield drawn, axes, made
        stream = io.StringIO()
        drawn.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    made.append(_unique_ids(text[text.index("<svg") :]))


_plots = iter(range(1_000_000))


def _unique_ids(svg: str) -> str:
    """Identifiers are those of one page: two plots must not share a clip path's."""
    prefix = f"p{next(_plots)}-"
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}\1"', svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", svg)


def color(number: int) -> str:
    """Of the set with this number."""
    return COLORS[number % len(COLORS)]


def distribution(sets: Evaluations, figure_name: str, label: str, bins: int = 24) -> str:
    """How a figure of the images is distributed in each set: outlines of histograms."""
    values = [np.array(each.samples[figure_name]) for each in sets]
    known = np.concatenate(values)
    if not len(known):
        return ""
    low, high = np.percentile(known, (0.2, 99.8))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    with figure() as (_, (axes,), made):
        for number, (each, found) in enumerate(zip(sets, values, strict=True)):
            weights = np.full(len(found), 1 / max(len(found), 1))
            shared: dict[str, Any] = {"bins": edges, "weights": weights, "color": color(number)}
            axes.hist(found.clip(edges[0], edges[-1]), histtype="stepfilled", alpha=0.18, **shared)
            axes.hist(
                found.clip(edges[0], edges[-1]), histtype="step", linewidth=1.6, label=each.name, **shared
            )
        axes.set_xlabel(label)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_ylabel("images")
    return made[0]


def patterns(sets: Evaluations) -> str:
    """Share of each pattern class."""
    kinds = [kind.value for kind in PatternClass]
    width = 0.8 / len(sets)
    with figure() as (_, (axes,), made):
        for number, each in enumerate(sets):
            places = np.arange(len(kinds)) + (number - (len(sets) - 1) / 2) * width
            axes.bar(places, [each.figures["patterns"][k] for k in kinds], width * 0.92, color=color(number))
        axes.set_xticks(range(len(kinds)), [kind.replace("_", "\n").replace("-", "\n") for kind in kinds])
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_ylabel("images")
    return made[0]


def scores(one: Evaluation, matcher: str, number: int) -> str:
    """Mated and non-mated scores of a set."""
    found = one.scores[matcher]
    together = np.concatenate([found.mated, found.non_mated])
    if not len(together):
        return ""
    edges = np.linspace(0, np.percentile(together, 99.9) * 1.02 + 1e-6, 50)
    with figure() as (_, (axes,), made):
        for values, tint, name in ((found.non_mated, "#94a3b8", "different fingers"),
                                   (found.mated, color(number), "one finger")):  # fmt: skip
            if len(values):
                weights = np.full(len(values), 1 / len(values))
                axes.hist(
                    values.clip(0, edges[-1]),
                    edges.tolist(),
                    weights=weights,
                    color=tint,
                    alpha=0.75,
                    label=name,
                )
        if matcher == "bozorth3" and edges[-1] > DUPLICATE:
            axes.axvline(DUPLICATE, color="#be123c", linewidth=1, linestyle=":")
            axes.annotate(
                "duplicate", (DUPLICATE, 1), (3, -10), ("data", "axes fraction"), "offset points",
                color="#be123c", fontsize=8,
            )  # fmt: skip
        axes.set_yscale("symlog", linthresh=1e-3)
        axes.set_ylim(0, 1.2)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel({"bozorth3": "Bozorth3 score", "mcc": "MCC score"}[matcher])
        axes.set_ylabel("pairs")
        axes.legend()
    return made[0]


def det(sets: Evaluations, matcher: str) -> str:
    """Detection error trade-off: false non-match rate against false match rate."""
    with_mates = [
        (number, each.name, each.scores[matcher])
        for number, each in enumerate(sets)
        if len(each.scores[matcher].mated) and len(each.scores[matcher].non_mated)
    ]
    if not with_mates:
        return ""
    with figure() as (_, (axes,), made):
        for number, name, found in with_mates:
            whole = curve(found.mated, found.non_mated)
            axes.plot(whole.fmr.clip(LEAST_RATE), whole.fnmr, color=color(number), linewidth=1.8, label=name)
        axes.plot([LEAST_RATE, 1], [LEAST_RATE, 1], color="#cbd5e1", linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_xlim(LEAST_RATE, 1)
        axes.set_ylim(0, None)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("false match rate")
        axes.set_ylabel("false non-match rate")
    return made[0]


def pairs_of_minutiae(sets: Evaluations) -> str:
    """Second-order histograms, one beside the other on one scale."""
    return _maps(
        sets, "pairs", (0, 180, 0, DISTANCE * DISTANCES), "difference of direction, °", "distance, pixels"
    )


def places_of_minutiae(sets: Evaluations) -> str:
    """Where minutiae lie around the middle of a print's minutiae."""
    half = CELL * CELLS / 2
    return _maps(sets, "places", (-half, half, half, -half), "pixels to the right", "pixels down")


def _maps(sets: Evaluations, kind: str, extent: tuple[float, float, float, float], x: str, y: str) -> str:
    maps = [mean_histogram(each.histograms[kind]) for each in sets]
    most = max(float(each.max()) for each in maps)
    with figure((2.6 * len(sets) + 0.4, 2.9), len(sets)) as (_, axes, made):
        for place, each, shares in zip(axes, sets, maps, strict=True):
            origin: Literal["lower", "upper"] = "lower" if extent[2] < extent[3] else "upper"
            place.imshow(
                shares, cmap="YlGnBu", vmin=0, vmax=most, origin=origin, extent=extent, aspect="auto"
            )
            place.set_title(each.name, fontsize=9.5, color="#334155")
            place.set_xlabel(x)
            place.grid(visible=False)
        axes[0].set_ylabel(y)
    return made[0]


def identity_kept(edits: dict[str, Any]) -> str:
    """Share of the edits that keep the finger, against the degree, one line per direction."""
    with figure((5.4, 2.9)) as (_, (axes,), made):
        shades: Callable[[float], Any] = matplotlib.colormaps["viridis"]
        names = list(edits["directions"])
        for number, name in enumerate(names):
            kept = edits["directions"][name]["identity_kept"]
            degrees = [0.0, *(float(degree) for degree in kept)]
            label = f"direction {name}" if name.isdecimal() else name
            axes.plot(degrees, [1.0, *kept.values()], marker="o", markersize=3.5, label=label,
                      color=shades(number / max(len(names) - 1, 1) * 0.9))  # fmt: skip
        axes.set_ylim(-0.03, 1.05)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("degree of the edit, either way")
        axes.set_ylabel("edits that keep the finger")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return made[0]
