"""From the fields of an instance to settings and storages."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from lightrag.errors import ConfigurationError
from lightrag.exceptions import StorageChoiceError
from lightrag.facade.fields import JSON_GRAPH, JSON_KV, JSON_STATUS, JSON_VECTOR, Fields
from lightrag.settings import Settings, StorageSettings, load_settings
from lightrag.storage.registry import (
    FAMILIES,
    StorageNames,
    family_named,
    family_of_folder,
    find_family,
    workspace_folder,
)

_DEFAULTS = StorageNames(JSON_KV, JSON_VECTOR, JSON_GRAPH, JSON_STATUS)
_LEAST_CHUNK = 16
_log = logging.getLogger("lightrag")


def storage_names(fields: Fields) -> StorageNames:
    """Return the storages that the fields choose.

    Default names leave the choice to the data in the folder, and to LightRAG's own files where there are none; names
    beside one that was chosen follow it. Raises `StorageChoiceError`, a `ValueError`, for names that do not fit.
    """
    names = StorageNames(fields.kv_storage, fields.vector_storage, fields.graph_storage, fields.doc_status_storage)
    defaults = _as_list(_DEFAULTS)
    chosen = [name for name, default in zip(_as_list(names), defaults, strict=True) if name != default]
    try:
        if not chosen:
            present = family_of_folder(workspace_folder(Path(fields.working_dir).expanduser(), fields.workspace))
            return family_named(present).names if present is not None else _DEFAULTS
        family = family_named(chosen[0])
        if any(name not in _as_list(family.names) for name in chosen):
            find_family(names)
        return family.names
    except ConfigurationError as error:
        usable = "; ".join(str(family.names) for family in FAMILIES)
        raise StorageChoiceError(f"{error}. Usable together: {usable}") from None


def settings_of(fields: Fields) -> Settings:
    """Return the settings of an instance: its fields over what the environment says.

    Raises `ConfigurationError` for a variable that cannot be used, `StorageChoiceError`.
    """
    said = load_settings(environ=os.environ)
    updates: dict[str, Any] = {
        "paths": said.paths.model_copy(
            update={
                "working_dir": Path(fields.working_dir).expanduser().absolute(),
                "workspace": "",
            }
        ),
        "storage": _storage(storage_names(fields)),
        "indexing": said.indexing.model_copy(update=_indexing(fields)),
        "query": said.query.model_copy(update=_query(fields)),
        "rerank": said.rerank.model_copy(
            update={"min_score": fields.min_rerank_score} | ({"binding": None} if fields.rerank_model_func else {})
        ),
    }
    if fields.llm_model_func is not None:
        model = {"binding": "embedded", "backends": (), "max_async": fields.llm_model_max_async}
        roles = {role: getattr(said.llm, role).model_copy(update=model) for role in ("extract", "keyword", "query")}
        updates["llm"] = said.llm.model_copy(update=model | roles)
    if fields.embedding_func is not None:
        updates["embedding"] = said.embedding.model_copy(
            update={"binding": "embedded", "backends": (), "batch_num": fields.embedding_batch_num}
        )
    return said.model_copy(update=updates)


def _storage(names: StorageNames) -> StorageSettings:
    return StorageSettings(kv=names.kv, vector=names.vector, graph=names.graph, doc_status=names.doc_status)


def _indexing(fields: Fields) -> dict[str, Any]:
    size = max(fields.chunk_token_size or 1200, _LEAST_CHUNK)
    overlap = 100 if fields.chunk_overlap_token_size is None else fields.chunk_overlap_token_size
    if overlap > size // 2:
        _log.warning("chunks of %d tokens cannot share %d; they share %d", size, overlap, size // 2)
        overlap = size // 2
    changes: dict[str, Any] = {
        "chunk_size": size,
        "chunk_overlap": overlap,
        "max_gleaning": fields.entity_extract_max_gleaning,
        "force_summary_on_merge": fields.force_llm_summary_on_merge,
        "summary_max_tokens": fields.entity_summary_to_max_tokens or fields.summary_max_tokens,
        "summary_context_size": fields.summary_context_size,
        "summary_length_recommended": fields.summary_length_recommended,
        "max_parallel_insert": fields.max_parallel_insert,
        "cache_extractions": fields.enable_llm_cache_for_entity_extract,
    }
    if fields.addon_params.get("language"):
        changes["language"] = str(fields.addon_params["language"])
    if fields.addon_params.get("entity_types"):
        changes["entity_types"] = tuple(map(str, fields.addon_params["entity_types"]))
    return changes


def _query(fields: Fields) -> dict[str, Any]:
    threshold = fields.vector_db_storage_cls_kwargs.get("cosine_better_than_threshold")
    return {
        "cosine_threshold": fields.cosine_better_than_threshold if threshold is None else float(threshold),
        "cache_answers": fields.enable_llm_cache,
        "max_graph_nodes": fields.max_graph_nodes,
    }


def _as_list(names: StorageNames) -> list[str]:
    return [names.kv, names.vector, names.graph, names.doc_status]
