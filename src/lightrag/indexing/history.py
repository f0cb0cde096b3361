"""What was said of the work on a workspace, by whichever process: the latest messages, in the workspace's storage."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lightrag.indexing.progress import HISTORY
from lightrag.storage.contracts import Namespace, Storage

_PREFIX = "said:"
_PRUNED_EVERY = 100
"""Writes between two looks for what may be forgotten."""


class History:
    """Messages in rows that are only ever added; the oldest are forgotten now and then.

    Args:
        storage: The workspace's storage.
        owner: The name of this process, which keeps rows of the same moment apart.
    """

    def __init__(self, storage: Storage, owner: str) -> None:
        self._storage = storage
        self._owner = owner
        self._writes = 0

    async def add(self, tx: Storage, messages: Sequence[str]) -> None:
        """Add messages, as a part of a transaction."""
        if not messages:
            return
        store = tx.kv(Namespace.META)
        await store.put({f"{_PREFIX}{time.time_ns():020d}:{self._owner}": {"messages": list(messages)}})
        if self._writes % _PRUNED_EVERY == 0:
            await store.delete(await self._forgettable(tx))
        self._writes += 1

    async def read(self) -> list[str]:
        """Return the messages, oldest first, at most `HISTORY`."""
        rows = await self._storage.kv(Namespace.META).scan(prefix=_PREFIX, limit=2 * HISTORY)
        return [str(message) for _, row in rows for message in row["messages"]][-HISTORY:]

    async def _forgettable(self, tx: Storage) -> list[str]:
        kept = 0
        gone: list[str] = []
        for key, row in reversed(await tx.kv(Namespace.META).scan(prefix=_PREFIX, limit=10 * HISTORY)):
            if kept >= HISTORY:
                gone.append(key)
            kept += len(row["messages"])
        return gone
