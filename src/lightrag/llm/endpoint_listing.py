"""What servers tell of their models, each in its own way.

Formats: https://platform.openai.com/docs/api-reference/models with what vLLM (`max_model_len`), llama.cpp
(`meta.n_ctx_train`), OpenRouter (`context_length`) and Groq (`context_window`) add;
https://docs.ollama.com/api (tags, show); https://docs.claude.com/en/api/models-list;
https://ai.google.dev/api/models; https://huggingface.github.io/text-embeddings-inference (info)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from lightrag.llm.endpoint import Endpoint
from lightrag.llm.http_client import HttpClient, bearer


@dataclasses.dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as its server tells of it."""

    name: str
    context_tokens: int | None = None
    output_tokens: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """How a binding's server is asked for its models."""

    path: str
    headers: Callable[[str | None], Mapping[str, str]]
    read: Callable[[Any], list[ListedModel]]


def _openai(answer: Any) -> list[ListedModel]:
    models = []
    for item in answer["data"]:
        meta = item.get("meta") or {}
        told = (item.get(name) for name in ("max_model_len", "context_length", "context_window", "max_context_length"))
        context = next((value for value in (*told, meta.get("n_ctx_train")) if isinstance(value, int)), None)
        output = item.get("max_completion_tokens") or item.get("max_output_tokens") or item.get("max_tokens")
        models.append(ListedModel(str(item["id"]), context, output if isinstance(output, int) else None))
    return models


def _ollama(answer: Any) -> list[ListedModel]:
    return [ListedModel(str(item["name"])) for item in answer["models"]]


def _anthropic(answer: Any) -> list[ListedModel]:
    return [
        ListedModel(str(item["id"]), item.get("max_input_tokens"), item.get("max_tokens")) for item in answer["data"]
    ]


def _gemini(answer: Any) -> list[ListedModel]:
    return [
        ListedModel(
            str(item["name"]).removeprefix("models/"), item.get("inputTokenLimit"), item.get("outputTokenLimit")
        )
        for item in answer["models"]
    ]


def _tei(answer: Any) -> list[ListedModel]:
    return [ListedModel(str(answer["model_id"]), answer.get("max_input_length"))]


def _anthropic_headers(key: str | None) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})


def _gemini_headers(key: str | None) -> dict[str, str]:
    return {"x-goog-api-key": key} if key else {}


LISTINGS: Mapping[str, Listing] = {
    "openai": Listing("/models", bearer, _openai),
    "ollama": Listing("/api/tags", bearer, _ollama),
    "anthropic": Listing("/v1/models?limit=1000", _anthropic_headers, _anthropic),
    "gemini": Listing("/v1beta/models?pageSize=1000", _gemini_headers, _gemini),
    "tei": Listing("/info", bearer, _tei),
}
"""By binding; the servers of the others do not tell."""


async def list_models(
    binding: str, host: str, api_key: str | None, seconds: float, endpoint: Endpoint
) -> list[ListedModel] | None:
    """Return the models that a server lists within `seconds`; None where such servers do not tell.

    Raises `ModelError` where the server cannot be reached, refuses, or answers something else.
    """
    listing = LISTINGS.get(binding)
    if listing is None:
        return None
    client = HttpClient(host, seconds, endpoint, listing.headers(api_key))
    try:
        raw = await client.get(listing.path)
    finally:
        await client.aclose()
    try:
        return listing.read(orjson.loads(raw))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        start = raw[:80].decode("utf-8", "replace")
        raise endpoint.unusable(f"the list of models cannot be read, it begins {start!r}") from error
