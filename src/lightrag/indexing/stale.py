"""Names of derived data that no longer fits its source: vectors to be made, summaries to be written.

They are kept in the workspace (`Namespace.STALE`) from the transaction that changed the source until the one that
brings the derived data up to date, so that no crash loses them. A row names the token on whose behalf the source was
changed (`by`), which pays for what is made.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from lightrag.callers import current_caller
from lightrag.storage.contracts import VectorKind
from lightrag.types import JsonObject


class StaleKind(StrEnum):
    """What is to be made; the value is the prefix of the stored key."""

    CHUNK = "c"
    ENTITY = "e"
    RELATION = "r"
    ENTITY_SUMMARY = "se"
    RELATION_SUMMARY = "sr"


VECTOR_KINDS = {
    StaleKind.CHUNK: VectorKind.CHUNKS,
    StaleKind.ENTITY: VectorKind.ENTITIES,
    StaleKind.RELATION: VectorKind.RELATIONS,
}


_BY = "by"


@dataclasses.dataclass(frozen=True, slots=True)
class StaleKey:
    """One thing to be made anew."""

    kind: StaleKind
    key: str
    """Chunk id, entity name, or `source<SEP>target`."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"

    @classmethod
    def parse(cls, stored: str) -> StaleKey:
        """Return the key from its stored form."""
        kind, _, key = stored.partition(":")
        return cls(StaleKind(kind), key)


@dataclasses.dataclass(frozen=True, slots=True)
class StaleText:
    """A vector to be made, with the text that it is to stand for."""

    key: StaleKey
    text: str


def stale_row(**fields: str) -> JsonObject:
    """Return the row of something that is to be made on behalf of the present caller."""
    by = current_caller().token_id
    return {**fields, _BY: by} if by else {**fields}


def payer_of(row: JsonObject) -> str:
    """Return the token that pays for what a row asks for; empty for the workspace alone."""
    return str(row.get(_BY) or "")
