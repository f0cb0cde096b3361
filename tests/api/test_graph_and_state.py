"""The graph, the state and the metrics over HTTP."""

from __future__ import annotations

import re

from lightrag.errors import StorageUnavailable

from .conftest import Real, Served
from .scripted_engine import Script

TEXT = "Ada Lovelace worked with Charles Babbage in London. Charles Babbage built the Analytical Engine in London."


async def test_labels_by_name_degree_and_search(real: Real) -> None:
    async with real() as server:
        await server.add(TEXT, "ada.txt")
        labels = (await server.client.get("/graph/label/list")).json()
        popular = (await server.client.get("/graph/label/popular", params={"limit": 2})).json()
        found = (await server.client.get("/graph/label/search", params={"q": "babbage"})).json()
        blank = (await server.client.get("/graph/label/search", params={"q": "  "})).json()
    assert "Charles Babbage" in labels
    assert labels == sorted(labels)
    assert len(popular) == 2
    assert found[0] == "Charles Babbage"
    assert blank == []


async def test_a_neighbourhood_has_lightrags_form(real: Real) -> None:
    async with real() as server:
        await server.add(TEXT, "ada.txt")
        graph = (await server.client.get("/graphs", params={"label": "Charles Babbage"})).json()
        alone = (await server.client.get("/graphs", params={"label": "Charles Babbage", "max_depth": 0})).json()
        whole = (await server.client.get("/graphs", params={"label": "*", "max_nodes": 1})).json()
        unknown = (await server.client.get("/graphs", params={"label": "Nobody"})).json()
    node = next(node for node in graph["nodes"] if node["id"] == "Charles Babbage")
    assert node["labels"] == ["Charles Babbage"]
    assert node["properties"].keys() == {
        "entity_id",
        "entity_type",
        "description",
        "source_id",
        "file_path",
        "created_at",
        "truncate",
    }
    assert node["properties"]["file_path"] == "ada.txt"
    edge = graph["edges"][0]
    assert edge.keys() == {"id", "type", "source", "target", "properties"}
    assert edge["id"] == f"{edge['source']}-{edge['target']}"
    assert {edge["source"], edge["target"]} <= {node["id"] for node in graph["nodes"]}
    assert [node["id"] for node in alone["nodes"]] == ["Charles Babbage"]
    assert (len(whole["nodes"]), whole["is_truncated"]) == (1, True)
    assert unknown == {"nodes": [], "edges": [], "is_truncated": False}


async def test_the_graph_is_bounded_by_the_settings(real: Real) -> None:
    async with real(MAX_GRAPH_NODES="2") as server:
        await server.add(TEXT, "ada.txt")
        graph = (await server.client.get("/graphs", params={"label": "*", "max_nodes": 500})).json()
        missing = await server.client.get("/graphs")
    assert len(graph["nodes"]) == 2
    assert missing.status_code == 422


async def test_health_has_the_fields_of_all_versions(real: Real) -> None:
    async with real() as server:
        health = (await server.client.get("/health")).json()
    assert health["status"] == "healthy"
    assert health["auth_mode"] == "disabled"
    assert health.keys() >= {"working_directory", "input_directory", "configuration", "pipeline_busy", "core_version"}
    assert health["configuration"].keys() >= {
        "llm_binding",
        "llm_binding_host",
        "llm_model",
        "embedding_binding",
        "embedding_binding_host",
        "embedding_model",
        "max_tokens",
        "kv_storage",
        "doc_status_storage",
        "graph_storage",
        "vector_storage",
        "enable_llm_cache_for_extract",
        "workspace",
        "max_graph_nodes",
        "summary_language",
        "cosine_threshold",
        "max_async",
    }


async def test_readiness_follows_the_stores(scripted: Served) -> None:
    async with scripted() as (client, _):
        assert (await client.get("/readyz")).json() == {"status": "ok"}
    async with scripted(Script(ready=StorageUnavailable("The database does not answer"))) as (client, _):
        answer = await client.get("/readyz")
        alive = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (503, {"detail": "The database does not answer"})
    assert alive.status_code == 200


async def test_metrics_count_documents_requests_and_store_errors(real: Real, scripted: Served) -> None:
    async with real() as server:
        doc_id = await server.add(TEXT, "ada.txt")
        await server.client.get(f"/documents/{doc_id}")
        await server.client.get("/no/such/route")
        text = (await server.client.get("/metrics")).text
    assert 'lightrag_documents{status="processed",workspace=""} 1.0' in text
    assert 'lightrag_pipeline_busy{workspace=""} 0.0' in text
    assert re.search(
        r'lightrag_request_seconds_count\{method="GET",route="/documents/\{doc_id\}",status="200"\} 1', text
    )
    assert 'route="unmatched",status="404"' in text
    assert doc_id not in text
    async with scripted(Script(ready=StorageUnavailable("away"))) as (client, _):
        await client.get("/readyz")
        text = (await client.get("/metrics")).text
    assert 'lightrag_storage_errors_total{kind="StorageUnavailable"} 1.0' in text


async def test_the_engine_lives_as_long_as_the_application(scripted: Served) -> None:
    async with scripted() as (_, engine):
        assert (engine.started, engine.closed) == (True, False)
    assert engine.closed


async def test_unknown_routes_and_methods_are_told_in_the_same_form(scripted: Served) -> None:
    async with scripted() as (client, _):
        unknown = await client.get("/no/such/route")
        wrong = await client.get("/query")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
