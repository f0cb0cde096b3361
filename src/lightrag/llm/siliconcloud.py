"""LightRAG's function for embeddings of SiliconCloud, whose servers speak OpenAI's dialect."""

from __future__ import annotations

import os

from lightrag.llm.contracts import FloatArray
from lightrag.llm.openai import openai_embed

__all__ = ["siliconcloud_embedding"]


async def siliconcloud_embedding(
    texts: list[str],
    model: str = "netease-youdao/bce-embedding-base_v1",
    base_url: str = "https://api.siliconflow.cn/v1/embeddings",
    max_token_size: int = 8192,
    api_key: str | None = None,
) -> FloatArray:
    """Embed texts; the key is by default SILICONFLOW_API_KEY. See `openai_embed`."""
    key = (api_key or os.getenv("SILICONFLOW_API_KEY") or "").removeprefix("Bearer ")
    vectors: FloatArray = await openai_embed.func(
        texts, model=model, base_url=base_url.removesuffix("/embeddings"), api_key=key
    )
    return vectors
