"""Embedding models behind Hugging Face's Text Embeddings Inference, in the server's own form.

Format: https://huggingface.github.io/text-embeddings-inference (POST /embed)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightrag.llm.contracts import ModelFacts
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.http_embedding import HttpEmbedding, Purpose
from lightrag.llm.vectors import Encoded

DEFAULT_HOST = "http://localhost:8080"
MOST_TEXTS = 32
"""What the server takes in one call unless it was started with another `--max-client-batch-size`."""


class TeiWire:
    """The server's embedding calls; it serves one model, so that none is named."""

    def __init__(self, prefixes: dict[Purpose, str], dimensions: int | None) -> None:
        self._prefixes = prefixes
        self._fixed: dict[str, Any] = {"normalize": True, "truncate": False}
        if dimensions:
            self._fixed["dimensions"] = dimensions

    def path(self) -> str:
        """Return the path below the base URL."""
        return "/embed"

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        prefix = self._prefixes[purpose]
        return {**self._fixed, "inputs": [prefix + text for text in texts]}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vectors of an answer, a bare list."""
        if not isinstance(answer, list):
            raise TypeError("the answer should be a list")
        return answer


def tei_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    max_batch: int = MOST_TEXTS,
    timeout: float | None = 30.0,
    *,
    send_dimensions: bool = False,
    query_prefix: str = "",
    document_prefix: str = "",
) -> HttpEmbedding:
    """Return the embedding model that a server runs; `model` is what it is called here.

    `dimension`: what vectors must have; with `send_dimensions` it is asked for. `query_prefix` and `document_prefix`
    go before each text. `timeout`: seconds for one call.
    """
    url = host or DEFAULT_HOST
    facts = ModelFacts("tei", model, public_url(url), dimension=dimension, max_batch=max_batch)
    endpoint = Endpoint(model, facts.host, "that the server runs an embedding model", api_key or "")
    wire = TeiWire({"query": query_prefix, "document": document_prefix}, dimension if send_dimensions else None)
    return HttpEmbedding(wire, facts, HttpClient(url, timeout, endpoint, bearer(api_key)), endpoint)
