"""The stores of an instance under LightRAG's names, for scripts that reach into them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from lightrag.base import DocProcessingStatus, DocStatus
from lightrag.facade.instance import Instance, Opened
from lightrag.facade.rows import edge_of, knowledge_graph, node_of, status_of
from lightrag.storage.contracts import KVStore, Namespace, VectorKind
from lightrag.storage.rows import pair_of_key
from lightrag.types import DocStatus as StoredStatus
from lightrag.types import KnowledgeGraph, Pair

Row = dict[str, Any]
_PAGE = 1000


class _View:
    """A store, reached through the instance; nothing is held back, so that `index_done_callback` has nothing to do."""

    def __init__(self, owner: StoreViews, namespace: str) -> None:
        self._owner = owner
        self.namespace = namespace
        self.workspace = owner.workspace
        self.global_config = owner._global_config()
        self.embedding_func = owner.embedding_func

    async def initialize(self) -> None:
        """Open the instance."""
        await self._owner.initialize_storages()

    async def finalize(self) -> None:
        """Closing is the instance's matter."""

    async def index_done_callback(self) -> None:
        """What was written is durable already."""

    async def _do(self, work: Callable[[Opened], Coroutine[Any, Any, Any]]) -> Any:
        async def done() -> Any:
            return await work(await self._owner._use())

        return await self._owner._call(done())


class KVView(_View):
    """Rows by id."""

    def __init__(self, owner: StoreViews, namespace: Namespace) -> None:
        super().__init__(owner, namespace.value)
        self._space = namespace

    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""
        found: Row | None = (await self.get_by_ids([id]))[0]
        return found

    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return rows in the order of `ids`, None for those that do not exist."""
        found = await self._do(lambda opened: self._store(opened).get(ids))
        return [found.get(id) for id in ids]

    async def filter_keys(self, keys: set[str]) -> set[str]:
        """Return the keys that are not present."""
        found = await self._do(lambda opened: self._store(opened).get(list(keys)))
        return set(keys) - set(found)

    async def upsert(self, data: dict[str, Row]) -> None:
        """Insert or replace rows."""
        await self._do(lambda opened: self._store(opened).put(data))

    async def delete(self, ids: list[str]) -> None:
        """Remove rows."""
        await self._do(lambda opened: self._store(opened).delete(ids))

    async def is_empty(self) -> bool:
        """Whether there is no row."""
        return bool(await self._do(lambda opened: self._store(opened).count()) == 0)

    async def get_all(self) -> dict[str, Row]:
        """Return all rows."""

        async def scanned(opened: Opened) -> dict[str, Row]:
            rows: dict[str, Row] = {}
            after = ""
            while page := await self._store(opened).scan(after=after, limit=_PAGE):
                rows |= dict(page)
                after = page[-1][0]
            return rows

        found: dict[str, Row] = await self._do(scanned)
        return found

    async def drop(self) -> dict[str, str]:
        """Remove all rows."""
        await self._do(lambda opened: self._store(opened).clear())
        return {"status": "success", "message": "data dropped"}

    def _store(self, opened: Opened) -> KVStore:
        return opened.storage.kv(self._space)


class FullDocsView(KVView):
    """The documents' texts, whole."""

    async def get_by_ids(self, ids: list[str]) -> list[Row | None]:
        """Return `content` and `file_path` of documents."""

        async def read(opened: Opened) -> list[Row | None]:
            records = await opened.storage.documents.get(ids)
            texts = {id: await opened.engine.get_content(id) for id in records}
            return [
                {"content": texts[id] or "", "file_path": records[id].file_path} if id in records else None
                for id in ids
            ]

        found: list[Row | None] = await self._do(read)
        return found


