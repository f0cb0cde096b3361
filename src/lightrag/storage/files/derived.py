"""How indexing names and hashes derived data, for what is rebuilt of a folder that LightRAG wrote.

`lightrag.indexing` decides on these forms (`fold`, `stale`); a vector that is adopted under the right hash is not made
again.
"""

from __future__ import annotations

from lightrag.storage.vector_texts import entity_vector_text as entity_text
from lightrag.storage.vector_texts import relation_vector_text as relation_text
from lightrag.storage.vector_texts import text_hash

__all__ = ["CHUNK_PREFIX", "ENTITY_PREFIX", "RELATION_PREFIX", "entity_text", "relation_text", "text_hash"]

CHUNK_PREFIX, ENTITY_PREFIX, RELATION_PREFIX = "c:", "e:", "r:"
"""Beginnings of keys in the namespace of stale things."""
