"""The candidate lists of a question: what each kind of search finds near it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lightrag.retrieval.filters import Scope
from lightrag.retrieval.fusion import DEPTH
from lightrag.storage.contracts import Hit, Storage, VectorKind
from lightrag.text.words import query_terms
from lightrag.types import Mode

Vector = npt.NDArray[np.float32]

DENSE, LEXICAL, ENTITIES, RELATIONS, FACTS = "dense", "lexical", "entities", "relations", "facts"

LISTS_OF_MODE: Mapping[Mode, frozenset[str]] = {
    "naive": frozenset({DENSE}),
    "local": frozenset({DENSE, ENTITIES}),
    "global": frozenset({DENSE, RELATIONS}),
    "hybrid": frozenset({DENSE, ENTITIES, RELATIONS}),
    "mix": frozenset({DENSE, LEXICAL, ENTITIES, RELATIONS, FACTS}),
    "bypass": frozenset(),
}
"""Which lists a mode consults. Modes of the graph use the dense list only to order the chunks that the graph names."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueryVectors:
    """Vectors of the question and of its keywords, shape (dimension,)."""

    question: Vector
    low: Vector
    """Names: compared with entities."""
    high: Vector
    """Themes: compared with relations."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """Hits of each list, best first; empty where the mode does not consult it."""

    dense: Sequence[Hit] = ()
    """Chunks near the question."""
    lexical: Sequence[Hit] = ()
    """Chunks that hold the question's terms."""
    entities: Sequence[Hit] = ()
    """Entities near the low-level keywords."""
    relations: Sequence[Hit] = ()
    """Relations near the high-level keywords."""
    facts: Sequence[Hit] = ()
    """Relations near the question itself."""


class CandidateFinder:
    """Searches the stores of one workspace."""

    def __init__(self, storage: Storage, threshold: float) -> None:
        self._storage = storage
        self._threshold = threshold

    async def find(
        self, mode: Mode, question: str, vectors: QueryVectors, top_k: int, chunk_top_k: int, scope: Scope | None
    ) -> Candidates:
        """Consult the lists of a mode at once. Raises `StorageError`."""
        lists = LISTS_OF_MODE[mode]
        chunk_ids = None if scope is None else scope.chunk_ids
        dense, lexical, entities, (relations, facts) = await asyncio.gather(
            self._near(VectorKind.CHUNKS, [vectors.question], max(chunk_top_k, DEPTH), chunk_ids),
            self._lexical(question, chunk_ids) if LEXICAL in lists else _nothing(),
            self._near(VectorKind.ENTITIES, [vectors.low], top_k, None if scope is None else scope.names)
            if ENTITIES in lists
            else _nothing(),
            self._relations(lists, vectors, top_k, scope),
        )
        return Candidates(dense[0], lexical[0], entities[0], relations, facts)

    async def _near(
        self, kind: VectorKind, queries: Sequence[Vector], top_k: int, within: Collection[str] | None
    ) -> Sequence[Sequence[Hit]]:
        if within is not None and not within:
            return [[] for _ in queries]
        return await self._storage.vectors(kind).search(
            np.stack(queries), top_k, threshold=self._threshold, within=within
        )

    async def _lexical(self, question: str, within: Collection[str] | None) -> Sequence[Sequence[Hit]]:
        terms = query_terms(question)
        if self._storage.lexical is None or not terms or (within is not None and not within):
            return [[]]
        return [await self._storage.lexical.search(terms, DEPTH, within=within)]

    async def _relations(
        self, lists: Collection[str], vectors: QueryVectors, top_k: int, scope: Scope | None
    ) -> tuple[Sequence[Hit], Sequence[Hit]]:
        within = None if scope is None else scope.relation_keys
        if RELATIONS not in lists:
            return [], []
        if FACTS not in lists:
            return (await self._near(VectorKind.RELATIONS, [vectors.high], top_k, within))[0], []
        depth = max(top_k, DEPTH)
        # Without keywords of their own both searches are the same one.
        queries = [vectors.question] if vectors.high is vectors.question else [vectors.high, vectors.question]
        found = await self._near(VectorKind.RELATIONS, queries, depth, within)
        return found[0][:top_k], found[-1]


async def _nothing() -> Sequence[Sequence[Hit]]:
    return [[]]
