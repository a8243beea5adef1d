"""Impressions: one finger on a sensor, with the template of what shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .capture.parameters import Capture
from .capture.sensor import Touch, render, touch
from .identity.fields import STEP
from .master import Master

if TYPE_CHECKING:
    from ..minutiae import Template


@dataclass(frozen=True, eq=False)
class Impression:
    """One impression of one finger; images are made when they are first asked for.

    Attributes:
        finger: The finger.
        capture: Everything that was drawn for the impression, or fixed.
    """

    finger: Master
    capture: Capture

    @cached_property
    def ridges(self) -> NDArray[np.float32]:
        """float32 (H, W), the ridge map: -1 in a valley, 1 on a ridge, 0 where nothing touches.

        It is the finger's ridge map, warped as the skin is, with its creases and cuts as valleys, times
        `contact`: what a generator with ridge noise takes.
        """
        return _ridge_map(self._touch, self.contact).astype(np.float32, copy=False)

    @cached_property
    def contact(self) -> NDArray[np.float32]:
        """float32 (H, W), the mask of contact: 0 where nothing touches, 1 where the skin does."""
        return self._touch.contact

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W), the image of a sensor, ridges dark on a light background."""
        return render(self._touch, self.capture)

    @cached_property
    def template(self) -> Template:
        """What shows: minutiae, cores and deltas, moved with the skin."""
        from .truth import visible_truth  # here, and below: an image takes no templates

        return visible_truth(self.capture, self.finger, self.minutiae)

    def template_at(self, width: int) -> Template:
        """`template` in the pixels of an image of the whole window.

        Args:
            width: Of the image, in pixels.

        Returns:
            The template, at the image's resolution.
        """
        return self.template.rescale(self.template.ppi * width / self.template.width)

    @cached_property
    def minutiae(self) -> NDArray[np.intp]:
        """Which of the finger's minutiae those of `template` are: indices into `finger.minutiae`, int (M,).

        Two impressions show the same minutia of a finger where these are equal.
        """
        from .truth import visible_minutiae

        return visible_minutiae(self.capture, self.finger)

    def maps(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Ridge map and mask of contact at a lower resolution, without those of 500 ppi.

        Args:
            step: Pixels at 500 ppi of a pixel's side; it divides the window's sides.

        Returns:
            `ridges` and `contact`, float32 (H / step, W / step) each, rounded to multiples of STEP: so they
            do not depend on how a math library rounds.
        """
        skin = touch(self.finger, self.capture, step, np.float64)
        contact = skin.contact
        ridges, contact = (np.round(each / STEP) * STEP for each in (_ridge_map(skin, contact), contact))
        return ridges.astype(np.float32), contact.astype(np.float32)

    @cached_property
    def _touch(self) -> Touch:
        return touch(self.finger, self.capture)


def _ridge_map(skin: Touch, contact: NDArray[np.floating]) -> NDArray[np.floating]:
    ridges = skin.ridges * (1.0 - skin.lines) - skin.lines
    return ridges * contact
