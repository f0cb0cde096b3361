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
            state = _EngineState(await engine.status_counts(), await engine.pipeline_status(), engine.meter.snapshot())
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
    ) -> None:
        self._documents = documents
        self._pipeline = pipeline
        self._usage = usage

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

    def _model_usage(self) -> Iterable[Metric]:
        for field, help_text in USAGE_FIELDS.items():
            family = CounterMetricFamily(f"lightrag_model_{field}", help_text, labels=["role", "model"])
            for row in self._usage:
                family.add_metric([row.role, row.model], float(getattr(row, field)))
            yield family


USAGE_FIELDS: Mapping[str, str] = {
    "calls": "Model calls",
    "errors": "Model calls that failed",
    "cache_hits": "Answers taken from the cache instead of a call",
    "prompt_tokens": "Tokens sent to models",
    "completion_tokens": "Tokens written by models",
    "texts": "Texts embedded",
    "seconds": "Sum of the durations of model calls",
}
