"""What questions read lately, for as long as nothing in the workspace changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentRows(Generic[K, V]):
    """Rows by key, forgotten as soon as the workspace has another version.

    Args:
        version: Tells the version of the workspace; None where it cannot be told, then nothing is kept.
        read: Returns those of some keys that exist.
        limit: Most rows that are kept; the ones asked for longest ago go first.
    """

    def __init__(
        self,
        version: Callable[[], int | None],
        read: Callable[[Sequence[K]], Awaitable[dict[K, V]]],
        limit: int,
    ) -> None:
        self._version = version
        self._read = read
        self._limit = limit
        self._seen: int | None = None
        self._rows: OrderedDict[K, V] = OrderedDict()

    async def get(self, keys: Sequence[K]) -> dict[K, V]:
        """Return the rows that exist among `keys`, in their order."""
        version = self._version()
        if version is None or version != self._seen:
            # Reads that are still under way put what they find into the rows that are given up here.
            self._seen, self._rows = version, OrderedDict()
        rows = self._rows
        missing = [key for key in keys if key not in rows]
        fresh = await self._read(missing) if missing else {}
        found: dict[K, V] = {}
        for key in keys:
            row = fresh.get(key) if key in fresh else rows.get(key)
            if row is not None:
                found[key] = row
        if version is not None:
            rows.update(fresh)
            for key in found:
                if key in rows:
                    rows.move_to_end(key)
            while len(rows) > self._limit:
                rows.popitem(last=False)
        return found
