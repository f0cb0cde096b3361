"""LightRAG's functions for Ollama."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.function_calls import Answer, History, answer, embedded, model_name, options
from lightrag.llm.ollama_binding import OllamaChat, OllamaEmbedding

__all__ = ["ollama_embed", "ollama_embedding", "ollama_model_complete", "ollama_model_if_cache"]


async def ollama_model_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; with `stream=True` as an asynchronous generator.

    `host`, `api_key`, `timeout` (seconds) and `options` (Ollama's, such as `num_ctx`) are used. Raises `ModelError`.
    """
    sent = options(kwargs)
    host, key = sent.get("host") or os.getenv("OLLAMA_HOST"), sent.get("api_key")
    chat = OllamaChat(model, host, key, sent.get("timeout") or 180.0, options=sent.get("options"))
    return await answer(
        chat,
        prompt,
        system_prompt,
        history_messages,
        stream=kwargs.get("stream"),
        wants_json=sent.get("format") == "json",
        token_tracker=kwargs.get("token_tracker"),
    )


async def ollama_model_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names; see `ollama_model_if_cache`."""
    if keyword_extraction:
        kwargs["format"] = "json"
    return await ollama_model_if_cache(model_name(kwargs), prompt, system_prompt, history_messages, **kwargs)


@wrap_embedding_func_with_attrs(embedding_dim=1024, max_token_size=8192, model_name="bge-m3:latest")
async def ollama_embed(texts: list[str], embed_model: str = "bge-m3:latest", **kwargs: Any) -> FloatArray:
    """Embed texts; `host`, `api_key`, `timeout` (seconds) and `options` are used. Raises `ModelError`."""
    host = kwargs.get("host") or os.getenv("OLLAMA_HOST")
    timeout = kwargs.get("timeout") or 60.0
    model = OllamaEmbedding(embed_model, host, kwargs.get("api_key"), timeout=timeout, options=kwargs.get("options"))
    return await embedded(model, texts, kwargs.get("context"))


async def ollama_embedding(texts: list[str], embed_model: str, **kwargs: Any) -> FloatArray:
    """Embed texts: the name of `ollama_embed` in old versions."""
    vectors: FloatArray = await ollama_embed.func(texts, embed_model=embed_model, **kwargs)
    return vectors
