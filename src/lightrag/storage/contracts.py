"""What the engine asks of a storage family: four kinds of store and what binds them together.

A `Storage` is bound to one workspace when it is made; no method takes a workspace. All methods are asynchronous and
take batches. A key that is absent is left out of a result, never an error. Every write is idempotent: doing it again
changes nothing. Drivers' errors surface as `lightrag.errors.StorageError`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from lightrag.types import (
    DocStatus,
    DocumentFilter,
    DocumentRecord,
    Entity,
    EntityMention,
    JsonObject,
    Pair,
    Relation,
    RelationMention,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SortField = Literal["created_at", "updated_at", "id", "file_path"]


class Namespace(StrEnum):
    """Key-value namespaces of a workspace."""

    FULL_DOCS = "full_docs"
    """doc id → {"content", "file_path", "pages": [[page, start, end], …]}"""
    TEXT_CHUNKS = "text_chunks"
    """chunk id → the fields of `lightrag.types.Chunk`"""
    EXTRACTIONS = "extractions"
    """chunk id → {"fingerprint", "entities", "relations"}: what was found in the chunk"""
    SUMMARIES = "summaries"
    """hash of the fragments → {"text"}"""
    LLM_CACHE = "llm_response_cache"
    """`{mode}:{cache_type}:{md5}` → {"return", "cache_type", "chunk_id", "create_time"}"""
    STALE = "stale"
    """`{kind}:{key}` of a vector or summary that no longer fits what it was derived from"""
    EDITS = "edits"
    """manual edits of the graph in the order they were made, and what they did to which chunk; see `indexing.edits`"""
    SPARSE = "sparse"
    """chunk id → {"weights": {token: weight}}: sparse weights of the chunk's text, where the model gives them"""
    META = "meta"
    """what the workspace was made with (embedding model, dimension, storage family), pipeline state"""


class VectorKind(StrEnum):
    """The three vector collections; keys are chunk ids, entity names, and `source<SEP>target`."""

    CHUNKS = "chunks"
    ENTITIES = "entities"
    RELATIONS = "relationships"


class KVStore(Protocol):
    """JSON objects by string key."""

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        """Return the rows that exist among `keys`."""
        ...

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        """Insert or replace rows."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        ...

    async def scan(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[tuple[str, JsonObject]]:
        """Return at most `limit` rows whose key starts with `prefix` and is greater than `after`, by key."""
        ...

    async def count(self) -> int:
        """Return the number of rows."""
        ...

    async def clear(self) -> None:
        """Remove all rows."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class VectorRow:
    """A vector with the hash of the text that it stands for, by which a derived vector is known to be current."""

    key: str
    content_hash: str
    vector: FloatArray
    """Shape (dimension,); stored L2-normalised."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """One search result; for vectors `score` is the cosine, for text BM25 (higher is better)."""

    key: str
    score: float


class VectorStore(Protocol):
    """Vectors of one kind, searched by cosine."""

    async def put(self, rows: Sequence[VectorRow]) -> None:
        """Insert or replace rows; raises `StorageMismatch` for a wrong dimension."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        ...

    async def search(
        self, queries: FloatArray, top_k: int, *, threshold: float = -1.0, within: Collection[str] | None = None
    ) -> list[list[Hit]]:
        """Return for each row of `queries` (n, dimension) the `top_k` best hits above `threshold`, best first.

        `within` restricts the search to these keys *before* ranking.
        """
        ...

    async def get(self, keys: Sequence[str]) -> dict[str, FloatArray]:
        """Return the stored (normalised) vectors."""
        ...

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[tuple[str, str]]:
        """Return (key, content_hash) of at most `limit` rows with key > `after`, by key."""
        ...

    async def count(self) -> int:
        """Return the number of rows."""
        ...


