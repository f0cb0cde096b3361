"""The Ollama binding against the stand-in server, through the real SDK."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from lightrag.errors import ModelRefused, ModelUnreachable
from lightrag.llm.contracts import ChatModel, EmbeddingModel
from lightrag.llm.ollama_binding import OllamaChat, OllamaEmbedding, ollama_models
from lightrag.testing.model_contract import ChatContract, EmbeddingContract, ask, closed_port, collect
from lightrag.testing.model_server import ModelServer, Reaction


class TestOllamaChat(ChatContract):
    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return OllamaChat("stand-in", server.url, **options)


class TestOllamaEmbedding(EmbeddingContract):
    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return OllamaEmbedding("stand-in", server.url, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps({"embeddings": vectors})


@pytest.mark.parametrize(
    ("model_has", "told", "asked"),
    [(131072, None, 32768), (8192, None, 8192), (131072, 65536, 65536), (8192, 32768, 8192), (131072, 4096, 4096)],
)
async def test_the_context_is_asked_for_as_far_as_the_model_has_it(
    model_has: int, told: int | None, asked: int
) -> None:
    async with ModelServer(context_tokens=model_has) as server:
        chat = OllamaChat("m", server.url, num_ctx=told)
        await chat.complete(ask())
        await collect(chat, ask())
        await chat.aclose()
    assert [body["options"]["num_ctx"] for body in server.bodies("/api/chat")] == [asked, asked]
    assert chat.facts.context_tokens == asked
    assert len(server.bodies("/api/show")) == 1


async def test_a_server_that_speaks_the_dialect_but_does_not_show_models_is_used() -> None:
    class ServerWithoutShow(ModelServer):
        def _information(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
            return None if path == "/api/show" else super()._information(path, body)

    async with ServerWithoutShow() as server:
        chat = OllamaChat("m", server.url)
        await chat.complete(ask())
        await collect(chat, ask())
        await chat.aclose()
    assert [body["options"]["num_ctx"] for body in server.bodies("/api/chat")] == [32768, 32768]


async def test_the_server_is_told_not_to_cut_the_prompt() -> None:
    async with ModelServer() as server:
        chat, embedding = OllamaChat("m", server.url), OllamaEmbedding("m", server.url)
        await chat.complete(ask())
        await collect(chat, ask())
        await embedding.embed(["a"], purpose="document")
        await chat.aclose()
        await embedding.aclose()
    bodies = [*server.bodies("/api/chat"), *server.bodies("/api/embed")]
    assert [body["truncate"] for body in bodies] == [False, False, False]


async def test_parameters_of_the_model_and_of_the_request_are_sent() -> None:
    async with ModelServer() as server:
        options = {"top_p": 0.5, "seed": 1, "think": False, "keep_alive": "10m", "num_ctx": 4096}
        chat = OllamaChat("m", server.url, options=options)
        await chat.complete(ask(max_tokens=10, temperature=0.0, json_object=True, extra=(("seed", 2),)))
        await chat.aclose()
    (body,) = server.bodies("/api/chat")
    assert body["options"] == {"top_p": 0.5, "seed": 2, "num_ctx": 4096, "num_predict": 10, "temperature": 0.0}
    assert (body["think"], body["keep_alive"], body["format"]) == (False, "10m", "json")


async def test_a_model_that_is_not_there_names_the_command_that_fetches_it() -> None:
    async with ModelServer(models=["mistral-nemo:latest"]) as server:
        chat = OllamaChat("qwen3:8b", server.url)
        with pytest.raises(ModelRefused, match="ollama pull qwen3:8b"):
            await chat.complete(ask())
        await chat.aclose()


async def test_an_error_in_the_middle_of_a_stream_is_an_error() -> None:
    line = b'{"model":"m","message":{"role":"assistant","content":"Yes"},"done":false}\n'
    async with ModelServer() as server:
        server.script(Reaction.raw(line + b'{"error":"the runner has stopped"}\n'))
        chat = OllamaChat("m", server.url)
        with pytest.raises(ModelUnreachable, match="the runner has stopped"):
            await collect(chat, ask())
        await chat.aclose()


async def test_the_models_of_a_server_are_listed_and_an_absent_server_has_none() -> None:
    async with ModelServer(models=["a:latest", "b:7b"]) as server:
        assert await ollama_models(server.url) == ("a:latest", "b:7b")
    assert await ollama_models(f"http://127.0.0.1:{closed_port()}") == ()
