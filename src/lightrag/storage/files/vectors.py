"""Vectors of one kind, searched by cosine."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Collection, Sequence

from lightrag.storage.contracts import FloatArray, Hit, VectorKind, VectorRow
from lightrag.storage.files.matrix import Matrix, MatrixSnapshot, unit_rows
from lightrag.storage.files.rows import VectorItem
from lightrag.storage.files.session import Session
from lightrag.storage.files.state import State
from lightrag.storage.files.table import Table

_AT_ONCE = 2_000_000
"""Numbers that are scanned on the event loop; a larger matrix is scanned in a thread."""


class FileVectors:
    """Vectors of one kind in one session. `matrix` holds those that are committed."""

    def __init__(self, session: Session, kind: VectorKind, matrix: Matrix) -> None:
        self._session = session
        self._kind = kind
        self._matrix = matrix

    async def put(self, rows: Sequence[VectorRow]) -> None:
        """Insert or replace rows; raises `StorageMismatch` for a wrong dimension."""
        unique = {row.key: row for row in rows}
        if not unique:
            return

        def work(state: State) -> None:
            units = unit_rows([row.vector for row in unique.values()], state.dimension)
            now = int(time.time())
            for unit, row in zip(units, unique.values(), strict=True):
                state.vectors[self._kind].put(row.key, VectorItem(row.content_hash, now, unit))

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        wanted = list(keys)

        def work(state: State) -> None:
            for key in wanted:
                state.vectors[self._kind].remove(key)

        await self._session.write(work)

    async def search(
        self, queries: FloatArray, top_k: int, *, threshold: float = -1.0, within: Collection[str] | None = None
    ) -> list[list[Hit]]:
        """Return for each row of `queries` (n, dimension) the `top_k` best hits not below `threshold`, best first."""
        state = self._session.state
        units = unit_rows(queries, state.dimension)
        if top_k <= 0:
            return [[] for _ in units]
        if self._changed(state):
            return self._everything(state).search(units, top_k, threshold, within)
        if self._matrix.snapshot().rows.size * len(units) <= _AT_ONCE:
            return self._matrix.snapshot().search(units, top_k, threshold, within)
        with self._matrix.pinned() as snapshot:
            return await asyncio.to_thread(snapshot.search, units, top_k, threshold, within)

    async def get(self, keys: Sequence[str]) -> dict[str, FloatArray]:
        """Return the stored (normalised) vectors."""
        rows = self._session.state.vectors[self._kind]
        found = ((key, rows.get(key)) for key in keys)
        return {key: self._numbers(key, item) for key, item in found if item is not None}

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[tuple[str, str]]:
        """Return (key, content_hash) of at most `limit` rows with key > `after`, by key."""
        rows = self._session.state.vectors[self._kind]
        keys = rows.ordered()
        start = bisect.bisect_right(keys, after)
        found = ((key, rows.get(key)) for key in keys[start : start + max(limit, 0)])
        return [(key, item.content_hash) for key, item in found if item is not None]

    async def count(self) -> int:
        """Return the number of rows."""
        return len(self._session.state.vectors[self._kind])

    def _changed(self, state: State) -> set[str]:
        """Return the keys that layers changed."""
        changed: set[str] = set()
        while state.parent is not None:
            changed.update(state.vectors[self._kind].changed, state.vectors[self._kind].gone)
            state = state.parent
        return changed

    def _everything(self, state: State) -> MatrixSnapshot:
        """Return the rows of a layered state as one matrix; only inside transactions."""
        own = Matrix()
        rows: Table[str, VectorItem] = state.vectors[self._kind]
        own.change((), {key: self._numbers(key, item) for key, item in rows.items()})
        return own.snapshot()

    def _numbers(self, key: str, item: VectorItem) -> FloatArray:
        return self._matrix.get(key) if item.vector is None else item.vector.copy()
