"""How a call of a backend that is under way is ended: on Ctrl-C, or where nobody wants its result any more.

A graph may run for minutes, and Python hears of Ctrl-C only when the library returns. So a call is made on
another thread than the one that hears it, and is asked to end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from ..errors import FingerGenError

Result = TypeVar("Result")

_current: ContextVar[Interruption | None] = ContextVar("interruption", default=None)


class Interrupted(FingerGenError):
    """A call was ended before it had a result."""


class Interruption:
    """Ends the calls of backends that heed it, those under way and later ones. For many threads."""

    def __init__(self) -> None:
        self._is_set = False
        self._endings: set[Callable[[], None]] = set()
        self._lock = threading.Lock()

    @staticmethod
    def current() -> Interruption:
        """What the calling thread's calls heed.

        Returns:
            The innermost `heeded` of this thread; a new one where there is none.
        """
        return _current.get() or Interruption()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Calls that this thread makes in the block heed it.

        Yields:
            Nothing.
        """
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def set(self) -> None:
        """End all calls that heed it."""
        with self._lock:
            self._is_set = True
            endings = list(self._endings)
        for end in endings:
            end()

    @contextmanager
    def set_by_ctrl_c(self) -> Iterator[None]:
        """The block waits for calls that heed it; Ctrl-C ends them.

        Yields:
            Nothing.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception):
                self.set()
            raise

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """The block is a library's call, which can be ended.

        Args:
            end: Makes it end soon; called on any thread.

        Yields:
            Nothing.

        Raises:
            Interrupted: The interruption was set before or during the block.
        """
        with self._lock:
            if self._is_set:
                raise Interrupted("interrupted")
            self._endings.add(end)
        try:
            yield
        except Exception:
            if self._is_set:
                raise Interrupted("interrupted") from None
            raise
        finally:
            with self._lock:
                self._endings.discard(end)


class Aside(threading.Thread, Generic[Result]):
    """A call on a thread of its own: who waits for its result hears of Ctrl-C meanwhile."""

    def __init__(self, call: Callable[[], Result]) -> None:
        """The call begins.

        Args:
            call: What is called; its error stays unsaid until somebody asks for the result.
        """
        super().__init__()
        self._call = call
        self.start()

    def run(self) -> None:
        """Make the call, and keep what it returned or raised; the thread does so."""
        self._error: BaseException | None = None
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def result(self) -> Result:
        """What the call returned.

        Returns:
            It, when the call has ended.

        Raises:
            BaseException: What the call raised.
        """
        self.join()
        if self._error is not None:
            raise self._error
        return self._result
