from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from lightrag.api.app import create_app
from lightrag.settings import Settings, load_settings

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
