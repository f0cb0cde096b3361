"""What the tables of a file workspace hold, and how each row is written as JSON."""

from __future__ import annotations

import base64
import copy
import dataclasses
from typing import Any

import numpy as np

from lightrag.storage.contracts import FloatArray
from lightrag.types import (
    DocStatus,
    DocumentRecord,
    Entity,
    ExtractedEntity,
    ExtractedRelation,
    JsonObject,
    MentionSource,
    Pair,
    Relation,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """Everything that one chunk mentions."""

    source: MentionSource
    entities: dict[str, ExtractedEntity]
    relations: dict[Pair, ExtractedRelation]


@dataclasses.dataclass(slots=True)
class PairIndex:
    """The mentions of a pair: the sum of their weights in millionths, and where they are, in evidence order."""

    total: int = 0
    places: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def copy(self) -> PairIndex:
        """Return one that may be changed."""
        return PairIndex(self.total, list(self.places))


@dataclasses.dataclass(frozen=True, slots=True)
class VectorItem:
    """A vector's row. The numbers of a row that is committed lie in the matrix of its kind."""

    content_hash: str
    created_at: int
    vector: FloatArray | None


def copied_record(record: DocumentRecord) -> DocumentRecord:
    """Return a record whose dictionaries are its own."""
    return record.replace(tags=copy.deepcopy(dict(record.tags)), metadata=copy.deepcopy(dict(record.metadata)))


def record_row(record: DocumentRecord) -> JsonObject:
    """Return a status row with all fields."""
    row = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return row | {"status": record.status.value, "tags": dict(record.tags), "metadata": dict(record.metadata)}


def record_from_row(row: JsonObject) -> DocumentRecord:
    """Return a record from its row; fields that are not known are left out."""
    known = {field.name for field in dataclasses.fields(DocumentRecord)}
    fields = {name: value for name, value in row.items() if name in known}
    fields["status"] = DocStatus(fields["status"])
    for name in ("chunks_list", "failed_chunks"):
        fields[name] = tuple(fields.get(name) or ())
    return DocumentRecord(**fields)


def said_row(said: Said) -> list[Any]:
    """Return mentions as [[document, order, file path, created at], entities, relations]."""
    source = said.source
    return [
        [source.doc_id, source.order, source.file_path, source.created_at],
        [[entity.name, entity.type, entity.description] for entity in said.entities.values()],
        [[r.source, r.target, r.keywords, r.description, r.weight] for r in said.relations.values()],
    ]


def said_from_row(chunk_id: str, row: list[Any]) -> Said:
    """Return mentions from their row."""
    (doc_id, order, file_path, created_at), entities, relations = row
    return Said(
        MentionSource(chunk_id, doc_id, order, file_path, created_at),
        {fields[0]: ExtractedEntity(*fields) for fields in entities},
        {(fields[0], fields[1]): ExtractedRelation(*fields) for fields in relations},
    )


def entity_row(entity: Entity) -> list[Any]:
    """Return a node's fields in order."""
    return [getattr(entity, field.name) for field in dataclasses.fields(entity)]


def entity_from_row(row: list[Any]) -> Entity:
    """Return a node from its fields."""
    name, kind, description, mentions, chunk_ids, file_paths, created_at = row
    return Entity(name, kind, description, mentions, tuple(chunk_ids), tuple(file_paths), created_at)


def relation_row(relation: Relation) -> list[Any]:
    """Return an edge's fields in order."""
    return [getattr(relation, field.name) for field in dataclasses.fields(relation)]


def relation_from_row(row: list[Any]) -> Relation:
    """Return an edge from its fields."""
    source, target, keywords, description, weight, mentions, chunk_ids, file_paths, created_at = row
    return Relation(
        source, target, keywords, description, weight, mentions, tuple(chunk_ids), tuple(file_paths), created_at
    )


def vector_row(item: VectorItem) -> list[Any]:
    """Return [content hash, created at, base64 of little-endian float32]."""
    numbers = np.asarray(item.vector, "<f4").tobytes()
    return [item.content_hash, item.created_at, base64.b64encode(numbers).decode()]


def vector_from_row(row: list[Any]) -> VectorItem:
    """Return a vector from its row."""
    return VectorItem(row[0], row[1], np.frombuffer(base64.b64decode(row[2]), "<f4"))
