"""Figures for `/metrics`: what is counted as it happens, and what is read off the runners when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from llmservice.service import ModelService, tier_states
from llmservice.tiers import Tier

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Watch:
    """Follows one request for text."""

    def __init__(self, metrics: Metrics, tier: Tier) -> None:
        self._metrics = metrics
        self._tier = tier
        self._started = time.perf_counter()

    def first(self) -> None:
        """Take note of the answer's first piece."""
        self._metrics.first_piece.labels(self._tier).observe(time.perf_counter() - self._started)

    def finished(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count the tokens of a whole answer."""
        self._metrics.tokens.labels(self._tier, "prompt").inc(prompt_tokens)
        self._metrics.tokens.labels(self._tier, "completion").inc(completion_tokens)


class Metrics:
    """All figures of one service."""

    def __init__(self, service: ModelService) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "llmservice_requests", "Requests by path and status", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "llmservice_request_seconds", "Time for a request", ("path",), buckets=_SECONDS, registry=self.registry
        )
        self.first_piece = Histogram(
            "llmservice_first_piece_seconds",
            "Time to the first piece",
            ("tier",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter("llmservice_tokens", "Tokens read and written", ("tier", "kind"), registry=self.registry)
        self.registry.register(_Runners(service))

    def generation(self, tier: Tier) -> Watch:
        """Return what follows one request for text."""
        return Watch(self, tier)

    def text(self) -> bytes:
        """Return all figures in Prometheus's text format."""
        return generate_latest(self.registry)


class _Runners(Collector):
    def __init__(self, service: ModelService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield what the runners and the cache know of themselves."""
        state = GaugeMetricFamily(
            "llmservice_tier_state", "1 for the state that a tier is in", labels=("tier", "state")
        )
        for tier, word in tier_states(self._service).items():
            state.add_metric((tier, word), 1)
        yield state
        gauges = {
            "active": GaugeMetricFamily("llmservice_tier_active", "Requests being worked on", labels=("tier",)),
            "waiting": GaugeMetricFamily("llmservice_tier_waiting", "Requests in the queue", labels=("tier",)),
        }
        counters = {
            "crashes": CounterMetricFamily(
                "llmservice_worker_crashes", "Workers that ended by themselves", labels=("tier",)
            ),
            "loads": CounterMetricFamily("llmservice_model_loads", "Times that a model was loaded", labels=("tier",)),
        }
        for tier, runner in self._service.runners.items():
            for name, gauge in gauges.items():
                gauge.add_metric((str(tier),), getattr(runner, name))
            for name, counter in counters.items():
                counter.add_metric((str(tier),), getattr(runner, name))
        yield from gauges.values()
        yield from counters.values()
        yield from self._cache()

    def _cache(self) -> Iterator[Metric]:
        cache = self._service.cache
        yield CounterMetricFamily("llmservice_cache_hits", "Answers from the cache", value=cache.figures.hits)
        yield CounterMetricFamily("llmservice_cache_misses", "Answers not in the cache", value=cache.figures.misses)
        yield CounterMetricFamily("llmservice_cache_evictions", "Answers thrown out", value=cache.figures.evicted)
        yield GaugeMetricFamily("llmservice_cache_entries", "Answers held", value=len(cache))
        yield GaugeMetricFamily("llmservice_cache_bytes", "Memory of the answers held", value=cache.bytes_held)
