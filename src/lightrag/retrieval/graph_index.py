"""Keeps the structure of the graph in memory and up to date with the store.

A question asks the store what changed since the last one. Small changes are laid over the sorted arrays; when the
overlay has grown to a fixed share of them, everything is sorted anew in a thread. The total work is therefore
proportional to what was written, however writes and questions alternate, and no question sees an old graph.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from lightrag.retrieval.arrays import FloatArray, GraphArrays, IndexArray, Part
from lightrag.retrieval.names import spelling
from lightrag.retrieval.walk import Transitions, WalkRules, transitions
from lightrag.storage.contracts import GraphChanges, GraphStore

PATCH_SHARE = 0.2
"""Entries of the overlay, as a share of all, beyond which everything is sorted anew."""
PATCH_ENTRIES = 4000
"""Entries below which the overlay is left as it is."""
BLOCKING_ENTRIES = 2000
"""Entries beyond which changes are applied in a thread."""
DEAD_INDICES = 10_000
"""Indices below which those of removed things are not worth collecting."""
TWIN_WEIGHT = 1.0
"""Weight of the link between two entities whose names differ only in case, accents, articles or punctuation."""

_PAIRS = np.zeros((0, 2), np.int64)
_WEIGHTS = np.zeros(0, np.float32)


class GraphIndex:
    """The graph of one workspace, for walking. Not shared between event loops."""

    def __init__(self, store: GraphStore, rules: WalkRules, version: Callable[[], int | None] = lambda: None) -> None:
        self._store = store
        self._version = version
        self._seen: int | None = None
        self._rules = rules
        self._lock = asyncio.Lock()
        self._mirror = _Mirror()
        self._ways = transitions(self._mirror.arrays(), rules)

    async def current(self) -> Transitions:
        """Return the graph as it stands in the store, ready for a walk without filter. Raises `StorageError`."""
        version = self._version()
        if version is not None and version == self._seen:
            return self._ways
        async with self._lock:
            version = self._version()
            since = 0 if self._mirror.is_mostly_dead else self._ways.graph.seq
            changes = await self._store.changes(since)
            if changes.complete:
                self._mirror = _Mirror()
            elif _is_empty(changes):
                self._seen = version
                return self._ways
            size = len(changes.mentions) + len(changes.relations) + len(changes.entities)
            if size > BLOCKING_ENTRIES or self._mirror.wants_sorting(size):
                self._ways = await asyncio.to_thread(self._apply, changes)
            else:
                self._ways = self._apply(changes)
            self._seen = version
            return self._ways

    def _apply(self, changes: GraphChanges) -> Transitions:
        self._mirror.apply(changes)
        return transitions(self._mirror.arrays(), self._rules)


def _is_empty(changes: GraphChanges) -> bool:
    return not (
        len(changes.removed_entities)
        or len(changes.removed_chunks)
        or len(changes.removed_relations)
        or len(changes.entities)
        or len(changes.chunks)
        or len(changes.mentions)
        or len(changes.relations)
    )


@dataclasses.dataclass(slots=True)
class _Growing:
    """Index pairs that grow by pieces and are joined when they are read."""

    pieces: list[IndexArray] = dataclasses.field(default_factory=list)
    count: int = 0

    def add(self, pairs: IndexArray) -> None:
        if len(pairs):
            self.pieces.append(pairs)
            self.count += len(pairs)

    def joined(self) -> IndexArray:
        if len(self.pieces) > 1:
            self.pieces = [np.concatenate(self.pieces)]
        return self.pieces[0] if self.pieces else _PAIRS


class _Mirror:
    """What the store has told, in indices of our own: 0, 1, 2, … for entities and for chunks."""

    def __init__(self) -> None:
        self.seq = 0
        self._names: list[str] = []
        self._chunk_keys: list[str] = []
        self._shown = np.zeros(0, np.float32)
        self._entity_index: dict[str, int] = {}
        self._chunk_index: dict[str, int] = {}
        self._by_key: dict[str, list[int]] = {}
        self._entity_of_id: dict[int, int] = {}
        self._chunk_of_id: dict[int, int] = {}
        self._relations: dict[tuple[int, int], float] = {}
        self._twins: dict[tuple[int, int], float] = {}
        self._base = Part.of(_PAIRS, _PAIRS, _WEIGHTS)
        self._base_mentions = _PAIRS
        self._patch_mentions = _Growing()
        self._patch_relations: list[tuple[int, int]] = []
        self._patch_weights: list[float] = []
        self._base_size = 0

    @property
    def is_mostly_dead(self) -> bool:
        """Whether most indices belong to what is gone, so that starting from nothing saves memory."""
        held = len(self._names) + len(self._chunk_keys)
        alive = len(self._entity_of_id) + len(self._chunk_of_id)
        return held > DEAD_INDICES and held > 2 * alive

    def wants_sorting(self, arriving: int) -> bool:
        """Tell whether the overlay is too large once `arriving` entries have come."""
        patch = self._patch_mentions.count + len(self._patch_relations) + arriving
        return patch > PATCH_ENTRIES + PATCH_SHARE * self._base_size

    def apply(self, changes: GraphChanges) -> None:
        """Take over a set of changes: removals first, then additions."""
        self.seq = changes.seq
        self._remove_relations(changes.removed_relations)
        self._hide_chunks(int(one) for one in changes.removed_chunks)
        self._remove_entities(int(one) for one in changes.removed_entities)
        self._add_entities(changes)
        self._add_chunks(changes)
        for (one, other), weight in zip(changes.relations.tolist(), changes.relation_weights.tolist(), strict=True):
            self._weigh(self._relations, self._entity_of_id[one], self._entity_of_id[other], weight)
        if self.wants_sorting(0) or not self._base_size:
            self._sort()

    def arrays(self) -> GraphArrays:
        """Return the present state."""
        parts = [self._base]
        if self._patch_mentions.count or len(self._patch_relations):
            weights = np.asarray(self._patch_weights, np.float32)
            relations = np.asarray(self._patch_relations, np.int64).reshape(-1, 2)
            parts.append(Part.of(self._patch_mentions.joined(), relations, weights))
        return GraphArrays(
            seq=self.seq,
            names=self._names,
            chunk_keys=self._chunk_keys,
            entity_count=len(self._names),
            chunk_count=len(self._chunk_keys),
            shown=self._shown,
            parts=tuple(parts),
            entity_index=self._entity_index,
            chunk_index=self._chunk_index,
            by_key=self._by_key,
        )

    def _remove_relations(self, pairs: IndexArray) -> None:
        for one, other in pairs.tolist():
            ends = self._entity_of_id.get(one), self._entity_of_id.get(other)
            if ends[0] is not None and ends[1] is not None:
                self._weigh(self._relations, ends[0], ends[1], 0.0)

    def _hide_chunks(self, ids: Iterable[int]) -> None:
        places = [place for place in (self._chunk_of_id.pop(one, None) for one in ids) if place is not None]
        if places:
            self._shown = self._shown.copy()
            self._shown[places] = 0
            for place in places:
                self._chunk_index.pop(self._chunk_keys[place], None)

    def _remove_entities(self, ids: Iterable[int]) -> None:
        for one in ids:
            place = self._entity_of_id.pop(one, None)
            if place is None:
                continue
            name = self._names[place]
            self._entity_index.pop(name, None)
            twins = self._by_key[spelling(name)]
            was_first = twins[0] == place
            twins.remove(place)
            for twin in twins if was_first else twins[:1]:
                self._weigh(self._twins, place, twin, 0.0)
            if was_first:
                for twin in twins[1:]:
                    self._weigh(self._twins, twins[0], twin, TWIN_WEIGHT)

    def _add_entities(self, changes: GraphChanges) -> None:
        for one, name in changes.entities:
            if one in self._entity_of_id:
                continue
            place = len(self._names)
            self._names.append(name)
            self._entity_index[name] = place
            self._entity_of_id[one] = place
            twins = self._by_key.setdefault(spelling(name), [])
            for twin in twins[:1]:
                self._weigh(self._twins, twin, place, TWIN_WEIGHT)
            twins.append(place)

    def _add_chunks(self, changes: GraphChanges) -> None:
        self._hide_chunks(one for one, _, _ in changes.chunks)
        for one, key, _ in changes.chunks:
            place = len(self._chunk_keys)
            self._chunk_keys.append(key)
            self._chunk_index[key] = place
            self._chunk_of_id[one] = place
        if len(self._chunk_keys) > len(self._shown):
            grown = np.ones(len(self._chunk_keys), np.float32)
            grown[: len(self._shown)] = self._shown
            self._shown = grown
        if len(changes.mentions):
            entity_of, chunk_of = self._entity_of_id, self._chunk_of_id
            places = [(entity_of[entity], chunk_of[chunk]) for entity, chunk in changes.mentions.tolist()]
            self._patch_mentions.add(np.asarray(places, np.int64))

    def _weigh(self, edges: dict[tuple[int, int], float], one: int, other: int, weight: float) -> None:
        ends = (one, other) if one < other else (other, one)
        before = edges.pop(ends, 0.0)
        if weight:
            edges[ends] = weight
        if weight != before:
            self._patch_relations.append(ends)
            self._patch_weights.append(weight - before)

    def _sort(self) -> None:
        """Join the overlay with the base. Indices stay as they are, so that older states stay valid."""
        mentions = np.concatenate((self._base_mentions, self._patch_mentions.joined()))
        mentions = mentions[self._shown[mentions[:, 1]] > 0] if len(mentions) else _PAIRS
        relations = np.asarray([*self._relations, *self._twins], np.int64).reshape(-1, 2)
        weights = np.asarray([*self._relations.values(), *self._twins.values()], np.float32)
        self._base = Part.of(mentions, relations, weights)
        self._base_mentions = mentions
        self._base_size = len(mentions) + len(relations)
        self._patch_mentions, self._patch_relations, self._patch_weights = _Growing(), [], []


def allowed_chunks(graph: GraphArrays, keys: Iterable[str]) -> FloatArray:
    """Return 1 for each chunk of `keys`, 0 for all others."""
    mask = np.zeros(graph.chunk_count, np.float32)
    mask[[index for index in map(graph.chunk, keys) if index is not None]] = 1
    return mask
