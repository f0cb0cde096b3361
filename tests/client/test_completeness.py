"""The SDK has a call for every route, the same for both clients, and brings little along."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lightrag.api.app import create_app
from lightrag.client import AsyncLightRAGClient, LightRAGClient
from lightrag.client.clients import _LOGIN, _METRICS
from lightrag.client.operations import Operation, Part
from lightrag.client.query import STREAM
from lightrag.client.requests import Route
from lightrag.settings import load_settings

OTHER_PROTOCOLS = ("/api/", "/v1/")
"""Ollama's, OpenAI's and RAGFlow's paths, which have clients of their own; `/v1/llm` is `/llm` once more."""
SAID_OTHERWISE = {
    ("POST", "/documents/file"): "upload",
    ("POST", "/documents/file_batch"): "upload_many",
    ("GET", "/documents/scan-progress"): "pipeline_status",
    ("DELETE", "/documents/{doc_id}"): "delete",
    ("DELETE", "/documents/delete_entity"): "delete_entity",
    ("DELETE", "/documents/delete_relation"): "delete_relation",
}
"""Older names of routes, and what calls the same thing."""


def parts(client: Part) -> Iterator[Part]:
    """Yield a client and its groups of calls."""
    yield client
    yield from (part for part in vars(client).values() if isinstance(part, Part))


def operations(client: Part) -> dict[str, Operation[..., object]]:
    """Return everything that can be called, by group and name."""
    return {
        f"{type(part).__name__.removeprefix('Async')}.{name}": member
        for part in parts(client)
        for name, member in inspect.getmembers_static(type(part))
        if isinstance(member, Operation)
    }


def test_every_route_has_a_call() -> None:
    document = create_app(load_settings(None, {}, Path("/nowhere"))).openapi()
    served = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if not path.startswith(OTHER_PROTOCOLS)
    }
    routes = [*(one.route for one in operations(LightRAGClient()).values()), STREAM, _LOGIN, _METRICS]
    called = {(route.method, route.path) for route in routes if isinstance(route, Route)}
    assert served - called - SAID_OTHERWISE.keys() == set(), "these routes have no call in lightrag.client"
    assert called - served == set(), "these calls have no route"
    assert SAID_OTHERWISE.keys() <= served


def test_both_clients_offer_the_same_calls() -> None:
    blocking, awaited = operations(LightRAGClient()), operations(AsyncLightRAGClient())
    assert {name.partition(".")[2] for name in blocking} == {name.partition(".")[2] for name in awaited}
    assert all(one is awaited[name] for name, one in blocking.items() if name in awaited)
    for method in ("stream",):
        signatures = [
            inspect.signature(getattr(type(c.query), method)) for c in (LightRAGClient(), AsyncLightRAGClient())
        ]
        assert signatures[0].parameters == signatures[1].parameters


def test_every_call_says_what_it_does() -> None:
    for name, one in operations(LightRAGClient()).items():
        assert one.__doc__, name
    client = LightRAGClient()
    assert inspect.signature(client.documents.get).parameters.keys() == {"doc_id"}
    assert client.documents.get.__doc__ == "Return a document's status and chunks."


def test_importing_it_brings_neither_the_engine_nor_the_server() -> None:
    code = "import sys, lightrag.client; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"fastapi", "starlette", "pydantic", "sqlalchemy", "numpy", "openai", "orjson", "lightrag.engine"}
    assert heavy.isdisjoint(loaded)
    ours = [name for name in loaded if name.startswith("lightrag")]
    assert [name for name in ours if not name.startswith("lightrag.client")] == ["lightrag"]
