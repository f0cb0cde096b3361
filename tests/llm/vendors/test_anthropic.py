"""Anthropic's messages, through the real SDK."""

from __future__ import annotations

import functools
from typing import Any

import orjson
import pytest

from lightrag.errors import AccessRefused, ModelRateLimited, ModelUnreachable
from lightrag.llm.anthropic_binding import AnthropicChat
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role
from lightrag.testing.model_contract import SECRET, ChatContract, ask, collect
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_chat import AnthropicVendor

SERVER = functools.partial(VendorServer, AnthropicVendor())


class TestAnthropicChat(ChatContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return AnthropicChat("stand-in", server.url, **options)


async def test_a_conversation_is_written_in_the_vendor_s_form() -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "One."),
        Message("user", "Two."),
        Message("assistant", "Three?"),
        Message("user", "Four."),
    )
    async with SERVER() as server:
        chat = AnthropicChat("m", f"{server.url}/v1", "secret", options={"max_tokens": 500, "top_k": 3})
        await chat.complete(ChatRequest(messages, Role.ANSWER, temperature=0.2, json_object=True))
        await chat.aclose()
    (request,) = server.received
    assert request.path == "/v1/messages"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.body == {
        "model": "m",
        "max_tokens": 500,
        "top_k": 3,
        "temperature": 0.2,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "One.\n\nTwo."},
            {"role": "assistant", "content": "Three?"},
            {"role": "user", "content": "Four."},
        ],
    }


async def test_no_credentials_of_the_vendor_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    async with SERVER() as server:
        chat = AnthropicChat("m", server.url)
        await chat.complete(ask())
        await chat.aclose()
    assert SECRET not in str(server.received[0].headers)
    assert "authorization" not in server.received[0].headers


async def test_more_tokens_than_the_model_can_write_are_not_asked_for_again() -> None:
    message = "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for m"
    async with SERVER() as server:
        server.script(Reaction.status_code(400, message=message))
        chat = AnthropicChat("m", server.url)
        await chat.complete(ask())
        await chat.complete(ask(max_tokens=10))
        await chat.aclose()
    assert [request.body["max_tokens"] for request in server.received] == [8192, 4096, 10]


async def test_a_temperature_that_the_model_does_not_take_is_left_out_from_then_on() -> None:
    async with SERVER() as server:
        server.script(Reaction.status_code(400, message="`temperature` is deprecated for this model."))
        chat = AnthropicChat("m", server.url)
        for _ in range(2):
            await chat.complete(ask(temperature=0.5))
        await chat.aclose()
    assert ["temperature" in request.body for request in server.received] == [True, False, False]


@pytest.mark.parametrize(
    ("kind", "error"), [("overloaded_error", ModelUnreachable), ("rate_limit_error", ModelRateLimited)]
)
async def test_an_error_inside_a_stream_is_told_apart(kind: str, error: type[Exception]) -> None:
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": "Overloaded"}})
    async with SERVER() as server:
        server.script(Reaction.raw(b"event: error\ndata: " + body + b"\n\n"))
        chat = AnthropicChat("m", server.url)
        with pytest.raises(error, match="Overloaded"):
            await collect(chat, ask())
        await chat.aclose()


async def test_a_used_up_account_is_told_apart_from_a_bad_request() -> None:
    message = "Your credit balance is too low to access the Anthropic API."
    async with SERVER() as server:
        server.script(Reaction.status_code(400, message=message))
        chat = AnthropicChat("m", server.url)
        with pytest.raises(AccessRefused, match="add credit"):
            await chat.complete(ask())
        await chat.aclose()


async def test_tokens_that_the_server_had_cached_are_told() -> None:
    async with SERVER() as server:
        server.script(*[Reaction.says("Yes.", usage=(1000, 2), cached_tokens=900)] * 2)
        chat = AnthropicChat("m", server.url)
        reply = await chat.complete(ask())
        *_, last = await collect(chat, ask())
        await chat.aclose()
    assert last.usage == reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (1000, 2, 900)
