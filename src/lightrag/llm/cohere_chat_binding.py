"""Chat models of Cohere.

Format: https://docs.cohere.com/reference/chat (POST /v2/chat; streams are server-sent events)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from lightrag.llm.answer import GrowingAnswer, finish_reason, whole_reply
from lightrag.llm.chat_body import chat_body
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.thinking import ThinkingHabit

DEFAULT_HOST = "https://api.cohere.com/v2"
_REASONS = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length"}


class CohereChat:
    """A Cohere chat model.

    `host`: base URL with its version path (`…/v2`). `timeout`: seconds for a whole answer, and between two pieces of a
    streamed one; None for no limit. `options`: parameters that go with every request.
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        url = host or DEFAULT_HOST
        self._options = dict(options or {})
        self._facts = ModelFacts("cohere", model, public_url(url), variant=fingerprint(self._options))
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._habit = ThinkingHabit()
        self._client = HttpClient(url, timeout, self._endpoint, bearer(api_key))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        raw = await self._client.post("/chat", self._body(request))
        try:
            data = orjson.loads(raw)
            content, thinking = _pieces(data["message"]["content"])
            reason = _reason(data.get("finish_reason"))
            usage = _usage(data.get("usage"))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer is not a chat's, it begins {start!r}") from error
        return whole_reply(request, self._endpoint, content, thinking, reason, usage, self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        Raises `ModelUnreachable` where the stream breaks off before the answer is finished.
        """
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        rest = b""
        async with self._client.stream("/chat", self._body(request) | {"stream": True}) as pieces:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    for delta in self._deltas(line.strip(), answer):
                        yield delta
        for delta in [*self._deltas(rest.strip(), answer), *answer.close()]:
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        return chat_body(self._facts.name, request, self._options)

    def _deltas(self, line: bytes, answer: GrowingAnswer) -> list[ChatDelta]:
        if not line.startswith(b"data:"):
            return []
        if line[5:].strip() == b"[DONE]":
            answer.finish_reason = answer.finish_reason or "stop"
            return []
        try:
            event = orjson.loads(line[5:])
            delta = event.get("delta") or {}
            if event["type"] == "message-end":
                answer.finish_reason = _reason(delta.get("finish_reason"))
                answer.usage = _usage(delta.get("usage"))
                return []
            if event["type"] != "content-delta":
                return []
            content = delta["message"]["content"]
            return answer.add(content.get("text") or "", content.get("thinking") or "")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._endpoint.unusable("the server sent an event that is not Cohere's") from error


def _pieces(content: Any) -> tuple[str, str]:
    text = "".join(block["text"] for block in content if block.get("type", "text") == "text")
    return text, "\n".join(block["thinking"] for block in content if block.get("type") == "thinking")


def _reason(said: Any) -> str:
    return _REASONS.get(str(said), finish_reason(None if said is None else str(said)))


def _usage(usage: Any) -> Usage | None:
    tokens = usage.get("tokens") if isinstance(usage, dict) else None
    if not isinstance(tokens, dict) or "input_tokens" not in tokens:
        return None
    cached = usage.get("cached_tokens") or 0
    return Usage(int(tokens["input_tokens"]), int(tokens.get("output_tokens") or 0), int(cached))
