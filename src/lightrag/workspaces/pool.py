"""Engines by workspace: opened when they are first asked for, kept while they are in use, closed when others need room.

A lease holds an engine for as long as a request, a stream or a job needs it. Only engines that nobody holds and that
have nothing left to do are closed. Opening one workspace keeps nobody else waiting, and a workspace that cannot be
opened is tried anew by the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from lightrag.callers import note_workspace
from lightrag.errors import Conflict, LightRAGError, NotFound, StorageUnavailable

_log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds that a request waits for room."""
_LOOK_AGAIN = 0.25
_MOST_CLOSING = 4
"""Engines that may still be closing when others are opened in their place."""


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


class _Entry(Generic[E]):
    __slots__ = ("engine", "is_closing", "is_pinned", "leases", "name", "opening", "used_at")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.opening: asyncio.Task[E]
        self.engine: E | None = None
        """Once it is open."""
        self.leases = 0
        self.is_pinned = False
        self.is_closing = False
        self.used_at = now


@dataclasses.dataclass(frozen=True, slots=True)
class PoolEntry:
    """An engine of the pool as it is at this moment."""

    workspace: str
    leases: int
    is_open: bool
    is_working: bool
    idle_seconds: float


class Lease(Generic[E]):
    """Holds an engine from its entry to its exit. Made by `WorkspacePool.lease`."""

    __slots__ = ("_entry", "_pool", "_workspace")

    def __init__(self, pool: WorkspacePool[E], workspace: str) -> None:
        self._pool = pool
        self._workspace = workspace
        self._entry: _Entry[E] | None = None

    async def __aenter__(self) -> E:
        self._entry, engine = await self._pool.take(self._workspace)
        return engine

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._pool.give_back(entry)


