"""Reads a folder: what this server wrote as it is, what LightRAG wrote with everything that its formats lack."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import orjson

from lightrag.errors import StorageDamaged
from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.files import layout
from lightrag.storage.files.adoption import Adoption, Stored
from lightrag.storage.files.durable import checksum
from lightrag.storage.files.graphml import (
    StoredGraph,
    edge_attributes,
    entity_from,
    is_writable,
    node_attributes,
    read_graphml,
    relation_from,
)
from lightrag.storage.files.json_files import damaged, objects, parsed_object
from lightrag.storage.files.large_texts import split
from lightrag.storage.files.lightrag_rows import answers_by_chunk, flat_cache, plain_row
from lightrag.storage.files.manifest import FileEntry, Manifest, entry_of, own
from lightrag.storage.files.rows import (
    VectorItem,
    entity_from_row,
    record_from_row,
    relation_from_row,
    said_from_row,
)
from lightrag.storage.files.state import DIMENSION, State
from lightrag.storage.files.vdb import read_vdb
from lightrag.types import JsonObject


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """What was read."""

    files: dict[str, FileEntry]
    """All files that are there, as they were read."""
    adopted: bool
    """Whether LightRAG wrote any of them since this server did."""


def load(folder: Path, manifest: Manifest | None, state: State) -> Loaded:
    """Read all files of a workspace into a layer.

    Raises `StorageDamaged` for a file that cannot be read, or that is missing although the manifest lists it.
    """
    reader = _Reader(folder, manifest)
    reader.check_missing()
    _load_kv(reader, state)
    graph = _load_graph(reader, state)
    _load_vectors(reader, state)
    rows = objects(folder / layout.DOC_STATUS, reader.object(layout.DOC_STATUS))
    records = objects(folder / own(layout.OWN_DOCUMENTS), reader.object(own(layout.OWN_DOCUMENTS)))
    if not reader.is_foreign:
        for id, row in records.items():
            state.documents.put(id, record_from_row(row))
    else:
        for name in (layout.FULL_ENTITIES, layout.FULL_RELATIONS):
            # What they say follows from mentions; they are only looked at for damage before they are written anew.
            objects(folder / name, reader.object(name))
        stored = Stored(
            status_rows=rows,
            own_records=records,
            entity_chunks=objects(folder / layout.ENTITY_CHUNKS, reader.object(layout.ENTITY_CHUNKS)),
            relation_chunks=objects(folder / layout.RELATION_CHUNKS, reader.object(layout.RELATION_CHUNKS)),
            graph=graph,
            vector_contents=reader.vector_contents,
        )
        Adoption(state, stored).run()
    return Loaded(reader.entries, reader.is_foreign)


class _Reader:
    """Reads the files of a folder and notes what they were."""

    def __init__(self, folder: Path, manifest: Manifest | None) -> None:
        self.folder = folder
        self.entries: dict[str, FileEntry] = {}
        self.vector_contents: dict[VectorKind, dict[str, str]] = {}
        """What vectors stand for, where LightRAG wrote them."""
        self._known = dict(manifest.files) if manifest is not None else {}
        names = (*layout.LIGHTRAG_FILES, *self._known)
        self._contents = {name: content for name in names if (content := self._read(name)) is not None}
        read = {name for name in layout.LIGHTRAG_FILES if name in self._contents}
        gone = {name for name in layout.LIGHTRAG_FILES if name in self._known} - read
        self.is_foreign = bool(gone) or not all(self.entries[name].ours for name in read)
        """Whether any of LightRAG's files is not as this server wrote it."""

    def check_missing(self) -> None:
        """Raise `StorageDamaged` where a file that was there is missing.

        LightRAG removes vector and graph files when it is told to delete everything; then no document is left.
        """
        missing = [name for name in self._known if name not in self._contents]
        if not missing:
            return
        emptied = layout.DOC_STATUS in self._contents and not self.object(layout.DOC_STATUS)
        removable = {layout.GRAPH, *layout.VECTOR_FILES.values()}
        if not emptied or not removable.issuperset(missing):
            raise StorageDamaged(
                f"{self.folder / missing[0]}: the file is missing. Restore it from a backup; or, to go on without it,"
                f" move the folder {layout.OWN_FOLDER} away: then what can be made anew from the other files is made"
                " anew"
            )

    def _read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None where it is not there.

        Raises `StorageDamaged` where one of our own is not as it was written; LightRAG's may have been changed by it.
        """
        path = self.folder / name
        if not path.exists():
            return None
        content = path.read_bytes()
        digest, known = checksum(content), self._known.get(name)
        is_known = known is not None and known.checksum == digest
        if name not in layout.LIGHTRAG_FILES and not is_known:
            raise damaged(path, "not as this server wrote it")
        self.entries[name] = entry_of(path, digest, ours=is_known and known is not None and known.ours)
        return content

    def data(self, name: str) -> bytes | None:
        """Return the bytes of a file; None where it is not there."""
        return self._contents.get(name)

    def object(self, name: str) -> JsonObject:
        """Return a file's JSON object; an empty one where the file is not there."""
        content = self.data(name)
        return {} if content is None else parsed_object(self.folder / name, content)


