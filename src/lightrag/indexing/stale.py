"""Names of derived data that no longer fits its source: vectors to be made, summaries to be written.

They are kept in the workspace (`Namespace.STALE`) from the transaction that changed the source until the one that
brings the derived data up to date, so that no crash loses them.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from lightrag.storage.contracts import VectorKind


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
