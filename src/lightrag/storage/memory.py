"""All stores of a workspace in plain Python objects: the reference by which the other families are judged.

Clear rather than fast: whatever is derived is computed when it is asked for, and a transaction that fails puts back a
copy. Nothing is kept when the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import numpy as np

from lightrag.errors import ConfigurationError, InvalidInput, StorageMismatch
from lightrag.storage.contracts import (
    Disagreements,
    DocumentStore,
    FloatArray,
    GraphStore,
    Hit,
    KVStore,
    LexicalIndex,
    Namespace,
    SortField,
    Storage,
    VectorKind,
    VectorRow,
    VectorStore,
)
from lightrag.storage.filters import admits, is_open
from lightrag.storage.memory_graph import GraphState, MemoryGraph
from lightrag.storage.ranking import bm25
from lightrag.types import DocStatus, DocumentFilter, DocumentRecord, JsonObject


@dataclasses.dataclass(slots=True)
class _State:
    """Everything a workspace holds."""

    kv: dict[Namespace, dict[str, JsonObject]] = dataclasses.field(
        default_factory=lambda: {namespace: {} for namespace in Namespace}
    )
    vectors: dict[VectorKind, dict[str, tuple[str, FloatArray]]] = dataclasses.field(
        default_factory=lambda: {kind: {} for kind in VectorKind}
    )
    dimension: int | None = None
    terms: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    documents: dict[str, DocumentRecord] = dataclasses.field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = dataclasses.field(default_factory=dict)
    """document id → (owner, Unix seconds at which the lease ends)"""
    graph: GraphState = dataclasses.field(default_factory=GraphState)


class _Cell:
    """Holds the present state, so that a transaction can put another in its place."""

    def __init__(self) -> None:
        self.state = _State()


class MemoryKV:
    """JSON objects of one namespace."""

    def __init__(self, cell: _Cell, namespace: Namespace) -> None:
        self._cell = cell
        self._namespace = namespace

    @property
    def _rows(self) -> dict[str, JsonObject]:
        return self._cell.state.kv[self._namespace]

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        """Return the rows that exist among `keys`."""
        return {key: copy.deepcopy(self._rows[key]) for key in keys if key in self._rows}

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        """Insert or replace rows."""
        self._rows.update(copy.deepcopy(dict(rows)))

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        for key in keys:
            self._rows.pop(key, None)

    async def scan(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[tuple[str, JsonObject]]:
        """Return at most `limit` rows whose key starts with `prefix` and is greater than `after`, by key."""
        keys = sorted(key for key in self._rows if key.startswith(prefix) and key > after)[:limit]
        return [(key, copy.deepcopy(self._rows[key])) for key in keys]

    async def count(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    async def clear(self) -> None:
        """Remove all rows."""
        self._rows.clear()


class MemoryVectors:
    """Vectors of one kind."""

    def __init__(self, cell: _Cell, kind: VectorKind) -> None:
        self._cell = cell
        self._kind = kind

    @property
    def _rows(self) -> dict[str, tuple[str, FloatArray]]:
        return self._cell.state.vectors[self._kind]

    async def put(self, rows: Sequence[VectorRow]) -> None:
        """Insert or replace rows; raises `StorageMismatch` for a wrong dimension."""
        units = [self._unit(row.vector) for row in rows]
        for row, unit in zip(rows, units, strict=True):
            self._rows[row.key] = (row.content_hash, unit)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        for key in keys:
            self._rows.pop(key, None)

    async def search(
        self, queries: FloatArray, top_k: int, *, threshold: float = -1.0, within: Collection[str] | None = None
    ) -> list[list[Hit]]:
        """Return for each query the `top_k` best hits not below `threshold`, best first, ties by key."""
        allowed = self._rows.keys() if within is None else self._rows.keys() & set(within)
        found = []
        for query in queries:
            unit = self._unit(query)
            scores = ((key, float(np.clip(self._rows[key][1] @ unit, -1.0, 1.0))) for key in allowed)
            hits = [Hit(key, score) for key, score in scores if score >= threshold]
            found.append(sorted(hits, key=lambda hit: (-hit.score, hit.key))[: max(top_k, 0)])
        return found

    async def get(self, keys: Sequence[str]) -> dict[str, FloatArray]:
        """Return the stored (normalised) vectors."""
        return {key: self._rows[key][1].copy() for key in keys if key in self._rows}

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[tuple[str, str]]:
        """Return (key, content_hash) of at most `limit` rows with key > `after`, by key."""
        return [(key, self._rows[key][0]) for key in sorted(self._rows) if key > after][:limit]

    async def count(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def _unit(self, vector: FloatArray) -> FloatArray:
        dimension = self._cell.state.dimension
        if dimension is None or vector.shape != (dimension,):
            raise StorageMismatch(f"a vector of shape {vector.shape}, this workspace's have {dimension} numbers")
        if not np.isfinite(vector).all():
            raise InvalidInput("a vector holds a number that is not finite")
        norm = np.linalg.norm(vector)
        return np.asarray(vector / norm if norm > 0 else vector, np.float32)


class MemoryLexical:
    """Terms of chunks, ranked by BM25."""

    def __init__(self, cell: _Cell) -> None:
        self._cell = cell

    async def put(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Insert or replace the terms of each key."""
        self._cell.state.terms.update({key: [term for term in terms if term] for key, terms in rows.items()})

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove keys."""
        for key in keys:
            self._cell.state.terms.pop(key, None)

    async def search(self, terms: Sequence[str], limit: int, *, within: Collection[str] | None = None) -> list[Hit]:
        """Return the best keys that hold any of `terms`; `within` restricts before ranking."""
        scores = bm25(self._cell.state.terms, terms)
        hits = [Hit(key, score) for key, score in scores.items() if within is None or key in within]
        return sorted(hits, key=lambda hit: (-hit.score, hit.key))[: max(limit, 0)]

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return at most `limit` keys greater than `after`, in order."""
        return sorted(key for key in self._cell.state.terms if key > after)[:limit]

    async def count(self) -> int:
        """Return the number of keys."""
        return len(self._cell.state.terms)


