"""Calls of one model by LightRAG's functions: a chat or embedding model is made, asked once, and closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Literal

from lightrag.llm.contracts import ChatModel, ChatRequest, EmbeddingModel, FloatArray, Message, Role
from lightrag.llm.limiter import closing
from lightrag.llm.retry import RetryingChat, RetryingEmbedding, RetryPolicy

Answer = str | AsyncIterator[str]
History = list[dict[str, Any]]

_POLICY = RetryPolicy(attempts=3, base=1.0, most=10.0, deadline=30.0)
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "assistant": "assistant",
    "model": "assistant",
}
_FOR_LIGHTRAG = ("hashing_kv", "keyword_extraction", "entity_extraction", "enable_cot", "stream", "token_tracker")


async def answer(
    model: ChatModel,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    *,
    stream: bool | None = False,
    wants_json: bool = False,
    token_tracker: Any = None,
) -> Answer:
    """Answer a prompt with `model`, which is closed afterwards; with `stream` as a generator of pieces.

    Raises the errors of `lightrag.errors.ModelError`.
    """
    system = (Message("system", system_prompt),) if system_prompt else ()
    said = tuple(
        Message(_ROLES.get(str(item.get("role")), "user"), str(item.get("content") or ""))
        for item in history_messages or []
    )
    request = ChatRequest((*system, *said, Message("user", prompt)), Role.ANSWER, json_object=wants_json)
    asked = RetryingChat(model, _POLICY)
    if stream:
        return _pieces(asked, request, token_tracker)
    try:
        reply = await asked.complete(request)
    finally:
        await asked.aclose()
    _track(token_tracker, reply.usage)
    return reply.text


async def embedded(
    model: EmbeddingModel, texts: Sequence[str], context: Literal["document", "query"] | str | None = "document"
) -> FloatArray:
    """Embed texts with `model`, which is closed afterwards; shape (len(texts), dimension), L2-normalised."""
    asked = RetryingEmbedding(model, _POLICY)
    try:
        return await asked.embed(texts, purpose="query" if context == "query" else "document")
    finally:
        await asked.aclose()


def model_name(kwargs: dict[str, Any]) -> str:
    """Return the model that the engine's configuration names. Raises `KeyError` where it is not handed over."""
    name = kwargs["hashing_kv"].global_config["llm_model_name"]
    return str(name)


def options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are for the server."""
    return {name: value for name, value in kwargs.items() if name not in _FOR_LIGHTRAG and value is not None}


async def _pieces(model: ChatModel, request: ChatRequest, token_tracker: Any) -> AsyncGenerator[str]:
    try:
        async with closing(model.stream(request)) as deltas:
            async for delta in deltas:
                if delta.text:
                    yield delta.text
                if delta.usage is not None:
                    _track(token_tracker, delta.usage)
    finally:
        await model.aclose()


def _track(tracker: Any, usage: Any) -> None:
    if tracker is not None:
        tracker.add_usage({"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens})
