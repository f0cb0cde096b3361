"""LightRAG's functions for LoLLMs."""

from __future__ import annotations

from typing import Any

from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.function_calls import Answer, History, answer, embedded, model_name, options
from lightrag.llm.lollms_binding import LollmsChat, lollms_embedding

__all__ = ["lollms_embed", "lollms_model_complete", "lollms_model_if_cache"]

DEFAULT_BASE_URL = "http://localhost:9600"


async def lollms_model_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    base_url: str = DEFAULT_BASE_URL,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; further arguments go to the server. Raises `ModelError`."""
    sent = options(kwargs)
    key, timeout = sent.pop("api_key", None), sent.pop("timeout", None) or 180.0
    chat = LollmsChat(model, base_url, key, timeout, sent)
    return await answer(chat, prompt, system_prompt, history_messages, stream=kwargs.get("stream"))


async def lollms_model_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names."""
    return await lollms_model_if_cache(model_name(kwargs), prompt, system_prompt, history_messages, **kwargs)


@wrap_embedding_func_with_attrs(embedding_dim=1024, max_token_size=8192, model_name="lollms_embedding_model")
async def lollms_embed(
    texts: list[str], embed_model: str | None = None, base_url: str = DEFAULT_BASE_URL, **kwargs: Any
) -> FloatArray:
    """Embed texts with the model that the server has loaded. Raises `ModelError`."""
    model = lollms_embedding(embed_model or "", base_url, kwargs.get("api_key"), None, kwargs.get("timeout") or 60.0)
    return await embedded(model, texts)
