"""Whether each named trait of a bundle changes what it is named for, and in order of the degree.

    python -m tests.trait_order --seeds 60 --degree 5 [--sensor]

Prints of seeds are edited by each trait, one way and the other. Of each trait one figure of the image is
taken, which a larger degree must raise: the table says in how many prints those of the three degrees are in
order, and by how much they differ on the median. With --sensor the procedural sensor renders the same fingers
with the same looks instead: what is not in order there, a network need not have in order either.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, zoom

from fingergen.runtime import Model, load
from fingergen.runtime.fingers import Impression
from fingergen.runtime.fingers.capture.look import with_look
from fingergen.runtime.fingers.capture.sensor import render, touch
from fingergen.runtime.latents import DEGREES

CORNER = 40  # pixels per side
BESIDE = 30  # pixels that the background stays away from the print
RIM = 16  # pixels inside the edge of contact that fade
RIDGE, SPOT, PATCH = 4.0, 8.0, 24.0  # deviations of Gaussians, in pixels: below a ridge, a spot, a large spot


class Places(NamedTuple):
    """Where the parts of an image lie, bool (H, W) each."""

    contact: np.ndarray
    inside: np.ndarray
    background: np.ndarray


def places_of(contact: np.ndarray) -> Places:
    inside = binary_erosion(contact, iterations=RIM)
    return Places(contact, inside, ~binary_dilation(contact, iterations=BESIDE))


def spots(image: np.ndarray, small: float, large: float, where: np.ndarray) -> float:
    return float((gaussian_filter(image, small) - gaussian_filter(image, large))[where].std())


def large_spots(image: np.ndarray, where: np.ndarray) -> float:
    return float(gaussian_filter(image, PATCH)[where].std())


def darkness(image: np.ndarray, places: Places) -> float:
    return -float(image[places.contact].mean())


def steepness(image: np.ndarray, places: Places) -> float:
    """Of the steepest edges, by the range of grays."""
    low, high = np.percentile(image[places.inside], (5, 95))
    return float(np.percentile(np.hypot(*np.gradient(image))[places.inside], 95) / (high - low))


def grain(image: np.ndarray, places: Places) -> float:
    return float((image - gaussian_filter(image, 1.0))[places.background].std())


def faintness(image: np.ndarray, places: Places) -> float:
    edge = places.contact & ~places.inside
    return float(image[edge].mean() - image[places.inside].mean())


def corners(image: np.ndarray) -> float:
    rows, columns = (np.r_[:CORNER, size - CORNER : size] for size in image.shape)
    return float(image[np.ix_(rows, columns)].mean())


FIGURES: dict[str, tuple[str, Callable[[np.ndarray, Places], float]]] = {
    "pressure": ("darkness of the print", darkness),
    "moisture": ("darkness of the print", darkness),
    "unevenness": ("large spots of the print", lambda x, at: large_spots(x, at.inside)),
    "blotches": ("spots of the print", lambda x, at: spots(x, SPOT, PATCH, at.inside)),
    "sharpness": ("steepness of ridges", steepness),
    "paper": ("brightness of the background", lambda x, at: x[at.background].mean()),
    "ink": ("darkness of ridges", lambda x, at: -np.percentile(x[at.contact], 5)),
    "gamma": ("darkness of the image", lambda x, at: -x.mean()),
    "noise": ("grain of the background", grain),
    "background": ("large spots of the background", lambda x, at: large_spots(x, at.background)),
    "fading": ("brightness of the edge of contact", faintness),
    "film": ("darkness of valleys", lambda x, at: -np.percentile(x[at.inside], 90)),
    "stains": ("spots of the background", lambda x, at: spots(x, RIDGE, PATCH, at.background)),
    "vignette": ("darkness of the corners", lambda x, at: -corners(x)),
}


def sensed(
    model: Model, seeds: Sequence[int], taken: Sequence[Impression], trait: str, degree: float
) -> np.ndarray:
    """What `Model.edit` would give if the procedural sensor made the images: uint8 (3, N, H, W)."""
    looks, number = model.z(seeds), model.bundle.traits.index(trait)
    psi = model.truncation(None, drawn=True)  # which comes after the edit
    images = []
    for change in (-degree / DEGREES, 0.0, degree / DEGREES):
        for each, look in zip(taken, looks.copy(), strict=True):
            look[number] += change
            capture = with_look(each.capture, psi * look)
            images.append(render(touch(each.finger, capture), capture))
    return np.stack(images).reshape(3, len(taken), *images[0].shape)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", help="[the packaged demo]")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--first", type=int, default=5000000, help="First seed. [5000000]")
    parser.add_argument("--degree", type=float, default=5.0, help="Two are a standard deviation. [5]")
    parser.add_argument("--sensor", action="store_true", help="Measure the procedural sensor.")
    given = parser.parse_args()
    model = load(given.bundle) if given.bundle else load()
    seeds = range(given.first, given.first + given.seeds)
    z = model.z(seeds)
    w = model.map(z)
    assert model.finger_noise is not None
    taken = [model.finger_noise.impression(seed) for seed in seeds]
    places = [places_of(zoom(each.maps(2)[1], 2, order=1) > 0.5) for each in taken]
    print(f"{given.seeds} seeds from {given.first}, degrees -{given.degree:g}, 0 and {given.degree:g}")
    print(f"{'trait':12}{'in order':>9}{'ends in order':>15}{'medians':>28}  figure")
    for name in model.bundle.traits:
        what, figure = FIGURES[name]
        if given.sensor:
            images = sensed(model, seeds, taken, name, given.degree)
        else:
            images = model.edit(w, name, given.degree, seeds=seeds, z=z)
        found = np.array(
            [[figure(x.astype(float), at) for x, at in zip(each, places, strict=True)] for each in images]
        )
        low, middle, high = found
        ordered, ends = int(((low < middle) & (middle < high)).sum()), int((low < high).sum())
        medians = "".join(f"{value:9.2f}" for value in np.median(found, axis=1))
        print(f"{name:12}{ordered:9}{ends:15}{medians:>28}  {what}")


if __name__ == "__main__":
    main()
