"""Names of the files of a workspace: LightRAG's own, and ours beside them in the folder `.lightrag`."""

from __future__ import annotations

from lightrag.storage.contracts import Namespace, VectorKind

OWN_FOLDER = ".lightrag"
"""What has no place in LightRAG's files lies here; LightRAG does not look into it."""

GRAPH = "graph_chunk_entity_relation.graphml"
DOC_STATUS = "kv_store_doc_status.json"
FULL_DOCS = "kv_store_full_docs.json"
TEXT_CHUNKS = "kv_store_text_chunks.json"
LLM_CACHE = "kv_store_llm_response_cache.json"
FULL_ENTITIES = "kv_store_full_entities.json"
FULL_RELATIONS = "kv_store_full_relations.json"
ENTITY_CHUNKS = "kv_store_entity_chunks.json"
RELATION_CHUNKS = "kv_store_relation_chunks.json"

VECTOR_FILES: dict[VectorKind, str] = {kind: f"vdb_{kind.value}.json" for kind in VectorKind}
KV_FILES: dict[Namespace, str] = {
    Namespace.FULL_DOCS: FULL_DOCS,
    Namespace.TEXT_CHUNKS: TEXT_CHUNKS,
    Namespace.LLM_CACHE: LLM_CACHE,
}
"""Namespaces that LightRAG has too."""
TRACKING_FILES = (FULL_ENTITIES, FULL_RELATIONS, ENTITY_CHUNKS, RELATION_CHUNKS)
"""Which document and which chunk speaks of what; derived from mentions."""
LIGHTRAG_FILES = (*KV_FILES.values(), DOC_STATUS, *TRACKING_FILES, *VECTOR_FILES.values(), GRAPH)

OWN_DOCUMENTS = "documents.json"
OWN_MENTIONS = "mentions.json"
OWN_TERMS = "terms.json"
OWN_GRAPH = "graph.json"
OWN_SETTINGS = "settings.json"
OWN_KV_FILES: dict[Namespace, str] = {
    namespace: f"{namespace.value}.json" for namespace in Namespace if namespace not in KV_FILES
}
OWN_FILES = (*OWN_KV_FILES.values(), OWN_DOCUMENTS, OWN_MENTIONS, OWN_TERMS, OWN_GRAPH, OWN_SETTINGS)