class LexicalIndex(Protocol):
    """Full-text index over chunks, ranked by BM25. Texts and queries arrive as lists of terms, already cut."""

    async def put(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Insert or replace the terms of each key."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove keys."""
        ...

    async def search(self, terms: Sequence[str], limit: int, *, within: Collection[str] | None = None) -> list[Hit]:
        """Return the best keys that hold any of `terms`; `within` restricts before ranking."""
        ...

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return at most `limit` keys greater than `after`, in order."""
        ...

    async def count(self) -> int:
        """Return the number of keys."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Touched:
    """The entities and relations that a change of mentions concerns."""

    names: frozenset[str]
    pairs: frozenset[Pair]


@dataclasses.dataclass(frozen=True, slots=True)
class EntityEvidence:
    """What is known of one entity: the total, and the first mentions in evidence order."""

    total: int
    mentions: tuple[EntityMention, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RelationEvidence:
    """What is known of one relation: totals over all mentions, and the first mentions in evidence order."""

    total: int
    weight: float
    mentions: tuple[RelationMention, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class GraphChanges:
    """The structure of the graph since a sequence number, with store-assigned integer ids (stable for a key's life).

    A reader applies removals first, then additions. With `complete` the reader starts from nothing.
    """

    seq: int
    complete: bool
    removed_entities: IntArray
    removed_chunks: IntArray
    """Chunks whose mentions are all gone."""
    removed_relations: IntArray
    """Shape (n, 2): entity ids."""
    entities: Sequence[tuple[int, str]]
    chunks: Sequence[tuple[int, str, str]]
    """(id, chunk id, document id)"""
    mentions: IntArray
    """Shape (n, 2): entity id, chunk id. A changed chunk is listed with all of its mentions."""
    relations: IntArray
    """Shape (n, 2): entity ids of edges that are new or whose weight changed."""
    relation_weights: FloatArray
    """Shape (n,)"""


@dataclasses.dataclass(frozen=True, slots=True)
class Disagreements:
    """What in a store's own bookkeeping contradicts itself, in words; a crash never leaves such a thing behind."""

    graph: tuple[str, ...] = ()
    """References, totals and copies within the graph. Clearing it and building it anew mends them."""
    indexes: tuple[str, ...] = ()
    """What searches read beside the data. `Storage.mend_indexes` makes it anew, and terms are put again."""
    vectors: tuple[tuple[VectorKind, str], ...] = ()
    """Kinds and keys of vectors that cannot be used: of another length, not of length 1, not finite. Deleting and
    making them anew mends them."""


class GraphStore(Protocol):
    """Entities and relations, and under them the mentions that they are folded from.

    Mentions are the truth; entities and relations are derived. Evidence order is a fixed pseudo-random order of a
    key's mentions (a hash of key and chunk id), so that "the first k" is a sample which does not depend on the order
    of insertion and which a growing graph changes ever more rarely.
    """

    async def put_mentions(self, entities: Sequence[EntityMention], relations: Sequence[RelationMention]) -> Touched:
        """Store mentions, replacing those of the same key and chunk; return the keys."""
        ...

    async def delete_mentions(self, chunk_ids: Sequence[str]) -> Touched:
        """Remove all mentions by these chunks; return the keys that lost any."""
        ...

    async def entity_evidence(
        self, names: Sequence[str], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[str, EntityEvidence]:
        """Return evidence of each name that has any; with `doc_ids` only mentions by these documents count.

        With a `limit` of 0 the totals come alone.
        """
        ...

    async def relation_evidence(
        self, pairs: Sequence[Pair], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[Pair, RelationEvidence]:
        """As `entity_evidence`, of pairs."""
        ...

    async def mentioned_by(self, chunk_ids: Sequence[str]) -> Touched:
        """Return the keys that these chunks mention."""
        ...

    async def scan_mention_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return names that have entity mentions, by name; for verification."""
        ...

    async def scan_mention_pairs(self, *, after: Pair | None = None, limit: int = 1000) -> list[Pair]:
        """Return pairs that have relation mentions, by pair; for verification."""
        ...

    async def put_entities(self, entities: Sequence[Entity]) -> None:
        """Insert or replace nodes."""
        ...

    async def put_relations(self, relations: Sequence[Relation]) -> None:
        """Insert or replace edges. Both ends must exist."""
        ...

    async def delete_entities(self, names: Sequence[str]) -> None:
        """Remove nodes and every edge on them."""
        ...

    async def delete_relations(self, pairs: Sequence[Pair]) -> None:
        """Remove edges."""
        ...

    async def get_entities(self, names: Sequence[str]) -> dict[str, Entity]:
        """Return nodes by name."""
        ...

    async def get_relations(self, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return edges by pair."""
        ...

    async def degrees(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of edges on each existing node."""
        ...

    async def relations_of(self, names: Sequence[str], limit: int) -> dict[str, list[tuple[str, float]]]:
        """Return per node at most `limit` (neighbour, weight), heaviest first, ties by name."""
        ...

    async def scan_entities(self, *, after: str = "", limit: int = 1000) -> list[Entity]:
        """Return nodes with name > `after`, by name."""
        ...

    async def scan_relations(self, *, after: Pair | None = None, limit: int = 1000) -> list[Relation]:
        """Return edges with pair > `after`, by pair."""
        ...

    async def popular_labels(self, limit: int) -> list[str]:
        """Return names by degree descending, ties by name."""
        ...

    async def labels_containing(self, text: str, limit: int) -> list[str]:
        """Return names that contain `text`, ignoring case; any order, at most `limit`."""
        ...

    async def counts(self) -> tuple[int, int]:
        """Return the numbers of nodes and edges."""
        ...

    async def clear(self) -> None:
        """Remove all mentions, nodes and edges, whatever state they are in."""
        ...

    async def changes(self, since: int) -> GraphChanges:
        """Return what changed after sequence number `since` (0: everything)."""
        ...


class DocumentStore(Protocol):
    """Status rows of documents, and the leases of those that are being worked on.

    Leases let several processes share a workspace: a document belongs to one owner until its lease runs out.
    """

    async def put(self, records: Sequence[DocumentRecord]) -> None:
        """Insert or replace rows; leases are kept."""
        ...

    async def get(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return rows by id."""
        ...

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove rows and their leases."""
        ...

    async def by_track_id(self, track_id: str) -> list[DocumentRecord]:
        """Return the rows of one request, by creation."""
        ...

    async def by_file_path(self, file_path: str) -> DocumentRecord | None:
        """Return the row of this path, if any."""
        ...

    async def by_content_hash(self, content_hash: str) -> DocumentRecord | None:
        """Return the oldest row with this text or file hash, if any."""
        ...

    async def counts(self) -> dict[DocStatus, int]:
        """Return the number of rows per status; statuses without rows may be absent."""
        ...

    async def count_due(self, statuses: Collection[DocStatus]) -> int:
        """Return the number of rows that are of `statuses` or to be deleted, leased or not."""
        ...

    async def page(
        self,
        *,
        statuses: Collection[DocStatus] | None = None,
        offset: int = 0,
        limit: int = 50,
        sort: SortField = "updated_at",
        descending: bool = True,
    ) -> tuple[list[DocumentRecord], int]:
        """Return one page of rows and the number of all that match."""
        ...

    async def matching(self, filter: DocumentFilter) -> set[str]:
        """Return the ids of documents that a non-empty filter admits."""
        ...

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
        ...

    async def heartbeat(self, owner: str, lease_seconds: float) -> None:
        """Extend all leases of `owner`."""
        ...

    async def owners(self) -> list[str]:
        """Return who holds leases, ended ones included."""
        ...

    async def release(self, owner: str, ids: Sequence[str] | None = None) -> None:
        """Give up leases (all of `owner` where `ids` is None)."""
        ...


class Storage(Protocol):
    """All stores of one workspace."""

    workspace: str
    family: str
    """The name under which the family is registered; recorded in the workspace."""

    @property
    def graph(self) -> GraphStore:
        """Mentions, entities and relations."""
        ...

    @property
    def documents(self) -> DocumentStore:
        """Status rows and leases."""
        ...

    @property
    def lexical(self) -> LexicalIndex | None:
        """Full-text index over chunks, where the family has one."""
        ...

    def kv(self, namespace: Namespace) -> KVStore:
        """Return the key-value store of a namespace."""
        ...

    def vectors(self, kind: VectorKind) -> VectorStore:
        """Return the vector store of a kind."""
        ...

    def version(self) -> int | None:
        """Return a number that stays the same as long as nothing in the workspace changes, whoever changes it.

        Cheap enough to be asked for before every read; None where that cannot be told.
        """
        ...

    async def open(self) -> None:
        """Connect, create what is missing, check versions. Must be called before anything else."""
        ...

    async def close(self) -> None:
        """Finish pending writes and release everything. May be called more than once."""
        ...

    async def drop(self, *, keep: Collection[Namespace] = ()) -> None:
        """Delete all data of the workspace but these key-value namespaces. The storage stays open."""
        ...

    async def check(self) -> Disagreements:
        """Look for contradictions in the store's own bookkeeping; families that derive all of it find none."""
        ...

    async def mend_indexes(self) -> None:
        """Make what searches read anew from the data."""
        ...

    async def drop_vectors(self) -> None:
        """Delete all vectors and forget their dimension, so that another model can fill them."""
        ...

    async def set_dimension(self, dimension: int) -> None:
        """Fix the length of vectors, once per workspace; raises `StorageMismatch` where it differs."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Storage]:
        """Begin a unit of work: writes and reads on the yielded storage see one state that nobody else changes.

        Commits durably when the block ends, rolls back when it raises. Families without transactions hold the
        workspace's write lease instead, so that a block that was cut short can be run again. No model call and no
        user code may run inside. Blocks are short: others wait.
        """
        ...
