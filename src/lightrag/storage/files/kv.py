"""Key-value rows, kept as the JSON text that they are."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

import orjson

from lightrag.storage.contracts import Namespace
from lightrag.storage.files.session import Session
from lightrag.storage.files.state import State
from lightrag.types import JsonObject


class FileKV:
    """JSON objects of one namespace."""

    def __init__(self, session: Session, namespace: Namespace) -> None:
        self._session = session
        self._namespace = namespace

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        """Return the rows that exist among `keys`."""
        rows = self._session.state.kv[self._namespace]
        found = ((key, rows.get(key)) for key in keys)
        return {key: orjson.loads(row) for key, row in found if row is not None}

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        """Insert or replace rows."""
        encoded = {key: orjson.dumps(row) for key, row in rows.items()}

        def work(state: State) -> None:
            for key, row in encoded.items():
                state.kv[self._namespace].put(key, row)

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        wanted = list(keys)

        def work(state: State) -> None:
            for key in wanted:
                state.kv[self._namespace].remove(key)

        await self._session.write(work)

    async def scan(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[tuple[str, JsonObject]]:
        """Return at most `limit` rows whose key starts with `prefix` and is greater than `after`, by key."""
        rows = self._session.state.kv[self._namespace]
        keys = rows.ordered()
        start = max(bisect.bisect_right(keys, after), bisect.bisect_left(keys, prefix))
        found: list[tuple[str, JsonObject]] = []
        for key in keys[start : start + max(limit, 0)]:
            if not key.startswith(prefix):
                break
            row = rows.get(key)
            if row is not None:
                found.append((key, orjson.loads(row)))
        return found

    async def count(self) -> int:
        """Return the number of rows."""
        return len(self._session.state.kv[self._namespace])

    async def clear(self) -> None:
        """Remove all rows."""
        await self._session.write(lambda state: state.kv[self._namespace].clear())
