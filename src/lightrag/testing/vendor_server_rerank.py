"""Stand-in rerank servers: the interfaces of Cohere, Jina AI, Voyage AI, DashScope, TEI, vLLM and llama.cpp.

Each is as strict as the real one about paths and fields. A document's score is the share of the question's words that
it holds, so that the right order is plain to see.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from lightrag.testing.model_server import (
    ModelServer,
    Reaction,
    Receive,
    RecordedRequest,
    Scope,
    Send,
    read_json,
    respond,
)


@dataclasses.dataclass(frozen=True, slots=True)
class RerankManner:
    """One kind of server."""

    paths: tuple[str, ...]
    required: tuple[str, ...]
    rows: Callable[[list[dict[str, Any]]], Any]
    """Writes rows of `index` and `score`."""
    most_documents: int = 1000
    forbids_unknown: tuple[str, ...] = ()
    """Fields that are refused."""
    logits: bool = False
    wrapped: bool = False
    """The question stands in `input`."""
    usage: str = ""
    """The field in which tokens are told; empty where they are not."""


def _results(rows: list[dict[str, Any]]) -> Any:
    judged = [{"index": row["index"], "relevance_score": row["score"]} for row in rows]
    return {"results": judged, "meta": {"billed_units": {"search_units": 1}}}


def _data(rows: list[dict[str, Any]]) -> Any:
    return {"object": "list", "data": [{"index": row["index"], "relevance_score": row["score"]} for row in rows]}


MANNERS: Mapping[str, RerankManner] = {
    "cohere": RerankManner(
        ("/v2/rerank",), ("model", "query", "documents"), _results, forbids_unknown=("return_documents", "texts")
    ),
    "cohere-v1": RerankManner(("/v1/rerank",), ("query", "documents"), _results),
    "jina": RerankManner(
        ("/v1/rerank",),
        ("model", "query", "documents"),
        _results,
        forbids_unknown=("texts", "input"),
        usage="total_tokens",
    ),
    "voyageai": RerankManner(
        ("/v1/rerank",), ("model", "query", "documents"), _data, forbids_unknown=("top_n",), usage="total_tokens"
    ),
    "aliyun": RerankManner(
        ("/api/v1/services/rerank/text-rerank/text-rerank",),
        ("model", "input"),
        lambda rows: {"output": _results(rows), "request_id": "1"},
        wrapped=True,
        usage="total_tokens",
    ),
    "tei": RerankManner(("/rerank",), ("query", "texts"), lambda rows: rows, most_documents=32),
    "vllm": RerankManner(
        ("/rerank", "/v1/rerank", "/v2/rerank"), ("model", "query", "documents"), _results, usage="total_tokens"
    ),
    "llamacpp": RerankManner(
        ("/rerank", "/v1/rerank"), ("query", "documents"), _results, logits=True, usage="prompt_tokens"
    ),
}


class RerankServer(ModelServer):
    """A rerank server of one kind; the options are those of `ModelServer`."""

    def __init__(self, manner: str, **options: Any) -> None:
        super().__init__(**options)
        self._manner = MANNERS[manner]

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        self.requests.append(RecordedRequest(scope["path"], headers, body))
        reaction = self._script.popleft() if self._script else self._objection(scope, body)
        if reaction is not None and (reaction.status != 200 or reaction.body is not None):
            error = reaction.body if reaction.body is not None else orjson.dumps({"message": reaction.message})
            await respond(send, reaction.status, error, retry_after=reaction.retry_after)
            return
        answer, tokens = self._manner.rows(self._rows(body)), self.tokens(body)
        told = [(b"x-compute-tokens", str(tokens).encode())] if isinstance(answer, list) else []
        if self._manner.usage:
            answer["usage"] = {self._manner.usage: tokens}
        await respond(send, 200, orjson.dumps(answer), headers=told)

    def tokens(self, body: Mapping[str, Any]) -> int:
        """Return what the server counts for a request."""
        asked = body["input"] if self._manner.wrapped else body
        return sum(len(f"{asked['query']} {document}".split()) for document in self._documents(body))

    def _objection(self, scope: Scope, body: Mapping[str, Any]) -> Reaction | None:
        manner = self._manner
        if scope["path"] not in manner.paths:
            return Reaction.status_code(404, message="Not Found")
        if (refusal := self._refusal(scope, {}, embedding=True)) is not None:
            return refusal
        for field in manner.required:
            if field not in body:
                return Reaction.status_code(422, message=f"missing field `{field}`")
        for field in manner.forbids_unknown:
            if field in body:
                return Reaction.status_code(422, message=f"unknown field: {field}")
        documents = self._documents(body)
        if len(documents) > manner.most_documents:
            message = f"batch size {len(documents)} > maximum allowed batch size {manner.most_documents}"
            return Reaction.status_code(413, message=message)
        if any(len(document) // 4 > self._context_tokens for document in documents) and not body.get("truncate"):
            return Reaction.status_code(400, message="the input exceeds the context length")
        return None

    def _documents(self, body: Mapping[str, Any]) -> list[str]:
        asked = body["input"] if self._manner.wrapped else body
        return list(asked["texts"] if "texts" in asked else asked["documents"])

    def _rows(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        asked = body["input"] if self._manner.wrapped else body
        words = asked["query"].lower().split()
        rows = []
        for index, document in enumerate(self._documents(body)):
            found = set(document.lower().split())
            share = sum(word in found for word in words) / len(words)
            score = math.log((share + 0.01) / (1.01 - share)) if self._manner.logits else share
            rows.append({"index": index, "score": score})
        rows.sort(key=lambda row: -row["score"])
        wanted = body.get("parameters", body)
        limit = wanted.get("top_n") or wanted.get("top_k") or len(rows)
        return rows[:limit]