class MemoryDocuments:
    """Status rows and leases; `clock` gives Unix seconds."""

    def __init__(self, cell: _Cell, clock: Callable[[], float] = time.time) -> None:
        self._cell = cell
        self._clock = clock

    @property
    def _rows(self) -> dict[str, DocumentRecord]:
        return self._cell.state.documents

    async def put(self, records: Sequence[DocumentRecord]) -> None:
        """Insert or replace rows; leases are kept."""
        self._rows.update((record.id, copy.deepcopy(record)) for record in records)

    async def get(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return rows by id."""
        return {id: copy.deepcopy(self._rows[id]) for id in ids if id in self._rows}

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove rows and their leases."""
        for id in ids:
            self._rows.pop(id, None)
            self._cell.state.leases.pop(id, None)

    async def by_track_id(self, track_id: str) -> list[DocumentRecord]:
        """Return the rows of one request, by creation."""
        return self._oldest_first(lambda record: record.track_id == track_id)

    async def by_file_path(self, file_path: str) -> DocumentRecord | None:
        """Return the oldest row of this path, if any."""
        return next(iter(self._oldest_first(lambda record: record.file_path == file_path)), None)

    async def by_content_hash(self, content_hash: str) -> DocumentRecord | None:
        """Return the oldest row with this text or file hash, if any."""
        if not content_hash:
            return None
        rows = self._oldest_first(lambda record: content_hash in (record.content_hash, record.source_hash))
        return next(iter(rows), None)

    async def counts(self) -> dict[DocStatus, int]:
        """Return the number of rows per status."""
        statuses = [record.status for record in self._rows.values()]
        return {status: statuses.count(status) for status in set(statuses)}

    async def count_due(self, statuses: Collection[DocStatus]) -> int:
        """Return the number of rows that are of `statuses` or to be deleted, leased or not."""
        return sum(record.status in statuses or record.delete_requested for record in self._rows.values())

    async def page(
        self,
        *,
        statuses: Collection[DocStatus] | None = None,
        offset: int = 0,
        limit: int = 50,
        sort: SortField = "updated_at",
        descending: bool = True,
    ) -> tuple[list[DocumentRecord], int]:
        """Return one page of rows and the number of all that match; ties by id."""
        rows = [record for record in self._rows.values() if statuses is None or record.status in statuses]
        rows.sort(key=lambda record: (getattr(record, sort), record.id), reverse=descending)
        return copy.deepcopy(rows[offset : offset + limit]), len(rows)

    async def matching(self, filter: DocumentFilter) -> set[str]:
        """Return the ids of documents that a non-empty filter admits."""
        return {id for id, record in self._rows.items() if admits(filter, id, record.file_path, record.tags)}

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        lease_seconds: float,
        statuses: Collection[DocStatus],
        not_of: Collection[str] = (),
    ) -> list[DocumentRecord]:
        """Lease up to `limit` unleased documents, oldest first: those of `statuses` and those to be deleted.

        Documents that one of `not_of` brought (see `lightrag.types.BROUGHT_BY`) are left alone, but for deletion.
        """
        now, leases = self._clock(), self._cell.state.leases
        free = self._oldest_first(
            lambda record: (
                (is_open(record, statuses, not_of) or record.delete_requested)
                and leases.get(record.id, ("", -1.0))[1] <= now
            )
        )[:limit]
        leases.update((record.id, (owner, now + lease_seconds)) for record in free)
        return free

    async def heartbeat(self, owner: str, lease_seconds: float) -> None:
        """Extend all leases of `owner`."""
        until = self._clock() + lease_seconds
        for id, (holder, _) in self._cell.state.leases.items():
            if holder == owner:
                self._cell.state.leases[id] = (owner, until)

    async def owners(self) -> list[str]:
        """Return who holds leases, ended ones included."""
        return sorted({holder for holder, _ in self._cell.state.leases.values()})

    async def release(self, owner: str, ids: Sequence[str] | None = None) -> None:
        """Give up leases (all of `owner` where `ids` is None)."""
        leases = self._cell.state.leases
        for id in [id for id, (holder, _) in leases.items() if holder == owner and (ids is None or id in ids)]:
            del leases[id]

    def _oldest_first(self, condition: Callable[[DocumentRecord], bool]) -> list[DocumentRecord]:
        rows = filter(condition, self._rows.values())
        return copy.deepcopy(sorted(rows, key=lambda record: (record.created_at, record.id)))


