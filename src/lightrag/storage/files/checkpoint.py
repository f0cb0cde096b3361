"""Writes the state of a workspace to LightRAG's files and to ours."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.files import layout
from lightrag.storage.files.graphml import (
    edge_attributes,
    entity_from,
    graphml_pieces,
    is_writable,
    node_attributes,
    relation_from,
)
from lightrag.storage.files.json_files import compact_members, members
from lightrag.storage.files.large_texts import is_part, joined, whole_text
from lightrag.storage.files.lightrag_rows import StatusForm, answers_by_chunk, kept_row, seconds_of, status_row
from lightrag.storage.files.manifest import own
from lightrag.storage.files.matrix import MatrixSnapshot
from lightrag.storage.files.rows import (
    Said,
    VectorItem,
    entity_row,
    record_row,
    relation_row,
    said_row,
)
from lightrag.storage.files.state import DIMENSION, STATUS_FORM
from lightrag.storage.files.vdb import vdb_pieces
from lightrag.storage.files.workspace import Workspace
from lightrag.types import FIELD_SEPARATOR, DocumentRecord, Entity, JsonObject, Pair, Relation

Pieces = dict[str, Iterable[bytes] | None]
"""The content of files; None for one that is not to be there."""

_NODES, _EDGES, _SAID, _CACHE = "nodes", "edges", "said", f"kv:{Namespace.LLM_CACHE}"
_DEPENDS: dict[str, set[str]] = {
    layout.FULL_DOCS: {f"kv:{Namespace.FULL_DOCS}"},
    layout.TEXT_CHUNKS: {f"kv:{Namespace.TEXT_CHUNKS}", _CACHE},
    layout.LLM_CACHE: {_CACHE},
    layout.DOC_STATUS: {"documents", f"kv:{Namespace.FULL_DOCS}"},
    **{name: {_SAID} for name in layout.TRACKING_FILES},
    layout.VECTOR_FILES[VectorKind.CHUNKS]: {"vectors:chunks", "settings"},
    layout.VECTOR_FILES[VectorKind.ENTITIES]: {"vectors:entities", _NODES, "settings"},
    layout.VECTOR_FILES[VectorKind.RELATIONS]: {"vectors:relationships", _EDGES, "settings"},
    layout.GRAPH: {_NODES, _EDGES},
    **{own(name): {f"kv:{namespace}"} for namespace, name in layout.OWN_KV_FILES.items()},
    own(layout.OWN_DOCUMENTS): {"documents", f"kv:{Namespace.FULL_DOCS}"},
    own(layout.OWN_MENTIONS): {_SAID},
    own(layout.OWN_TERMS): {"terms"},
    own(layout.OWN_GRAPH): {_NODES, _EDGES, _SAID},
    own(layout.OWN_SETTINGS): {"settings"},
}
"""Which tables each file is made from."""


def files_of(tables: set[str]) -> set[str]:
    """Return the files that a change of these tables concerns."""
    return {name for name, needed in _DEPENDS.items() if not needed.isdisjoint(tables)}


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one moment, to be read in another thread; rows are never changed in place."""

    kv: dict[Namespace, dict[str, bytes]]
    documents: dict[str, DocumentRecord]
    vectors: dict[VectorKind, dict[str, VectorItem]]
    matrices: dict[VectorKind, MatrixSnapshot]
    terms: dict[str, tuple[str, ...]]
    said: dict[str, Said]
    name_counts: dict[str, int]
    pair_counts: dict[Pair, int]
    nodes: dict[str, Entity]
    edges: dict[Pair, Relation]
    settings: dict[str, int]

    @property
    def dimension(self) -> int | None:
        """The length of vectors, once it is fixed."""
        return self.settings.get(DIMENSION)


@contextlib.contextmanager
def snapshot(workspace: Workspace) -> Iterator[Snapshot]:
    """Yield the committed state; what is committed meanwhile does not touch it."""
    with contextlib.ExitStack() as pins:
        yield Snapshot(
            kv={namespace: table.copy() for namespace, table in workspace.kv.items()},
            documents=workspace.documents.copy(),
            vectors={kind: table.copy() for kind, table in workspace.vectors.items()},
            matrices={kind: pins.enter_context(matrix.pinned()) for kind, matrix in workspace.matrices.items()},
            terms=workspace.terms.copy(),
            said=workspace.said.copy(),
            name_counts={name: len(places) for name, places in workspace.by_name.items()},
            pair_counts={pair: len(index.places) for pair, index in workspace.by_pair.items()},
            nodes=workspace.nodes.copy(),
            edges=workspace.edges.copy(),
            settings=workspace.settings.copy(),
        )


