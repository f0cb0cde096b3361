"""Gemini, through the real SDK."""

from __future__ import annotations

import functools
from typing import Any

import orjson
import pytest

from lightrag.errors import AccessRefused, ModelRateLimited, ModelRefused, UnusableAnswer
from lightrag.llm.contracts import ChatModel, EmbeddingModel
from lightrag.llm.gemini_binding import GeminiChat, GeminiEmbedding
from lightrag.testing.model_contract import SECRET, ChatContract, EmbeddingContract, ask
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_chat import GeminiVendor

SERVER = functools.partial(VendorServer, GeminiVendor())


class TestGeminiChat(ChatContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return GeminiChat("stand-in", server.url, **options)


class TestGeminiEmbedding(EmbeddingContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return GeminiEmbedding("stand-in", server.url, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps({"embeddings": [{"values": vector} for vector in vectors]})


async def test_a_conversation_is_written_in_the_vendor_s_form() -> None:
    async with SERVER() as server:
        options = {"seed": 7, "top_k": 3}
        chat = GeminiChat("gemini-x", f"{server.url}/v1beta", "secret", options=options)
        await chat.complete(ask("Hello", temperature=0.2, max_tokens=50, json_object=True))
        await chat.aclose()
    (request,) = server.received
    assert request.path == "/v1beta/models/gemini-x:generateContent"
    assert request.headers["x-goog-api-key"] == "secret"
    assert "key" not in request.query
    assert request.body["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]
    assert request.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert request.body["generationConfig"] == {
        "temperature": 0.2,
        "topK": 3,
        "maxOutputTokens": 50,
        "responseMimeType": "application/json",
        "seed": 7,
    }


async def test_texts_are_embedded_one_by_one_and_for_their_purpose() -> None:
    async with SERVER() as server:
        model = GeminiEmbedding("gemini-embedding-2", server.url, "secret", dimension=32, send_dimensions=True)
        assert (await model.embed(["one", "two"], purpose="document")).shape == (2, 32)
        await model.embed(["who?"], purpose="query")
        await model.aclose()
    first, second = server.received
    assert first.path == "/v1beta/models/gemini-embedding-2:batchEmbedContents"
    assert first.headers["x-goog-api-key"] == "secret"
    assert [item["taskType"] for item in first.body["requests"]] == ["RETRIEVAL_DOCUMENT"] * 2
    assert [item["taskType"] for item in second.body["requests"]] == ["RETRIEVAL_QUERY"]


async def test_no_credentials_of_the_vendor_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    async with SERVER() as server:
        chat = GeminiChat("m", server.url)
        await chat.complete(ask())
        await chat.aclose()
    assert "x-goog-api-key" not in server.received[0].headers
    assert SECRET not in str(server.received[0])


async def test_a_wait_that_is_told_in_the_body_of_an_error_is_believed() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}]
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": details}}
    async with SERVER() as server:
        server.script(Reaction.status_code(429, message="slow down"))
        server._vendor.failure = lambda *_: orjson.dumps(error)  # type: ignore[method-assign]
        chat = GeminiChat("m", server.url)
        with pytest.raises(ModelRateLimited) as caught:
            await chat.complete(ask())
        await chat.aclose()
        del server._vendor.failure
    assert caught.value.retry_after == 7.5


async def test_a_wrong_key_is_told_apart_from_a_bad_request() -> None:
    async with SERVER() as server:
        server.script(Reaction.status_code(400, message="API key not valid. Please pass a valid API key."))
        chat = GeminiChat("m", server.url)
        with pytest.raises(AccessRefused, match="check the API key"):
            await chat.complete(ask())
        await chat.aclose()


async def test_a_blocked_prompt_says_why() -> None:
    async with SERVER() as server:
        server.script(Reaction.raw(b'{"promptFeedback": {"blockReason": "SAFETY"}}'))
        chat = GeminiChat("m", server.url)
        with pytest.raises(UnusableAnswer, match="SAFETY"):
            await chat.complete(ask())
        await chat.aclose()


async def test_a_parameter_that_does_not_exist_is_refused_by_name() -> None:
    async with SERVER() as server:
        chat = GeminiChat("m", server.url, options={"temprature": 1})
        with pytest.raises(ModelRefused, match="temprature"):
            await chat.complete(ask())
        await chat.aclose()
    assert server.received == []
