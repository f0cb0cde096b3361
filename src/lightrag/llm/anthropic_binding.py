"""Chat models of Anthropic, through Anthropic's SDK (the extra `anthropic`).

As with OpenAI's SDK, answers are read from raw responses, the import happens at first use in a thread, credentials
come from the settings alone and the SDK's retries are off. There is no JSON mode without a schema, so that a request
for a JSON object is left to the prompt.

Format: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from lightrag.errors import ContextTooLong, ModelError, ModelRefused
from lightrag.llm.answer import GrowingAnswer, finish_reason, turns, whole_reply
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.extras import imported
from lightrag.llm.http_client import CONNECT_SECONDS
from lightrag.llm.late_client import LateClient
from lightrag.llm.network import client_options, current_gatekeeper
from lightrag.llm.openai_client import Concessions
from lightrag.llm.thinking import ThinkingHabit

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream

_T = TypeVar("_T")

DEFAULT_HOST = "https://api.anthropic.com"
MOST_TOKENS = 8192
"""Tokens of an answer, which must be named in every request, unless the settings or the request say otherwise."""

_PATH = "/v1/messages"
_ABOVE_LIMIT = re.compile(r"max_tokens: \d+ > (\d+)")
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status of each type of error, for those that come inside a stream."""


class AnthropicChat:
    """A chat model of Anthropic, or behind a server that speaks its dialect.

    `host`: base URL without a version. Without `api_key` no credentials are sent, whatever the environment holds.
    `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no limit. `options`:
    parameters that go with every request (`max_tokens`, `temperature`, `thinking`, …). A model's limit on the tokens of
    an answer, where the server tells it, is kept from then on.
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = (host or DEFAULT_HOST).rstrip("/").removesuffix("/v1")
        self._api_key = api_key or ""
        self._timeout = timeout
        self._options = dict(options or {})
        self._facts = ModelFacts("anthropic", model, public_url(self._url), variant=fingerprint(self._options))
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", self._api_key)
        self._habit = ThinkingHabit()
        self._concessions = Concessions()
        self._most_tokens: int | None = None
        self._gatekeeper = current_gatekeeper()
        self._sdk = LateClient(self._make, lambda sdk: sdk.close())

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._attempt(self._body(request), self._post)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        try:
            data = orjson.loads(raw)
            blocks = data["content"]
            content = "".join(block["text"] for block in blocks if block["type"] == "text")
            thinking = "\n".join(block["thinking"] for block in blocks if block["type"] == "thinking")
        except (ValueError, LookupError, TypeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer is not a message, it begins {start!r}") from error
        reason = finish_reason(data.get("stop_reason"))
        return whole_reply(request, self._endpoint, content, thinking, reason, _usage(data.get("usage")), self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        Raises `ModelUnreachable` where the stream breaks off before the answer is finished.
        """
        events = await self._attempt(self._body(request) | {"stream": True}, self._open)
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        reported: dict[str, Any] = {}
        count = 0
        try:
            with self._translated():
                async for event in events:
                    count += 1
                    if not isinstance(event, dict):
                        raise self._endpoint.unusable("the server sent an event that is not a JSON object")
                    reported |= _reported_usage(event)
                    for delta in answer.add(*_pieces(event)):
                        yield delta
                    if reason := (event.get("delta") or {}).get("stop_reason"):
                        answer.finish_reason = finish_reason(reason)
                    elif event.get("type") == "message_stop":
                        answer.finish_reason = answer.finish_reason or "stop"
        finally:
            with self._translated():
                await events.close()
        if not count:
            raise self._endpoint.unusable("the server sent no events")
        answer.usage = _usage(reported)
        for delta in answer.close():
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._sdk.aclose()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        system, spoken = turns(request.messages)
        body: dict[str, Any] = {"max_tokens": MOST_TOKENS} | self._options
        body |= {
            "model": self._facts.name,
            "messages": [{"role": role, "content": text} for role, text in spoken],
        }
        if system:
            body["system"] = system
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return body | dict(request.extra)

    async def _attempt(self, body: Mapping[str, Any], send: Callable[[dict[str, Any]], Awaitable[_T]]) -> _T:
        """Send a request with no more tokens than the model can write, and without what the server refuses."""

        async def capped(sent: dict[str, Any]) -> _T:
            if self._most_tokens is not None:
                sent["max_tokens"] = min(sent["max_tokens"], self._most_tokens)
            return await send(sent)

        try:
            return await self._concessions.attempt(body, capped)
        except ContextTooLong:
            raise
        except ModelRefused as error:
            limit = _ABOVE_LIMIT.search(str(error))
            if limit is None:
                raise
            self._most_tokens = int(limit.group(1))
        return await self._concessions.attempt(body, capped)

    async def _post(self, body: dict[str, Any]) -> bytes:
        import httpx2

        sdk = await self._sdk.get()
        with self._translated():
            response = await sdk.post(_PATH, body=body, cast_to=httpx2.Response)
        return response.content

    async def _open(self, body: dict[str, Any]) -> AsyncStream[object]:
        from anthropic import AsyncStream

        sdk = await self._sdk.get()
        with self._translated():
            return await sdk.post(_PATH, body=body, cast_to=object, stream=True, stream_cls=AsyncStream[object])

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the SDK's and its transport's errors into ours."""
        import anthropic
        import httpx2

        try:
            yield
        except anthropic.APIStatusError as error:
            raise self._status_error(error) from None
        except (anthropic.APITimeoutError, httpx2.TimeoutException):
            raise self._endpoint.late(self._timeout) from None
        except (anthropic.APIConnectionError, httpx2.TransportError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, ModelError):
                raise cause from None
            reason = f"{type(cause).__name__}: {cause}"
            raise self._endpoint.unreachable(f"the connection failed ({reason})") from None
        except (json.JSONDecodeError, UnicodeDecodeError, anthropic.APIError) as error:
            raise self._endpoint.unusable("the server sent what is not JSON") from error

    def _status_error(self, error: Any) -> ModelError:
        response = error.response
        if response.status_code >= 400:
            return self._endpoint.from_status(response.status_code, response.text, response.headers)
        body = error.body if isinstance(error.body, dict) else {}
        status = _STATUSES.get(str((body.get("error") or {}).get("type")), 500)
        return self._endpoint.from_status(status, orjson.dumps(body, default=str).decode())

    def _make(self) -> AsyncAnthropic:
        anthropic = imported("anthropic", "anthropic", "LLM_BINDING=anthropic")
        import httpx2

        # An explicit key, if an empty one, keeps the SDK from looking for credentials in the environment and on disk.
        headers = {} if self._api_key else {"Authorization": anthropic.Omit()}
        timeout = anthropic.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout or CONNECT_SECONDS))
        options = client_options(httpx2, self._gatekeeper)
        sdk: AsyncAnthropic = anthropic.AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._url,
            timeout=timeout,
            max_retries=0,
            default_headers=headers,
            http_client=anthropic.DefaultAsyncHttpxClient(timeout=timeout, **options) if options else None,
        )
        return sdk


def _pieces(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return the (text, thinking) of a stream's event."""
    block = event.get("delta") or event.get("content_block") or {}
    return str(block.get("text") or ""), str(block.get("thinking") or "")


def _reported_usage(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the token counts of a stream's event: those of the prompt come first, those of the answer last."""
    usage = event.get("usage") or (event.get("message") or {}).get("usage") or {}
    return {name: count for name, count in usage.items() if isinstance(count, int)}


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("input_tokens"), int):
        return None
    cached = int(usage.get("cache_read_input_tokens") or 0)
    written = int(usage.get("cache_creation_input_tokens") or 0)
    return Usage(usage["input_tokens"] + cached + written, int(usage.get("output_tokens") or 0), cached)