def pieces_of(state: Snapshot, names: set[str]) -> Pieces:
    """Return the content of these files, made while it is read. Without a dimension there are no vector files."""
    makers: dict[str, Callable[[], Iterable[bytes] | None]] = {
        layout.FULL_DOCS: lambda: members(_full_docs(state)),
        layout.TEXT_CHUNKS: lambda: members(_text_chunks(state)),
        layout.LLM_CACHE: lambda: members(_llm_cache(state)),
        layout.DOC_STATUS: lambda: members(
            (id, _status_row(state, record)) for id, record in state.documents.items() if not _is_hidden(state, record)
        ),
        **_tracking(state),
        layout.GRAPH: lambda: _graph(state),
        **{own(name): _own_kv(state, namespace) for namespace, name in layout.OWN_KV_FILES.items()},
        own(layout.OWN_DOCUMENTS): lambda: compact_members(
            (id, record_row(record) | {"hidden": _is_hidden(state, record)}) for id, record in state.documents.items()
        ),
        own(layout.OWN_MENTIONS): lambda: compact_members((key, said_row(said)) for key, said in state.said.items()),
        own(layout.OWN_TERMS): lambda: compact_members((key, list(terms)) for key, terms in state.terms.items()),
        own(layout.OWN_GRAPH): lambda: [orjson.dumps(_graph_extras(state))],
        own(layout.OWN_SETTINGS): lambda: [orjson.dumps(state.settings)],
    }
    for kind, name in layout.VECTOR_FILES.items():
        makers[name] = _vdb(state, kind, state.dimension) if state.dimension is not None else _nothing
    return {name: make() for name, make in makers.items() if name in names}


def _nothing() -> None:
    return None


def _own_kv(state: Snapshot, namespace: Namespace) -> Callable[[], Iterable[bytes]]:
    rows = state.kv[namespace]
    return lambda: compact_members((key, orjson.Fragment(row)) for key, row in rows.items())


def _times(state: Snapshot, doc_id: Any) -> tuple[int, int]:
    record = state.documents.get(str(doc_id))
    return (0, 0) if record is None else (seconds_of(record.created_at), seconds_of(record.updated_at))


def _full_docs(state: Snapshot) -> Iterator[tuple[str, JsonObject]]:
    rows = state.kv[Namespace.FULL_DOCS]
    for key, row in rows.items():
        if not is_part(key, rows.get):
            yield key, kept_row(key, joined(key, orjson.loads(row), rows.get), *_times(state, key))


def _text_chunks(state: Snapshot) -> Iterator[tuple[str, JsonObject]]:
    cache = ((key, orjson.loads(row)) for key, row in state.kv[Namespace.LLM_CACHE].items())
    answers = answers_by_chunk(cache)
    for key, body in state.kv[Namespace.TEXT_CHUNKS].items():
        row = orjson.loads(body)
        # LightRAG finds the answers on a chunk by this list when it takes a document out.
        row["llm_cache_list"] = list(dict.fromkeys([*row.get("llm_cache_list", ()), *answers.get(key, ())]))
        yield key, kept_row(key, row, *_times(state, row.get("full_doc_id")))


def _llm_cache(state: Snapshot) -> Iterator[tuple[str, JsonObject]]:
    for key, body in state.kv[Namespace.LLM_CACHE].items():
        row = orjson.loads(body)
        yield key, {**row, "update_time": row.get("create_time", 0), "_id": key}


def _status_row(state: Snapshot, record: DocumentRecord) -> JsonObject:
    form = StatusForm(state.settings.get(STATUS_FORM, StatusForm.PRESENT))
    return status_row(record, form, lambda: whole_text(record.id, state.kv[Namespace.FULL_DOCS].get))


def _is_hidden(state: Snapshot, record: DocumentRecord) -> bool:
    """Tell whether a document is kept from LightRAG: it removes rows without a text, such as files to be parsed."""
    return record.id not in state.kv[Namespace.FULL_DOCS]


