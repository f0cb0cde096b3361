"""LoLLMs: a prompt in, bare text out."""

from __future__ import annotations

import functools

import pytest

from lightrag.errors import AccessRefused, ContextTooLong, ModelUnreachable, UnusableAnswer
from lightrag.llm.contracts import ChatRequest, Message, Role
from lightrag.llm.lollms_binding import LollmsChat, lollms_embedding
from lightrag.testing.fake_models import hash_vectors
from lightrag.testing.model_contract import SECRET, ask, collect
from lightrag.testing.model_server import Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_chat import LollmsVendor

SERVER = functools.partial(VendorServer, LollmsVendor())


async def test_a_conversation_becomes_one_prompt() -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "One?"),
        Message("assistant", "1"),
        Message("user", "2?"),
    )
    async with SERVER(api_key=SECRET) as server:
        server.script(Reaction.says("Three."))
        chat = LollmsChat("m", server.url, SECRET, options={"top_k": 5})
        reply = await chat.complete(ChatRequest(messages, Role.ANSWER, max_tokens=9, temperature=0.1))
        await chat.aclose()
    assert (reply.text, reply.finish_reason, reply.usage.estimated) == ("Three.", "stop", True)
    (request,) = server.received
    assert request.path == "/lollms_generate"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.body == {
        "model_name": "m",
        "personality": -1,
        "prompt": "!@>system: Be brief.\n!@>user: One?\n!@>assistant: 1\n!@>user: 2?\n!@>assistant: ",
        "stream": False,
        "n_predict": 9,
        "temperature": 0.1,
        "top_k": 5,
    }


async def test_a_stream_arrives_in_pieces_without_thinking() -> None:
    async with SERVER() as server:
        server.script(Reaction.says("", pieces=("<think>Hm", "m.</think>", "Grü", "ße.")))
        chat = LollmsChat("m", server.url)
        *pieces, last = await collect(chat, ask())
        await chat.aclose()
    assert "".join(piece.text for piece in pieces) == "Grüße."
    assert "".join(piece.thinking for piece in pieces) == "Hmm."
    assert last.finish_reason == "stop"
    assert server.received[0].body["stream"] is True


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"status":false,"error":"CUDA out of memory"}', ModelUnreachable),
        (b'{"status":false,"error":"prompt exceeds the context size"}', ContextTooLong),
        (b"null", UnusableAnswer),
        (b"", UnusableAnswer),
    ],
)
async def test_an_error_in_the_place_of_an_answer_is_no_answer(body: bytes, error: type[Exception]) -> None:
    async with SERVER() as server:
        server.script(Reaction.raw(body), Reaction.raw(body))
        chat = LollmsChat("m", server.url)
        with pytest.raises(error):
            await chat.complete(ask())
        with pytest.raises(error):
            await collect(chat, ask())
        await chat.aclose()


async def test_a_wrong_key_a_cut_connection_and_an_absent_server_are_told_apart() -> None:
    async with SERVER(api_key=SECRET) as server:
        chat = LollmsChat("m", server.url, "wrong")
        with pytest.raises(AccessRefused):
            await chat.complete(ask())
        await chat.aclose()
        chat = LollmsChat("m", server.url, SECRET)
        server.script(Reaction.cut(), Reaction.cut(1))
        with pytest.raises(ModelUnreachable):
            await chat.complete(ask())
        with pytest.raises(ModelUnreachable):
            await collect(chat, ask())
    with pytest.raises(ModelUnreachable, match="connection"):
        await chat.complete(ask())
    await chat.aclose()


async def test_texts_are_embedded_one_a_call() -> None:
    async with SERVER(dimension=16) as server:
        model = lollms_embedding("m", server.url)
        vectors = await model.embed(["one", "two"], purpose="document")
        await model.aclose()
    assert model.facts.dimension == 16
    assert float((vectors * hash_vectors(["one", "two"], 16)).sum()) == pytest.approx(2.0)
    assert [request.body for request in server.received] == [{"text": "one"}, {"text": "two"}]
