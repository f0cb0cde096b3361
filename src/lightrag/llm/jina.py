"""LightRAG's function for embeddings of Jina AI."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.function_calls import embedded
from lightrag.llm.jina_binding import jina_embedding

__all__ = ["jina_embed"]


@wrap_embedding_func_with_attrs(
    embedding_dim=2048, max_token_size=8192, model_name="jina-embeddings-v4", supports_asymmetric=True
)
async def jina_embed(
    texts: list[str],
    model: str = "jina-embeddings-v4",
    embedding_dim: int | None = 2048,
    late_chunking: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    context: str | None = None,
    **unused: Any,
) -> FloatArray:
    """Embed texts; `embedding_dim` is asked for, `base_url` includes the version path. Raises `ModelError`."""
    url = base_url.removesuffix("/embeddings") if base_url else None
    key = api_key or os.getenv("JINA_API_KEY")
    model_ = jina_embedding(model, url, key, embedding_dim, send_dimensions=embedding_dim is not None)
    return await embedded(model_, texts, context)
