"""`POST /v1/embeddings` and `POST /v1/tokenize`."""

from __future__ import annotations

import array
import asyncio
import base64
import struct
import sys
from collections.abc import Iterator
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmservice.api.responding import json_response, unless_gone
from llmservice.api.schemas import EmbeddingBody, TokenizeBody
from llmservice.api.state import get_service, get_watch
from llmservice.cache import cache_key
from llmservice.config import TierSettings
from llmservice.errors import InvalidRequest
from llmservice.runner import TierRunner
from llmservice.service import ModelService
from llmservice.workers.link import Vectors

router = APIRouter()

_LENGTH = struct.Struct("<I")
_FLOAT = 4


@router.post("/v1/embeddings", tags=["vectors"])
async def embeddings(body: EmbeddingBody, request: Request) -> Response:
    """Generate embeddings, dense, sparse or ColBERT's, where the model has them."""
    service = get_service(request)
    runner = service.runner(body.model, "embedding")
    parameters = await _parameters(body, runner.settings, service)
    vectors, state = await unless_gone(request, _embed(service, runner, parameters))
    tokens = sum(row["tokens"] for row in vectors.rows)
    get_watch(request).tokens.labels(runner.tier, "prompt").inc(tokens)
    content = {
        "object": "list",
        "data": list(_data(vectors, body.encoding_format == "base64")),
        "model": body.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return json_response(content, {"X-Cache": state})


@router.post("/v1/tokenize", tags=["vectors"])
async def tokenize(body: TokenizeBody, request: Request) -> Response:
    """Return a text's token ids, without special tokens."""
    service = get_service(request)
    runner = service.runner(body.model)
    events = await unless_gone(request, runner.collect("tokenize", {"text": body.text}, service.deadline()))
    limit = runner.facts.context_length if runner.facts else None
    tokens = events[0]
    return json_response({"tokens": tokens, "count": len(tokens), "max_model_len": limit, "model": body.model})


async def _parameters(body: EmbeddingBody, tier: TierSettings, service: ModelService) -> dict[str, Any]:
    texts = await _texts(body, service)
    kind = body.embedding_type or "dense"
    if body.dimensions is not None and kind != "dense":
        raise InvalidRequest(f"dimensions applies to dense vectors and not to {kind} ones; leave it out", "dimensions")
    kinds = sorted({kind, "sparse"} if body.return_sparse else {kind})
    dimensions = (body.dimensions or tier.embedding_dimension) if kind == "dense" else None
    return {"texts": texts, "kinds": kinds, "dimensions": dimensions, "truncate": bool(body.truncate)}


async def _texts(body: EmbeddingBody, service: ModelService) -> list[str]:
    """Return the texts of a request, which may have come as token ids."""
    given = body.input
    inputs: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    most = service.settings.server.max_inputs
    if len(inputs) > most:
        raise InvalidRequest(
            f"input has {len(inputs)} texts and may have {most}; send them in several requests", "input"
        )
    if isinstance(inputs[0], str):
        return inputs
    return await asyncio.to_thread(service.openai_tokens.texts, inputs)


async def _embed(service: ModelService, runner: TierRunner, parameters: dict[str, Any]) -> tuple[Vectors, str]:
    cache = service.cache
    key = cache_key("embed", await runner.fingerprint(), parameters) if cache.enabled else None
    kept = cache.get(key) if key else None
    if kept is not None:
        return _unpacked(kept), "HIT"
    events = await runner.collect("embed", parameters, service.deadline())
    vectors: Vectors = events[0]
    if key is not None:
        cache.put(key, _packed(vectors))
    return vectors, "MISS" if key else "BYPASS"


def _packed(vectors: Vectors) -> bytes:
    rows = orjson.dumps(vectors.rows)
    return _LENGTH.pack(len(rows)) + rows + vectors.data


def _unpacked(kept: bytes) -> Vectors:
    (length,) = _LENGTH.unpack_from(kept)
    return Vectors(orjson.loads(kept[_LENGTH.size : _LENGTH.size + length]), kept[_LENGTH.size + length :])


def _data(vectors: Vectors, is_base64: bool) -> Iterator[dict[str, Any]]:
    start = 0
    for index, row in enumerate(vectors.rows):
        item: dict[str, Any] = {"object": "embedding", "index": index, "embedding": []}
        if "dense" in row:
            end = start + row["dense"] * _FLOAT
            item["embedding"] = _base64(vectors.data[start:end]) if is_base64 else _floats(vectors.data[start:end])
            start = end
        if "colbert" in row:
            count, width = row["colbert"]
            end = start + count * width * _FLOAT
            parts = [vectors.data[at : at + width * _FLOAT] for at in range(start, end, width * _FLOAT)]
            item["embedding"] = [_base64(part) if is_base64 else _floats(part) for part in parts]
            start = end
        if "sparse" in row:
            item["sparse_embedding"] = row["sparse"]
        yield item


def _floats(data: bytes) -> list[float]:
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
