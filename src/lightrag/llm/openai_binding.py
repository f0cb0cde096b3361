"""Chat and embedding models behind any server that speaks OpenAI's dialect, through OpenAI's SDK.

The SDK does the HTTP, authentication and server-sent events. Answers are read from its raw responses: its typed
models cost as much CPU again per call, and ten times as much per streamed answer. It is imported at first use, in a
thread, for importing it takes longer than all the rest of a server's start. Its own retries are off.

Format: https://platform.openai.com/docs/api-reference/chat, https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import orjson

from lightrag.llm.answer import GrowingAnswer, finish_reason, whole_reply
from lightrag.llm.chat_body import chat_body
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, FloatArray, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.openai_client import Concessions, Gateway, OpenAIClient
from lightrag.llm.thinking import ThinkingHabit
from lightrag.llm.usage import note_tokens, told_tokens
from lightrag.llm.vectors import batches, by_index, decode_vectors, joined

DEFAULT_BASE_URL = "https://api.openai.com/v1"
OPENAI = Gateway()


class OpenAIChat:
    """A chat model behind an OpenAI-compatible server.

    `base_url` includes the version path (`…/v1`). Without `api_key` no credentials are sent, whatever the environment
    holds. `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no limit. `extra`:
    parameters that go with every request (those under `extra_body` too). `headers` are sent with every request.
    `context_tokens` is noted in `facts`. `gateway`: how a server is addressed that wants its key elsewhere. Parameters
    that the server turns out to refuse (`response_format`, `stream_options`, `temperature`; `max_tokens` for
    `max_completion_tokens`) are left out, or renamed, from then on.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        extra: Mapping[str, Any] | None = None,
        *,
        context_tokens: int | None = None,
        headers: Mapping[str, str] | None = None,
        gateway: Gateway = OPENAI,
    ) -> None:
        url = base_url or DEFAULT_BASE_URL
        self._extra = dict(extra or {})
        self._extra |= self._extra.pop("extra_body", None) or {}
        self._timeout = timeout
        self._facts = ModelFacts(
            gateway.binding, model, public_url(url), context_tokens=context_tokens, variant=fingerprint(self._extra)
        )
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._client = OpenAIClient(url, api_key, timeout, headers, self._endpoint, gateway)
        self._concessions = Concessions()
        self._habit = ThinkingHabit()

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._concessions.attempt(
                    self._body(request), lambda body: self._client.post("/chat/completions", body)
                )
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        return self._reply(request, raw)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        An answer is finished where the server says why it ended, or marks the end of the stream. Raises
        `ModelUnreachable` where the stream breaks off before.
        """
        body = self._body(request) | {"stream": True, "stream_options": {"include_usage": True}}
        events = await self._concessions.attempt(body, lambda sent: self._client.open("/chat/completions", sent))
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        count = 0
        try:
            with self._client.translated():
                async for event in events:
                    count += 1
                    for delta in _deltas(self._checked(event), answer):
                        yield delta
        finally:
            with self._client.translated():
                await events.close()
        if not count:
            raise self._endpoint.unusable("the server sent no piece of an answer", "check the base URL")
        if events.is_complete:
            answer.finish_reason = answer.finish_reason or "stop"
        for delta in answer.close():
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        return chat_body(self._facts.name, request, self._extra)

    def _reply(self, request: ChatRequest, raw: bytes) -> ChatReply:
        try:
            data = self._checked(orjson.loads(raw))
            choice = data["choices"][0]
            message = choice["message"]
            content = _content(message.get("content"))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer is not a chat completion, it begins {start!r}") from error
        reason, usage = finish_reason(choice.get("finish_reason")), _usage(data.get("usage"))
        return whole_reply(request, self._endpoint, content, _reasoning(message), reason, usage, self._habit)

    def _checked(self, data: Any) -> dict[str, Any]:
        """Return a decoded body; raises what an error inside a successful response stands for."""
        if not isinstance(data, dict):
            raise self._endpoint.unusable("the answer is not a JSON object")
        if data.get("error") and not data.get("choices"):
            raise self._client.reported(data["error"])
        return data


def _deltas(event: Mapping[str, Any], answer: GrowingAnswer) -> list[ChatDelta]:
    """Return what an event adds to an answer."""
    answer.usage = _usage(event.get("usage")) or answer.usage
    choices = event.get("choices")
    if not choices:
        return []
    reason = choices[0].get("finish_reason")
    if reason:
        answer.finish_reason = finish_reason(reason)
    delta = choices[0].get("delta") or {}
    return answer.add(_content(delta.get("content")), _reasoning(delta))


class OpenAIEmbedding:
    """An embedding model behind an OpenAI-compatible server.

    `dimension`: what vectors must have; it is sent to the server with `send_dimensions` (for models that can shorten
    their vectors), otherwise only checked. `max_batch`: most texts in one call. `query_prefix` and `document_prefix`
    go before each text, for models that tell questions from passages. `timeout`: seconds for one call.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        send_dimensions: bool = False,
        max_batch: int = 64,
        timeout: float | None = 30.0,
        *,
        query_prefix: str = "",
        document_prefix: str = "",
        headers: Mapping[str, str] | None = None,
        gateway: Gateway = OPENAI,
    ) -> None:
        url = base_url or DEFAULT_BASE_URL
        self._parameters = {"dimensions": dimension} if send_dimensions and dimension else {}
        self._prefixes = {"query": query_prefix, "document": document_prefix}
        self._timeout = timeout
        self._facts = ModelFacts(gateway.binding, model, public_url(url), dimension=dimension, max_batch=max_batch)
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._client = OpenAIClient(url, api_key, timeout, headers, self._endpoint, gateway)
        self._concessions = Concessions()

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension); raises `ContextTooLong` for a long text."""
        prefix = self._prefixes[purpose]
        parts = [
            await self._call([prefix + text for text in batch] if prefix else batch)
            for batch in batches(texts, self._facts.max_batch)
        ]
        return joined(parts, self._facts.dimension)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, texts: Sequence[str]) -> FloatArray:
        body = {"model": self._facts.name, "input": list(texts), "encoding_format": "base64", **self._parameters}
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._concessions.attempt(body, lambda sent: self._client.post("/embeddings", sent))
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        try:
            data = orjson.loads(raw)
            if data.get("error") and not data.get("data"):
                raise self._client.reported(data["error"])
            items = by_index(data["data"])
            encoded = [item["embedding"] for item in items]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer holds no embeddings, it begins {start!r}") from error
        note_tokens(told_tokens(data))
        vectors = decode_vectors(encoded, len(texts), self._facts.dimension, self._endpoint)
        if self._facts.dimension is None:
            self._facts = dataclasses.replace(self._facts, dimension=vectors.shape[1])
        return vectors


def _content(content: Any) -> str:
    """Return the text of a message, which some servers send as a list of typed parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError("the content of a message must be a text")
    return content


def _reasoning(message: Mapping[str, Any]) -> str:
    """Return thinking text that came in a field of its own; servers call it one or the other."""
    value = message.get("reasoning_content") or message.get("reasoning")
    return value if isinstance(value, str) else ""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(usage["prompt_tokens"], int(usage.get("completion_tokens") or 0), int(cached or 0))
