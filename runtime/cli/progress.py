"""Progress of long runs: a bar on a terminal; elsewhere, as in a log file, a line now and then."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from ..errors import say

SECONDS_BETWEEN_LINES = 10.0
RECENT = 60.0  # seconds whose rate says how much time is left


class ImageProgress:
    """Counts images of a run, or what else there is; what is kept does not count in the time that is left."""

    def __init__(self, total: int, what: str = "images") -> None:
        self._total = total
        self._what = what
        self._kept = self._made = 0
        self._last = time.monotonic()
        self._shown = deque([(self._last, 0, 0)])  # when a line was shown; kept and made by then
        self._shows_bar = sys.stderr.isatty()
        self._lock = threading.Lock()  # images are kept on one thread and made on another

    def kept(self, images: int) -> None:
        """So many more are there already."""
        self._count(images, 0)

    def made(self, images: int) -> None:
        """So many more were made."""
        self._count(0, images)

    def _count(self, kept: int, made: int) -> None:
        with self._lock:
            self._kept += kept
            self._made += made
            now = time.monotonic()
            if now - self._last < (0.2 if self._shows_bar else SECONDS_BETWEEN_LINES):
                return
            self._last = now
            line = self._line(now)
            click.echo(f"\r\033[K{line}" if self._shows_bar else line, err=True, nl=not self._shows_bar)

    def _line(self, now: float) -> str:
        done = self._kept + self._made
        line = f"{done} of {self._total} {self._what} ({done / max(self._total, 1):.1%})"
        if rate := self._rate(now):
            left = round((self._total - done) / rate)
            shown = f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
            line += f", {shown} {self._what.split()[0]}/s, {_duration(left)} left"
        return line

    def _rate(self, now: float) -> float:
        """Images per second of late: those of a run's beginning may have come out of a cache."""
        while len(self._shown) > 1 and self._shown[1][0] <= now - RECENT:
            self._shown.popleft()
        began, kept, made = self._shown[0]
        self._shown.append((now, self._kept, self._made))
        return (self._made - made or self._kept - kept) / (now - began)

    def close(self) -> None:
        """Clear the bar, so that the next line stands alone."""
        if self._shows_bar:
            click.echo("\r\033[K", err=True, nl=False)


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock


@contextmanager
def progress_of_steps() -> Iterator[Callable[[str, int], ImageProgress]]:
    """Progress of one step after the other: of (what is counted, how many) → what hears of them."""
    shown: list[ImageProgress] = []

    def begin(what: str, total: int) -> ImageProgress:
        for each in shown:
            each.close()
        shown.append(ImageProgress(total, what))
        return shown[-1]

    try:
        yield begin
    finally:
        for each in shown:
            each.close()


@contextmanager
def ended_by_sigterm(advice: str) -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C would: what is under way is tidied up, then the program exits with
    143 and one line, `advice`.

    Does nothing on other threads than the main one, where no signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Terminated:
        say(f"terminated: {advice}", err=True)
        sys.exit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


class Terminated(BaseException):
    """SIGTERM arrived in a block of `ended_by_sigterm`."""
