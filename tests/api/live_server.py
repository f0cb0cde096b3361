"""The application behind a real socket, on the embedded engine and a stand-in model server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lightrag.api.app import create_app
from lightrag.settings import load_settings
from lightrag.testing.model_server import ModelServer

TEXT = "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage."


@asynccontextmanager
async def live_server(folder: Path, models: ModelServer, **environ: str) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL. One document about Ada Lovelace is indexed."""
    settings = load_settings(
        None,
        {
            "LLM_BINDING": "openai",
            "LLM_BINDING_HOST": models.openai_url,
            "LLM_BINDING_API_KEY": "key",
            "LLM_MODEL": "stand-in",
            "EMBEDDING_BINDING": "openai",
            "EMBEDDING_BINDING_HOST": models.openai_url,
            "EMBEDDING_MODEL": "stand-in",
            "EMBEDDING_DIM": "64",
            "COSINE_THRESHOLD": "-1",
            "LIGHTRAG_EXTRACTOR": "nlp",
        }
        | environ,
        folder,
    )
    app = create_app(settings)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    async with app.router.lifespan_context(app):
        # uvicorn's protocol without its supervisor, which handles signals and takes a while to stop.
        serving = await asyncio.get_running_loop().create_server(
            lambda: HttpToolsProtocol(config=config, server_state=state, app_state={}), sock=listener, backlog=512
        )
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                body = {"text": TEXT, "file_source": "ada.txt"}
                assert (await client.post("/documents/text", json=body)).status_code == 200
            async with asyncio.timeout(60):
                await app.state.server.engine.wait_until_idle()
            yield url
        finally:
            serving.close()
            for connection in list(state.connections):
                connection.transport.abort()
            for task in (tasks := list(state.tasks)):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
