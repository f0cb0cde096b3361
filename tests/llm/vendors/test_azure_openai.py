"""Azure OpenAI: deployments, versions, and the key in its own header."""

from __future__ import annotations

import functools
from typing import Any

import orjson

from lightrag.llm.azure_openai_binding import azure_openai_chat, azure_openai_embedding
from lightrag.llm.contracts import ChatModel, EmbeddingModel
from lightrag.testing.model_contract import ChatContract, EmbeddingContract, ask
from lightrag.testing.model_server import ModelServer
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_chat import AzureVendor

SERVER = functools.partial(VendorServer, AzureVendor())


class TestAzureChat(ChatContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return azure_openai_chat("stand-in", server.url, **options)


class TestAzureEmbedding(EmbeddingContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return azure_openai_embedding("stand-in", server.url, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps({"data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]})


async def test_a_deployment_is_addressed_in_the_path_and_the_key_goes_in_its_own_header() -> None:
    async with SERVER() as server:
        chat = azure_openai_chat("my gpt", server.url + "/", "secret", api_version="2025-01-01")
        await chat.complete(ask(json_object=True))
        await chat.aclose()
    (request,) = server.received
    assert request.path == "/openai/deployments/my%20gpt/chat/completions"
    assert request.query == {"api-version": "2025-01-01"}
    assert request.headers["api-key"] == "secret"
    assert "authorization" not in request.headers
    assert request.body["response_format"] == {"type": "json_object"}
    assert chat.facts.identity == f"azure_openai/my gpt@{server.url}/openai/deployments/my%20gpt"


async def test_an_endpoint_of_the_new_kind_has_no_deployments_and_no_versions() -> None:
    async with SERVER() as server:
        model = azure_openai_embedding("small", f"{server.url}/openai/v1/", "secret")
        await model.embed(["a"], purpose="query")
        await model.aclose()
    (request,) = server.received
    assert (request.path, request.query) == ("/openai/v1/embeddings", {})
    assert request.headers["api-key"] == "secret"
    assert request.body["model"] == "small"
