"""Whether each named trait of a bundle changes what it is named for, and in order of the degree.

    python -m tests.trait_order --seeds 60 --degree 5

Prints of seeds are edited by each trait, one way and the other. Of each trait one figure of the image is
taken, which a larger degree must raise: the table says in how many prints those of the three degrees are in
order, and by how much they differ on the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, zoom

from fingergen.runtime import load

Figure = Callable[[np.ndarray, np.ndarray], float]

CORNER = 40  # pixels per side
BESIDE = 30  # pixels that the background stays away from the print
RIM = 16  # pixels inside the edge of contact that fade
RIDGE, SPOT, PATCH = 4.0, 8.0, 24.0  # deviations of Gaussians, in pixels: below a ridge, a spot, a large spot


def edge(contact: np.ndarray) -> np.ndarray:
    return contact & ~binary_erosion(contact, iterations=RIM)


def background(contact: np.ndarray) -> np.ndarray:
    return ~binary_dilation(contact, iterations=BESIDE)


def spots(image: np.ndarray, small: float, large: float, where: np.ndarray) -> float:
    return float((gaussian_filter(image, small) - gaussian_filter(image, large))[where].std())


def corners(image: np.ndarray) -> float:
    rows, columns = (np.r_[:CORNER, size - CORNER : size] for size in image.shape)
    return float(image[np.ix_(rows, columns)].mean())


FIGURES: dict[str, tuple[str, Figure]] = {
    "pressure": ("darkness of the print", lambda x, print_: -x[print_].mean()),
    "moisture": ("darkness of the print", lambda x, print_: -x[print_].mean()),
    "unevenness": (
        "large spots of the print",
        lambda x, print_: gaussian_filter(x, PATCH)[inside(print_)].std(),
    ),
    "blotches": ("spots of the print", lambda x, print_: spots(x, SPOT, PATCH, inside(print_))),
    "sharpness": (
        "steepness of ridges",
        lambda x, print_: np.hypot(*np.gradient(x))[print_].mean() / x[print_].std(),
    ),
    "paper": ("brightness of the background", lambda x, print_: x[background(print_)].mean()),
    "ink": ("darkness of ridges", lambda x, print_: -np.percentile(x[print_], 5)),
    "gamma": ("darkness of the image", lambda x, print_: -x.mean()),
    "noise": (
        "grain of the background",
        lambda x, print_: (x - gaussian_filter(x, 1.0))[background(print_)].std(),
    ),
    "background": (
        "large spots of the background",
        lambda x, print_: gaussian_filter(x, PATCH)[background(print_)].std(),
    ),
    "fading": (
        "brightness of the edge of contact",
        lambda x, print_: x[edge(print_)].mean() - x[inside(print_)].mean(),
    ),
    "film": ("darkness of valleys", lambda x, print_: -np.percentile(x[inside(print_)], 90)),
    "stains": ("spots of the background", lambda x, print_: spots(x, RIDGE, PATCH, background(print_))),
    "vignette": ("darkness of the corners", lambda x, print_: -corners(x)),
}


def inside(contact: np.ndarray) -> np.ndarray:
    return binary_erosion(contact, iterations=RIM)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", help="[the packaged demo]")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--first", type=int, default=5000000, help="First seed. [5000000]")
    parser.add_argument("--degree", type=float, default=5.0, help="Two are a standard deviation. [5]")
    given = parser.parse_args()
    model = load(given.bundle) if given.bundle else load()
    seeds = range(given.first, given.first + given.seeds)
    w = model.map(model.z(seeds))
    assert model.finger_noise is not None
    contacts = []
    for seed in seeds:
        _, contact = model.finger_noise.impression(seed).maps(2)
        contacts.append(zoom(contact, 2, order=1) > 0.5)
    print(f"{given.seeds} seeds from {given.first}, degrees -{given.degree:g}, 0 and {given.degree:g}")
    print(f"{'trait':12}{'in order':>9}{'ends in order':>15}{'medians':>28}  figure")
    for name in model.bundle.traits:
        what, figure = FIGURES[name]
        images = model.edit(w, name, given.degree, seeds=seeds)
        found = np.array(
            [
                [figure(x.astype(float), contact) for x, contact in zip(each, contacts, strict=True)]
                for each in images
            ]
        )
        low, middle, high = found
        ordered, ends = int(((low < middle) & (middle < high)).sum()), int((low < high).sum())
        medians = "".join(f"{value:9.2f}" for value in np.median(found, axis=1))
        print(f"{name:12}{ordered:9}{ends:15}{medians:>28}  {what}")


if __name__ == "__main__":
    main()
