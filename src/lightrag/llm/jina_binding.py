"""Embedding models of Jina AI.

Format: https://api.jina.ai/redoc (POST /v1/embeddings)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightrag.llm.contracts import ModelFacts
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.http_embedding import HttpEmbedding, Purpose, ordered
from lightrag.llm.vectors import Encoded

DEFAULT_HOST = "https://api.jina.ai/v1"
MOST_TEXTS = 512

_WITHOUT_TASKS = ("-v1", "-v2", "jina-clip-v1", "jina-colbert")
"""Parts of the names of models that know no tasks and refuse to be given one."""


class JinaWire:
    """Jina's embedding calls: OpenAI's form with tasks; a text that is too long is an error."""

    def __init__(self, model: str, dimensions: int | None) -> None:
        self._fixed: dict[str, Any] = {"model": model, "embedding_type": "base64", "truncate": False}
        if dimensions:
            self._fixed["dimensions"] = dimensions
        self._has_tasks = not any(part in model for part in _WITHOUT_TASKS)

    def path(self) -> str:
        """Return the path below the base URL."""
        return "/embeddings"

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        task = {"task": "retrieval.query" if purpose == "query" else "retrieval.passage"} if self._has_tasks else {}
        return {**self._fixed, **task, "input": list(texts)}

    def vectors(self, answer: Any) -> list[Encoded]:
        """Return the vectors of an answer."""
        return ordered(answer["data"])


def jina_embedding(
    model: str,
    host: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    max_batch: int = 64,
    timeout: float | None = 30.0,
    *,
    send_dimensions: bool = False,
) -> HttpEmbedding:
    """Return an embedding model of Jina AI; `host` is the base URL with its version path.

    `dimension`: what vectors must have; with `send_dimensions` it is asked for. `timeout`: seconds for one call.
    """
    url = host or DEFAULT_HOST
    facts = ModelFacts("jina", model, public_url(url), dimension=dimension, max_batch=min(max_batch, MOST_TEXTS))
    endpoint = Endpoint(model, facts.host, "the model's name", api_key or "")
    wire = JinaWire(model, dimension if send_dimensions else None)
    return HttpEmbedding(wire, facts, HttpClient(url, timeout, endpoint, bearer(api_key)), endpoint)
