"""What readers that keep the structure of the graph are told: everything, or what changed since they asked."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np

from lightrag.storage.contracts import GraphChanges, IntArray
from lightrag.storage.files.state import State
from lightrag.storage.files.table import K, Table, V
from lightrag.types import Pair

_KEPT = 200_000
"""Keys that the log holds; a reader that falls behind its far end is told everything."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    seq: int
    names: frozenset[str]
    chunks: frozenset[str]
    pairs: frozenset[Pair]

    @property
    def size(self) -> int:
        return len(self.names) + len(self.chunks) + len(self.pairs)


class GraphLog:
    """Which keys each commit touched, and the integers that readers know them by."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._chunk_ids: dict[str, int] = {}
        self._entries: collections.deque[_Entry] = collections.deque()
        self._size = 0
        self._seq = 1
        """Of the last commit."""
        self._first = 1
        """A reader that knows this commit or a later one can be told differences."""

    def change(self, layer: State) -> None:
        """Note what a layer changes that is about to be taken in."""
        names = {*_keys(layer.by_name), *_keys(layer.nodes), *_keys(layer.ends)}
        entry = _Entry(self._seq + 1, frozenset(names), frozenset(_keys(layer.said)), frozenset(_keys(layer.edges)))
        if not entry.size and not layer.graph_cleared:
            return
        self._seq += 1
        if layer.graph_cleared:
            self._entries.clear()
            self._size, self._first = 0, self._seq
            return
        self._entries.append(entry)
        self._size += entry.size
        while self._size > _KEPT:
            dropped = self._entries.popleft()
            self._size -= dropped.size
            self._first = dropped.seq

    def changes(self, state: State, since: int) -> GraphChanges:
        """Return what changed after commit `since` as `state` has it.

        Inside a transaction that changed the graph, everything is told.
        """
        uncommitted = state.parent is not None and any(
            table.has_changes for table in (state.said, state.nodes, state.edges)
        )
        if uncommitted or not self._first <= since <= self._seq:
            names = {*state.by_name, *state.nodes, *state.ends}
            return self._told(state, names, set(state.said), set(state.edges), complete=True)
        entries = [entry for entry in self._entries if entry.seq > since]
        return self._told(
            state,
            {name for entry in entries for name in entry.names},
            {chunk for entry in entries for chunk in entry.chunks},
            {pair for entry in entries for pair in entry.pairs},
            complete=False,
        )

    def _told(
        self, state: State, names: set[str], chunks: set[str], pairs: set[Pair], *, complete: bool
    ) -> GraphChanges:
        said = {key: item for key in chunks if (item := state.said.get(key)) is not None}
        edges = {pair: edge for pair in pairs if (edge := state.edges.get(pair)) is not None}
        known = sorted(name for name in names if state.is_known(name))
        gone = names.difference(known)
        return GraphChanges(
            seq=self._seq,
            complete=complete,
            removed_entities=_ints(self._ids[name] for name in sorted(gone) if name in self._ids),
            removed_chunks=_ints(
                self._chunk_ids[key] for key in sorted(chunks - said.keys()) if key in self._chunk_ids
            ),
            removed_relations=_id_pairs(
                (self._ids[a], self._ids[b])
                for a, b in sorted(pairs - edges.keys())
                if a in self._ids and b in self._ids
            ),
            entities=[(self._id(name), name) for name in known],
            chunks=[(self._chunk_id(key), key, said[key].source.doc_id) for key in sorted(said)],
            mentions=_id_pairs(
                (self._id(name), self._chunk_id(key)) for key in sorted(said) for name in said[key].entities
            ),
            relations=_id_pairs((self._id(source), self._id(target)) for source, target in edges),
            relation_weights=np.array([edge.weight for edge in edges.values()], np.float32),
        )

    def _id(self, name: str) -> int:
        return self._ids.setdefault(name, len(self._ids) + 1)

    def _chunk_id(self, key: str) -> int:
        return self._chunk_ids.setdefault(key, len(self._chunk_ids) + 1)


def _keys(table: Table[K, V]) -> set[K]:
    return {*table.changed, *table.gone}


def _ints(values: Iterable[int]) -> IntArray:
    return np.array(list(values), np.int64)


def _id_pairs(pairs: Iterable[tuple[int, int]]) -> IntArray:
    return np.array(list(pairs), np.int64).reshape(-1, 2)
