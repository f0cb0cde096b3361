"""LightRAG's functions for Anthropic's models (extra `anthropic`)."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.anthropic_binding import AnthropicChat
from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.extras import require
from lightrag.llm.function_calls import Answer, History, answer, embedded, model_name, options
from lightrag.llm.voyageai_binding import voyageai_embedding

__all__ = [
    "anthropic_complete",
    "anthropic_complete_if_cache",
    "anthropic_embed",
    "claude_3_haiku_complete",
    "claude_3_opus_complete",
    "claude_3_sonnet_complete",
]


async def anthropic_complete_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; further arguments go to the server. Raises `ModelError`."""
    require("anthropic", "anthropic", "lightrag.llm.anthropic")
    sent = options(kwargs)
    timeout = sent.pop("timeout", None) or 180.0
    chat = AnthropicChat(model, base_url, api_key or os.getenv("ANTHROPIC_API_KEY"), timeout, sent)
    tracker = kwargs.get("token_tracker")
    return await answer(
        chat, prompt, system_prompt, history_messages, stream=kwargs.get("stream"), token_tracker=tracker
    )


async def anthropic_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names."""
    return await anthropic_complete_if_cache(model_name(kwargs), prompt, system_prompt, history_messages, **kwargs)


async def claude_3_opus_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with Claude 3 Opus."""
    model = "claude-3-opus-20240229"
    return await anthropic_complete_if_cache(model, prompt, system_prompt, history_messages, **kwargs)


async def claude_3_sonnet_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with Claude 3 Sonnet."""
    model = "claude-3-sonnet-20240229"
    return await anthropic_complete_if_cache(model, prompt, system_prompt, history_messages, **kwargs)


async def claude_3_haiku_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with Claude 3 Haiku."""
    model = "claude-3-haiku-20240307"
    return await anthropic_complete_if_cache(model, prompt, system_prompt, history_messages, **kwargs)


@wrap_embedding_func_with_attrs(embedding_dim=1024, max_token_size=8192, model_name="voyage-3")
async def anthropic_embed(
    texts: list[str], model: str = "voyage-3", base_url: str | None = None, api_key: str | None = None, **unused: Any
) -> FloatArray:
    """Embed texts with Voyage AI, which Anthropic recommends for want of embeddings of its own."""
    key = api_key or os.getenv("VOYAGE_API_KEY")
    return await embedded(voyageai_embedding(model, base_url, key), texts)
