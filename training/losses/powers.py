"""How far apart two powers are, such as those of detail in two images of one impression."""

from torch import Tensor


def power_distance(ours: Tensor, theirs: Tensor, faint: float) -> Tensor:
    """The Itakura-Saito distance of powers: about half the square of the logarithm of their ratio.

    It is least at the mean of what a power may be. The L1 distance of logarithms is least at the median,
    which lies lower, as the strong detail of patchy skin comes in few places.

    Args:
        ours: Powers of what a network made, 0 or more.
        theirs: Powers of what is real, of the same shape.
        faint: A power below which nothing can be seen; added to both.

    Returns:
        Of their shape, 0 or more.
    """
    ratio = (theirs + faint) / (ours + faint)
    return ratio - ratio.log() - 1
