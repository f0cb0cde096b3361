"""Entities and relations under the names that LightRAG gives their fields."""

from __future__ import annotations

from lightrag.types import FIELD_SEPARATOR, Entity, JsonObject, Relation


def entity_properties(entity: Entity) -> JsonObject:
    """Return the fields that nodes, entities and answers to questions share."""
    return {
        "entity_type": entity.type,
        "description": entity.description,
        "source_id": FIELD_SEPARATOR.join(entity.chunk_ids),
        "file_path": FIELD_SEPARATOR.join(entity.file_paths),
        "created_at": entity.created_at,
    }


def relation_properties(relation: Relation) -> JsonObject:
    """Return the fields that edges, relations and answers to questions share."""
    return {
        "description": relation.description,
        "keywords": relation.keywords,
        "weight": relation.weight,
        "source_id": FIELD_SEPARATOR.join(relation.chunk_ids),
        "file_path": FIELD_SEPARATOR.join(relation.file_paths),
        "created_at": relation.created_at,
    }
