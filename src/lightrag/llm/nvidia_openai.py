"""LightRAG's functions for NVIDIA's servers."""

from __future__ import annotations

import os

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.openai import NVIDIA_BASE_URL, create_openai_async_client, nvidia_openai_complete
from lightrag.llm.vectors import batches

__all__ = ["nvidia_openai_complete", "nvidia_openai_embed"]


@wrap_embedding_func_with_attrs(embedding_dim=2048, max_token_size=8192, model_name="nvidia_embedding_model")
async def nvidia_openai_embed(
    texts: list[str],
    model: str = "nvidia/llama-3.2-nv-embedqa-1b-v1",
    base_url: str = NVIDIA_BASE_URL,
    api_key: str | None = None,
    input_type: str = "passage",
    trunc: str = "NONE",
    encode: str = "float",
) -> FloatArray:
    """Embed texts; `input_type`: `passage` or `query`, `trunc`: what becomes of long ones. Raises the SDK's errors."""
    import numpy as np

    key = api_key or os.getenv("NVIDIA_API_KEY") or None
    async with create_openai_async_client(key, base_url) as client:
        rows = []
        for batch in batches(texts, 50):
            response = await client.embeddings.create(
                model=model,
                input=list(batch),
                encoding_format="base64" if encode == "base64" else "float",
                extra_body={"input_type": input_type, "truncate": trunc},
            )
            rows += [row.embedding for row in sorted(response.data, key=lambda row: row.index)]
    return np.array(rows, dtype=np.float32)
