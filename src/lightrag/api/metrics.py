"""Prometheus metrics with bounded labels: route templates, roles, statuses; never ids, paths or workspaces' data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from lightrag.engine import Engine
    from lightrag.indexing.progress import PipelineStatus
    from lightrag.llm.meter import UsageRow
    from lightrag.llm.routing import BackendReport
    from lightrag.types import DocStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one application; each has its own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.latency = Histogram(
            "lightrag_request_seconds",
            "Time to the last byte of a response",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.storage_errors = Counter(
            "lightrag_storage_errors", "Requests that failed in a store", ["kind"], registry=self._registry
        )

    async def render(self, engines: Sequence[Engine], *, with_requests: bool) -> bytes:
        """Return the exposition text with the engines' present state; `with_requests` also what concerns all."""
        parts = [generate_latest(self._registry)] if with_requests else []
        states = [
            _EngineState(
                engine.workspace,
                await engine.status_counts(),
                await engine.pipeline_status(),
                engine.meter.snapshot(),
                engine.backends(),
            )
            for engine in engines
        ]
        if states:
            registry = CollectorRegistry()
            registry.register(_EngineStates(states))
            parts.append(generate_latest(registry))
        return b"".join(parts)


@dataclasses.dataclass(frozen=True, slots=True)
class _EngineState:
    """What an engine knows, as it was at the time of the scrape."""

    workspace: str
    documents: Mapping[DocStatus, int]
    pipeline: PipelineStatus
    usage: Sequence[UsageRow]
    backends: Sequence[BackendReport]


class _EngineStates:
    """Collects the states of several engines, told apart by a label."""

    def __init__(self, states: Sequence[_EngineState]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        documents = GaugeMetricFamily("lightrag_documents", "Documents by status", labels=["workspace", "status"])
        for state in self._states:
            for status, count in state.documents.items():
                documents.add_metric([state.workspace, status.value], count)
        yield documents
        for name, (help_text, read) in PIPELINE_FIELDS.items():
            family = GaugeMetricFamily(f"lightrag_{name}", help_text, labels=["workspace"])
            for state in self._states:
                family.add_metric([state.workspace], float(read(state.pipeline)))
            yield family
        for field, help_text in USAGE_FIELDS.items():
            calls = CounterMetricFamily(f"lightrag_model_{field}", help_text, labels=["workspace", "role", "model"])
            for state in self._states:
                for row in state.usage:
                    calls.add_metric([state.workspace, row.role, row.model], float(getattr(row, field)))
            yield calls
        yield from self._backend_states()

    def _backend_states(self) -> Iterable[Metric]:
        labels = ["workspace", "role", "backend"]
        fit = GaugeMetricFamily("lightrag_backend_fit", "Whether a backend gets calls", labels=labels)
        active = GaugeMetricFamily("lightrag_backend_active", "Calls that a backend is at", labels=labels)
        calls = CounterMetricFamily("lightrag_backend_calls", "Calls sent to a backend", labels=labels)
        failures = CounterMetricFamily("lightrag_backend_failures", "Calls that a backend failed", labels=labels)
        for state in self._states:
            for report in state.backends:
                backend = report.state
                for role in report.roles:
                    where = [state.workspace, role.value, backend.name]
                    fit.add_metric(where, float(backend.state == "closed"))
                    active.add_metric(where, backend.active)
                    calls.add_metric(where, backend.calls)
                    failures.add_metric(where, backend.failures)
        if any(state.backends for state in self._states):
            yield from (fit, active, calls, failures)


PIPELINE_FIELDS: Mapping[str, tuple[str, Callable[[PipelineStatus], float]]] = {
    "pipeline_busy": ("Whether documents are being processed", lambda status: status.busy),
    "pipeline_documents": ("Documents of the present job", lambda status: status.docs),
    "pipeline_documents_done": ("Documents of the present job that are done", lambda status: status.cur_batch),
    "pipeline_chunks": ("Chunks of the present job", lambda status: status.chunks),
    "pipeline_chunks_done": ("Chunks of the present job that are done", lambda status: status.chunks_done),
    "pipeline_paused": ("Whether a model server asked to wait", lambda status: status.paused_until is not None),
    "model_slots": ("Model calls that may run at the same time", lambda status: status.slots),
    "model_slots_busy": ("Model calls that are running", lambda status: status.slots_busy),
}
USAGE_FIELDS: Mapping[str, str] = {
    "calls": "Model calls",
    "errors": "Model calls that failed",
    "cache_hits": "Answers taken from the cache instead of a call",
    "prompt_tokens": "Tokens sent to models",
    "completion_tokens": "Tokens written by models",
    "texts": "Texts embedded",
    "seconds": "Sum of the durations of model calls",
}
