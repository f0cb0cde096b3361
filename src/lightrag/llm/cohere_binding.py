"""Embedding models of Cohere.

Format: https://docs.cohere.com/reference/embed (POST /v2/embed)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightrag.llm.contracts import ModelFacts
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.http_embedding import HttpEmbedding, Purpose
from lightrag.llm.vectors import Encoded

DEFAULT_HOST = "https://api.cohere.com/v2"
MOST_TEXTS = 96


class CohereWire:
    """Cohere's embedding calls; a text that is too long is an error (`truncate: NONE`)."""

    def __init__(self, model: str, dimensions: int | None) -> None:
        self._fixed: dict[str, Any] = {"model": model, "embedding_types": ["float"], "truncate": "NONE"}
        if dimensions:
            self._fixed["output_dimension"] = dimensions

    def path(self) -> str:
        """Return the path below the base URL."""
        return "/embed"

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        return {**self._fixed, "input_type": f"search_{purpose}", "texts": list(texts)}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vectors of an answer."""
        return list(answer["embeddings"]["float"])


def cohere_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    max_batch: int = 96,
    timeout: float | None = 30.0,
    *,
    send_dimensions: bool = False,
) -> HttpEmbedding:
    """Return an embedding model of Cohere; `host` is the base URL with its version path (`…/v2`).

    `dimension`: what vectors must have; with `send_dimensions` it is asked for. `timeout`: seconds for one call.
    """
    url = host or DEFAULT_HOST
    facts = ModelFacts("cohere", model, public_url(url), dimension=dimension, max_batch=min(max_batch, MOST_TEXTS))
    endpoint = Endpoint(model, facts.host, "the model's name", api_key or "")
    wire = CohereWire(model, dimension if send_dimensions else None)
    return HttpEmbedding(wire, facts, HttpClient(url, timeout, endpoint, bearer(api_key)), endpoint)
