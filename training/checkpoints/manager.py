"""The checkpoints that a run keeps: the newest ones and the best, each whole or not there."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from fingergen.runtime.errors import BadInput, BadOption, visible
from fingergen.runtime.files import remove_partial, replacing, write_atomically

from .. import distributed
from ..options import setting
from .files import damaged_member

STATE = "state.pt"  # the newest
BEST = "best.pt"
BEST_FIGURE = "best.json"  # why it is
HIGHER_IS_BETTER = {"precision", "recall", "quality", "diversity"}  # figures; of all others, lower is better
NUMBERED = "states"  # folder of the last ones


@dataclass(frozen=True)
class CheckpointsConfig:
    """Which checkpoints of a run are kept."""

    keep: int = setting(3, "number of latest checkpoints to keep")
    best_by: str | None = setting(
        None, "also keep the checkpoint with the best value of this metric in metrics.jsonl", type=str
    )

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise BadOption("keep", self.keep, "must be 1 or more")


class Savable(Protocol):
    """What the manager needs of a trainer."""

    images_seen: int

    def save(self, path: Path) -> None:
        """Write, atomically, everything that `load` needs to go on."""
        ...

    def load(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote; BadInput if it is of another run."""
        ...


class CheckpointManager:
    """Checkpoints in a run directory: `state.pt`, `best.pt` and the last `keep` as `states/state_*.pt`.

    All are hard links where the file system has them: the newest one takes no space of its own.
    """

    def __init__(self, folder: Path, keep: int, best_by: str | None = None) -> None:
        """`best_by`: name of the figure that `best.pt` is chosen by."""
        self.folder, self.keep, self.best_by = folder, keep, best_by

    def resume(self, trainer: Savable) -> None:
        """Load the newest whole checkpoint, if there is any; a damaged one gets a line on standard error.

        BadInput if there are checkpoints and none is whole, or if it is of another run.
        """
        numbered = sorted((self.folder / NUMBERED).glob("state_*.pt"), reverse=True)
        present = [path for path in (self.folder / STATE, *numbered) if path.exists()]
        damaged: list[Path] = []
        for path in present:
            if damaged_member(path) is None:
                if damaged and distributed.is_main():
                    names = ", ".join(map(str, damaged))
                    tqdm.write(visible(f"{names}: damaged; continuing from {path}"), file=sys.stderr)
                return trainer.load(path)
            damaged.append(path)
        if damaged:
            raise BadInput(f"{damaged[0]}: is damaged, and so is what came before it; give another --out")

    def save(self, trainer: Savable, figure: float | None = None) -> None:
        """Write the trainer's state as the newest, and as the best if its `figure` is; drop the oldest."""
        (self.folder / NUMBERED).mkdir(exist_ok=True)
        path = self.folder / NUMBERED / f"state_{trainer.images_seen:012d}.pt"
        trainer.save(path)
        if figure is not None and self._is_best(figure):
            link(path, self.folder / BEST)
            content = {"figure": self.best_by, "value": figure, "images": trainer.images_seen}
            write_atomically(self.folder / BEST_FIGURE, json.dumps(content).encode())
        link(path, self.folder / STATE)  # last: from here on, what was written before counts
        for old in sorted((self.folder / NUMBERED).glob("state_*.pt"))[: -self.keep]:
            if old != path:
                old.unlink()

    def _is_best(self, figure: float) -> bool:
        """Whether `figure` is better than that of the checkpoint kept as the best by the same figure."""
        try:
            best = json.loads((self.folder / BEST_FIGURE).read_text())
            name, value = best["figure"], float(best["value"])
        except (OSError, ValueError, RecursionError, OverflowError, KeyError, TypeError):
            return True
        if name != self.best_by:
            return True
        higher = str(self.best_by).rsplit("/", 1)[-1] in HIGHER_IS_BETTER
        return figure > value if higher else figure < value

    def sweep(self) -> None:
        """Remove the temporary files of processes that were killed while they wrote."""
        for folder in (self.folder, self.folder / NUMBERED):
            remove_partial(folder)


def link(path: Path, target: Path) -> None:
    """Make `target` the same file as `path`, at one blow; a copy where there are no hard links."""
    with replacing(target) as temporary:
        try:
            temporary.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, temporary)