def _tracking(state: Snapshot) -> dict[str, Callable[[], Iterable[bytes]]]:
    """Return the files that say which document and which chunk speaks of what."""

    def by_document(field: str, choose: Callable[[Said], Iterable[Any]]) -> Iterator[tuple[str, JsonObject]]:
        found: dict[str, set[Any]] = {}
        for said in state.said.values():
            found.setdefault(said.source.doc_id, set()).update(choose(said))
        for doc_id, keys in found.items():
            if doc_id in state.documents:
                yield doc_id, kept_row(doc_id, {field: sorted(keys), "count": len(keys)}, *_times(state, doc_id))

    def by_key(choose: Callable[[Said], Iterable[str]]) -> Iterator[tuple[str, JsonObject]]:
        found: dict[str, list[Said]] = {}
        for said in state.said.values():
            for key in choose(said):
                found.setdefault(key, []).append(said)
        for key, places in found.items():
            places.sort(key=lambda said: (said.source.created_at, said.source.doc_id, said.source.order))
            chunk_ids = [said.source.chunk_id for said in places]
            times = [said.source.created_at for said in places]
            yield key, kept_row(key, {"chunk_ids": chunk_ids, "count": len(chunk_ids)}, min(times), max(times))

    return {
        layout.FULL_ENTITIES: lambda: members(by_document("entity_names", lambda said: said.entities)),
        layout.FULL_RELATIONS: lambda: members(by_document("relation_pairs", lambda said: said.relations)),
        layout.ENTITY_CHUNKS: lambda: members(by_key(lambda said: said.entities)),
        layout.RELATION_CHUNKS: lambda: members(
            by_key(lambda said: [FIELD_SEPARATOR.join(pair) for pair in said.relations])
        ),
    }


def _vdb(state: Snapshot, kind: VectorKind, dimension: int) -> Callable[[], Iterable[bytes]]:
    describe = {
        VectorKind.CHUNKS: _describe_chunk,
        VectorKind.ENTITIES: _describe_entity,
        VectorKind.RELATIONS: _describe_relation,
    }[kind]
    return lambda: vdb_pieces(
        kind, dimension, state.matrices[kind], state.vectors[kind], lambda key: describe(state, key)
    )


def _describe_chunk(state: Snapshot, key: str) -> JsonObject:
    body = state.kv[Namespace.TEXT_CHUNKS].get(key)
    row = orjson.loads(body) if body is not None else {}
    return {name: row.get(name, "") for name in ("content", "full_doc_id", "file_path")}


def _describe_entity(state: Snapshot, key: str) -> JsonObject:
    entity = state.nodes.get(key)
    if entity is None:
        return {"content": key, "source_id": "", "file_path": ""}
    return {
        "content": f"{key}\n{entity.description}",
        "source_id": FIELD_SEPARATOR.join(entity.chunk_ids),
        "file_path": FIELD_SEPARATOR.join(entity.file_paths),
    }


def _describe_relation(state: Snapshot, key: str) -> JsonObject:
    source, _, target = key.partition(FIELD_SEPARATOR)
    relation = state.edges.get((source, target))
    if relation is None:
        return {"content": f"{source}\n{target}", "source_id": "", "file_path": ""}
    return {
        "content": f"{relation.keywords}\t{source}\n{target}\n{relation.description}",
        "source_id": FIELD_SEPARATOR.join(relation.chunk_ids),
        "file_path": FIELD_SEPARATOR.join(relation.file_paths),
    }


def _graph(state: Snapshot) -> Iterator[bytes]:
    entities = (entity for name, entity in state.nodes.items() if is_writable(name))
    relations = (edge for pair, edge in state.edges.items() if all(map(is_writable, pair)))
    return graphml_pieces(entities, relations)


def _graph_extras(state: Snapshot) -> JsonObject:
    """Return nodes and edges that the graph file cannot hold as they are: odd characters, other counts."""
    return {
        "entities": [
            entity_row(entity)
            for name, entity in state.nodes.items()
            if not is_writable(name)
            or entity_from(name, node_attributes(entity), state.name_counts.get(name, 0)) != entity
        ],
        "relations": [
            relation_row(edge)
            for pair, edge in state.edges.items()
            if not all(map(is_writable, pair))
            or relation_from(pair, edge_attributes(edge), state.pair_counts.get(pair, 0)) != edge
        ],
    }
