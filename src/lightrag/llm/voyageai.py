"""LightRAG's function for embeddings of Voyage AI."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.function_calls import embedded
from lightrag.llm.voyageai_binding import voyageai_embedding

__all__ = ["voyageai_embed"]


@wrap_embedding_func_with_attrs(
    embedding_dim=1024, max_token_size=32000, model_name="voyage-3", supports_asymmetric=True
)
async def voyageai_embed(
    texts: list[str],
    model: str = "voyage-3",
    api_key: str | None = None,
    embedding_dim: int | None = None,
    context: str | None = None,
    base_url: str | None = None,
    **unused: Any,
) -> FloatArray:
    """Embed texts; `embedding_dim` is asked for. Raises `ModelError`."""
    key = api_key or os.getenv("VOYAGE_API_KEY") or os.getenv("VOYAGEAI_API_KEY")
    model_ = voyageai_embedding(model, base_url, key, embedding_dim, send_dimensions=embedding_dim is not None)
    return await embedded(model_, texts, context)
