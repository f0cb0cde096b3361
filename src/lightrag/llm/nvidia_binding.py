"""Embedding models of NVIDIA: OpenAI's form, with the kind of text said of each call.

Format: https://docs.nvidia.com/nim/nemo-retriever/text-embedding (POST /v1/embeddings)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightrag.llm.contracts import ModelFacts
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.http_embedding import HttpEmbedding, Purpose, ordered
from lightrag.llm.vectors import Encoded

DEFAULT_HOST = "https://integrate.api.nvidia.com/v1"
MOST_TEXTS = 50


class NvidiaWire:
    """NVIDIA's embedding calls; a text that is too long is an error (`truncate: NONE`)."""

    def __init__(self, model: str, dimensions: int | None) -> None:
        self._fixed: dict[str, Any] = {"model": model, "encoding_format": "float", "truncate": "NONE"}
        if dimensions:
            self._fixed["dimensions"] = dimensions

    def path(self) -> str:
        """Return the path below the base URL."""
        return "/embeddings"

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        return {**self._fixed, "input_type": "query" if purpose == "query" else "passage", "input": list(texts)}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vectors of an answer."""
        return ordered(answer["data"])


def nvidia_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    max_batch: int = MOST_TEXTS,
    timeout: float | None = 30.0,
    *,
    send_dimensions: bool = False,
) -> HttpEmbedding:
    """Return an embedding model of NVIDIA; `host` is the base URL with its version path.

    `dimension`: what vectors must have; with `send_dimensions` it is asked for. `timeout`: seconds for one call.
    """
    url = host or DEFAULT_HOST
    facts = ModelFacts("nvidia", model, public_url(url), dimension=dimension, max_batch=min(max_batch, MOST_TEXTS))
    endpoint = Endpoint(model, facts.host, "the model's name", api_key or "")
    wire = NvidiaWire(model, dimension if send_dimensions else None)
    return HttpEmbedding(wire, facts, HttpClient(url, timeout, endpoint, bearer(api_key)), endpoint)
