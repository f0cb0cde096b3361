"""LightRAG's functions for Google's models (extra `gemini`)."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.extras import require
from lightrag.llm.function_calls import Answer, History, answer, embedded, model_name, options
from lightrag.llm.gemini_binding import GeminiChat, GeminiEmbedding

__all__ = ["gemini_complete_if_cache", "gemini_embed", "gemini_model_complete"]


async def gemini_complete_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    token_tracker: Any = None,
    stream: bool | None = None,
    keyword_extraction: bool = False,
    generation_config: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; `generation_config` goes to the server. Raises `ModelError`."""
    require("google.genai", "gemini", "lightrag.llm.gemini")
    timeout = options(kwargs).get("timeout") or 180.0
    chat = GeminiChat(model, base_url, api_key or _key(), timeout, generation_config)
    return await answer(
        chat,
        prompt,
        system_prompt,
        history_messages,
        stream=stream,
        wants_json=keyword_extraction,
        token_tracker=token_tracker,
    )


async def gemini_model_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names."""
    return await gemini_complete_if_cache(
        model_name(kwargs), prompt, system_prompt, history_messages, keyword_extraction=keyword_extraction, **kwargs
    )


@wrap_embedding_func_with_attrs(
    embedding_dim=1536, max_token_size=2048, model_name="gemini-embedding-001", supports_asymmetric=True
)
async def gemini_embed(
    texts: list[str],
    model: str = "gemini-embedding-001",
    base_url: str | None = None,
    api_key: str | None = None,
    embedding_dim: int | None = None,
    context: str = "document",
    **unused: Any,
) -> FloatArray:
    """Embed texts; `embedding_dim` is asked for. Raises `ModelError`."""
    require("google.genai", "gemini", "lightrag.llm.gemini")
    is_sized = embedding_dim is not None
    model_ = GeminiEmbedding(model, base_url, api_key or _key(), embedding_dim, send_dimensions=is_sized)
    return await embedded(model_, texts, context)


def _key() -> str | None:
    names = ("LLM_BINDING_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")
    return next((value for name in names if (value := os.getenv(name))), None)
