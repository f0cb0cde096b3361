"""What a vector of an entity or relation stands for, and the hash by which it is known to be current."""

from __future__ import annotations

import hashlib

from lightrag.types import Entity, Relation

EMBEDDED_CHARS = 500
"""How much of a description goes into its vector; beyond that a change of the description changes no vector."""


def entity_vector_text(entity: Entity) -> str:
    """Return the text that a node's vector stands for."""
    return f"{entity.name}\n{entity.description[:EMBEDDED_CHARS]}"


def relation_vector_text(relation: Relation) -> str:
    """Return the text that an edge's vector stands for."""
    return (
        f"{relation.keywords[:EMBEDDED_CHARS]}\t{relation.source}\t{relation.target}\n"
        f"{relation.description[:EMBEDDED_CHARS]}"
    )


def text_hash(text: str) -> str:
    """Return the hash by which a vector is known to be that of `text`."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
