"""One writer at a time: transactions, and single writes that share one flush to the disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

import orjson

from lightrag.errors import InvalidInput, StorageUnavailable
from lightrag.finishing import to_the_end
from lightrag.storage.files.journal import Journal
from lightrag.storage.files.state import State
from lightrag.storage.files.workspace import Workspace

T = TypeVar("T")


class _Write:
    """A single write that waits for its turn."""

    def __init__(self, work: Callable[[State], Any]) -> None:
        self.work = work
        self.is_done = False
        self._result: Any = None
        self._error: BaseException | None = None

    def settle(self, result: Any, error: BaseException | None = None) -> None:
        self.is_done, self._result, self._error = True, result, error

    def outcome(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class Writer:
    """Changes a workspace. What is acknowledged is in the journal, on the disk."""

    def __init__(self, workspace: Workspace, journal: Journal, on_commit: Callable[[], None]) -> None:
        self._workspace = workspace
        self._journal = journal
        self._on_commit = on_commit
        self._lock = asyncio.Lock()
        self._committing = asyncio.Lock()
        """Held while a change goes to the journal and then into the workspace."""
        self._waiting: list[_Write] = []
        self._is_open = False

    @property
    def state(self) -> State:
        """What is committed."""
        self._check()
        return self._workspace

    def open(self) -> None:
        """Accept writes from now on."""
        self._is_open = True

    async def close(self) -> None:
        """Accept no more writes, and wait for the one that is being written. Open transactions come to nothing."""
        self._is_open = False
        async with self._committing:
            return

    async def write(self, work: Callable[[State], T]) -> T:
        """Run `work` on a layer and commit it, together with what else waits."""
        self._check()
        mine = _Write(work)
        self._waiting.append(mine)
        try:
            async with self._lock:
                if not mine.is_done:
                    batch, self._waiting = self._waiting, []
                    await to_the_end(self._write_all(batch))
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
            raise
        return cast(T, mine.outcome())

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[State]:
        """Yield a layer that is committed when the block ends and thrown away when it raises."""
        self._check()
        async with self._lock:
            self._check()
            layer = self._workspace.layer()
            yield layer
            self._check()
            await to_the_end(self._commit(layer))

    @contextlib.asynccontextmanager
    async def between_commits(self) -> AsyncIterator[None]:
        """Keep commits waiting, so that workspace and journal hold the same."""
        async with self._committing:
            yield

    async def _write_all(self, batch: list[_Write]) -> None:
        layer = self._workspace.layer()
        done: list[tuple[_Write, Any]] = []
        for write in batch:
            # Each on a layer of its own, so that a bad one fails alone.
            step = layer.layer() if len(batch) > 1 else layer
            try:
                self._check()
                result = write.work(step)
                if step is not layer:
                    _encoded(step)
                    layer.absorb(step)
            except Exception as error:
                write.settle(None, error)
                if step is layer:
                    return
                continue
            done.append((write, result))
        try:
            await self._commit(layer)
        except Exception as error:
            for write, _ in done:
                write.settle(None, error)
            return
        for write, result in done:
            write.settle(result)

    async def _commit(self, layer: State) -> None:
        change = _encoded(layer)
        async with self._committing:
            if change:
                try:
                    await asyncio.to_thread(self._journal.append, change)
                except OSError as error:
                    raise StorageUnavailable(f"the journal cannot be written ({error}); nothing was changed") from error
            self._workspace.absorb(layer)
        if change:
            self._on_commit()

    def _check(self) -> None:
        if not self._is_open:
            raise StorageUnavailable("the storage is not open")


def _encoded(layer: State) -> bytes:
    """Return what a layer changes as the journal holds it; empty for nothing."""
    change = layer.as_change()
    try:
        return orjson.dumps(change) if change else b""
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a value cannot be written as JSON ({error}); texts must be valid Unicode") from error
