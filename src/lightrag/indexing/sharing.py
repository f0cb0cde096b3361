"""How the processes of a workspace share its work: one indexes, one scans, and all see what is being done."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightrag.errors import LightRAGError
from lightrag.indexing.history import History
from lightrag.indexing.post import Post
from lightrag.indexing.progress import HISTORY, Progress, now_iso
from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import JsonObject

_CANCELLATION = "cancellation"

_log = logging.getLogger("lightrag.pipeline")


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What the storage says of the work on the workspace."""

    report: Mapping[str, Any]
    """Of the process that indexes, or the last one of the one that did; empty where there was none."""
    is_worked_on: bool
    """Whether a living process holds the post of the indexer."""
    is_left_behind: bool
    """Whether the process that held it died."""
    is_scanned: bool
    cancellation: str
    """Names the last request to stop; empty where there was none."""


class Sharing:
    """The part of one process in the work on a workspace.

    Args:
        storage: The workspace's storage, through which the processes know of each other.
        progress: What this process does and says.
        owner: Its name; see `lightrag.indexing.owner`.
        seconds: After which a process that does not report counts as dead, where that cannot be told at once.
    """

    def __init__(self, storage: Storage, progress: Progress, owner: str, seconds: float) -> None:
        self._storage = storage
        self._progress = progress
        self._history = History(storage, owner)
        self._indexer = Post(storage, "indexer", owner, seconds)
        self._scanner = Post(storage, "scanner", owner, seconds)
        self._seconds = seconds
        self._reported: Mapping[str, Any] = {}
        self._reported_at = 0.0
        self._writing = asyncio.Lock()

    @property
    def is_indexer(self) -> bool:
        """Whether this process is the one that indexes."""
        return self._indexer.is_held

    @property
    def has_to_say(self) -> bool:
        """Whether this process holds a post, or has messages for the others."""
        return self._indexer.is_held or self._scanner.is_held or bool(self._progress.messages)

    async def look(self) -> View:
        """Return what the storage says now."""
        rows = await self._storage.kv(Namespace.META).get([self._indexer.key, self._scanner.key, _CANCELLATION])
        indexer, scanner = rows.get(self._indexer.key, {}), rows.get(self._scanner.key, {})
        return View(
            report=indexer.get("report", {}),
            is_worked_on=self._indexer.is_occupied(indexer),
            is_left_behind=self._indexer.is_left_behind(indexer),
            is_scanned=self._scanner.is_occupied(scanner),
            cancellation=_id_of(rows.get(_CANCELLATION, {})),
        )

    async def messages(self) -> list[str]:
        """Return what all processes have said lately, oldest first."""
        return [*await self._history.read(), *self._progress.messages][-HISTORY:]

    async def become_indexer(self, report: Mapping[str, Any]) -> str | None:
        """Try to become the process that indexes.

        Returns who left the post behind unfinished ("" for nobody), or None where another process holds it.
        """
        async with self._writing:
            before = await self._indexer.take(report)
            self._note_report(report)
        return before

    async def resign(self, report: Mapping[str, Any]) -> None:
        """Leave the post of the indexer to whoever finds work next."""
        if self._indexer.is_held:
            await self._write(lambda tx: self._indexer.leave(tx, report))

    async def begin_scan(self) -> bool:
        """Try to become the process that scans the input folder; False where another one does."""
        return await self._scanner.take({}) is not None

    async def end_scan(self) -> None:
        """Let others scan."""
        if self._scanner.is_held:
            await self._write(lambda tx: self._scanner.leave(tx, {}))

    async def report(self, report: Mapping[str, Any]) -> None:
        """Tell the others how far this process is, where that is new or it is time for a sign of life."""
        is_due = time.monotonic() - self._reported_at > self._seconds / 3
        renews = self._indexer.is_held and (is_due or report != self._reported)
        scans = self._scanner.is_held and is_due

        async def write(tx: Storage) -> None:
            # The post may have been left while this waited for its turn.
            if renews and self._indexer.is_held and not await self._indexer.renew(tx, report):
                _log.warning("Another process has taken over the indexing, because this one stood still for too long")
            if scans:
                await self._scanner.renew(tx, {})

        if renews or scans or self._progress.messages:
            await self._write(write)
            self._note_report(report)

    async def request_cancellation(self, tx: Storage) -> None:
        """Ask the process that indexes to stop what it is doing."""
        await tx.kv(Namespace.META).put({_CANCELLATION: {"id": now_iso()}})

    async def cancellation(self) -> str:
        """Return the name of the last request to stop."""
        return _id_of((await self._storage.kv(Namespace.META).get([_CANCELLATION])).get(_CANCELLATION, {}))

    async def leave(self, report: Mapping[str, Any]) -> None:
        """Give up everything at the end of the process; failures are logged, for all of it ends by itself."""
        try:
            await self.end_scan()
            await self.resign(report)
            if self._progress.messages:
                await self._write(None)
        except LightRAGError as error:
            _log.warning("The workspace was not told of the end of this process: %s", error)

    async def _write(self, work: Callable[[Storage], Any] | None) -> None:
        """Write, and with it what was said since the last time."""
        async with self._writing:
            said = list(self._progress.messages)
            async with self._storage.transaction() as tx:
                if work is not None:
                    await work(tx)
                await self._history.add(tx, said)
            for _ in range(min(len(said), len(self._progress.messages))):
                self._progress.messages.popleft()

    def _note_report(self, report: Mapping[str, Any]) -> None:
        self._reported, self._reported_at = report, time.monotonic()


def _id_of(row: JsonObject) -> str:
    return str(row.get("id", ""))
