"""LightRAG's names of the stores of a workspace."""

from __future__ import annotations

from collections.abc import Iterable


class NameSpace:
    """Names of the stores."""

    KV_STORE_FULL_DOCS = "full_docs"
    KV_STORE_TEXT_CHUNKS = "text_chunks"
    KV_STORE_LLM_RESPONSE_CACHE = "llm_response_cache"
    KV_STORE_FULL_ENTITIES = "full_entities"
    KV_STORE_FULL_RELATIONS = "full_relations"
    KV_STORE_ENTITY_CHUNKS = "entity_chunks"
    KV_STORE_RELATION_CHUNKS = "relation_chunks"

    VECTOR_STORE_ENTITIES = "entities"
    VECTOR_STORE_RELATIONSHIPS = "relationships"
    VECTOR_STORE_CHUNKS = "chunks"

    GRAPH_STORE_CHUNK_ENTITY_RELATION = "chunk_entity_relation"

    DOC_STATUS = "doc_status"


def make_namespace(prefix: str, base_namespace: str) -> str:
    """Return the name of a store behind a prefix."""
    return prefix + base_namespace


def is_namespace(namespace: str, base_namespace: str | Iterable[str]) -> bool:
    """Whether a name is one of the given ones, behind whatever prefix."""
    if isinstance(base_namespace, str):
        return namespace.endswith(base_namespace)
    return any(namespace.endswith(base) for base in base_namespace)
