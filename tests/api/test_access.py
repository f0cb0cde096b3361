"""Who may call what."""

from __future__ import annotations

import pytest

from .conftest import Served

OPEN = ["/", "/health", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/static/api-docs/swagger-ui.css"]
CLOSED = [
    ("GET", "/documents"),
    ("GET", "/documents/pipeline_status"),
    ("POST", "/documents/upload"),
    ("DELETE", "/documents"),
    ("POST", "/query"),
    ("POST", "/query/stream"),
    ("GET", "/graphs"),
    ("GET", "/metrics"),
    ("GET", "/healthcheck"),
    ("GET", "/health/"),
    ("GET", "/no-such-route"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_with_a_key_everything_else_is_closed(scripted: Served, method: str, path: str) -> None:
    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        without = await client.request(method, path)
        wrong = await client.request(method, path, headers={"X-API-Key": "wrong"})
    assert (without.status_code, without.json()) == (403, {"detail": "API Key required"})
    assert (wrong.status_code, wrong.json()) == (403, {"detail": "Invalid API Key"})


@pytest.mark.parametrize("path", OPEN)
async def test_some_pages_are_open(scripted: Served, path: str) -> None:
    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        assert (await client.get(path)).status_code in {200, 307}


async def test_the_right_key_opens(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="schlüssel") as (client, _):
        answer = await client.get("/documents/status_counts", headers={b"X-API-Key": "schlüssel".encode()})
    assert answer.status_code == 200


async def test_without_a_configured_key_everything_is_open(scripted: Served) -> None:
    async with scripted() as (client, _):
        assert (await client.get("/documents/status_counts")).status_code == 200


async def test_the_whitelist_opens_paths_by_whole_segments(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="right", WHITELIST_PATHS="/graph/*,/metrics") as (client, _):
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/graph/label/search", params={"q": " "})).status_code == 200
        assert (await client.get("/graphs", params={"label": "x"})).status_code == 403


async def test_a_body_is_not_read_before_the_key_is_checked(scripted: Served) -> None:
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        answer = await client.post("/documents/upload", content=endless())
    assert answer.status_code == 403
    assert sent == 0


async def test_health_tells_strangers_the_state_only(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        stranger = (await client.get("/health")).json()
        friend = (await client.get("/health", headers={"X-API-Key": "right"})).json()
    assert stranger["status"] == friend["status"] == "healthy"
    assert stranger["auth_mode"] == "enabled"
    assert "configuration" not in stranger
    assert "working_directory" not in stranger
    assert friend["configuration"]["kv_storage"] == "SQLiteKVStorage"


async def test_no_answer_holds_a_secret(scripted: Served) -> None:
    environ = {"LIGHTRAG_API_KEY": "hidden-1", "LLM_BINDING": "openai", "LLM_BINDING_API_KEY": "hidden-2"}
    async with scripted(**environ) as (client, _):
        for path in ("/health", "/metrics", "/openapi.json"):
            assert "hidden" not in (await client.get(path, headers={"X-API-Key": "hidden-1"})).text


async def test_browsers_of_other_origins_may_ask_first(scripted: Served) -> None:
    headers = {
        "Origin": "http://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        preflight = await client.options("/query", headers=headers)
        refused = await client.post("/query", headers={"Origin": "http://app.example"})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] in {"*", "http://app.example"}
    assert refused.status_code == 403
    assert "access-control-allow-origin" in refused.headers


async def test_a_prefix_of_a_proxy_is_taken_off_before_paths_are_compared(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="right", LIGHTRAG_API_PREFIX="/rag/") as (client, _):
        assert (await client.get("/rag/health")).status_code == 200
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/documents")).status_code == 403
        assert (await client.get("/rag/documents")).status_code == 403
        assert "/rag/openapi.json" in (await client.get("/rag/docs")).text
