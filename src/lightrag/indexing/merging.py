"""LightRAG's ways to make one value of several when entities are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightrag.errors import InvalidInput
from lightrag.types import FIELD_SEPARATOR, Entity

_VALUES: Mapping[str, Callable[[Entity], str]] = {
    "description": lambda entity: entity.description,
    "entity_type": lambda entity: entity.type,
    "source_id": lambda entity: FIELD_SEPARATOR.join(entity.chunk_ids),
    "file_path": lambda entity: FIELD_SEPARATOR.join(entity.file_paths),
}


def _concatenated(values: Sequence[str]) -> str:
    return FIELD_SEPARATOR.join(values)


def _unique(values: Sequence[str]) -> str:
    return FIELD_SEPARATOR.join(dict.fromkeys(part for value in values for part in value.split(FIELD_SEPARATOR)))


def _unique_commas(values: Sequence[str]) -> str:
    parts = (part.strip() for value in values for part in value.split(","))
    return ",".join(dict.fromkeys(part for part in parts if part))


STRATEGIES: Mapping[str, Callable[[Sequence[str]], str]] = {
    "concatenate": _concatenated,
    "keep_first": lambda values: values[0],
    "keep_last": lambda values: values[-1],
    "join_unique": _unique,
    "join_unique_comma": _unique_commas,
}
"""By name; each takes the values that say something, sources first and the target last."""

_FOLDED = {("description", "concatenate"), ("source_id", "join_unique"), ("file_path", "join_unique")}
"""What the fold does by itself, for what documents will say as well."""


def merged_fields(parts: Sequence[Entity], strategy: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of the merged entity that are fixed by a strategy. Raises `InvalidInput` for unknown ones."""
    fields: dict[str, Any] = {}
    for field, name in strategy.items():
        if field not in _VALUES or (field, name) in _FOLDED:
            # LightRAG's callers name strategies for relations' fields too; those always fold together.
            continue
        if name not in STRATEGIES:
            raise InvalidInput(
                f"Merge strategy '{name}' of field '{field}' is unknown; the strategies are {', '.join(STRATEGIES)}"
            )
        values = [value for value in map(_VALUES[field], parts) if value]
        if values:
            fields[field] = STRATEGIES[name](values)
    return fields
