"""How a document is cut, kept in its metadata so that a retry, an update or a restart cuts it the same way."""

from __future__ import annotations

import dataclasses
from typing import Any

from lightrag.types import ChunkingChoice, DocumentRecord, JsonObject

KEY = "chunking"
"""Key in a record's metadata: the fields of a choice that are set."""
ASKED = "asked"
"""Beside the fields: the caller chose this. What follows from the settings is not kept over an update."""

_FIELDS = {field.name for field in dataclasses.fields(ChunkingChoice)}


def choice_of(record: DocumentRecord) -> ChunkingChoice | None:
    """Return how a document is cut, where that has been decided."""
    row = record.metadata.get(KEY)
    return None if row is None else choice_from_row(row)


def choice_from_row(row: Any) -> ChunkingChoice | None:
    """Return a choice as it was kept; None where the row is not one of ours."""
    if not isinstance(row, dict) or "strategy" not in row:
        return None
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return ChunkingChoice(**{name: value for name, value in fields.items() if name in _FIELDS})


def row_of(choice: ChunkingChoice) -> JsonObject:
    """Return a choice as JSON, without what is not set."""
    row = {name: value for name, value in dataclasses.asdict(choice).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def asked_metadata(asked: ChunkingChoice | None, existing: DocumentRecord | None) -> dict[str, Any]:
    """Return the metadata of a document that is accepted: what the caller asks for, or has asked for before."""
    if asked is not None:
        return {KEY: row_of(asked) | {ASKED: True}}
    row = existing.metadata.get(KEY) if existing is not None else None
    return {KEY: row} if isinstance(row, dict) and row.get(ASKED) else {}


def used_metadata(choice: ChunkingChoice) -> dict[str, Any]:
    """Return the metadata of a document that is cut by the settings."""
    return {KEY: row_of(choice)}


def retried_metadata(record: DocumentRecord) -> dict[str, Any]:
    """Return the metadata of a document that is begun again: what followed from the settings follows them anew."""
    metadata = dict(record.metadata)
    row = metadata.get(KEY)
    if isinstance(row, dict) and not row.get(ASKED):
        del metadata[KEY]
    return metadata
