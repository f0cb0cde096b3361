"""How indexing names and hashes derived data, for what is rebuilt of a folder that LightRAG wrote.

`lightrag.indexing` decides on these forms (`fold`, `stale`); a vector that is adopted under the right hash is not made
again.
"""

from __future__ import annotations

import hashlib

from lightrag.types import Entity, Relation

EMBEDDED_CHARS = 500
CHUNK_PREFIX, ENTITY_PREFIX, RELATION_PREFIX = "c:", "e:", "r:"
"""Beginnings of keys in the namespace of stale things."""


def text_hash(text: str) -> str:
    """Return the hash by which a vector is known to be that of `text`."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def entity_text(entity: Entity) -> str:
    """Return the text that a node's vector stands for."""
    return f"{entity.name}\n{entity.description[:EMBEDDED_CHARS]}"


def relation_text(relation: Relation) -> str:
    """Return the text that an edge's vector stands for."""
    return (
        f"{relation.keywords[:EMBEDDED_CHARS]}\t{relation.source}\t{relation.target}\n"
        f"{relation.description[:EMBEDDED_CHARS]}"
    )
