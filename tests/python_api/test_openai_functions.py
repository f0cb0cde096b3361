"""`lightrag.llm.openai` against a server that speaks the dialect, well and badly."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from lightrag.llm import ollama_embedding, ollama_model_complete, openai_complete_if_cache
from lightrag.llm.openai import (
    ContextLengthExceededError,
    EmptyResponseError,
    InvalidResponseError,
    QuotaExceededError,
    create_openai_async_client,
    openai_complete,
    openai_embed,
)
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.utils import TokenTracker


def asked(server: ModelServer, **kwargs: Any) -> Any:
    return openai_complete_if_cache("any", "Hello", base_url=server.openai_url, api_key="key", **kwargs)


async def test_a_prompt_is_sent_with_its_history_and_parameters(server: ModelServer) -> None:
    server.script(Reaction.says("Hi."))
    history = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    tracker = TokenTracker()
    answer = await asked(
        server,
        system_prompt="Be brief.",
        history_messages=history,
        temperature=0.5,
        hashing_kv=object(),
        token_tracker=tracker,
        openai_client_configs={"default_headers": {"X-Team": "blue"}},
    )
    assert answer == "Hi."
    [request] = server.requests
    assert [message["content"] for message in request.body["messages"]] == ["Be brief.", "one", "two", "Hello"]
    assert request.body["temperature"] == 0.5
    assert "hashing_kv" not in request.body
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["x-team"] == "blue"
    assert tracker.get_usage()["call_count"] == 1


async def test_a_streamed_answer_is_a_generator(server: ModelServer) -> None:
    server.script(Reaction.says("one two", pieces=["one ", "two"]))
    answer = await asked(server, stream=True)
    assert inspect.isasyncgen(answer)
    assert [piece async for piece in answer] == ["one ", "two"]


async def test_keywords_are_asked_for_as_an_object(server: ModelServer) -> None:
    await asked(server, keyword_extraction=True)
    assert server.requests[0].body["response_format"] == {"type": "json_object"}


async def test_the_model_is_read_from_the_configuration(server: ModelServer) -> None:
    kv = SimpleNamespace(global_config={"llm_model_name": "chosen"})
    await openai_complete("Hello", hashing_kv=kv, base_url=server.openai_url, api_key="key")
    assert server.requests[0].body["model"] == "chosen"


@pytest.mark.parametrize(
    ("reaction", "kind", "advice"),
    [
        (Reaction.status_code(401, message="bad key"), openai.AuthenticationError, "check the API key"),
        (Reaction.status_code(404, message="no model"), openai.NotFoundError, "check the base URL"),
        (Reaction.status_code(429, code="insufficient_quota"), QuotaExceededError, "add credit"),
        (Reaction.status_code(400, code="context_length_exceeded"), ContextLengthExceededError, "smaller chunks"),
    ],
)
async def test_failures_that_last_are_told_apart(
    server: ModelServer, reaction: Reaction, kind: type[Exception], advice: str
) -> None:
    server.script(reaction)
    with pytest.raises(kind, match=advice):
        await asked(server)
    assert len(server.requests) == 1


async def test_failures_that_pass_are_tried_again(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    server.script(Reaction.status_code(429, retry_after="0"), Reaction.says(""), Reaction.says("Hi."))
    assert await asked(server) == "Hi."


async def test_answers_of_no_use_are_told_apart(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    server.script(*[Reaction.says("")] * 3)
    with pytest.raises(EmptyResponseError, match="empty"):
        await asked(server)
    server.script(*[Reaction.raw(b'{"object": "nothing"}')] * 3)
    with pytest.raises(InvalidResponseError, match="not a chat completion"):
        await asked(server)


async def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    with pytest.raises(openai.APIConnectionError, match=r"127\.0\.0\.1:9"):
        await openai_complete_if_cache("any", "Hello", base_url="http://127.0.0.1:9/v1", api_key="key")


async def test_embeddings_come_in_the_order_of_the_texts(server: ModelServer) -> None:
    arguments = {"model": "small", "base_url": server.openai_url, "api_key": ""}
    both = await openai_embed(["one", "two"], **arguments)
    second = await openai_embed.func(["two"], **arguments)
    assert both.shape == (2, 16)
    assert both[1] == pytest.approx(second[0])


async def test_the_key_must_come_from_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(KeyError, match="OPENAI_API_KEY"):
        create_openai_async_client()
    monkeypatch.setenv("OPENAI_API_BASE", "http://elsewhere/v1")
    async with create_openai_async_client("key") as client:
        assert str(client.base_url) == "http://elsewhere/v1/"


async def test_ollama_is_spoken_by_its_functions(server: ModelServer) -> None:
    kv = SimpleNamespace(global_config={"llm_model_name": "llama"})
    server.script(Reaction.says("Hi."))
    assert await ollama_model_complete("Hello", hashing_kv=kv, host=server.url, options={"num_ctx": 4096}) == "Hi."
    assert (await ollama_embedding(["one"], embed_model="bge", host=server.url)).shape == (1, 16)
