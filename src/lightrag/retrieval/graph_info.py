"""Entities and relations in the form in which LightRAG's functions and routes show one of them."""

from __future__ import annotations

import hashlib

from lightrag.storage.properties import entity_properties, relation_properties
from lightrag.storage.vector_texts import entity_vector_text, relation_vector_text
from lightrag.types import Entity, JsonObject, Relation


def truncation(item: Entity | Relation) -> str:
    """Return LightRAG's note that not every source is listed; empty where all are."""
    shown = len(item.chunk_ids)
    return f"KEEP {shown}/{item.mentions}" if shown < item.mentions else ""


def entity_info(entity: Entity, *, vector: bool) -> JsonObject:
    """Return `entity_name`, `source_id`, `graph_data` and, where asked for, `vector_data`.

    The latter holds what the entity's vector stands for, under the names of LightRAG's rows; no numbers.
    """
    properties = entity_properties(entity)
    info: JsonObject = {
        "entity_name": entity.name,
        "source_id": properties["source_id"],
        "graph_data": {"entity_id": entity.name, **properties, "truncate": truncation(entity)},
    }
    if vector:
        row = {"content": entity_vector_text(entity), "entity_name": entity.name}
        info["vector_data"] = _vector_row("ent-", entity.name, row, properties)
    return info


def relation_info(relation: Relation, source: str, target: str, *, vector: bool) -> JsonObject:
    """Return `src_entity`, `tgt_entity` (in the order asked), `source_id`, `graph_data` and `vector_data`."""
    properties = relation_properties(relation)
    info: JsonObject = {
        "src_entity": source,
        "tgt_entity": target,
        "source_id": properties["source_id"],
        "graph_data": {**properties, "truncate": truncation(relation)},
    }
    if vector:
        row = {"content": relation_vector_text(relation), "src_id": relation.source, "tgt_id": relation.target}
        info["vector_data"] = _vector_row("rel-", relation.source + relation.target, row, properties)
    return info


def _vector_row(prefix: str, key: str, row: JsonObject, properties: JsonObject) -> JsonObject:
    digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return {
        "__id__": prefix + digest,
        "__created_at__": properties["created_at"],
        **row,
        "source_id": properties["source_id"],
        "file_path": properties["file_path"],
        "id": prefix + digest,
        "created_at": properties["created_at"],
    }
