"""The embeddings of Jina AI, Voyage AI, Cohere and Text Embeddings Inference."""

from __future__ import annotations

import functools
from typing import Any

import orjson

from lightrag.llm.cohere_binding import cohere_embedding
from lightrag.llm.contracts import EmbeddingModel
from lightrag.llm.jina_binding import jina_embedding
from lightrag.llm.tei_binding import tei_embedding
from lightrag.llm.voyageai_binding import voyageai_embedding
from lightrag.testing.model_contract import EmbeddingContract
from lightrag.testing.model_server import ModelServer
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_embedding import CohereVendor, JinaVendor, TeiVendor, VoyageVendor

JINA = functools.partial(VendorServer, JinaVendor())
VOYAGE = functools.partial(VendorServer, VoyageVendor())
COHERE = functools.partial(VendorServer, CohereVendor())
TEI = functools.partial(VendorServer, TeiVendor())


def openai_form(vectors: list[list[float]]) -> bytes:
    return orjson.dumps({"data": [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]})


class TestJina(EmbeddingContract):
    server_type = staticmethod(JINA)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return jina_embedding("stand-in", f"{server.url}/v1", **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return openai_form(vectors)


class TestVoyage(EmbeddingContract):
    server_type = staticmethod(VOYAGE)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return voyageai_embedding("stand-in", f"{server.url}/v1", **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return openai_form(vectors)


class TestCohere(EmbeddingContract):
    server_type = staticmethod(COHERE)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return cohere_embedding("stand-in", f"{server.url}/v2", **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps({"embeddings": {"float": vectors}})


class TestTei(EmbeddingContract):
    server_type = staticmethod(TEI)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return tei_embedding("stand-in", server.url, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps(vectors)


async def test_jina_is_told_the_task_where_the_model_knows_tasks() -> None:
    async with JINA() as server:
        for model in ("jina-embeddings-v3", "jina-embeddings-v2-base-en"):
            embedding = jina_embedding(model, f"{server.url}/v1", "secret", 32, send_dimensions=True)
            await embedding.embed(["a"], purpose="document")
            await embedding.embed(["b"], purpose="query")
            await embedding.aclose()
    first = server.received[0]
    assert (first.path, first.headers["authorization"]) == ("/v1/embeddings", "Bearer secret")
    assert first.body == {
        "model": "jina-embeddings-v3",
        "input": ["a"],
        "task": "retrieval.passage",
        "dimensions": 32,
        "embedding_type": "base64",
        "truncate": False,
    }
    assert [r.body.get("task") for r in server.received] == ["retrieval.passage", "retrieval.query", None, None]


async def test_voyage_is_told_the_purpose() -> None:
    async with VOYAGE() as server:
        embedding = voyageai_embedding("voyage-x", f"{server.url}/v1", "secret", 32, send_dimensions=True)
        await embedding.embed(["a"], purpose="query")
        await embedding.aclose()
    (request,) = server.received
    assert (request.path, request.headers["authorization"]) == ("/v1/embeddings", "Bearer secret")
    assert request.body == {
        "model": "voyage-x",
        "input": ["a"],
        "input_type": "query",
        "output_dimension": 32,
        "encoding_format": "base64",
        "truncation": False,
    }


async def test_cohere_is_told_the_purpose_and_gets_at_most_96_texts() -> None:
    async with COHERE() as server:
        embedding = cohere_embedding("embed-x", f"{server.url}/v2", "secret", max_batch=500)
        await embedding.embed(["a"] * 100, purpose="document")
        await embedding.aclose()
    first, second = server.received
    assert (first.path, first.headers["authorization"]) == ("/v2/embed", "Bearer secret")
    assert first.body | {"texts": []} == {
        "model": "embed-x",
        "texts": [],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    assert [len(request.body["texts"]) for request in (first, second)] == [96, 4]


async def test_a_tei_server_gets_prefixes_and_no_model() -> None:
    async with TEI() as server:
        embedding = tei_embedding("bge", server.url, "secret", query_prefix="query: ")
        await embedding.embed(["a"], purpose="query")
        await embedding.embed(["b"] * 40, purpose="document")
        await embedding.aclose()
    assert server.received[0].path == "/embed"
    assert server.received[0].headers["authorization"] == "Bearer secret"
    assert server.received[0].body == {"inputs": ["query: a"], "normalize": True, "truncate": False}
    assert [len(request.body["inputs"]) for request in server.received] == [1, 32, 8]
