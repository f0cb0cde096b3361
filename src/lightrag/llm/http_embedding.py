"""Embedding models behind plain HTTP interfaces: what differs between vendors is a small `EmbeddingWire`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import orjson

from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.http_client import HttpClient
from lightrag.llm.usage import note_tokens, told_tokens
from lightrag.llm.vectors import Encoded, batches, by_index, decode_vectors, joined

Purpose = Literal["document", "query"]


class EmbeddingWire(Protocol):
    """How one vendor writes an embedding call."""

    def path(self) -> str:
        """Return the path below the base URL."""
        ...

    def body(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        """Return the request."""
        ...

    def vectors(self, answer: Any) -> Sequence[Encoded]:
        """Return the vectors of an answer in the order of the texts; raises what reading nonsense raises."""
        ...


class HttpEmbedding:
    """An embedding model; `facts.max_batch` texts go into one call. Closing it closes `client`."""

    def __init__(self, wire: EmbeddingWire, facts: ModelFacts, client: HttpClient, endpoint: Endpoint) -> None:
        self._wire = wire
        self._facts = facts
        self._client = client
        self._endpoint = endpoint

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension); raises `ContextTooLong` for a long text."""
        parts = [await self._call(batch, purpose) for batch in batches(texts, self._facts.max_batch)]
        return joined(parts, self._facts.dimension)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, texts: Sequence[str], purpose: Purpose) -> FloatArray:
        raw, headers = await self._client.exchange(self._wire.path(), self._wire.body(texts, purpose))
        try:
            answer = orjson.loads(raw)
            encoded = self._wire.vectors(answer)
            count = len(encoded)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer holds no embeddings, it begins {start!r}") from error
        if count != len(texts):
            raise self._endpoint.unusable(f"{count} vectors came back for {len(texts)} texts")
        note_tokens(told_tokens(answer, headers))
        vectors = decode_vectors(encoded, len(texts), self._facts.dimension, self._endpoint)
        if self._facts.dimension is None:
            self._facts = dataclasses.replace(self._facts, dimension=vectors.shape[1])
        return vectors


def ordered(data: Any) -> list[Encoded]:
    """Return the vectors of OpenAI's form, `[{"index", "embedding"}]`, by index."""
    return [item["embedding"] for item in by_index(data)]
