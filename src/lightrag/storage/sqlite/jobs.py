"""Work that a thread does for a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from lightrag.storage.sqlite.errors import translate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Job(Generic[T]):
    """A function of a connection and the future that waits for its result; made on the waiting event loop."""

    __slots__ = ("_error", "_loop", "_result", "future", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more."""
        return self.future.cancelled()

    def run(self, conn: sqlite3.Connection, path: Path) -> bool:
        """Do the work and keep its outcome; return whether it succeeded. Never raises."""
        try:
            self._result = self.work(conn)
        except BaseException as error:
            self.fail(translate(error, path))
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Make `error` the outcome."""
        self._error = error

    def reset(self) -> None:
        """Forget the outcome, to run again."""
        self._result, self._error = None, None

    def _settle(self) -> None:
        if self.future.done():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)  # type: ignore[arg-type]

    @staticmethod
    def deliver(jobs: Iterable[Job[Any]]) -> None:
        """Wake the waiters; called on the worker thread. One wake-up per event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
        for job in jobs:
            by_loop.setdefault(job._loop, []).append(job)
        for loop, group in by_loop.items():
            # A loop that was closed meanwhile has no waiters.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle_all, group)


def _settle_all(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job._settle()
