"""The body of `/health`: LightRAG's fields as far as their subjects exist here."""

from __future__ import annotations

import dataclasses
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lightrag.api.context import ServerContext
from lightrag.api.schemas.pipeline import NAMESPACES
from lightrag.llm.contracts import ModelFacts, Role
from lightrag.llm.endpoint import public_url
from lightrag.llm.routing import BackendReport
from lightrag.settings import Settings
from lightrag.storage.registry import family_named

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.engine_parts import EngineInfo
    from lightrag.indexing.progress import PipelineStatus

API_VERSION = "1"


def server_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("lightrag-server")
    except PackageNotFoundError:
        return "0"


async def health_report(server: ServerContext, engine: Engine | None, *, in_full: bool) -> dict[str, Any]:
    """Return the state of the server; `in_full` with configuration, folders and counts, never with secrets.

    `engine` is the workspace's whose documents are reported on; None where no workspace is meant.
    """
    settings = server.settings
    pipeline = None if engine is None else await engine.pipeline_status()
    is_busy = pipeline is not None and pipeline.busy
    report: dict[str, Any] = {
        "status": "healthy",
        "auth_mode": "enabled" if server.access.is_closed else "disabled",
        "core_version": server.version,
        "api_version": API_VERSION,
        "webui_available": False,
        "workspace_available": False,
        "api_docs_available": settings.server.api_docs,
        "webui_title": settings.server.webui_title,
        "webui_description": settings.server.webui_description,
        "ai_content_notice_enabled": False,
        "pipeline_busy": is_busy,
        "pipeline_active": is_busy,
    }
    if not in_full or engine is None or pipeline is None:
        return report
    info = engine.describe()
    return report | {
        "working_directory": str(info.working_dir),
        "input_directory": str(info.input_dir),
        "configuration": _configuration(settings, info),
        "server_mode": server.server_mode,
        "workers": server.workers,
        "pipeline_scanning": pipeline.scanning,
        "pipeline_in_this_process": pipeline.is_here,
        "pipeline_destructive_busy": False,
        "pipeline_pending_enqueues": 0,
        "llm_queue_status": _queue(pipeline),
        "model_backends": [_backend(report) for report in engine.backends()],
        "keyed_locks": _no_locks(),
        "update_status": {name: [{"value": False}] for name in NAMESPACES},
    }


def _configuration(settings: Settings, info: EngineInfo) -> dict[str, Any]:
    llm = info.chat.get(Role.ANSWER)
    indexing, query = settings.indexing, settings.query
    # What was opened, which the data that lie in the folder may have decided.
    storage = family_named(info.storage_family).names
    return {
        **_model("llm", llm),
        **_model("embedding", info.embedding),
        "embedding_dim": info.embedding.dimension,
        "kv_storage": storage.kv,
        "doc_status_storage": storage.doc_status,
        "graph_storage": storage.graph,
        "vector_storage": storage.vector,
        "workspace": info.workspace,
        "storage_workspaces": dict.fromkeys(
            ("kv_storage", "doc_status_storage", "graph_storage", "vector_storage"), info.workspace
        ),
        "extractor": info.extractor,
        "summary_language": indexing.language,
        "summary_max_tokens": indexing.summary_max_tokens,
        "summary_context_size": indexing.summary_context_size,
        "force_llm_summary_on_merge": indexing.force_summary_on_merge,
        "related_chunk_number": 0,
        "max_parallel_insert": indexing.max_parallel_insert,
        "enable_llm_cache_for_extract": indexing.cache_extractions,
        "enable_llm_cache": query.cache_answers,
        "cosine_threshold": query.cosine_threshold,
        "max_graph_nodes": query.max_graph_nodes,
        "enable_rerank": settings.rerank.binding is not None,
        "rerank_binding": settings.rerank.binding or "null",
        "rerank_model": settings.rerank.model,
        "rerank_binding_host": public_url(settings.rerank.host) if settings.rerank.host else None,
        "min_rerank_score": settings.rerank.min_score,
        "max_tokens": settings.llm.options.get("num_ctx"),
        "max_async": settings.llm.max_async,
        "embedding_func_max_async": settings.embedding.max_async,
        "embedding_batch_num": settings.embedding.batch_num,
        "llm_timeout": settings.llm.timeout,
        "embedding_timeout": settings.embedding.timeout,
        "role_llm_config": {
            name: _model("", info.chat.get(role))
            for name, role in (("extract", Role.EXTRACT), ("keyword", Role.KEYWORDS), ("query", Role.ANSWER))
        },
    }


def _model(kind: str, facts: ModelFacts | None) -> dict[str, Any]:
    prefix = f"{kind}_" if kind else ""
    return {
        f"{prefix}binding": facts.binding if facts else "none",
        f"{prefix}binding_host": facts.host if facts else "",
        f"{prefix}model": facts.name if facts else "",
    }


def _backend(report: BackendReport) -> dict[str, Any]:
    """Return a backend of a model that has several."""
    state = dataclasses.asdict(report.state)
    return {"roles": [role.value for role in report.roles], **state, "state": report.state.state.value}


def _queue(pipeline: PipelineStatus) -> dict[str, Any]:
    return {"max_async": pipeline.slots, "running": pipeline.slots_busy, "paused_until": pipeline.paused_until}


def _no_locks() -> dict[str, Any]:
    """Return LightRAG's lock report: there are no such locks here, but its web UI reads the fields."""
    return {
        "process_id": os.getpid(),
        "cleanup_performed": {"mp_cleaned": 0, "async_cleaned": 0},
        "current_status": {
            "total_mp_locks": 0,
            "pending_mp_cleanup": 0,
            "total_async_locks": 0,
            "pending_async_cleanup": 0,
        },
    }