class WorkspacePool(Generic[E]):
    """The engines of one process.

    Args:
        open_engine: Makes the engine of a workspace and starts it.
        limit: Most engines that are open at once; those that must not be closed may exceed it only by `pin`.
        closed: Is told of each workspace whose engine was closed, or could not be opened.
        patience: Seconds that a request waits for room.
        clock: Tells seconds.
    """

    def __init__(
        self,
        open_engine: Callable[[str], Awaitable[E]],
        limit: int,
        *,
        closed: Callable[[str], None] = lambda _workspace: None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._limit = limit
        self._tell_closed = closed
        self._patience = patience
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[E]] = OrderedDict()
        """The one used longest ago comes first."""
        self._closings: dict[str, asyncio.Task[None]] = {}
        self._barred: set[str] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    def lease(self, workspace: str) -> Lease[E]:
        """Hold the engine of a workspace for the length of an `async with` block, opened where it is not.

        Entering raises `WorkspaceFailed` where it cannot be opened, `StorageUnavailable` where the pool stays full,
        `Conflict` while the workspace is withdrawn.
        """
        return Lease(self, workspace)

    async def take(self, workspace: str) -> tuple[_Entry[E], E]:
        """Begin a lease; see `lease`."""
        entry = self._entries.get(workspace)
        if entry is None:
            entry = await self._made(workspace)
        entry.leases += 1
        try:
            engine = entry.engine
            if engine is None:
                # Whoever waits may leave; the others still want the engine.
                engine = await asyncio.shield(entry.opening)
        except BaseException:
            self.give_back(entry)
            raise
        self._touch(entry)
        return entry, engine

    def give_back(self, entry: _Entry[E]) -> None:
        """End a lease."""
        entry.leases -= 1
        self._touch(entry)
        if not entry.leases:
            self._rouse()

    async def pin(self, workspace: str) -> E:
        """Open a workspace and keep it open until the pool is closed."""
        async with self.lease(workspace) as engine:
            self._entries[workspace].is_pinned = True
            return engine

    def peek(self, workspace: str) -> E | None:
        """Return the engine of a workspace where it is open."""
        entry = self._entries.get(workspace)
        return None if entry is None else entry.engine

    def is_known(self, workspace: str) -> bool:
        """Tell whether a workspace is open or being opened."""
        return workspace in self._entries

    def names(self) -> list[str]:
        """Return the workspaces that are open or being opened."""
        return list(self._entries)

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
            await self._wait(_LOOK_AGAIN)

    @contextlib.asynccontextmanager
    async def withdrawn(self, workspace: str, *, patience: float | None = None) -> AsyncIterator[None]:
        """Close a workspace and keep it closed for the length of the block. Raises `Conflict` where it stays in use."""
        if workspace in self._barred:
            raise _away(workspace)
        self._barred.add(workspace)
        try:
            if not await self.evict(workspace, patience=patience):
                raise Conflict(f"Workspace '{workspace}' is in use; try again when its requests and jobs are done")
            yield
        finally:
            self._barred.discard(workspace)

    async def close(self) -> None:
        """Close all engines; what was begun in them goes on at the next start."""
        self._closed = True
        self._rouse()
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
            if entry is not None:
                return entry
            if workspace in self._barred:
                raise _away(workspace)
            closing = self._closings.get(workspace)
            if closing is not None:
                # Two engines of one workspace must not overlap in one process.
                await asyncio.shield(closing)
                continue
            if self._has_room():
                return self._begin(workspace)
            now = self._clock()
            until = now + self._patience if until is None else until
            if now >= until:
                raise StorageUnavailable(
                    f"All {self._limit} workspaces that may be open at once are in use; try again in a moment, or "
                    "raise LIGHTRAG_MAX_WORKSPACES_IN_POOL"
                )
            await self._wait(_LOOK_AGAIN)

    def _has_room(self) -> bool:
        """Tell whether one more may be opened now; where the pool is full, begin to close one."""
        if len(self._closings) >= _MOST_CLOSING:
            return False
        return len(self._entries) < self._limit or self._make_room()

    def _make_room(self) -> bool:
        """Begin to close the engine that was used longest ago; False where all are in use."""
        for entry in self._entries.values():
            engine = entry.engine
            if engine is None or entry.leases or entry.is_pinned or engine.is_working():
                continue
            self._close_entry(entry)
            return True
        return False

    def _begin(self, workspace: str) -> _Entry[E]:
        entry: _Entry[E] = _Entry(workspace, self._clock())
        # In a context of its own: what the engine does later is not part of the request that came first.
        entry.opening = asyncio.create_task(self._open(entry), name=f"open-{workspace}", context=contextvars.Context())
        self._entries[workspace] = entry
        # Not left to those who wait for it: all of them may have gone.
        entry.opening.add_done_callback(lambda task: self._note_opened(entry, task))
        return entry

    async def _open(self, entry: _Entry[E]) -> E:
        try:
            note_workspace(entry.name)
            entry.engine = await self._open_engine(entry.name)
        except (Conflict, NotFound):
            raise
        except (LightRAGError, OSError) as error:
            raise WorkspaceFailed(entry.name, error) from error
        return entry.engine

    def _note_opened(self, entry: _Entry[E], task: asyncio.Task[E]) -> None:
        if (task.cancelled() or task.exception() is not None) and self._entries.get(entry.name) is entry:
            del self._entries[entry.name]
            self._tell_closed(entry.name)
        self._rouse()

    def _close_entry(self, entry: _Entry[E]) -> asyncio.Task[None]:
        if entry.is_closing and entry.name in self._closings:
            return self._closings[entry.name]
        entry.is_closing = True
        if self._entries.get(entry.name) is entry:
            del self._entries[entry.name]
        task = asyncio.create_task(self._close(entry), name=f"close-{entry.name}", context=contextvars.Context())
        self._closings[entry.name] = task
        return task

    async def _close(self, entry: _Entry[E]) -> None:
        try:
            note_workspace(entry.name)
            if entry.engine is not None:
                await entry.engine.close()
                self._tell_closed(entry.name)
        except Exception:
            _log.exception("workspace '%s' was not closed cleanly", entry.name)
        finally:
            self._closings.pop(entry.name, None)
            self._rouse()

    def _touch(self, entry: _Entry[E]) -> None:
        entry.used_at = self._clock()
        if self._entries.get(entry.name) is entry:
            self._entries.move_to_end(entry.name)

    def _rouse(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _wait(self, seconds: float) -> None:
        """Return when something may have changed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)


def _away(workspace: str) -> Conflict:
    return Conflict(f"Workspace '{workspace}' is being removed or renamed; try again later")