def _load_kv(reader: _Reader, state: State) -> None:
    docs = objects(reader.folder / layout.FULL_DOCS, reader.object(layout.FULL_DOCS))
    for doc_id, whole in docs.items():
        for key, row in split(doc_id, plain_row(whole)):
            state.kv[Namespace.FULL_DOCS].put(key, orjson.dumps(row))
    cache = flat_cache(reader.object(layout.LLM_CACHE))
    for key, row in cache.items():
        state.kv[Namespace.LLM_CACHE].put(key, orjson.dumps(plain_row(row, with_time=True)))
    answers = answers_by_chunk(cache.items())
    chunks = objects(reader.folder / layout.TEXT_CHUNKS, reader.object(layout.TEXT_CHUNKS))
    for key, row in chunks.items():
        listed = row.pop("llm_cache_list", None) or []
        elsewhere = [name for name in listed if name not in answers.get(key, ())]
        kept = plain_row(row) | ({"llm_cache_list": elsewhere} if elsewhere else {})
        state.kv[Namespace.TEXT_CHUNKS].put(key, orjson.dumps(kept))
    for namespace, name in layout.OWN_KV_FILES.items():
        for key, row in reader.object(own(name)).items():
            state.kv[namespace].put(key, orjson.dumps(row))
    for key, terms in reader.object(own(layout.OWN_TERMS)).items():
        state.terms.put(key, tuple(terms))
    for name, value in reader.object(own(layout.OWN_SETTINGS)).items():
        state.settings.put(name, value)


def _load_graph(reader: _Reader, state: State) -> StoredGraph:
    for key, row in reader.object(own(layout.OWN_MENTIONS)).items():
        state.add_said(key, said_from_row(key, row))
    content = reader.data(layout.GRAPH)
    graph = read_graphml(reader.folder / layout.GRAPH, content) if content is not None else StoredGraph()
    for name, attributes in graph.nodes.items():
        state.nodes.put(name, entity_from(name, attributes, len(state.by_name.get(name) or ())))
    for pair, attributes in graph.edges.items():
        index = state.by_pair.get(pair)
        state.put_edge(relation_from(pair, attributes, len(index.places) if index is not None else 0))
    _load_graph_extras(reader.object(own(layout.OWN_GRAPH)), graph, state)
    return graph


def _load_graph_extras(extras: JsonObject, graph: StoredGraph, state: State) -> None:
    """Put what the graph file cannot hold, unless LightRAG has changed the same node or edge there."""
    for row in extras.get("entities", []):
        entity = entity_from_row(row)
        if not is_writable(entity.name) or graph.nodes.get(entity.name) == node_attributes(entity):
            state.nodes.put(entity.name, entity)
    for row in extras.get("relations", []):
        edge = relation_from_row(row)
        is_ours = not all(map(is_writable, edge.pair)) or graph.edges.get(edge.pair) == edge_attributes(edge)
        if is_ours and all(end in state.nodes for end in edge.pair):
            state.put_edge(edge)


def _load_vectors(reader: _Reader, state: State) -> None:
    for kind, name in layout.VECTOR_FILES.items():
        content = reader.data(name)
        if content is None:
            continue
        path = reader.folder / name
        dimension, rows = read_vdb(path, kind, content)
        if not rows:
            continue
        if state.dimension is None:
            state.settings.put(DIMENSION, dimension)
        elif state.dimension != dimension:
            raise damaged(path, f"its vectors have {dimension} numbers, those of this workspace {state.dimension}")
        for row in rows:
            state.vectors[kind].put(row.key, VectorItem(row.content_hash or "", row.created_at, row.vector))
        reader.vector_contents[kind] = {row.key: row.content for row in rows if row.content_hash is None}
