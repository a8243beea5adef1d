"""How strongly ADA augments (Karras et al. 2020, arXiv:2006.06676, section 3)."""

from typing import Any

from .. import distributed

MOST = 0.8  # with more, transforms may leak into what the generator makes (section 2.2)


class AdaptiveStrength:
    """The probability `p` of each transform, steered by how sure the discriminator is of real images.

    The mean sign of its logits on them, r_t, goes to 1 as it learns the training images by heart. Every
    `interval` images, p goes up if r_t is over `target`, else down, by as much as takes it from 0 to 1 in
    `length` images.
    """

    def __init__(self, target: float, length: int, interval: int) -> None:
        self.target, self.length, self.interval = target, length, interval
        self.p = 0.0
        self._signs, self._images = 0.0, 0  # sum and number since the last adjustment

    def observe(self, sign: float, images: int) -> None:
        """`images` more real images were seen by all processes; `sign`: mean sign of this one's logits."""
        self._signs += distributed.mean_figures({"sign": sign})["sign"] * images
        self._images += images
        if self._images >= self.interval:
            step = self._images / self.length
            over = self._signs / self._images > self.target
            self.p = min(max(self.p + (step if over else -step), 0.0), MOST)
            self._signs, self._images = 0.0, 0

    def state(self) -> dict[str, Any]:
        """Plain values for `load`, beside `p`."""
        return {"signs": self._signs, "images": self._images}

    def load(self, p: float, state: dict[str, Any]) -> None:
        """Continue from `p` and a `state`."""
        self.p, self._signs, self._images = p, state["signs"], state["images"]
