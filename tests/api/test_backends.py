"""Backends of models in `/health` and `/metrics`."""

from __future__ import annotations

import dataclasses

import pytest

from lightrag.llm.circuit import CircuitState
from lightrag.llm.contracts import Role
from lightrag.llm.routing import BackendReport, BackendState
from tests.api.conftest import Served

LOCAL = BackendState("local", "openai/m@http://a", 0, 1.0, CircuitState.OPEN, 1.0, 4.2, 0, 7, 3, "HTTP 500", 9.5)
SPARE = dataclasses.replace(LOCAL, name="spare", order=1, state=CircuitState.CLOSED, calls=2, failures=0, last_error="")


async def test_how_backends_are_is_told(scripted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = (Role.EXTRACT, Role.ANSWER)
    async with scripted(RERANK_BINDING="jina", RERANK_MODEL="r") as (client, engine):
        monkeypatch.setattr(engine, "backends", lambda: [BackendReport(roles, LOCAL), BackendReport(roles, SPARE)])
        health = (await client.get("/health")).json()
        metrics = (await client.get("/metrics")).text
    local, spare = health["model_backends"]
    assert (local["name"], local["roles"], local["state"]) == ("local", ["extract", "answer"], "open")
    assert (local["calls"], local["failures"], local["last_error"]) == (7, 3, "HTTP 500")
    assert (spare["name"], spare["state"], spare["order"]) == ("spare", "closed", 1)
    configuration = health["configuration"]
    assert (configuration["enable_rerank"], configuration["rerank_binding"], configuration["rerank_model"]) == (
        True,
        "jina",
        "r",
    )
    assert 'lightrag_backend_fit{backend="local",role="extract",workspace=""} 0.0' in metrics
    assert 'lightrag_backend_fit{backend="spare",role="answer",workspace=""} 1.0' in metrics
    assert 'lightrag_backend_calls_total{backend="local",role="answer",workspace=""} 7.0' in metrics
