"""Which chains of models may serve one slot."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.tenancy.contracts import ModelType
from lightrag.tenancy.tables import ModelRow

LONGEST_CHAIN = 8


def chain_problem(slot: str, chain: Sequence[tuple[ModelRow, str]]) -> str:
    """Return what is wrong with a chain of (model, name without suffix); the empty string for nothing.

    A chain is a list, so that it has no cycles but models that are named twice. Vectors of different models cannot be
    compared: what serves an embedding model that fails must be the same model elsewhere.
    """
    if len(chain) > LONGEST_CHAIN:
        return f"{slot}: at most {LONGEST_CHAIN} models may stand in for each other"
    seen: set[tuple[str, str]] = set()
    for row, _bare in chain:
        key = (row.provider, row.name)
        if key in seen:
            return f"{slot}: '{row.name}@{row.provider}' is named twice, so that it would stand in for itself"
        seen.add(key)
    if slot == ModelType.EMBEDDING and chain:
        return _embedding_problem(chain)
    return ""


def _embedding_problem(chain: Sequence[tuple[ModelRow, str]]) -> str:
    first, first_name = chain[0]
    for row, name in chain[1:]:
        differs = first.dimension is not None and row.dimension is not None and first.dimension != row.dimension
        if identity(first_name) != identity(name) or differs:
            return (
                f"embedding: '{row.name}@{row.provider}' is not the same model as '{first.name}@{first.provider}'; "
                "embeddings of different models cannot stand in for each other"
            )
    return ""


def identity(name: str) -> str:
    """Return what is the same for one embedding model on different servers: no publisher, no `:latest`, no case."""
    return name.rpartition("/")[2].removesuffix(":latest").lower()
