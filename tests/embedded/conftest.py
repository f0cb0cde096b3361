"""One embedder for all tests here: its model is loaded once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from lightrag.embedded.minilm import MiniLMEmbedder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedder() -> AsyncIterator[MiniLMEmbedder]:
    """The bundled embedding model."""
    model = MiniLMEmbedder(threads=1)
    yield model
    await model.aclose()
