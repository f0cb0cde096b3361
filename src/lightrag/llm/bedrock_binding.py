"""Chat and embedding models on Amazon Bedrock: any model that speaks Converse, and the embeddings of Titan and Cohere.

Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from lightrag.llm.answer import GrowingAnswer, finish_reason, turns, whole_reply
from lightrag.llm.bedrock_client import AwsAccount, bedrock_client, bedrock_host, stream_events
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts, Usage
from lightrag.llm.endpoint import Endpoint, fingerprint, public_url
from lightrag.llm.http_embedding import HttpEmbedding, Purpose
from lightrag.llm.thinking import ThinkingHabit
from lightrag.llm.vectors import Encoded

_NO_ACCOUNT = AwsAccount()
_INFERENCE = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxTokens",
    "stop_sequences": "stopSequences",
}
"""Our names of the parameters that every model has → Bedrock's."""
COHERE_TEXTS = 96


class BedrockChat:
    """A chat model on Bedrock, named by its id or the ARN of an inference profile.

    `host`: base URL, by default that of the account's region. `api_key`: a Bedrock API key; without one requests are
    signed for `account`. `timeout`: seconds for a whole answer, and between two pieces of a streamed one; None for no
    limit. `options`: parameters that go with every request: `temperature`, `top_p`, `max_tokens`, `stop_sequences`;
    all others are passed on to the model as they are. There is no JSON mode without a schema, so that a request for a
    JSON object is left to the prompt.
    """

    def __init__(
        self,
        model: str,
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 180.0,
        options: Mapping[str, Any] | None = None,
        *,
        account: AwsAccount = _NO_ACCOUNT,
    ) -> None:
        self._options = dict(options or {})
        url = host or bedrock_host(account)
        self._facts = ModelFacts("bedrock", model, public_url(url), variant=fingerprint(self._options))
        self._endpoint = _endpoint(model, self._facts.host, api_key, account)
        self._habit = ThinkingHabit()
        self._client = bedrock_client(url, api_key, account, timeout, self._endpoint)
        self._path = _path(model)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        raw = await self._client.post(f"{self._path}/converse", self._body(request))
        try:
            data = orjson.loads(raw)
            blocks = data["output"]["message"]["content"]
            content = "".join(str(block.get("text") or "") for block in blocks)
            thinking = "\n".join(filter(None, (_reasoning(block.get("reasoningContent")) for block in blocks)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer is not a conversation, it begins {start!r}") from error
        reason = finish_reason(data.get("stopReason"))
        return whole_reply(request, self._endpoint, content, thinking, reason, _usage(data.get("usage")), self._habit)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call.

        Raises `ModelUnreachable` where the stream breaks off before the answer is finished.
        """
        answer = GrowingAnswer(request, self._endpoint, self._habit)
        async with (
            self._client.stream(f"{self._path}/converse-stream", self._body(request)) as pieces,
            contextlib.aclosing(stream_events(pieces, self._endpoint)) as events,
        ):
            async for kind, event in events:
                if kind == "contentBlockDelta":
                    delta = event.get("delta") or {}
                    for part in answer.add(str(delta.get("text") or ""), _reasoning(delta.get("reasoningContent"))):
                        yield part
                elif kind == "messageStop":
                    answer.finish_reason = finish_reason(event.get("stopReason"))
                elif kind == "metadata":
                    answer.usage = _usage(event.get("usage"))
        for part in answer.close():
            yield part

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        system, spoken = turns(request.messages)
        options = self._options | dict(request.extra)
        if request.max_tokens is not None:
            options["max_tokens"] = request.max_tokens
        if request.temperature is not None:
            options["temperature"] = request.temperature
        body: dict[str, Any] = {"messages": [{"role": role, "content": [{"text": text}]} for role, text in spoken]}
        if system:
            body["system"] = [{"text": system}]
        if inference := {theirs: options.pop(ours) for ours, theirs in _INFERENCE.items() if ours in options}:
            body["inferenceConfig"] = inference
        if further := options.pop("extra_fields", None) or {}:
            options |= further
        if options:
            body["additionalModelRequestFields"] = options
        return body


class TitanWire:
    """Embedding calls of Amazon Titan: one text each. The model refuses long texts by itself."""

    def __init__(self, model: str, dimensions: int | None) -> None:
        self._path = f"{_path(model)}/invoke"
        # The first version of the model knows no further parameters.
        self._fixed: dict[str, Any] = {} if "embed-text-v1" in model else {"normalize": True}
        if dimensions:
            self._fixed["dimensions"] = dimensions

    def path(self) -> str:
        """Return the path below the base URL."""
        return self._path

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        return {**self._fixed, "inputText": texts[0]}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vector of an answer."""
        return [answer["embedding"]]


class CohereOnBedrockWire:
    """Embedding calls of Cohere's models on Bedrock; a text that is too long is an error (`truncate: NONE`)."""

    def __init__(self, model: str, dimensions: int | None) -> None:
        self._path = f"{_path(model)}/invoke"
        self._fixed: dict[str, Any] = {"truncate": "NONE", "embedding_types": ["float"]}
        if dimensions:
            self._fixed["output_dimension"] = dimensions

    def path(self) -> str:
        """Return the path below the base URL."""
        return self._path

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        return {**self._fixed, "input_type": f"search_{purpose}", "texts": list(texts)}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vectors of an answer."""
        embeddings = answer["embeddings"]
        return list(embeddings["float"] if isinstance(embeddings, dict) else embeddings)


def bedrock_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    max_batch: int = 32,
    timeout: float | None = 30.0,
    *,
    account: AwsAccount = _NO_ACCOUNT,
    send_dimensions: bool = False,
) -> HttpEmbedding:
    """Return an embedding model on Bedrock: Cohere's by its name, any other one as Titan's.

    `api_key`: a Bedrock API key; without one requests are signed for `account`. `dimension`: what vectors must have;
    with `send_dimensions` it is asked for. `timeout`: seconds for one call.
    """
    url = host or bedrock_host(account)
    is_cohere = "cohere." in model
    most = min(max_batch, COHERE_TEXTS) if is_cohere else 1
    facts = ModelFacts("bedrock", model, public_url(url), dimension=dimension, max_batch=most)
    endpoint = _endpoint(model, facts.host, api_key, account)
    wire = (CohereOnBedrockWire if is_cohere else TitanWire)(model, dimension if send_dimensions else None)
    return HttpEmbedding(wire, facts, bedrock_client(url, api_key, account, timeout, endpoint), endpoint)


def _path(model: str) -> str:
    return f"/model/{quote(model, safe='')}"


def _endpoint(model: str, host: str, api_key: str | None, account: AwsAccount) -> Endpoint:
    return Endpoint(
        model, host, "the model's id, and that the account has access to it", api_key or account.secret_access_key
    )


def _reasoning(content: Any) -> str:
    """Return thinking text: in whole answers it is one level deeper than in streams."""
    if not isinstance(content, dict):
        return ""
    text = (content.get("reasoningText") or content).get("text")
    return text if isinstance(text, str) else ""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("inputTokens"), int):
        return None
    cached = int(usage.get("cacheReadInputTokens") or 0)
    written = int(usage.get("cacheWriteInputTokens") or 0)
    return Usage(usage["inputTokens"] + cached + written, int(usage.get("outputTokens") or 0), cached)
