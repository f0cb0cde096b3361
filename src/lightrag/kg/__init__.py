"""LightRAG's names of storages: what each name is for, and where its class is."""

from __future__ import annotations

from typing import Any

STORAGE_IMPLEMENTATIONS: dict[str, dict[str, list[str]]] = {
    "KV_STORAGE": {
        "implementations": ["JsonKVStorage", "SQLiteKVStorage"],
        "required_methods": ["get_by_id", "upsert"],
    },
    "GRAPH_STORAGE": {
        "implementations": ["NetworkXStorage", "SQLiteGraphStorage"],
        "required_methods": ["upsert_node", "upsert_edge"],
    },
    "VECTOR_STORAGE": {
        "implementations": ["NanoVectorDBStorage", "SQLiteVectorStorage"],
        "required_methods": ["query", "upsert"],
    },
    "DOC_STATUS_STORAGE": {
        "implementations": ["JsonDocStatusStorage", "SQLiteDocStatusStorage"],
        "required_methods": ["get_docs_by_status"],
    },
}

STORAGE_ENV_REQUIREMENTS: dict[str, list[str]] = {
    name: [] for kind in STORAGE_IMPLEMENTATIONS.values() for name in kind["implementations"]
}

STORAGES: dict[str, str] = {
    "JsonKVStorage": ".kg.json_kv_impl",
    "NetworkXStorage": ".kg.networkx_impl",
    "NanoVectorDBStorage": ".kg.nano_vector_db_impl",
    "JsonDocStatusStorage": ".kg.json_doc_status_impl",
}
"""Classes that can be used by themselves, without an engine."""


def verify_storage_implementation(storage_type: str, storage_name: str) -> None:
    """Raise `ValueError` where a name is not one of a kind, naming those that are."""
    kind: dict[str, Any] | None = STORAGE_IMPLEMENTATIONS.get(storage_type)
    if kind is None:
        raise ValueError(f"Unknown storage type: {storage_type}; known: {', '.join(STORAGE_IMPLEMENTATIONS)}")
    if storage_name not in kind["implementations"]:
        raise ValueError(
            f"Storage implementation '{storage_name}' is not compatible with {storage_type}. "
            f"Compatible implementations are: {', '.join(kind['implementations'])}"
        )
