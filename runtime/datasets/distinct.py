"""Which seeds a set takes so that no two of its fingers match each other.

Finger k has the seed `first_seed + k` unless its first impression matches that of a finger before it with the
stated Bozorth3 score or more; then other seeds are drawn for it until one matches none of the fingers before.
So a finger depends on those before it alone: the set is the same however it is shared out, and may grow.

A shard has to know all fingers to decide on its own. What it needs is computed in three steps and recorded in
the folder `distinct`, where other shards of the same folder find it and do not compute it again:

1. the minutiae of the first impression of every finger, part by part;
2. the pairs of fingers that match, for each part with itself and all parts before;
3. the fingers that get another seed: few, one after the other; which seeds were tried is on record until
   all are chosen.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..files import remove_partial, write_atomically
from ..minutiae import FORMATS, Template
from ..processes import worker_processes
from .folder import CHOICE as FOLDER
from .impressions import Made, Maker
from .nist import Nist
from .plan import PART, Entry, Plan
from .sieve import Sieve
from .writer import MOST_ATTEMPTS, Gate, Progress

MOST_SEEDS = 64  # of a finger
LEAST_LIKENESS = 0.014
"""What the sieve must find, by the score, before Bozorth3 is asked. Among 500 full prints (`medium`, 124,750
pairs) it lets 22 % through for a score of 40, and misses none of 61 pairs that reach it; nor, for scores of
20, 25, 30 and 35, one of 7,295, 2,337, 714 and 208. 0.016 would have missed 4 of those with 20 or more."""

_BLOCKS_AHEAD = 4  # blocks of pairs that wait, for each process
_RECORDS = FORMATS["iso19794-2-2005"]  # which Bozorth3 reads
assert _RECORDS.encode is not None
_NOTHING = _RECORDS.encode(Template(2, 2))

Match = tuple[int, int, int]  # finger, one before it that it matches, score


@dataclass(frozen=True)
class Distinct:
    """The choice of seeds.

    Attributes:
        score: Of Bozorth3; pairs with it or more match.
        root: The folder of the set.
        plan: Of the set, without replacements.
        maker: Makes first impressions.
        gate: What refuses impressions of the set.
        ppi: Of the images.
        workers: Processes that compare.
        progress: Of (step, items) → what hears of them.
    """

    score: int
    root: Path
    plan: Plan
    maker: Maker
    gate: Gate | None
    ppi: float
    workers: int
    progress: Callable[[str, int], Progress]

    def choose(self) -> dict[int, int]:
        """Which fingers get another seed: finger → number of the seed among those drawn for it, from 1.

        Raises:
            BadInput: If a finger matches others whatever its seed.
        """
        found = self._taken()
        if found is not None:
            return found
        for name in ("prints", "matches"):
            (self.root / FOLDER / name).mkdir(parents=True, exist_ok=True)
            remove_partial(self.root / FOLDER / name)
        self._survey()
        with worker_processes(self.workers) as pool:
            self._match(pool)
            taken = self._replace(pool)
        content = {"fingers": self.plan.fingers, "replaced": {str(k): n for k, n in sorted(taken.items())}}
        write_atomically(self.root / FOLDER / "taken.json", (json.dumps(content) + "\n").encode())
        return taken

    def _taken(self) -> dict[int, int] | None:
        path = self.root / FOLDER / "taken.json"
        try:
            found = json.loads(path.read_bytes())
            replaced = {int(finger): int(number) for finger, number in found["replaced"].items()}
            whole = int(found["fingers"]) >= self.plan.fingers
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError, OverflowError, KeyError, TypeError, AttributeError):
            raise BadInput(f"{path}: is damaged; remove it and use --resume") from None
        return {k: n for k, n in replaced.items() if k < self.plan.fingers} if whole else None

    def _survey(self) -> None:
        """Step 1: the first impressions' minutiae."""
        progress = self.progress("prints surveyed", self.plan.fingers)
        for part in self._order():
            fingers = self.plan.fingers_of(part)
            if _surveyed(self.root, part) == len(fingers):
                progress.kept(len(fingers))
                continue
            records = dict(self._records(self.plan.entry(finger, 1) for finger in fingers))
            lines = [base64.b64encode(records[finger]).decode() for finger in fingers]
            write_atomically(_prints_path(self.root, part), ("\n".join(lines) + "\n").encode())
            progress.made(len(fingers))

    def _order(self) -> Iterator[int]:
        """All parts, this shard's first: shards that run at once rarely do the same."""
        first, of = self.plan.shard
        for number in range(of):
            yield from self.plan.parts[(first - 1 + number) % of :: of]

    def _records(self, entries: Iterable[Entry]) -> Iterator[tuple[int, bytes]]:
        """Finger and minutiae of impressions; those that the gate refuses are drawn again."""
        nist = Nist()

        def use(entry: Entry, made: Made) -> tuple[Entry, bytes | None]:
            last = entry.attempt + 1 >= MOST_ATTEMPTS
            if self.gate is not None and not last and not self.gate.check(made)[0]:
                return entry, None
            try:
                return entry, bytes(nist.extract(made.pixels, self.ppi).to_iso_19794_2_2005())
            except BadInput:  # no print
                return entry, _NOTHING

        left = list(entries)
        while left:
            again = []
            with closing(self.maker.images(left, use)) as seen:
                for entry, record in seen:
                    if record is None:
                        again.append(replace(entry, attempt=entry.attempt + 1))
                    else:
                        yield entry.finger, record
            left = sorted(again, key=lambda entry: entry.finger)

    def _match(self, pool: Executor) -> None:
        """Step 2: the pairs of fingers that match."""
        pairs = self.plan.fingers * (self.plan.fingers - 1) // 2
        progress = self.progress("pairs compared", pairs)
        under_way: deque[tuple[int, list[Future[list[Match]]]]] = deque()

        def finish() -> None:
            part, blocks = under_way.popleft()
            found: list[Match] = []
            for other, block in enumerate(blocks):
                found += block.result()
                count = fingers[part]
                progress.made(count * fingers[other] if other < part else count * (count - 1) // 2)
            _write_matches(self.root, part, fingers[part], sorted(found))

        fingers = {part: len(self.plan.fingers_of(part)) for part in self.plan.parts}
        for part in self._order():
            if _matched(self.root, part) == fingers[part]:
                progress.kept(sum(self.plan.fingers_of(part)))  # finger k is compared with k others
                continue
            others = range(part + 1)
            under_way.append(
                (part, [pool.submit(_compare_parts, str(self.root), part, n, self.score) for n in others])
            )
            while sum(len(blocks) for _, blocks in under_way) > _BLOCKS_AHEAD * self.workers:
                finish()
        while under_way:
            finish()

    def _replace(self, pool: Executor) -> dict[int, int]:
        """Step 3: finger by finger, other seeds for those that match one before them."""
        before: dict[int, set[int]] = {}  # finger → fingers before it that it matches
        for part in self.plan.parts:
            for finger, other in _read_matches(self.root, part):
                before.setdefault(finger, set()).add(other)
        waiting = sorted(before)
        taken: dict[int, int] = {}
        records: dict[int, bytes] = {}
        progress = self.progress("fingers settled", self.plan.fingers)
        settled = 0
        with _Tried(self.root / FOLDER / "tried.jsonl", self.plan.fingers) as tried:
            while waiting:
                finger = heapq.heappop(waiting)
                progress.made(finger - settled)
                settled = finger
                if not before.get(finger):
                    continue  # those that it matched have been replaced
                for matched in before.values():
                    matched.discard(finger)
                number, record, matching = self._another(pool, finger, records, tried)
                taken[finger], records[finger] = number, record
                before[finger] = set()
                for later in matching:
                    before.setdefault(later, set()).add(finger)
                    heapq.heappush(waiting, later)
        progress.made(self.plan.fingers - settled)
        return taken

    def _another(
        self, pool: Executor, finger: int, replaced: Mapping[int, bytes], tried: _Tried
    ) -> tuple[int, bytes, list[int]]:
        """Number and minutiae of the first further seed that matches no finger before, and the later fingers
        that it does match."""
        for number in range(1, MOST_SEEDS + 1):
            found = tried.find(finger, number)
            if found is None:
                found = self._try(pool, finger, number)
                tried.add(finger, number, *found)
            record, surveyed = found
            stored = set(surveyed) - {finger, *replaced}
            changed = _matching(record, list(replaced.values()), self.score)
            matching = stored | {other for other, match in zip(replaced, changed, strict=True) if match}
            if all(other > finger for other in matching):
                return number, record, sorted(matching)
        raise BadInput(
            f"--distinct {self.score}: finger {finger} matches others with each of {MOST_SEEDS} seeds; give a"
            " higher score"
        )

    def _try(self, pool: Executor, finger: int, number: int) -> tuple[bytes, list[int]]:
        """Minutiae of a further seed of a finger, and the surveyed fingers that they match."""
        entry = replace(self.plan, replaced={finger: number}).entry(finger, 1)
        ((_, record),) = self._records([entry])
        tasks = [
            pool.submit(_compare_one, str(self.root), record, part, self.score) for part in self.plan.parts
        ]
        return record, [other for task in tasks for other in task.result()]


class _Tried:
    """A file of the seeds that were tried in place of fingers' own, a line each; it is removed in the end.

    What an interrupted run has tried a later one need not try again: that depends on the surveyed fingers
    alone.
    """

    def __init__(self, path: Path, fingers: int) -> None:
        """`fingers`: that are surveyed; lines that know more or fewer do not count."""
        self._path = path
        self._fingers = fingers
        self._found: dict[tuple[int, int], tuple[bytes, list[int]]] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("a+b")
        self._file.seek(0)
        for line in self._file:
            with suppress(ValueError, KeyError, TypeError):  # the last one may be cut off
                each = json.loads(line)
                if each["fingers"] == self._fingers:
                    key = int(each["finger"]), int(each["number"])
                    self._found[key] = base64.b64decode(each["record"]), [int(k) for k in each["matches"]]
        self._file.write(b"\n")  # ends it
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._path.unlink(missing_ok=True)

    def find(self, finger: int, number: int) -> tuple[bytes, list[int]] | None:
        """Minutiae of a finger's further seed, and the surveyed fingers that they match."""
        return self._found.get((finger, number))

    def add(self, finger: int, number: int, record: bytes, matches: list[int]) -> None:
        """Put it on record."""
        known = {"fingers": self._fingers, "finger": finger, "number": number}
        line = {**known, "record": base64.b64encode(record).decode(), "matches": matches}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()


@dataclass(frozen=True, eq=False)
class _Prints:
    """Prints of a part."""

    templates: Sequence[Any]
    minutiae: Sequence[NDArray[np.float32]]
    sieve: Sieve

    def likely(self, minutiae: NDArray[np.float32], score: int) -> NDArray[np.intp]:
        """Places of those that Bozorth3 may give the score with a print of these minutiae."""
        return np.flatnonzero(self.sieve.likeness(minutiae) >= LEAST_LIKENESS * score)


def _prints(root: str, part: int) -> _Prints:
    """The surveyed prints of a part, in their order."""
    path = _prints_path(Path(root), part)
    return _read_prints(path, path.stat().st_size)


@lru_cache(maxsize=64)
def _read_prints(path: Path, size: int) -> _Prints:
    """`size`: of the file; the last part of a set may have grown."""
    lines = path.read_bytes().split()
    templates, minutiae = _load([base64.b64decode(line) for line in lines])
    return _Prints(templates, minutiae, Sieve(minutiae))


def _load(records: Sequence[bytes]) -> tuple[list[Any], list[NDArray[np.float32]]]:
    """Templates for Bozorth3 and minutiae for the sieve."""
    nist = Nist()
    templates = [nist.load(record) for record in records]
    minutiae = [
        np.array([(m.x(), m.y(), m.angle()) for m in template.get()], np.float32).reshape(-1, 3)
        for template in templates
    ]
    return templates, minutiae


def _compare_parts(root: str, part: int, other: int, score: int) -> list[Match]:
    """Pairs of a finger of `part` and one before it in `other` that match, with their scores."""
    ours, theirs = _prints(root, part), _prints(root, other)
    found = []
    for place, (template, minutiae) in enumerate(zip(ours.templates, ours.minutiae, strict=True)):
        likely = theirs.likely(minutiae, score)
        for candidate in likely[: np.searchsorted(likely, place)] if part == other else likely:
            if (reached := _score(template, theirs.templates[candidate])) >= score:
                found.append((part * PART + place, other * PART + int(candidate), reached))
    return found


def _compare_one(root: str, record: bytes, part: int, score: int) -> list[int]:
    """The fingers of a part that a print matches."""
    prints = _prints(root, part)
    ((template,), (minutiae,)) = _load([record])
    likely = prints.likely(minutiae, score)
    return [part * PART + int(i) for i in likely if _score(template, prints.templates[int(i)]) >= score]


def _matching(record: bytes, others: Sequence[bytes], score: int) -> list[bool]:
    (template, *templates), _ = _load([record, *others])
    return [_score(template, other) >= score for other in templates]


def _score(one: Any, other: Any) -> int:
    """Bozorth3's score. nbis-py gives the same in both orders (none of 15,922 pairs differed)."""
    return int(one.compare(other))


def _prints_path(root: Path, part: int) -> Path:
    return root / FOLDER / "prints" / f"{part:07d}.txt"


def _matches_path(root: Path, part: int) -> Path:
    return root / FOLDER / "matches" / f"{part:07d}.csv"


def _surveyed(root: Path, part: int) -> int:
    """How many fingers of a part are surveyed."""
    try:
        return _prints_path(root, part).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _matched(root: Path, part: int) -> int:
    """How many fingers of a part are compared with those before them."""
    try:
        return int(_matches_path(root, part).read_text().partition(",")[0])
    except (FileNotFoundError, ValueError):
        return 0


def _write_matches(root: Path, part: int, fingers: int, found: Sequence[Match]) -> None:
    """Record the pairs of a part; the first line says for how many fingers."""
    lines = [f"{fingers},other,score", *(",".join(map(str, match)) for match in found)]
    write_atomically(_matches_path(root, part), ("\n".join(lines) + "\n").encode())


def _read_matches(root: Path, part: int) -> Iterator[tuple[int, int]]:
    path = _matches_path(root, part)
    try:
        for finger, other, _ in [line.split(",") for line in path.read_text().splitlines()[1:]]:
            yield int(finger), int(other)
    except ValueError:
        raise BadInput(f"{path}: is damaged; remove it and use --resume") from None
