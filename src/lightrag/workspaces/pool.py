"""Engines by workspace: opened when they are first asked for, kept while they are in use, closed when others need room.

A lease holds an engine for as long as a request, a stream or a job needs it. Only engines that nobody holds and that
have nothing left to do are closed. Opening one workspace keeps nobody else waiting, and a workspace that cannot be
opened is tried anew by the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from lightrag.errors import LightRAGError, StorageUnavailable

_log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds that a request waits for room."""
_LOOK_AGAIN = 0.25


class Pooled(Protocol):
    """What the pool needs of an engine."""

    def is_working(self) -> bool:
        """Tell whether it has begun something that it has not finished."""
        ...

    async def close(self) -> None:
        """Stop and release everything."""
        ...


E = TypeVar("E", bound=Pooled)


class WorkspaceFailed(StorageUnavailable):
    """A workspace could not be opened."""

    def __init__(self, workspace: str, cause: Exception) -> None:
        super().__init__(f"Failed to initialize workspace '{workspace}': {cause}")


@dataclasses.dataclass(slots=True, eq=False)
class _Entry(Generic[E]):
    name: str
    opening: asyncio.Task[E]
    leases: int = 0
    is_pinned: bool = False
    used_at: float = 0.0
    is_closing: bool = False

    @property
    def engine(self) -> E | None:
        """The engine, once it is open."""
        task = self.opening
        return task.result() if task.done() and not task.cancelled() and task.exception() is None else None


@dataclasses.dataclass(frozen=True, slots=True)
class PoolEntry:
    """An engine of the pool as it is at this moment."""

    workspace: str
    leases: int
    is_open: bool
    is_working: bool
    idle_seconds: float