class VectorView(_View):
    """Vectors of one kind, searched by text."""

    def __init__(self, owner: StoreViews, kind: VectorKind) -> None:
        super().__init__(owner, kind.value)
        self._kind = kind
        self.cosine_better_than_threshold = owner.cosine_better_than_threshold

    async def query(self, query: str, top_k: int, query_embedding: Any = None) -> list[Row]:
        """Return the nearest rows, best first: their names, `id` and `distance` (the cosine)."""

        async def search(opened: Opened) -> list[Row]:
            vectors = await opened.models.embedding.embed([query], purpose="query")
            threshold = opened.settings.query.cosine_threshold
            [hits] = await opened.storage.vectors(self._kind).search(vectors, top_k, threshold=threshold)
            return [{**self._names(hit.key), "id": hit.key, "distance": hit.score} for hit in hits]

        found: list[Row] = await self._do(search)
        return found

    async def get_vectors_by_ids(self, ids: list[str]) -> dict[str, list[float]]:
        """Return vectors by key: a chunk's id, an entity's name, two names joined by `<SEP>`."""
        found = await self._do(lambda opened: opened.storage.vectors(self._kind).get(ids))
        return {key: [float(x) for x in vector] for key, vector in found.items()}

    def _names(self, key: str) -> Row:
        if self._kind is VectorKind.ENTITIES:
            return {"entity_name": key}
        if self._kind is VectorKind.RELATIONS:
            source, target = pair_of_key(key)
            return {"src_id": source, "tgt_id": target}
        return {"chunk_id": key}


class GraphView(_View):
    """The graph; changing it is done by the instance's methods, which record what was edited."""

    async def has_node(self, node_id: str) -> bool:
        """Whether an entity exists."""
        return await self.get_node(node_id) is not None

    async def has_edge(self, source_node_id: str, target_node_id: str) -> bool:
        """Whether a relation exists."""
        return await self.get_edge(source_node_id, target_node_id) is not None

    async def get_node(self, node_id: str) -> Row | None:
        """Return an entity's properties."""
        return (await self.get_nodes_batch([node_id])).get(node_id)

    async def get_nodes_batch(self, node_ids: list[str]) -> dict[str, Row]:
        """Return the properties of the entities that exist."""
        found = await self._do(lambda opened: opened.storage.graph.get_entities(node_ids))
        return {name: node_of(entity) for name, entity in found.items()}

    async def get_edge(self, source_node_id: str, target_node_id: str) -> Row | None:
        """Return a relation's properties."""
        pair = (min(source_node_id, target_node_id), max(source_node_id, target_node_id))
        found = await self._do(lambda opened: opened.storage.graph.get_relations([pair]))
        return edge_of(found[pair]) if pair in found else None

    async def node_degree(self, node_id: str) -> int:
        """Return the number of an entity's relations."""
        return (await self.node_degrees_batch([node_id]))[node_id]

    async def node_degrees_batch(self, node_ids: list[str]) -> dict[str, int]:
        """Return the number of relations of each entity."""
        found = await self._do(lambda opened: opened.storage.graph.degrees(node_ids))
        return {node_id: found.get(node_id, 0) for node_id in node_ids}

    async def edge_degree(self, src_id: str, tgt_id: str) -> int:
        """Return the sum of the degrees of both ends."""
        return sum((await self.node_degrees_batch([src_id, tgt_id])).values())

    async def get_node_edges(self, source_node_id: str) -> list[tuple[str, str]] | None:
        """Return the relations of an entity as (entity, neighbour); None where it does not exist."""
        if not await self.has_node(source_node_id):
            return None
        degree = await self.node_degree(source_node_id)
        found = await self._do(lambda opened: opened.storage.graph.relations_of([source_node_id], max(degree, 1)))
        return [(source_node_id, other) for other, _ in found.get(source_node_id, [])]

    async def get_all_labels(self) -> list[str]:
        """Return all entity names, sorted."""
        names: list[str] = await self._do(lambda opened: opened.engine.labels())
        return names

    async def get_popular_labels(self, limit: int = 300) -> list[str]:
        """Return entity names by degree."""
        names: list[str] = await self._do(lambda opened: opened.engine.popular_labels(limit))
        return names

    async def search_labels(self, query: str, limit: int = 50) -> list[str]:
        """Return entity names that contain a text, best first."""
        names: list[str] = await self._do(lambda opened: opened.engine.search_labels(query, limit))
        return names

    async def get_knowledge_graph(self, node_label: str, max_depth: int = 3, max_nodes: int = 1000) -> KnowledgeGraph:
        """Return the neighbourhood of an entity; `*` for the whole graph by degree."""
        view = await self._do(
            lambda opened: opened.engine.subgraph(node_label, max_depth=max_depth, max_nodes=max_nodes)
        )
        return knowledge_graph(view)

    async def get_all_nodes(self) -> list[Row]:
        """Return all entities: their properties and `id`."""

        async def scanned(opened: Opened) -> list[Row]:
            rows: list[Row] = []
            after = ""
            while page := await opened.storage.graph.scan_entities(after=after, limit=_PAGE):
                rows += [{"id": entity.name, **node_of(entity)} for entity in page]
                after = page[-1].name
            return rows

        found: list[Row] = await self._do(scanned)
        return found

    async def get_all_edges(self) -> list[Row]:
        """Return all relations: their properties, `source` and `target`."""

        async def scanned(opened: Opened) -> list[Row]:
            rows: list[Row] = []
            after: Pair | None = None
            while page := await opened.storage.graph.scan_relations(after=after, limit=_PAGE):
                rows += [{"source": item.source, "target": item.target, **edge_of(item)} for item in page]
                after = page[-1].pair
            return rows

        found: list[Row] = await self._do(scanned)
        return found


