"""Puts units of work that come at the same time into one storage transaction.

A transaction costs a flush to disk and rewrites pages that others touch as well. While one is under way, the works
that arrive wait together for the next; so the more there is to do, the less each costs, and a single work waits for
nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from lightrag.callers import Caller, calling_as, current_caller
from lightrag.storage.contracts import Storage

T = TypeVar("T")
Work = Callable[[Storage], Awaitable[Any]]


class Withdrawn(Exception):
    """Raised by a work that finds, before its first write, that it is not to be done; the others go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work
    outcome: asyncio.Future[Any]
    caller: Caller
    """On whose behalf it is done, whoever else's works are in the same transaction."""


class GroupCommit:
    """Runs works in order, several to a transaction. A work may be run again after a rollback."""

    def __init__(self, storage: Storage, *, most: int = 16) -> None:
        self._storage = storage
        self._most = most
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[Storage], Awaitable[T]]) -> T:
        """Return what `work` returns, when its transaction is durable; raises what `work` raises, then undone."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, outcome, current_caller()))
        if self._runner is None:
            self._runner = asyncio.create_task(self._serve(), name="group-commit")
        return await outcome

    async def close(self) -> None:
        """Stop; a transaction that is under way is undone."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        for waiting in self._waiting:
            waiting.outcome.cancel()
        self._waiting = []

    async def _serve(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                # Whoever gave up waiting (a cancelled document) is left out.
                await self._commit([waiting for waiting in group if not waiting.outcome.done()])
        finally:
            self._runner = None

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        try:
            async with self._storage.transaction() as tx:
                outcomes = [await _attempt(waiting, tx) for waiting in group]
        except asyncio.CancelledError:
            for waiting in group:
                waiting.outcome.cancel()
            raise
        except Exception as error:
            if len(group) == 1:
                _fail(group[0], error)
                return
            # One of them spoiled it for all: each gets a transaction of its own.
            for waiting in group:
                await self._commit([waiting])
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Withdrawn):
                _fail(waiting, outcome)
            elif not waiting.outcome.done():
                waiting.outcome.set_result(outcome)


async def _attempt(waiting: _Waiting, tx: Storage) -> Any:
    try:
        with calling_as(waiting.caller):
            return await waiting.work(tx)
    except Withdrawn as withdrawn:
        return withdrawn


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
