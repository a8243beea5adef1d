"""From a raw folder of scans to a data set to train on."""

from ...commands.prepare import prepare

__all__ = ["prepare"]
