"""Chat and embedding models on an Ollama server, through Ollama's SDK.

The server cuts prompts that do not fit its context without a word, and its default context is small. So the context
is asked for with every call, and truncation is refused: a prompt that does not fit is a `ContextTooLong`.

Format: https://docs.ollama.com/api
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from lightrag.errors import ModelError, UnusableAnswer
from lightrag.llm.answer import GrowingAnswer, finish_reason, whole_reply
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, FloatArray, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.ollama_client import OllamaClient
from lightrag.llm.thinking import ThinkingHabit
from lightrag.llm.usage import note_tokens
from lightrag.llm.vectors import batches, decode_vectors, joined

if TYPE_CHECKING:
    from ollama import ChatResponse

DEFAULT_HOST = "http://localhost:11434"
MOST_CONTEXT = 32768
"""Context tokens that are asked for unless the settings say otherwise: memory grows with them."""

_TOP_LEVEL = ("think", "keep_alive")
_PROBE_SECONDS = 1.0
_NO_SUCH_ROUTE = (404, 405, 501)


class OllamaChat:
    """A chat model on an Ollama server.

    `num_ctx`: context tokens to ask for; never more than the model has, as the server tells (unset: at most 32768).
    `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no limit. `options`:
    parameters that go with every request (`temperature`, `num_predict`, …; also `think`, `keep_alive` and `num_ctx`).
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        num_ctx: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._options = dict(options or {})
        self._wanted = int(self._options.pop("num_ctx", None) or num_ctx or MOST_CONTEXT)
        self._timeout = timeout
        url = host or DEFAULT_HOST
        self._facts = ModelFacts("ollama", model, public_url(url), variant=fingerprint(self._options))
        self._endpoint = _endpoint(model, self._facts.host, api_key)
        self._client = OllamaClient(url, api_key, timeout, self._endpoint)
        self._asking = asyncio.Lock()
        self._num_ctx: int | None = None
        self._habit = ThinkingHabit()

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `context_tokens` from the first call on."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._whole(request)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        content, thinking = response.message.content or "", response.message.thinking or ""
        reason = finish_reason(response.done_reason)
        return whole_reply(request, self._endpoint, content, thinking, reason, _usage(response), self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        Raises `ModelUnreachable` where the stream breaks off before the answer is finished.
        """
        arguments = await self._arguments(request)
        sdk = await self._client.sdk()
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        with self._client.translated():
            parts = cast("AsyncGenerator[ChatResponse]", await sdk.chat(**arguments, stream=True))
        try:
            with self._client.translated():
                async for part in parts:
                    for delta in answer.add(part.message.content or "", part.message.thinking or ""):
                        yield delta
                    if part.done:
                        answer.finish_reason, answer.usage = finish_reason(part.done_reason), _usage(part)
        finally:
            await parts.aclose()
        for delta in answer.close():
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _whole(self, request: ChatRequest) -> ChatResponse:
        arguments = await self._arguments(request)
        sdk = await self._client.sdk()
        with self._client.translated():
            return cast("ChatResponse", await sdk.chat(**arguments))

    async def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        options = self._options | dict(request.extra)
        arguments: dict[str, Any] = {name: options.pop(name) for name in _TOP_LEVEL if name in options}
        options["num_ctx"] = await self._context()
        if request.max_tokens is not None:
            options["num_predict"] = request.max_tokens
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.json_object:
            arguments["format"] = "json"
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        return arguments | {"model": self._facts.name, "messages": messages, "options": options}

    async def _context(self) -> int:
        """Return the context to ask for; the server is asked once, for another value makes it load the model anew."""
        if self._num_ctx is None:
            async with self._asking:
                if self._num_ctx is None:
                    known = await self._shown_context()
                    self._facts = dataclasses.replace(
                        self._facts, context_tokens=min(known or self._wanted, self._wanted)
                    )
                    self._num_ctx = self._facts.context_tokens
        return self._num_ctx or self._wanted

    async def _shown_context(self) -> int | None:
        sdk = await self._client.sdk()
        try:
            with self._client.translated():
                info = (await sdk.show(self._facts.name)).modelinfo or {}
        except ModelError as error:
            # Servers that speak the dialect in part do not show models; the call itself tells what is missing.
            if isinstance(error, UnusableAnswer) or error.status in _NO_SUCH_ROUTE:
                return None
            raise
        value = info.get(f"{info.get('general.architecture')}.context_length")
        return value if isinstance(value, int) and value > 0 else None


class OllamaEmbedding:
    """An embedding model on an Ollama server.

    `dimension`: what vectors must have; None takes what comes. `max_batch`: most texts in one call. `num_ctx`: context
    tokens to ask for (unset: what the server has for the model). `query_prefix` and `document_prefix` go before each
    text, for models that tell questions from passages. `timeout`: seconds for one call; None for no limit.
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        max_batch: int = 32,
        timeout: float | None = 30.0,
        num_ctx: int | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        send_dimensions: bool = False,
        query_prefix: str = "",
        document_prefix: str = "",
    ) -> None:
        self._options = dict(options or {}) | ({"num_ctx": num_ctx} if num_ctx else {})
        self._arguments: dict[str, Any] = {}
        if "keep_alive" in self._options:
            self._arguments["keep_alive"] = self._options.pop("keep_alive")
        if send_dimensions and dimension:
            self._arguments["dimensions"] = dimension
        self._prefixes = {"query": query_prefix, "document": document_prefix}
        self._timeout = timeout
        url = host or DEFAULT_HOST
        self._facts = ModelFacts("ollama", model, public_url(url), dimension=dimension, max_batch=max_batch)
        self._endpoint = _endpoint(model, self._facts.host, api_key)
        self._client = OllamaClient(url, api_key, timeout, self._endpoint)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension); raises `ContextTooLong` for a long text."""
        prefix = self._prefixes[purpose]
        parts = [await self._call([prefix + text for text in batch]) for batch in batches(texts, self._facts.max_batch)]
        return joined(parts, self._facts.dimension)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, texts: Sequence[str]) -> FloatArray:
        try:
            async with asyncio.timeout(self._timeout):
                encoded = await self._embeddings(texts)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        vectors = decode_vectors(encoded, len(texts), self._facts.dimension, self._endpoint)
        if self._facts.dimension is None:
            self._facts = dataclasses.replace(self._facts, dimension=vectors.shape[1])
        return vectors

    async def _embeddings(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        sdk = await self._client.sdk()
        with self._client.translated():
            response = await sdk.embed(
                self._facts.name, list(texts), truncate=False, options=self._options or None, **self._arguments
            )
        note_tokens(response.prompt_eval_count or None)
        return response.embeddings


async def ollama_models(host: str | None = None, api_key: str | None = None) -> tuple[str, ...]:
    """Return the names of the models that the server at `host` has; none where no server answers within a second.

    The SDK is imported only when something listens there, so that asking an absent server costs next to nothing.
    """
    url = public_url(host or DEFAULT_HOST)
    parts = urlsplit(url)
    client = OllamaClient(url, api_key, _PROBE_SECONDS, _endpoint("", url, api_key))
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            port = parts.port or (443 if parts.scheme == "https" else 80)
            _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
        sdk = await client.sdk()
        async with asyncio.timeout(_PROBE_SECONDS):
            with client.translated():
                listed = await sdk.list()
    except (OSError, ModelError):
        return ()
    finally:
        await client.aclose()
    return tuple(model.model for model in listed.models if model.model)


def _endpoint(model: str, host: str, api_key: str | None) -> Endpoint:
    return Endpoint(model, host, f"that the model is there (`ollama pull {model}`)", api_key or "")


def _usage(response: ChatResponse) -> Usage | None:
    if response.prompt_eval_count is None and response.eval_count is None:
        return None
    return Usage(response.prompt_eval_count or 0, response.eval_count or 0)
