"""LightRAG's class: an engine behind plain methods, blocking and asynchronous."""

from __future__ import annotations

from lightrag.facade.document_calls import DocumentCalls
from lightrag.facade.export_calls import ExportCalls
from lightrag.facade.graph_calls import GraphCalls
from lightrag.facade.instance import run_sync as _run_sync
from lightrag.facade.query_calls import QueryCalls
from lightrag.facade.store_views import StoreViews

__all__ = ["LightRAG", "_run_sync"]


class LightRAG(DocumentCalls, QueryCalls, GraphCalls, ExportCalls, StoreViews):
    """Documents in, a graph, answers out, for one workspace.

    The constructor's arguments are the fields of `lightrag.facade.fields.Fields`, all optional; an unknown one raises
    `TypeError`, storages that do not fit a `ValueError`. Nothing is opened by it: `initialize_storages()` does that, or
    the first call. Methods that begin with `a` are awaited; their plain twins block, and raise `RuntimeError` where an
    event loop is running.
    """