class WorkspacePool(Generic[E]):
    """The engines of one process.

    Args:
        open_engine: Makes the engine of a workspace and starts it.
        limit: Most engines that are open at once; those that must not be closed may exceed it only by `pin`.
        clock: Tells seconds.
    """

    def __init__(
        self,
        open_engine: Callable[[str], Awaitable[E]],
        limit: int,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._limit = limit
        self._patience = patience
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[E]] = OrderedDict()
        """The one used longest ago comes first."""
        self._closings: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    @contextlib.asynccontextmanager
    async def lease(self, workspace: str) -> AsyncIterator[E]:
        """Hold the engine of a workspace for the length of the block, opened where it is not.

        Raises `WorkspaceFailed` where it cannot be opened, `StorageUnavailable` where the pool stays full.
        """
        entry = self._entries.get(workspace)
        if entry is None or entry.is_closing:
            entry = await self._made(workspace)
        entry.leases += 1
        try:
            engine = entry.engine or await self._opened(entry)
            self._touch(entry)
            yield engine
        finally:
            entry.leases -= 1
            self._touch(entry)
            if not entry.leases and len(self._entries) >= self._limit:
                await self._tell_room()

    async def pin(self, workspace: str) -> E:
        """Open a workspace and keep it open until the pool is closed."""
        async with self.lease(workspace) as engine:
            self._entries[workspace].is_pinned = True
            return engine

    def peek(self, workspace: str) -> E | None:
        """Return the engine of a workspace where it is open."""
        entry = self._entries.get(workspace)
        return None if entry is None or entry.is_closing else entry.engine

    def is_known(self, workspace: str) -> bool:
        """Tell whether a workspace is open or being opened."""
        return workspace in self._entries

    def snapshot(self) -> list[PoolEntry]:
        """Return all entries, the one used longest ago first."""
        now = self._clock()
        return [
            PoolEntry(
                entry.name,
                entry.leases,
                entry.engine is not None,
                entry.engine is not None and entry.engine.is_working(),
                now - entry.used_at,
            )
            for entry in self._entries.values()
        ]

    async def evict(self, workspace: str, *, patience: float | None = None) -> bool:
        """Close a workspace as soon as nobody holds it; False where that did not come to pass in `patience` seconds.

        Documents that wait or are being worked on go on when it is opened again.
        """
        until = self._clock() + (self._patience if patience is None else patience)
        while True:
            entry = self._entries.get(workspace)
            if entry is None:
                closing = self._closings.get(workspace)
                if closing is not None:
                    await asyncio.shield(closing)
                return True
            if not entry.leases and entry.opening.done():
                await asyncio.shield(self._close_entry(entry))
                return True
            if self._clock() > until:
                return False
            await self._wait_for_room(_LOOK_AGAIN)

    async def close(self) -> None:
        """Close all engines; what was begun in them goes on at the next start."""
        self._closed = True
        entries = list(self._entries.values())
        for entry in entries:
            if not entry.opening.done():
                entry.opening.cancel()
        await asyncio.gather(*(entry.opening for entry in entries), return_exceptions=True)
        closings = [self._close_entry(entry) for entry in entries]
        await asyncio.gather(*closings, *self._closings.values(), return_exceptions=True)

    async def _made(self, workspace: str) -> _Entry[E]:
        """Return a new entry, after room was made for it."""
        until: float | None = None
        while True:
            if self._closed:
                raise StorageUnavailable("The server is stopping; try again in a moment")
            entry = self._entries.get(workspace)
            if entry is not None and not entry.is_closing:
                return entry
            closing = self._closings.get(workspace)
            if closing is not None:
                # Two engines of one workspace must not overlap in one process.
                await asyncio.shield(closing)
                continue
            if len(self._entries) < self._limit or self._make_room():
                entry = _Entry(workspace, asyncio.create_task(self._open(workspace), name=f"open-{workspace}"))
                entry.used_at = self._clock()
                self._entries[workspace] = entry
                return entry
            now = self._clock()
            until = now + self._patience if until is None else until
            if now >= until:
                raise StorageUnavailable(
                    f"All {self._limit} workspaces that may be open at once are in use; try again in a moment, or "
                    "raise LIGHTRAG_MAX_WORKSPACES_IN_POOL"
                )
            await self._wait_for_room(_LOOK_AGAIN)

    def _make_room(self) -> bool:
        """Begin to close the engine that was used longest ago; False where all are in use."""
        for entry in self._entries.values():
            engine = entry.engine
            if engine is None or entry.leases or entry.is_pinned or engine.is_working():
                continue
            self._close_entry(entry)
            return True
        return False

    async def _open(self, workspace: str) -> E:
        try:
            return await self._open_engine(workspace)
        except LightRAGError as error:
            raise WorkspaceFailed(workspace, error) from error

    async def _opened(self, entry: _Entry[E]) -> E:
        try:
            # Whoever waits may leave; the others still want the engine.
            return await asyncio.shield(entry.opening)
        except BaseException:
            if entry.opening.done() and entry.engine is None and self._entries.get(entry.name) is entry:
                del self._entries[entry.name]
                await self._tell_room()
            raise

    def _close_entry(self, entry: _Entry[E]) -> asyncio.Task[None]:
        if entry.is_closing and entry.name in self._closings:
            return self._closings[entry.name]
        entry.is_closing = True
        if self._entries.get(entry.name) is entry:
            del self._entries[entry.name]
        task = asyncio.create_task(self._close(entry), name=f"close-{entry.name}")
        self._closings[entry.name] = task
        return task

    async def _close(self, entry: _Entry[E]) -> None:
        try:
            engine = entry.engine
            if engine is not None:
                await engine.close()
        except Exception:
            _log.exception("workspace '%s' was not closed cleanly", entry.name)
        finally:
            self._closings.pop(entry.name, None)
            await self._tell_room()

    def _touch(self, entry: _Entry[E]) -> None:
        entry.used_at = self._clock()
        if self._entries.get(entry.name) is entry:
            self._entries.move_to_end(entry.name)

    async def _tell_room(self) -> None:
        async with self._room:
            self._room.notify_all()

    async def _wait_for_room(self, seconds: float) -> None:
        async with self._room:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._room.wait()
