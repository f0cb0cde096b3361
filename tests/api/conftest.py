from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog

from lightrag.api.app import create_app
from lightrag.engine import Engine
from lightrag.settings import Settings, load_settings
from lightrag.testing.fake_models import FakeEmbedding

from .scripted_engine import Script, ScriptedEngine, opener

Served = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, ScriptedEngine]]]


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**environ: str) -> Settings:
        environ = {"LLM_BINDING": "none", "EMBEDDING_BINDING": "embedded"} | environ
        return load_settings(None, environ, tmp_path)

    return make


@pytest.fixture
def scripted(make_settings: Callable[..., Settings], tmp_path: Path) -> Served:
    """Serve a scripted engine; keyword arguments are environment variables."""

    @asynccontextmanager
    async def serve(
        script: Script | None = None, **environ: str
    ) -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedEngine]]:
        engine = ScriptedEngine(tmp_path, script or Script())
        app = create_app(make_settings(**environ), opener(engine))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://server") as client,
        ):
            yield client, engine

    return serve


Real = Callable[..., AbstractAsyncContextManager["RealServer"]]


class RealServer:
    """The application on the embedded engine, with an HTTP client."""

    def __init__(self, client: httpx.AsyncClient, engine: Engine, settings: Settings) -> None:
        self.client = client
        self.engine = engine
        self.settings = settings

    async def add(self, text: str, source: str | None = None, **fields: object) -> str:
        """Add a text, wait until it is indexed, return its id."""
        answer = await self.client.post("/documents/text", json={"text": text, "file_source": source, **fields})
        assert answer.status_code == 200, answer.text
        await self.idle()
        return str(answer.json()["documents"][0]["doc_id"])

    async def idle(self) -> None:
        """Return when everything that was sent is indexed."""
        async with asyncio.timeout(60):
            await self.engine.wait_until_idle()

    async def row(self, doc_id: str) -> dict[str, object]:
        """Return a document's row."""
        row: dict[str, object] = (await self.client.get(f"/documents/{doc_id}")).json()
        return row


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def real(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Real:
    """Serve the embedded engine; keyword arguments are environment variables.

    Loading the bundled embedder takes longer than a whole test, and what it finds is not asked here.
    """
    monkeypatch.setattr("lightrag.engine_models.MiniLMEmbedder", FakeEmbedding)

    @asynccontextmanager
    async def serve(**environ: str) -> AsyncIterator[RealServer]:
        settings = make_settings(**environ)
        app = create_app(settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60) as client,
        ):
            engine = app.state.server.engine
            yield RealServer(client, engine, settings)

    return serve
