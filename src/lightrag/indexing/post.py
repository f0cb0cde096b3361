"""A post that one process of a workspace holds at a time: who indexes, who scans. It lies in the storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lightrag.indexing.owner import is_dead
from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import JsonObject


class Post:
    """Taken, renewed and given up by processes that share a workspace.

    The row says who holds the post, until when unless it is renewed, and what the holder has to report. A holder that
    was killed on this machine is known to be dead at once, one on another machine when its time is over. A row that
    nobody gave up tells a successor that something was left unfinished.
    """

    def __init__(
        self, storage: Storage, name: str, owner: str, seconds: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._storage = storage
        self.key = f"post:{name}"
        self._owner = owner
        self._seconds = seconds
        self._clock = clock
        self.is_held = False

    async def take(self, report: Mapping[str, Any]) -> str | None:
        """Try to take the post; return whose it was ("" where nobody left it behind), or None where it is held."""
        async with self._storage.transaction() as tx:
            row = await self._read(tx)
            if self.is_occupied(row) and row.get("owner") != self._owner:
                self.is_held = False
                return None
            await self._write(tx, report)
        self.is_held = True
        return str(row.get("owner") or "")

    async def renew(self, tx: Storage, report: Mapping[str, Any]) -> bool:
        """Report and go on holding the post; False where another process has taken it meanwhile."""
        if (await self._read(tx)).get("owner") != self._owner:
            self.is_held = False
            return False
        await self._write(tx, report)
        return True

    async def leave(self, tx: Storage, report: Mapping[str, Any]) -> None:
        """Give the post up; the last report stays."""
        self.is_held = False
        if (await self._read(tx)).get("owner") == self._owner:
            await tx.kv(Namespace.META).put({self.key: {"owner": "", "until": 0.0, "report": dict(report)}})

    async def look(self) -> JsonObject:
        """Return the row: `owner` (empty: nobody), `until` and `report`; empty where the post was never held."""
        return await self._read(self._storage)

    def is_occupied(self, row: JsonObject) -> bool:
        """Tell whether a row means that a process, which lives as far as can be known, holds the post."""
        owner = str(row.get("owner") or "")
        return bool(owner) and float(row.get("until", 0.0)) > self._clock() and not is_dead(owner)

    def is_left_behind(self, row: JsonObject) -> bool:
        """Tell whether a row means that the holder died or stands still."""
        return bool(row.get("owner")) and not self.is_occupied(row)

    async def _read(self, storage: Storage) -> JsonObject:
        return (await storage.kv(Namespace.META).get([self.key])).get(self.key, {})

    async def _write(self, tx: Storage, report: Mapping[str, Any]) -> None:
        row = {"owner": self._owner, "until": self._clock() + self._seconds, "report": dict(report)}
        await tx.kv(Namespace.META).put({self.key: row})
