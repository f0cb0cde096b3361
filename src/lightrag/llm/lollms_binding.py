"""Chat and embedding models on a LoLLMs server.

The server takes a prompt, not messages, and answers with bare text: it tells neither how an answer ended nor what it
cost, and reports errors as JSON with status 200. It embeds one text a call, with its own model.

Format: https://github.com/ParisNeo/lollms (POST /lollms_generate, POST /lollms_embed)
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from lightrag.llm.answer import GrowingAnswer, turns, whole_reply
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, Message, ModelFacts
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.http_embedding import HttpEmbedding, Purpose
from lightrag.llm.thinking import ThinkingHabit
from lightrag.llm.vectors import Encoded

DEFAULT_HOST = "http://localhost:9600"
_HEADING = "!@>"


class LollmsChat:
    """A chat model on a LoLLMs server.

    `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no limit. `options`:
    parameters that go with every request (`n_predict`, `temperature`, `top_k`, `top_p`, `repeat_penalty`, `seed`, …).
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
        self._facts = ModelFacts("lollms", model, public_url(url), variant=fingerprint(self._options))
        self._endpoint = _endpoint(model, self._facts.host, api_key)
        self._habit = ThinkingHabit()
        self._client = HttpClient(url, timeout, self._endpoint, bearer(api_key))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        raw = await self._client.post("/lollms_generate", self._body(request, streams=False))
        self._refuse_report(raw)
        return whole_reply(request, self._endpoint, raw.decode("utf-8", "replace"), "", "stop", None, self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call."""
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async with self._client.stream("/lollms_generate", self._body(request, streams=True)) as pieces:
            async for piece in pieces:
                if not answer.has_text:
                    self._refuse_report(piece)
                for delta in answer.add(decoder.decode(piece)):
                    yield delta
        answer.finish_reason = "stop"
        for delta in answer.close():
            yield delta

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _body(self, request: ChatRequest, *, streams: bool) -> dict[str, Any]:
        body = {
            **self._options,
            "model_name": self._facts.name,
            "personality": -1,
            "prompt": _prompt(request.messages),
            "stream": streams,
        }
        if request.max_tokens is not None:
            body["n_predict"] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return body | dict(request.extra)

    def _refuse_report(self, raw: bytes) -> None:
        """Raise the error that the server reports in the place of an answer."""
        if raw.strip() in (b"", b"null"):
            raise self._endpoint.unusable("the server has no model loaded", "choose a model in the LoLLMs server")
        if not raw.startswith(b'{"status":'):
            return
        try:
            report = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return
        if report.get("status") is False:
            raise self._endpoint.from_status(500, orjson.dumps({"error": report.get("error")}).decode())


class LollmsWire:
    """LoLLMs' embedding calls: one text each."""

    def path(self) -> str:
        """Return the path below the base URL."""
        return "/lollms_embed"

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        return {"text": texts[0]}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vector of an answer."""
        return [answer["vector"]]


def lollms_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    timeout: float | None = 30.0,
) -> HttpEmbedding:
    """Return the embedding model that a LoLLMs server uses; `model` is what it is called here.

    `dimension`: what vectors must have. `timeout`: seconds for one call.
    """
    url = host or DEFAULT_HOST
    facts = ModelFacts("lollms", model, public_url(url), dimension=dimension, max_batch=1)
    endpoint = _endpoint(model, facts.host, api_key)
    return HttpEmbedding(LollmsWire(), facts, HttpClient(url, timeout, endpoint, bearer(api_key)), endpoint)


def _prompt(messages: Sequence[Message]) -> str:
    system, spoken = turns(messages)
    parts = [("system", system)] if system else []
    parts += spoken
    return "\n".join(f"{_HEADING}{role}: {text}" for role, text in parts) + f"\n{_HEADING}assistant: "


def _endpoint(model: str, host: str, api_key: str | None) -> Endpoint:
    return Endpoint(model, host, "the model's name, as the LoLLMs server lists it", api_key or "")