class _Stores:
    family = "memory"

    def __init__(self, workspace: str, cell: _Cell) -> None:
        self.workspace = workspace
        self._cell = cell

    @property
    def graph(self) -> GraphStore:
        """Mentions, entities and relations."""
        return MemoryGraph(lambda: self._cell.state.graph)

    @property
    def documents(self) -> DocumentStore:
        """Status rows and leases."""
        return MemoryDocuments(self._cell)

    @property
    def lexical(self) -> LexicalIndex:
        """Full-text index over chunks."""
        return MemoryLexical(self._cell)

    def kv(self, namespace: Namespace) -> KVStore:
        """Return the key-value store of a namespace."""
        return MemoryKV(self._cell, namespace)

    def vectors(self, kind: VectorKind) -> VectorStore:
        """Return the vector store of a kind."""
        return MemoryVectors(self._cell, kind)

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def drop(self, *, keep: Collection[Namespace] = ()) -> None:
        """Delete all data of the workspace but these key-value namespaces."""
        old = self._cell.state
        self._cell.state = _State(graph=old.graph.dropped())
        self._cell.state.kv.update({namespace: old.kv[namespace] for namespace in keep})

    def version(self) -> int | None:
        """Return None: reading costs nothing that would be worth saving."""
        return None

    async def check(self) -> Disagreements:
        """Return no contradictions: nothing is kept beside the data."""
        return Disagreements()

    async def mend_indexes(self) -> None:
        """Do nothing, for the same reason."""

    async def drop_vectors(self) -> None:
        """Delete all vectors and forget their dimension."""
        self._cell.state.vectors, self._cell.state.dimension = _State().vectors, None

    async def set_dimension(self, dimension: int) -> None:
        """Fix the length of vectors, once per workspace; raises `StorageMismatch` where it differs."""
        if dimension <= 0:
            raise ConfigurationError(f"vectors cannot have {dimension} numbers")
        if self._cell.state.dimension not in (None, dimension):
            raise StorageMismatch(f"vectors here have {self._cell.state.dimension} numbers, not {dimension}")
        self._cell.state.dimension = dimension


class _InTransaction(_Stores):
    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Yield this storage itself."""
        yield self


class MemoryStorage(_Stores):
    """One workspace in memory."""

    def __init__(self, workspace: str) -> None:
        super().__init__(workspace, _Cell())
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Storage]:
        """Work on a copy, which takes the place of the state when the block ends well.

        Writes that go past the transaction meanwhile are lost; one caller at a time, as in tests.
        """
        async with self._lock:
            draft = _Cell()
            draft.state = copy.deepcopy(self._cell.state)
            yield _InTransaction(self.workspace, draft)
            self._cell.state = draft.state
