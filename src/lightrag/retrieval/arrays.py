"""The graph as arrays: an immutable picture of which chunk mentions which entity, made for walking.

A picture has a *base*, sorted once, and a *patch* of what came later, so that a change costs what it changes and not
what is stored. A chunk whose mentions changed is hidden in the base and stands again in the patch; a relation whose
weight changed stands in the patch with the difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

NO_WEIGHT = 1e-6
"""Summed weights below this are what is left of a removed edge by rounding."""


class Sparse:
    """A sparse matrix that can only be multiplied by a vector; entries may repeat and then add up."""

    def __init__(self, rows: IndexArray, columns: IndexArray, weights: FloatArray | None = None) -> None:
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        self._columns = columns[order]
        self._weights = None if weights is None else weights[order]
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-1)) if len(ordered) else ordered
        self._rows = ordered[self._starts]

    def __len__(self) -> int:
        return len(self._columns)

    def add_product(self, vector: FloatArray, out: FloatArray) -> None:
        """Add the product with `vector` to `out`."""
        if not len(self._columns):
            return
        # Columns are in bounds by construction; "clip" spares the check, which costs more than the rest.
        terms = vector.take(self._columns, mode="clip")
        if self._weights is not None:
            terms *= self._weights
        out[self._rows] += np.add.reduceat(terms, self._starts)

    def entries_of(self, rows: IndexArray) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return (row, column, weight) of all entries in these rows."""
        found = np.searchsorted(self._rows, rows)
        known = found < len(self._rows)
        known[known] = self._rows[found[known]] == rows[known]
        found = found[known]
        ends = np.append(self._starts, len(self._columns))
        lengths = ends[found + 1] - ends[found]
        places = np.arange(int(lengths.sum())) + np.repeat(ends[found] - np.cumsum(lengths) + lengths, lengths)
        weights = np.ones(len(places), np.float32) if self._weights is None else self._weights[places]
        return np.repeat(self._rows[found], lengths), self._columns[places], weights


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Mentions in both directions, and relations, each listed from both ends."""

    chunks_by_entity: Sparse
    entities_by_chunk: Sparse
    relations: Sparse

    @classmethod
    def of(cls, mentions: IndexArray, relations: IndexArray, weights: FloatArray) -> Part:
        """Make a part from (entity, chunk) and (entity, entity) indices, shapes (n, 2) and (m, 2)."""
        ends = np.concatenate((relations[:, 0], relations[:, 1]))
        others = np.concatenate((relations[:, 1], relations[:, 0]))
        return cls(
            Sparse(mentions[:, 0], mentions[:, 1]),
            Sparse(mentions[:, 1], mentions[:, 0]),
            Sparse(ends, others, np.concatenate((weights, weights))),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class GraphArrays:
    """One state of the graph.

    `entity_index`, `chunk_index` and `by_key` are shared with later states and may know indices that this one
    does not have; look them up through the methods.
    """

    seq: int
    names: Sequence[str]
    chunk_keys: Sequence[str]
    entity_count: int
    chunk_count: int
    shown: FloatArray
    """Per chunk 1, or 0 where it is gone or stands again further on."""
    parts: tuple[Part, ...]
    entity_index: Mapping[str, int]
    chunk_index: Mapping[str, int]
    by_key: Mapping[str, Sequence[int]]
    """Entities by the folded spelling of their names (`lightrag.retrieval.names`)."""

    def entity(self, name: str) -> int | None:
        """Return the index of an entity, or None where the graph does not have it."""
        index = self.entity_index.get(name)
        return index if index is not None and index < self.entity_count else None

    def chunk(self, key: str) -> int | None:
        """Return the index of a chunk, or None where no entity is known of it."""
        index = self.chunk_index.get(key)
        return index if index is not None and index < self.chunk_count and self.shown[index] else None

    def entities_named(self, key: str) -> list[int]:
        """Return the entities whose name has this folded spelling."""
        return [index for index in self.by_key.get(key, ()) if index < self.entity_count]

    def to_entities(self, per_chunk: FloatArray) -> FloatArray:
        """Sum a value of each chunk over the chunks that mention an entity."""
        out = np.zeros(self.entity_count, np.float32)
        for part in self.parts:
            part.chunks_by_entity.add_product(per_chunk, out)
        return out

    def to_chunks(self, per_entity: FloatArray) -> FloatArray:
        """Sum a value of each entity over the entities that a chunk mentions."""
        out = np.zeros(self.chunk_count, np.float32)
        for part in self.parts:
            part.entities_by_chunk.add_product(per_entity, out)
        return out

    def to_neighbours(self, per_entity: FloatArray) -> FloatArray:
        """Sum a value of each entity over the neighbours of an entity, times the weight of the edge."""
        out = np.zeros(self.entity_count, np.float32)
        for part in self.parts:
            part.relations.add_product(per_entity, out)
        return out

    def edges_of(self, entities: IndexArray) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return (entity, neighbour, weight) of the edges on these entities; an edge inside is listed twice."""
        found = [part.relations.entries_of(entities) for part in self.parts]
        codes = np.concatenate([ends * self.entity_count + others for ends, others, _ in found])
        pairs, inverse = np.unique(codes, return_inverse=True)
        weights = np.bincount(inverse, np.concatenate([weight for *_, weight in found]), len(pairs)).astype(np.float32)
        pairs, weights = pairs[weights > NO_WEIGHT], weights[weights > NO_WEIGHT]
        return pairs // self.entity_count, pairs % self.entity_count, weights
