"""What is said by hand of one entity or relation, beside or in place of what documents say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.types import FIELD_SEPARATOR

MANUAL = "manual_creation"
"""LightRAG's name for the source and file of what was made by hand."""


@dataclasses.dataclass(frozen=True, slots=True)
class EntityRecord:
    """What is said of an entity. Fields named `only_…`, and `description`, replace what documents say."""

    created: bool = False
    """The entity is there even if no document mentions it."""
    created_at: int = 0
    notes: tuple[str, ...] = ()
    """Descriptions, before those of documents."""
    type: str | None = None
    description: str | None = None
    sources: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    only_sources: tuple[str, ...] | None = None
    only_files: tuple[str, ...] | None = None

    @classmethod
    def made(cls, data: Mapping[str, Any], created_at: int) -> EntityRecord:
        """Return the record of an entity that is created with these fields."""
        return cls(
            created=True,
            created_at=created_at,
            notes=_said(data.get("description")),
            type=data.get("entity_type"),
            sources=split_field(data.get("source_id", MANUAL)),
            files=split_field(data.get("file_path", MANUAL)),
        )

    def edited(self, data: Mapping[str, Any]) -> EntityRecord:
        """Return the record after these fields were set."""
        changes: dict[str, Any] = {}
        if "description" in data:
            changes["description"] = data["description"]
        if "entity_type" in data:
            changes["type"] = data["entity_type"]
        if "source_id" in data:
            changes["only_sources"] = split_field(data["source_id"])
        if "file_path" in data:
            changes["only_files"] = split_field(data["file_path"])
        return dataclasses.replace(self, **changes)

    @property
    def muted(self) -> frozenset[str]:
        """The fields in which documents have no say."""
        return frozenset({"description"} if self.description is not None else ())

    def as_part(self) -> EntityRecord:
        """Return the same as one part of what is said, beside that of others."""
        return dataclasses.replace(
            self,
            notes=_said(self.description) if self.description is not None else self.notes,
            description=None,
            sources=self.only_sources if self.only_sources is not None else self.sources,
            files=self.only_files if self.only_files is not None else self.files,
            only_sources=None,
            only_files=None,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class RelationRecord:
    """What is said of a relation; as `EntityRecord`."""

    created: bool = False
    created_at: int = 0
    notes: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    weight: float = 0.0
    """Added to what documents weigh it."""
    description: str | None = None
    only_keywords: str | None = None
    only_weight: float | None = None
    sources: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    only_sources: tuple[str, ...] | None = None
    only_files: tuple[str, ...] | None = None

    @classmethod
    def made(cls, data: Mapping[str, Any], created_at: int) -> RelationRecord:
        """Return the record of a relation that is created with these fields."""
        return cls(
            created=True,
            created_at=created_at,
            notes=_said(data.get("description")),
            keywords=_words(data.get("keywords", "")),
            weight=data.get("weight", 1.0),
            sources=split_field(data.get("source_id", MANUAL)),
            files=split_field(data.get("file_path", MANUAL)),
        )

    def edited(self, data: Mapping[str, Any]) -> RelationRecord:
        """Return the record after these fields were set."""
        changes: dict[str, Any] = {}
        if "description" in data:
            changes["description"] = data["description"]
        if "keywords" in data:
            changes["only_keywords"] = data["keywords"]
        if "weight" in data:
            changes["only_weight"] = data["weight"]
        if "source_id" in data:
            changes["only_sources"] = split_field(data["source_id"])
        if "file_path" in data:
            changes["only_files"] = split_field(data["file_path"])
        return dataclasses.replace(self, **changes)

    @property
    def muted(self) -> frozenset[str]:
        """The fields in which documents have no say."""
        said = {"description": self.description, "keywords": self.only_keywords, "weight": self.only_weight}
        return frozenset(name for name, value in said.items() if value is not None)

    def as_part(self) -> RelationRecord:
        """Return the same as one part of what is said, beside that of others."""
        return dataclasses.replace(
            self,
            notes=_said(self.description) if self.description is not None else self.notes,
            keywords=_words(self.only_keywords) if self.only_keywords is not None else self.keywords,
            weight=self.only_weight if self.only_weight is not None else self.weight,
            description=None,
            only_keywords=None,
            only_weight=None,
            sources=self.only_sources if self.only_sources is not None else self.sources,
            files=self.only_files if self.only_files is not None else self.files,
            only_sources=None,
            only_files=None,
        )


def join_entities(records: Sequence[EntityRecord]) -> EntityRecord:
    """Return what is said of the whole of several; of fields that replace others the first counts."""
    if len(records) == 1:
        return records[0]
    return EntityRecord(
        created=any(record.created for record in records),
        created_at=_earliest(records),
        notes=_union(record.notes for record in records),
        type=next((record.type for record in records if record.type is not None), None),
        description=next((r.description for r in records if r.description is not None), None),
        sources=_union(record.sources for record in records),
        files=_union(record.files for record in records),
        only_sources=next((r.only_sources for r in records if r.only_sources is not None), None),
        only_files=next((r.only_files for r in records if r.only_files is not None), None),
    )


def join_relations(records: Sequence[RelationRecord]) -> RelationRecord:
    """Return what is said of the whole of several; weights add up."""
    if len(records) == 1:
        return records[0]
    return RelationRecord(
        created=any(record.created for record in records),
        created_at=_earliest(records),
        notes=_union(record.notes for record in records),
        keywords=_union(record.keywords for record in records),
        weight=sum(record.weight for record in records),
        description=next((r.description for r in records if r.description is not None), None),
        only_keywords=next((r.only_keywords for r in records if r.only_keywords is not None), None),
        only_weight=next((r.only_weight for r in records if r.only_weight is not None), None),
        sources=_union(record.sources for record in records),
        files=_union(record.files for record in records),
        only_sources=next((r.only_sources for r in records if r.only_sources is not None), None),
        only_files=next((r.only_files for r in records if r.only_files is not None), None),
    )


def split_field(value: str) -> tuple[str, ...]:
    """Return the parts of a field that holds several values."""
    return tuple(dict.fromkeys(part for part in value.split(FIELD_SEPARATOR) if part))


def _said(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


def _words(keywords: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in (part.strip() for part in keywords.split(",")) if word))


def _union(lists: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


def _earliest(records: Sequence[EntityRecord] | Sequence[RelationRecord]) -> int:
    return min((record.created_at for record in records if record.created), default=0)
