"""The embedding interfaces of Jina AI, Voyage AI, Cohere and Text Embeddings Inference for the stand-in vendor server.

Formats: https://api.jina.ai/redoc, https://docs.voyageai.com/reference/embeddings-api,
https://docs.cohere.com/reference/embed, https://huggingface.github.io/text-embeddings-inference
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from lightrag.llm.contracts import FloatArray
from lightrag.testing.model_dialects import Answer
from lightrag.testing.vendor_server import EMBEDDING, Rejected, Understood, VendorRequest, plain_error, require


class EmbeddingVendor:
    """What the four have in common: a bearer token, and no chat."""

    stream_type = b"application/json"

    def key(self, request: VendorRequest) -> str:
        """Return the credential."""
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """There are no streams."""
        return False

    def chat(self, model: str, answer: Answer) -> bytes:
        """There is no chat."""
        raise Rejected(404, "Not Found")

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """There are no streams."""
        raise Rejected(404, "Not Found")

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors in OpenAI's form, last one first: the order is not to be relied on."""
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if body["base64"] else vector.tolist()}
            for index, vector in enumerate(vectors)
        ]
        return orjson.dumps({"object": "list", "data": data[::-1], "usage": {"total_tokens": tokens}})

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"detail": message})


class JinaVendor(EmbeddingVendor):
    """Jina AI."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = _object(request, ["v1", "embeddings"])
        task = body.get("task")
        require(task in {None, "retrieval.query", "retrieval.passage", "text-matching"}, 422, "task: not permitted")
        require(task is None or "-v2" not in body["model"], 422, "task: not permitted for this model")
        require(body.get("truncate") is False, 422, "the test wants truncation refused")
        wanted = body.get("dimensions")
        return _understood(body["model"], body["input"], wanted, body.get("embedding_type") == "base64")


class VoyageVendor(EmbeddingVendor):
    """Voyage AI."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = _object(request, ["v1", "embeddings"])
        require(body.get("input_type") in {None, "query", "document"}, 400, "input_type: invalid")
        require(body.get("truncation") is False, 400, "the test wants truncation refused")
        wanted = body.get("output_dimension")
        return _understood(body["model"], body["input"], wanted, body.get("encoding_format") == "base64")


class CohereVendor(EmbeddingVendor):
    """Cohere."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = _object(request, ["v2", "embed"])
        require(body.get("input_type") in {"search_query", "search_document"}, 400, "input_type is required")
        require(body.get("embedding_types") == ["float"], 400, "embedding_types is required")
        require(body.get("truncate") == "NONE", 400, "the test wants truncation refused")
        require(len(body["texts"]) <= 96, 400, "too many texts, at most 96")
        return _understood(body["model"], body["texts"], body.get("output_dimension"), False)

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors by type."""
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        return orjson.dumps({"id": "1", "embeddings": {"float": vectors.tolist()}, "meta": meta})

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"id": "1", "message": message})


class TeiVendor(EmbeddingVendor):
    """Text Embeddings Inference."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        body = _object(request, ["embed"])
        require("inputs" in body, 422, "missing field `inputs`")
        require(len(body["inputs"]) <= 32, 422, f"batch size {len(body['inputs'])} > maximum allowed batch size 32")
        require(body.get("truncate") is False, 422, "the test wants truncation refused")
        return _understood("stand-in", body["inputs"], body.get("dimensions"), False)

    def headers(self, tokens: int) -> list[tuple[bytes, bytes]]:
        """Return the headers of vectors: only they tell of tokens."""
        return [(b"x-compute-tokens", str(tokens).encode())]

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return a bare list."""
        return orjson.dumps(vectors.tolist())

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object."""
        return orjson.dumps({"error": message, "error_type": "Validation"})


def _object(request: VendorRequest, words: list[str]) -> dict[str, Any]:
    require(request.method == "POST" and request.words == words, 404, "Not Found")
    require(isinstance(request.body, dict), 422, "the body should be a JSON object")
    body: dict[str, Any] = request.body
    return body


def _understood(model: str, texts: list[str], dimensions: int | None, as_base64: bool) -> Understood:
    return Understood(EMBEDDING, {"model": model, "input": texts, "dimensions": dimensions, "base64": as_base64})


def _base64(vector: FloatArray) -> str:
    return base64.b64encode(vector.tobytes()).decode()
