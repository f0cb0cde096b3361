"""All tables of a workspace: what is stored, and the indexes over mentions and edges that follow it."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.evidence import evidence_rank, micro_units, pair_key
from lightrag.storage.files.rows import (
    PairIndex,
    Said,
    VectorItem,
    entity_from_row,
    entity_row,
    record_from_row,
    record_row,
    relation_from_row,
    relation_row,
    said_from_row,
    said_row,
    vector_from_row,
    vector_row,
)
from lightrag.storage.files.table import Table, copied_dict, copied_list
from lightrag.types import DocumentRecord, Entity, Pair, Relation

DIMENSION = "dimension"
STATUS_FORM = "status_form"
"""Setting: which fields LightRAG's status rows have here."""
Place = tuple[int, str]
"""Evidence rank and chunk id of a mention."""


class State:
    """The tables, as the bottom of a workspace or as a layer over another state."""

    def __init__(self, parent: State | None = None) -> None:
        def table(choose: Callable[[State], Table[Any, Any]]) -> Table[Any, Any]:
            return Table() if parent is None else choose(parent).layer()

        self.parent = parent
        self.graph_cleared = False
        """Whether this layer threw the whole graph away before it put anything in."""
        self.kv: dict[Namespace, Table[str, bytes]] = {
            namespace: table(lambda state, namespace=namespace: state.kv[namespace])  # type: ignore[misc]
            for namespace in Namespace
        }
        self.vectors: dict[VectorKind, Table[str, VectorItem]] = {
            kind: table(lambda state, kind=kind: state.vectors[kind])  # type: ignore[misc]
            for kind in VectorKind
        }
        self.documents: Table[str, DocumentRecord] = table(lambda state: state.documents)
        self.leases: Table[str, tuple[str, float]] = table(lambda state: state.leases)
        self.terms: Table[str, tuple[str, ...]] = table(lambda state: state.terms)
        self.settings: Table[str, int] = table(lambda state: state.settings)
        self.said: Table[str, Said] = table(lambda state: state.said)
        self.nodes: Table[str, Entity] = table(lambda state: state.nodes)
        self.edges: Table[Pair, Relation] = table(lambda state: state.edges)
        # Derived from what is above.
        self.by_name: Table[str, list[Place]] = table(lambda state: state.by_name)
        self.by_pair: Table[Pair, PairIndex] = table(lambda state: state.by_pair)
        self.ends: Table[str, int] = table(lambda state: state.ends)
        self.neighbours: Table[str, dict[str, float]] = table(lambda state: state.neighbours)

    def layer(self) -> State:
        """Return a state over this one."""
        return State(self)

    def tables(self) -> Iterator[Table[Any, Any]]:
        """Yield all tables, in a fixed order."""
        yield from self.kv.values()
        yield from self.vectors.values()
        yield from (self.documents, self.leases, self.terms, self.settings, self.said, self.nodes, self.edges)
        yield from (self.by_name, self.by_pair, self.ends, self.neighbours)

    def absorb(self, layer: State) -> None:
        """Take in the changes of a layer over this state."""
        self.graph_cleared |= layer.graph_cleared
        for mine, changed in zip(self.tables(), layer.tables(), strict=True):
            mine.absorb(changed)

    @property
    def dimension(self) -> int | None:
        """The length of vectors, once it is fixed."""
        return self.settings.get(DIMENSION)

    # Mentions

    def put_said(self, chunk_id: str, said: Said) -> None:
        """Replace everything that a chunk mentions."""
        self.remove_said(chunk_id)
        self.add_said(chunk_id, said)

    def add_said(self, chunk_id: str, said: Said) -> None:
        """Add to what a chunk mentions; mentions of the same key are replaced, the source is the newer one."""
        before = self.said.get(chunk_id)
        for name in said.entities:
            if before is None or name not in before.entities:
                bisect.insort(self.by_name.own(name, copied_list), (evidence_rank(name, chunk_id), chunk_id))
        for pair, relation in said.relations.items():
            old = before.relations.get(pair) if before is not None else None
            index = self.by_pair.get(pair)
            if index is None:
                for end in pair:
                    self.ends.put(end, (self.ends.get(end) or 0) + 1)
            index = self.by_pair.own(pair, _copied_index)
            index.total += micro_units(relation.weight) - (micro_units(old.weight) if old is not None else 0)
            if old is None:
                bisect.insort(index.places, (evidence_rank(pair_key(pair), chunk_id), chunk_id))
        if before is not None:
            said = Said(said.source, before.entities | said.entities, before.relations | said.relations)
        self.said.put(chunk_id, said)

    def remove_said(self, chunk_id: str) -> None:
        """Remove everything that a chunk mentions."""
        said = self.said.get(chunk_id)
        if said is None:
            return
        self.said.remove(chunk_id)
        for name in said.entities:
            places = self.by_name.own(name, copied_list)
            _remove_place(places, (evidence_rank(name, chunk_id), chunk_id))
            if not places:
                self.by_name.remove(name)
        for pair, relation in said.relations.items():
            index = self.by_pair.own(pair, _copied_index)
            _remove_place(index.places, (evidence_rank(pair_key(pair), chunk_id), chunk_id))
            index.total -= micro_units(relation.weight)
            if not index.places:
                self.by_pair.remove(pair)
                for end in pair:
                    self._leave(end)

    def _leave(self, end: str) -> None:
        count = (self.ends.get(end) or 0) - 1
        if count > 0:
            self.ends.put(end, count)
        else:
            self.ends.remove(end)

    def is_known(self, name: str) -> bool:
        """Tell whether a name is mentioned, a node, or the end of a relation that is mentioned."""
        return name in self.by_name or name in self.nodes or name in self.ends

    # The graph

    def put_edge(self, relation: Relation) -> None:
        """Insert or replace an edge."""
        self.edges.put(relation.pair, relation)
        for one, other in (relation.pair, relation.pair[::-1]):
            self.neighbours.own(one, copied_dict)[other] = relation.weight

    def remove_edge(self, pair: Pair) -> None:
        """Remove an edge, if it is there."""
        if pair not in self.edges:
            return
        self.edges.remove(pair)
        for one, other in (pair, pair[::-1]):
            around = self.neighbours.own(one, copied_dict)
            around.pop(other, None)
            if not around:
                self.neighbours.remove(one)

    def remove_node(self, name: str) -> None:
        """Remove a node and every edge on it."""
        for other in list(self.neighbours.get(name) or ()):
            self.remove_edge((name, other) if name < other else (other, name))
        self.nodes.remove(name)

    def clear_graph(self) -> None:
        """Remove all mentions, nodes and edges."""
        self.graph_cleared = True
        for table in (self.said, self.nodes, self.edges, self.by_name, self.by_pair, self.ends, self.neighbours):
            table.clear()

    # The journal

    def as_change(self) -> dict[str, Any]:
        """Return what this layer changes as an object for the journal; empty where nothing is to be kept.

        Leases are left out: whoever held them is gone when the folder is opened again.
        """
        change: dict[str, Any] = {}
        for name, table, encode in self._journaled():
            if table.has_changes:
                # Pairs cannot be keys of a JSON object, so rows are listed.
                put = [[key, encode(value)] for key, value in table.changed.items()]
                change[name] = [put, list(table.gone)]
        return change

    def changed_tables(self) -> list[str]:
        """Return the names of the tables that this layer changes and that are kept."""
        return [name for name, table in self.kept_tables() if table.has_changes]

    def kept_tables(self) -> Iterator[tuple[str, Table[Any, Any]]]:
        """Yield the tables that outlive the process, by name."""
        for name, table, _ in self._journaled():
            yield name, table

    def _journaled(self) -> Iterator[tuple[str, Table[Any, Any], Callable[[Any], Any]]]:
        for namespace, rows in self.kv.items():
            yield f"kv:{namespace.value}", rows, orjson.Fragment
        for kind, vectors in self.vectors.items():
            yield f"vectors:{kind.value}", vectors, vector_row
        yield "documents", self.documents, record_row
        yield "terms", self.terms, list
        yield "settings", self.settings, int
        yield "said", self.said, said_row
        yield "nodes", self.nodes, entity_row
        yield "edges", self.edges, relation_row

    def apply_change(self, change: dict[str, Any]) -> None:
        """Do again what a journal's object says. Edges without their nodes are left out."""
        for name, (put, gone) in change.items():
            what, _, kind = name.partition(":")
            if what == "kv":
                _apply(self.kv[Namespace(kind)], put, gone, orjson.dumps)
            elif what == "vectors":
                _apply(self.vectors[VectorKind(kind)], put, gone, vector_from_row)
            elif what == "documents":
                _apply(self.documents, put, gone, record_from_row)
            elif what == "terms":
                _apply(self.terms, put, gone, tuple)
            elif what == "settings":
                _apply(self.settings, put, gone, int)
        self._apply_graph(change)

    def _apply_graph(self, change: dict[str, Any]) -> None:
        nothing: list[Any] = [[], []]
        put, gone = change.get("said", nothing)
        for chunk_id in gone:
            self.remove_said(chunk_id)
        for chunk_id, row in put:
            self.put_said(chunk_id, said_from_row(chunk_id, row))
        nodes, edges = change.get("nodes", nothing), change.get("edges", nothing)
        for source, target in edges[1]:
            self.remove_edge((source, target))
        for name in nodes[1]:
            self.remove_node(name)
        for name, row in nodes[0]:
            self.nodes.put(name, entity_from_row(row))
        for _, row in edges[0]:
            relation = relation_from_row(row)
            if relation.source in self.nodes and relation.target in self.nodes:
                self.put_edge(relation)


def _apply(table: Table[str, Any], put: list[list[Any]], gone: list[str], decode: Callable[[Any], Any]) -> None:
    for key in gone:
        table.remove(key)
    for key, row in put:
        table.put(key, decode(row))


def _copied_index(index: PairIndex | None) -> PairIndex:
    return index.copy() if index is not None else PairIndex()


def _remove_place(places: list[Place], place: Place) -> None:
    at = bisect.bisect_left(places, place)
    if at < len(places) and places[at] == place:
        del places[at]
