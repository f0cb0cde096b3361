"""`POST /v1/rerank` and the paths under which other servers offer it."""

from __future__ import annotations

import math
import secrets
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmservice.api.responding import json_response, unless_gone
from llmservice.api.schemas import RerankBody
from llmservice.api.state import get_service, get_watch
from llmservice.cache import cache_key
from llmservice.errors import InvalidRequest
from llmservice.runner import TierRunner
from llmservice.service import ModelService

router = APIRouter()


@router.post("/v1/rerank", tags=["vectors"])
@router.post("/v2/rerank", tags=["vectors"], include_in_schema=False)
@router.post("/rerank", tags=["vectors"], include_in_schema=False)
async def rerank(body: RerankBody, request: Request) -> Response:
    """Rerank documents by relevance to a query, best first.

    The answer holds the service's own `data` and Cohere's and Jina's `results` with the same content.
    """
    service = get_service(request)
    runner = service.runner(body.model, "rerank")
    most = service.settings.server.max_documents
    if len(body.documents) > most:
        raise InvalidRequest(
            f"documents has {len(body.documents)} entries and may have {most}; send fewer, or raise "
            "MAX_RERANK_DOCUMENTS",
            "documents",
        )
    (logits, tokens), state = await unless_gone(request, _score(service, runner, body))
    get_watch(request).tokens.labels(runner.tier, "prompt").inc(tokens)
    return json_response(_content(body, logits, tokens), {"X-Cache": state})


async def _score(service: ModelService, runner: TierRunner, body: RerankBody) -> tuple[tuple[list[float], int], str]:
    cache = service.cache
    parameters: dict[str, Any] = {"query": body.query, "documents": body.documents}
    if body.max_tokens_per_doc is not None:
        parameters["document_tokens"] = body.max_tokens_per_doc
    key = cache_key("score", await runner.fingerprint(), parameters) if cache.enabled else None
    kept = cache.get(key) if key else None
    if kept is not None:
        return orjson.loads(kept), "HIT"
    events = await runner.collect("score", parameters, service.deadline())
    if key is not None:
        cache.put(key, orjson.dumps(events[0]))
    return events[0], "MISS" if key else "BYPASS"


def _content(body: RerankBody, logits: list[float], tokens: int) -> dict[str, Any]:
    scores = logits if body.raw_scores else [_sigmoid(logit) for logit in logits]
    # By logit: sigmoids of large logits are all the same.
    order = sorted(range(len(logits)), key=lambda index: (-logits[index], index))[: body.top_k]
    data: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for index in order:
        document = body.documents[index]
        data.append({"index": index, "score": scores[index]})
        results.append({"index": index, "relevance_score": scores[index]})
        if body.return_documents:
            data[-1]["document"] = document
            results[-1]["document"] = {"text": document}
    return {
        "id": f"rerank-{secrets.token_hex(12)}",
        "object": "list",
        "data": data,
        "results": results,
        "model": body.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


def _sigmoid(logit: float) -> float:
    """Return 1 / (1 + e^-logit), without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1.0 + grown)
