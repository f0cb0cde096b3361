"""Prometheus metrics with bounded labels: route templates, roles, statuses; never ids, paths or workspaces' data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

    async def render(self, engine: Engine | None) -> bytes:
        """Return the exposition text with the engine's present state."""
        parts = [generate_latest(self._registry)]
        if engine is not None:
            state = _EngineState(
                await engine.status_counts(),
                await engine.pipeline_status(),
                engine.meter.snapshot(),
                engine.backends(),
            )
            registry = CollectorRegistry()
            registry.register(state)
            parts.append(generate_latest(registry))
        return b"".join(parts)


class _EngineState:
    """Collects what the engine knows, as it was at the time of the scrape."""

    def __init__(
        self,
        documents: Mapping[DocStatus, int],
        pipeline: PipelineStatus,
        usage: Sequence[UsageRow],
        backends: Sequence[BackendReport],
    ) -> None:
        self._documents = documents
        self._pipeline = pipeline
        self._usage = usage
        self._backends = backends

    def collect(self) -> Iterable[Metric]:
        documents = GaugeMetricFamily("lightrag_documents", "Documents by status", labels=["status"])
        for status, count in self._documents.items():
            documents.add_metric([status.value], count)
        yield documents
        pipeline = self._pipeline
        for name, help_text, value in (
            ("lightrag_pipeline_busy", "Whether documents are being processed", pipeline.busy),
            ("lightrag_pipeline_documents", "Documents of the present job", pipeline.docs),
            ("lightrag_pipeline_documents_done", "Documents of the present job that are done", pipeline.cur_batch),
            ("lightrag_pipeline_chunks", "Chunks of the present job", pipeline.chunks),
            ("lightrag_pipeline_chunks_done", "Chunks of the present job that are done", pipeline.chunks_done),
            ("lightrag_pipeline_paused", "Whether a model server asked to wait", pipeline.paused_until is not None),
            ("lightrag_model_slots", "Model calls that may run at the same time", pipeline.slots),
            ("lightrag_model_slots_busy", "Model calls that are running", pipeline.slots_busy),
        ):
            yield GaugeMetricFamily(name, help_text, value=float(value))
        yield from self._model_usage()
        yield from self._backend_states()

    def _model_usage(self) -> Iterable[Metric]:
        for field, help_text in USAGE_FIELDS.items():
            family = CounterMetricFamily(f"lightrag_model_{field}", help_text, labels=["role", "model"])
            for row in self._usage:
                family.add_metric([row.role, row.model], float(getattr(row, field)))
            yield family

    def _backend_states(self) -> Iterable[Metric]:
        labels = ["role", "backend"]
        fit = GaugeMetricFamily("lightrag_backend_fit", "Whether a backend gets calls", labels=labels)
        active = GaugeMetricFamily("lightrag_backend_active", "Calls that a backend is at", labels=labels)
        calls = CounterMetricFamily("lightrag_backend_calls", "Calls sent to a backend", labels=labels)
        failures = CounterMetricFamily("lightrag_backend_failures", "Calls that a backend failed", labels=labels)
        for report in self._backends:
            state = report.state
            for role in report.roles:
                where = [role.value, state.name]
                fit.add_metric(where, float(state.state == "closed"))
                active.add_metric(where, state.active)
                calls.add_metric(where, state.calls)
                failures.add_metric(where, state.failures)
        if self._backends:
            yield from (fit, active, calls, failures)


USAGE_FIELDS: Mapping[str, str] = {
    "calls": "Model calls",
    "errors": "Model calls that failed",
    "cache_hits": "Answers taken from the cache instead of a call",
    "prompt_tokens": "Tokens sent to models",
    "completion_tokens": "Tokens written by models",
    "texts": "Texts embedded",
    "seconds": "Sum of the durations of model calls",
}
