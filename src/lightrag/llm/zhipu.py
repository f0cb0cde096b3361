"""LightRAG's functions for Zhipu AI, whose servers speak OpenAI's dialect."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.openai import Answer, History, openai_complete_if_cache, openai_embed

__all__ = ["zhipu_complete", "zhipu_complete_if_cache", "zhipu_embedding"]

BASE_URL = "https://open.bigmodel.cn/api/paas/v4"


async def zhipu_complete_if_cache(
    prompt: str,
    model: str = "glm-4-flashx",
    api_key: str | None = None,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; the key is by default ZHIPUAI_API_KEY. See `openai_complete_if_cache`."""
    kwargs.setdefault("base_url", BASE_URL)
    key = api_key or os.getenv("ZHIPUAI_API_KEY")
    return await openai_complete_if_cache(
        model, prompt, system_prompt, history_messages, enable_cot=enable_cot, api_key=key, **kwargs
    )


async def zhipu_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt with the default model, or that of `model`."""
    return await zhipu_complete_if_cache(
        prompt,
        system_prompt=system_prompt,
        history_messages=history_messages,
        keyword_extraction=keyword_extraction,
        **kwargs,
    )


@wrap_embedding_func_with_attrs(embedding_dim=1024, max_token_size=8192, model_name="embedding-3")
async def zhipu_embedding(
    texts: list[str],
    model: str = "embedding-3",
    api_key: str | None = None,
    embedding_dim: int | None = 1024,
    base_url: str = BASE_URL,
    **unused: Any,
) -> FloatArray:
    """Embed texts; see `openai_embed`."""
    key = api_key or os.getenv("ZHIPUAI_API_KEY")
    vectors: FloatArray = await openai_embed.func(
        texts, model=model, base_url=base_url, api_key=key, embedding_dim=embedding_dim
    )
    return vectors