class DocStatusView(_View):
    """Status rows of documents."""

    async def get_by_id(self, id: str) -> Row | None:
        """Return a row."""
        found = await self._do(lambda opened: opened.storage.documents.get([id]))
        return dict(vars(status_of(found[id]))) if id in found else None

    async def get_status_counts(self) -> dict[str, int]:
        """Return the number of documents per status."""
        counts = await self._do(lambda opened: opened.engine.status_counts())
        return {status.value: count for status, count in counts.items()}

    async def get_all_status_counts(self) -> dict[str, int]:
        """Return the number of documents per status, and of all under `all`."""
        counts = await self.get_status_counts()
        return {**counts, "all": sum(counts.values())}

    async def get_docs_by_statuses(self, statuses: list[DocStatus]) -> dict[str, DocProcessingStatus]:
        """Return the documents of any of these statuses."""
        known = {status.value for status in StoredStatus}
        wanted = [StoredStatus(status.value) for status in statuses if status.value in known]
        if not wanted:
            return {}

        async def listed(opened: Opened) -> dict[str, DocProcessingStatus]:
            found: dict[str, DocProcessingStatus] = {}
            while True:
                rows, total = await opened.engine.list_documents(
                    statuses=wanted, offset=len(found), limit=_PAGE, sort="id", descending=False
                )
                found |= {row.id: status_of(row) for row in rows}
                if not rows or len(found) >= total:
                    return found

        rows: dict[str, DocProcessingStatus] = await self._do(listed)
        return rows

    async def get_docs_by_status(self, status: DocStatus) -> dict[str, DocProcessingStatus]:
        """Return the documents of one status."""
        return await self.get_docs_by_statuses([status])

    async def get_docs_by_track_id(self, track_id: str) -> dict[str, DocProcessingStatus]:
        """Return the documents of one request."""
        rows = await self._do(lambda opened: opened.engine.track(track_id))
        return {row.id: status_of(row) for row in rows}


class StoreViews(Instance):
    """The stores as attributes."""

    @property
    def full_docs(self) -> FullDocsView:
        """The documents' texts."""
        return FullDocsView(self, Namespace.FULL_DOCS)

    @property
    def text_chunks(self) -> KVView:
        """The passages."""
        return KVView(self, Namespace.TEXT_CHUNKS)

    @property
    def llm_response_cache(self) -> KVView:
        """The models' kept answers."""
        return KVView(self, Namespace.LLM_CACHE)

    @property
    def entities_vdb(self) -> VectorView:
        """The entities' vectors."""
        return VectorView(self, VectorKind.ENTITIES)

    @property
    def relationships_vdb(self) -> VectorView:
        """The relations' vectors."""
        return VectorView(self, VectorKind.RELATIONS)

    @property
    def chunks_vdb(self) -> VectorView:
        """The passages' vectors."""
        return VectorView(self, VectorKind.CHUNKS)

    @property
    def chunk_entity_relation_graph(self) -> GraphView:
        """The graph."""
        return GraphView(self, "chunk_entity_relation")

    @property
    def doc_status(self) -> DocStatusView:
        """The documents' status rows."""
        return DocStatusView(self, "doc_status")
