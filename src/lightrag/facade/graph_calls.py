"""Methods of an instance that look at the graph and change it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from lightrag.base import DeletionResult
from lightrag.engine import Engine
from lightrag.errors import LightRAGError, NotFound
from lightrag.exceptions import ArgumentError
from lightrag.facade.instance import Instance
from lightrag.facade.rows import knowledge_graph
from lightrag.retrieval.graph_info import entity_info, relation_info
from lightrag.types import Accepted, DocStatus, KnowledgeGraph

Row = dict[str, Any]


class GraphCalls(Instance):
    """Entities and relations. Edits are recorded, hold for whatever is indexed later, and can be undone."""

    async def get_graph_labels(self) -> list[str]:
        """Return all entity names, sorted."""
        return await self._call(self._labels())

    async def get_knowledge_graph(
        self, node_label: str, max_depth: int = 3, max_nodes: int | None = None
    ) -> KnowledgeGraph:
        """Return the neighbourhood of an entity, better connected nodes first; `*` for the whole graph by degree."""
        return await self._call(self._subgraph(node_label, max_depth, max_nodes))

    async def get_entity_info(self, entity_name: str, include_vector_data: bool = False) -> Row:
        """Return `entity_name`, `source_id` and `graph_data`, which is None where there is no such entity."""
        return await self._call(self._entity_info(entity_name, include_vector_data))

    async def get_relation_info(self, src_entity: str, tgt_entity: str, include_vector_data: bool = False) -> Row:
        """Return `src_entity`, `tgt_entity`, `source_id` and `graph_data`, None where there is no such relation."""
        return await self._call(self._relation_info(src_entity, tgt_entity, include_vector_data))

    async def acreate_entity(self, entity_name: str, entity_data: Row) -> Row:
        """Make an entity; `entity_data` has `entity_type`, `description`. Raises `InvalidInput` where it exists."""
        return await self._call(self._create_entity(entity_name, entity_data))

    def create_entity(self, entity_name: str, entity_data: Row) -> Row:
        """Make an entity; see `acreate_entity`."""
        return self._sync("create_entity", lambda: self._create_entity(entity_name, entity_data))

    async def aedit_entity(
        self, entity_name: str, updated_data: Row, allow_rename: bool = True, allow_merge: bool = False
    ) -> Row:
        """Change an entity; `entity_name` among the data renames it, or merges it into one that has the name."""
        return await self._call(self._edit_entity(entity_name, updated_data, allow_rename, allow_merge))

    def edit_entity(
        self, entity_name: str, updated_data: Row, allow_rename: bool = True, allow_merge: bool = False
    ) -> Row:
        """Change an entity; see `aedit_entity`."""
        return self._sync(
            "edit_entity", lambda: self._edit_entity(entity_name, updated_data, allow_rename, allow_merge)
        )

    async def adelete_by_entity(self, entity_name: str) -> DeletionResult:
        """Take an entity and its relations out of the graph."""
        return await self._call(self._delete_entity(entity_name))

    def delete_by_entity(self, entity_name: str) -> DeletionResult:
        """Take an entity and its relations out of the graph."""
        return self._sync("delete_by_entity", lambda: self._delete_entity(entity_name))

    async def acreate_relation(self, source_entity: str, target_entity: str, relation_data: Row) -> Row:
        """Make a relation; the data have `description`, `keywords`, `weight`. Both entities must exist."""
        return await self._call(self._create_relation(source_entity, target_entity, relation_data))

    def create_relation(self, source_entity: str, target_entity: str, relation_data: Row) -> Row:
        """Make a relation; see `acreate_relation`."""
        return self._sync("create_relation", lambda: self._create_relation(source_entity, target_entity, relation_data))

    async def aedit_relation(self, source_entity: str, target_entity: str, updated_data: Row) -> Row:
        """Change a relation."""
        return await self._call(self._edit_relation(source_entity, target_entity, updated_data))

    def edit_relation(self, source_entity: str, target_entity: str, updated_data: Row) -> Row:
        """Change a relation."""
        return self._sync("edit_relation", lambda: self._edit_relation(source_entity, target_entity, updated_data))

    async def adelete_by_relation(self, source_entity: str, target_entity: str) -> DeletionResult:
        """Take a relation out of the graph."""
        return await self._call(self._delete_relation(source_entity, target_entity))

    def delete_by_relation(self, source_entity: str, target_entity: str) -> DeletionResult:
        """Take a relation out of the graph."""
        return self._sync("delete_by_relation", lambda: self._delete_relation(source_entity, target_entity))

    async def amerge_entities(
        self,
        source_entities: list[str],
        target_entity: str,
        merge_strategy: dict[str, str] | None = None,
        target_entity_data: Row | None = None,
    ) -> Row:
        """Make several entities one; relations move to it. `merge_strategy`: per field, how values become one."""
        return await self._call(self._merge(source_entities, target_entity, merge_strategy, target_entity_data))

    def merge_entities(
        self,
        source_entities: list[str],
        target_entity: str,
        merge_strategy: dict[str, str] | None = None,
        target_entity_data: Row | None = None,
    ) -> Row:
        """Make several entities one; see `amerge_entities`."""
        return self._sync(
            "merge_entities",
            lambda: self._merge(source_entities, target_entity, merge_strategy, target_entity_data),
        )

    async def ainsert_custom_kg(self, custom_kg: Row, full_doc_id: str | None = None) -> None:
        """Put chunks, entities and relations of one's own into the graph.

        `custom_kg` has the lists `chunks` (`content`, `source_id`), `entities` (`entity_name`, `entity_type`,
        `description`, `source_id`) and `relationships` (`src_id`, `tgt_id`, `description`, `keywords`, `weight`,
        `source_id`); a `source_id` names a chunk of the list. Raises `InvalidInput`; then nothing is changed.
        """
        await self._call(self._insert_kg(custom_kg, full_doc_id))

    def insert_custom_kg(self, custom_kg: Row, full_doc_id: str | None = None) -> None:
        """Put chunks, entities and relations of one's own into the graph; see `ainsert_custom_kg`."""
        self._sync("insert_custom_kg", lambda: self._insert_kg(custom_kg, full_doc_id))

    async def ainsert_custom_chunks(self, full_text: str, text_chunks: list[str], doc_id: str | None = None) -> None:
        """Index a text that is cut already, and wait until that is done."""
        await self._call(self._insert_chunks(full_text, text_chunks, doc_id))

    def insert_custom_chunks(
        self, full_text: str, text_chunks: list[str], doc_id: str | list[str] | None = None
    ) -> None:
        """Index a text that is cut already, and wait until that is done."""
        name = doc_id[0] if isinstance(doc_id, list) and doc_id else doc_id
        if isinstance(name, list):
            raise ArgumentError("doc_id: the list of ids is empty")
        self._sync("insert_custom_chunks", lambda: self._insert_chunks(full_text, text_chunks, name))

    async def _labels(self) -> list[str]:
        return await (await self._use()).engine.labels()

    async def _subgraph(self, label: str, max_depth: int, max_nodes: int | None) -> KnowledgeGraph:
        most = min(max_nodes or self.max_graph_nodes, self.max_graph_nodes)
        view = await (await self._use()).engine.subgraph(label, max_depth=max_depth, max_nodes=most)
        return knowledge_graph(view)

    async def _entity_info(self, name: str, vector: bool) -> Row:
        info = await (await self._use()).engine.get_entity_info(name, include_vector_data=vector)
        return info or {"entity_name": name, "source_id": None, "graph_data": None}

    async def _relation_info(self, source: str, target: str, vector: bool) -> Row:
        info = await (await self._use()).engine.get_relation_info(source, target, include_vector_data=vector)
        return info or {"src_entity": source, "tgt_entity": target, "source_id": None, "graph_data": None}

    async def _create_entity(self, name: str, data: Row) -> Row:
        edited = await (await self._use()).engine.create_entity(name, data)
        return entity_info(_present(edited.entity), vector=True)

    async def _edit_entity(self, name: str, data: Row, allow_rename: bool, allow_merge: bool) -> Row:
        engine = (await self._use()).engine
        edited = await engine.edit_entity(name, data, allow_rename=allow_rename, allow_merge=allow_merge)
        return entity_info(_present(edited.entity), vector=True)

    async def _delete_entity(self, name: str) -> DeletionResult:
        removed = (await self._use()).engine.delete_entity(name)
        return await _deleted(removed, name, f"Entity '{name}' and its relations were deleted.")

    async def _create_relation(self, source: str, target: str, data: Row) -> Row:
        edited = await (await self._use()).engine.create_relation(source, target, data)
        return relation_info(_present(edited.relation), source, target, vector=True)

    async def _edit_relation(self, source: str, target: str, data: Row) -> Row:
        edited = await (await self._use()).engine.edit_relation(source, target, data)
        return relation_info(_present(edited.relation), source, target, vector=True)

    async def _delete_relation(self, source: str, target: str) -> DeletionResult:
        removed = (await self._use()).engine.delete_relation(source, target)
        return await _deleted(
            removed, f"{source} -> {target}", f"The relation between '{source}' and '{target}' was deleted."
        )

    async def _merge(self, sources: list[str], target: str, strategy: dict[str, str] | None, data: Row | None) -> Row:
        engine = (await self._use()).engine
        edited = await engine.merge_entities(sources, target, merge_strategy=strategy, target_entity_data=data)
        return entity_info(_present(edited.entity), vector=True)

    async def _insert_kg(self, custom_kg: Row, full_doc_id: str | None) -> None:
        engine = (await self._use()).engine
        accepted = await engine.add_custom_graph(custom_kg, full_doc_id)
        await _indexed(engine, accepted)

    async def _insert_chunks(self, full_text: str, text_chunks: list[str], doc_id: str | None) -> None:
        engine = (await self._use()).engine
        accepted = await engine.add_custom_chunks(full_text, text_chunks, doc_id)
        await _indexed(engine, accepted)


def _present(item: Any) -> Any:
    if item is None:
        raise NotFound("the entity or relation vanished while it was edited; another edit removed it")
    return item


async def _indexed(engine: Engine, accepted: Accepted) -> None:
    """Wait until a document is indexed. Raises `LightRAGError` where that fails."""
    await engine.wait_until_idle()
    record = await engine.get_document(accepted.record.id)
    if record.status is DocStatus.FAILED:
        raise LightRAGError(f"{record.id} was accepted, but could not be indexed: {record.error_msg}")


async def _deleted(removed: Awaitable[object], name: str, message: str) -> DeletionResult:
    try:
        await removed
    except NotFound as error:
        return DeletionResult("not_found", name, str(error), 404)
    return DeletionResult("success", name, message, 200)
