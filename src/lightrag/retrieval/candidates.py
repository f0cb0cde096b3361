"""The candidate lists of a question: what each kind of search finds near it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lightrag.errors import StorageMismatch
from lightrag.retrieval.filters import Scope
from lightrag.retrieval.fusion import DEPTH
from lightrag.storage.contracts import Hit, Storage, VectorKind
from lightrag.text.words import query_terms
from lightrag.types import Mode

Vector = npt.NDArray[np.float32]

DENSE, LEXICAL, SPARSE, ENTITIES, RELATIONS = "dense", "lexical", "sparse", "entities", "relations"

LISTS_OF_MODE: Mapping[Mode, frozenset[str]] = {
    "naive": frozenset({DENSE}),
    "local": frozenset({DENSE, ENTITIES}),
    "global": frozenset({DENSE, RELATIONS}),
    "hybrid": frozenset({DENSE, ENTITIES, RELATIONS}),
    "mix": frozenset({DENSE, LEXICAL, SPARSE, ENTITIES, RELATIONS}),
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


def between(one: Vector, other: Vector) -> Vector:
    """Return the direction between two unit vectors: one search for both is half the cost of two."""
    both = one + other
    return both / max(float(np.linalg.norm(both)), 1e-9)


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
    """Relations near the high-level keywords, in `mix` near the question too."""
    sparse: Sequence[Hit] = ()
    """Chunks of the dense and the lexical list, by sparse weights shared with the question."""


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
        names = None if scope is None else scope.names
        pairs = None if scope is None else scope.relation_keys
        searches = {DENSE: self._near(VectorKind.CHUNKS, vectors.question, max(chunk_top_k, DEPTH), chunk_ids)}
        if LEXICAL in lists:
            searches[LEXICAL] = self._lexical(question, chunk_ids)
        if ENTITIES in lists:
            searches[ENTITIES] = self._near(VectorKind.ENTITIES, vectors.low, top_k, names)
        if RELATIONS in lists:
            searches[RELATIONS] = self._near(VectorKind.RELATIONS, vectors.high, top_k, pairs)
        if len(searches) == 1:
            return Candidates(dense=await searches[DENSE])
        found = await asyncio.gather(*searches.values())
        return Candidates(**dict(zip(searches, found, strict=True)))

    async def _near(self, kind: VectorKind, query: Vector, top_k: int, within: Collection[str] | None) -> Sequence[Hit]:
        if within is not None and not within:
            return []
        store = self._storage.vectors(kind)
        try:
            return (await store.search(query[None], top_k, threshold=self._threshold, within=within))[0]
        except StorageMismatch:
            # Before the first vector is stored no length is fixed, and there is nothing to find.
            if await store.count():
                raise
            return []

    async def _lexical(self, question: str, within: Collection[str] | None) -> Sequence[Hit]:
        terms = query_terms(question)
        if self._storage.lexical is None or not terms or (within is not None and not within):
            return []
        return await self._storage.lexical.search(terms, DEPTH, within=within)
