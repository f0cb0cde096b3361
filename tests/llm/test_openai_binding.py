"""The OpenAI binding against the stand-in server, through the real SDK."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import orjson
import pytest

from lightrag.errors import ModelRateLimited, ModelRefused, ModelUnreachable, UnusableAnswer
from lightrag.llm.contracts import ChatModel, EmbeddingModel
from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.testing.fake_models import hash_vectors
from lightrag.testing.model_contract import ChatContract, EmbeddingContract, ask, collect
from lightrag.testing.model_dialects import Answer
from lightrag.testing.model_server import ModelServer, Reaction


class TestOpenAIChat(ChatContract):
    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return OpenAIChat("stand-in", server.openai_url, **options)


class TestOpenAIEmbedding(EmbeddingContract):
    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return OpenAIEmbedding("stand-in", server.openai_url, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        return orjson.dumps({"data": data})


async def test_parameters_of_the_model_and_of_the_request_are_sent() -> None:
    async with ModelServer() as server:
        chat = OpenAIChat("m", server.openai_url, extra={"top_p": 0.5, "seed": 1, "extra_body": {"guided": True}})
        await chat.complete(ask(max_tokens=10, temperature=0.0, json_object=True, extra=(("seed", 2),)))
        await chat.aclose()
    (body,) = server.bodies("/chat/completions")
    del body["messages"]
    assert body == {
        "model": "m",
        "top_p": 0.5,
        "seed": 2,
        "guided": True,
        "max_tokens": 10,
        "temperature": 0.0,
        "response_format": {"type": "json_object"},
    }


async def test_models_with_other_parameters_have_another_identity() -> None:
    plain, same = OpenAIChat("m", "http://h/v1"), OpenAIChat("m", "http://h/v1/")
    warm, warm_too = (OpenAIChat("m", "http://h/v1", extra={"temperature": 1, "seed": 3}) for _ in range(2))
    assert plain.facts.identity == same.facts.identity == "openai/m@http://h/v1"
    assert warm.facts.identity == warm_too.facts.identity != plain.facts.identity


@pytest.mark.parametrize("field", ["response_format", "temperature", "stream_options"])
async def test_a_parameter_that_the_server_refuses_is_left_out_from_then_on(field: str) -> None:
    async with ModelServer(rejects=[field]) as server:
        chat = OpenAIChat("m", server.openai_url)
        request = ask(json_object=True, temperature=0.1)
        for _ in range(2):
            deltas = await collect(chat, request)
            assert "".join(delta.text for delta in deltas).startswith("This is")
        await chat.aclose()
    assert [field in body for body in server.bodies("/chat/completions")] == [True, False, False]


async def test_a_stream_without_usage_from_the_server_has_an_estimate() -> None:
    async with ModelServer(rejects=["stream_options"]) as server:
        chat = OpenAIChat("m", server.openai_url)
        *_, last = await collect(chat, ask())
        await chat.aclose()
    assert last.usage is not None
    assert last.usage.estimated


async def test_max_tokens_gets_its_other_name_where_the_server_insists() -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    async with ModelServer() as server:
        server.script(Reaction.status_code(400, message=message))
        chat = OpenAIChat("m", server.openai_url)
        await chat.complete(ask(max_tokens=7))
        await chat.aclose()
    first, second = server.bodies("/chat/completions")
    assert (first.get("max_tokens"), first.get("max_completion_tokens")) == (7, None)
    assert (second.get("max_tokens"), second.get("max_completion_tokens")) == (None, 7)


async def test_a_wrong_value_of_a_parameter_is_reported_and_not_dropped() -> None:
    async with ModelServer() as server:
        server.script(Reaction.status_code(400, message="temperature must be at most 2"))
        chat = OpenAIChat("m", server.openai_url)
        with pytest.raises(ModelRefused, match="at most 2"):
            await chat.complete(ask(temperature=9.0))
        await chat.aclose()


async def test_an_error_inside_a_successful_answer_is_an_error() -> None:
    body = orjson.dumps({"error": {"code": 429, "message": "upstream is busy"}})
    async with ModelServer() as server:
        server.script(Reaction.raw(body), Reaction.raw(b"data: " + body + b"\n\n"))
        chat = OpenAIChat("m", server.openai_url)
        with pytest.raises(ModelRateLimited, match="upstream is busy"):
            await chat.complete(ask())
        with pytest.raises(ModelRateLimited, match="upstream is busy"):
            await collect(chat, ask())
        await chat.aclose()


async def test_tokens_that_the_server_had_cached_are_told() -> None:
    async with ModelServer() as server:
        server.script(Reaction.says("Yes.", usage=(1000, 2), cached_tokens=900))
        chat = OpenAIChat("m", server.openai_url)
        reply = await chat.complete(ask())
        await chat.aclose()
    assert reply.usage.cached_tokens == 900


async def test_an_answer_in_parts_is_read() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes."}]
    body = orjson.dumps({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})
    async with ModelServer() as server:
        server.script(Reaction.raw(body))
        chat = OpenAIChat("m", server.openai_url)
        assert (await chat.complete(ask())).text == "Yes."
        await chat.aclose()


async def test_embeddings_are_asked_for_in_base64_unless_the_server_refuses() -> None:
    async with ModelServer(rejects=["encoding_format"]) as server:
        model = OpenAIEmbedding("m", server.openai_url)
        first = await model.embed(["a text"], purpose="document")
        server.rejects.clear()
        await model.embed(["a text"], purpose="document")
        await model.aclose()
    bodies = server.bodies("/embeddings")
    assert [body.get("encoding_format") for body in bodies] == ["base64", None, None]
    assert float(first[0] @ hash_vectors(["a text"], 64)[0]) == pytest.approx(1.0)


async def test_dimensions_are_sent_only_when_asked_for() -> None:
    async with ModelServer() as server:
        silent = OpenAIEmbedding("m", server.openai_url, dimension=64)
        telling = OpenAIEmbedding("m", server.openai_url, dimension=32, send_dimensions=True)
        await silent.embed(["a"], purpose="document")
        assert (await telling.embed(["a"], purpose="document")).shape == (1, 32)
        await silent.aclose()
        await telling.aclose()
    assert [body.get("dimensions") for body in server.bodies("/embeddings")] == [None, 32]


async def test_questions_and_documents_have_their_own_prefixes() -> None:
    async with ModelServer() as server:
        model = OpenAIEmbedding("m", server.openai_url, query_prefix="query: ", document_prefix="passage: ")
        await model.embed(["who?"], purpose="query")
        await model.embed(["they"], purpose="document")
        await model.aclose()
    assert [body["input"] for body in server.bodies("/embeddings")] == [["query: who?"], ["passage: they"]]


async def test_vectors_that_are_no_numbers_are_unusable() -> None:
    async with ModelServer() as server:
        server.script(
            Reaction.raw(b'{"data": [{"index": 0, "embedding": [1.0, null]}]}'),
            Reaction.raw(b'{"data": [{"index": 0, "embedding": "AADAfwAAgD8="}]}'),  # NaN, 1
            Reaction.raw(b'{"data": [{"index": 0, "embedding": "AAA"}]}'),
        )
        model = OpenAIEmbedding("m", server.openai_url)
        for _ in range(3):
            with pytest.raises(UnusableAnswer):
                await model.embed(["a"], purpose="document")
        await model.aclose()


def test_the_sdk_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, lightrag.llm.openai_binding as o, lightrag.llm.ollama_binding as l, lightrag.llm.stack\n"
        "o.OpenAIChat('m'); o.OpenAIEmbedding('m'); l.OllamaChat('m'); l.OllamaEmbedding('m')\n"
        "print(sorted({'openai', 'ollama', 'httpx', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_an_address_without_its_scheme_is_an_http_address() -> None:
    async with ModelServer() as server:
        address = server.openai_url.removeprefix("http://")
        chat, embedding = OpenAIChat("m", address), OpenAIEmbedding("m", address)
        assert (await chat.complete(ask("hello"))).text
        assert (await embedding.embed(["hello"], purpose="query")).shape[0] == 1
        await chat.aclose()
        await embedding.aclose()


async def test_a_stream_without_events_is_told_from_one_that_broke_off() -> None:
    async with ModelServer() as server:
        server.script(Reaction.raw(b"<!doctype html><html><body>Please log in</body></html>"))
        chat = OpenAIChat("m", server.openai_url)
        with pytest.raises(UnusableAnswer, match="check the base URL"):
            await collect(chat, ask("hello"))
        await chat.aclose()


async def test_a_stream_whose_end_is_marked_is_complete_without_a_reason() -> None:
    async with ModelServer() as server:
        server.script(Reaction.says("Paris.", finish_reason="", usage=None))
        server.script(Reaction.raw(b'data: {"choices":[{"delta":{"content":"Paris."}}]}\r\n\r\ndata:[DONE]\r\n\r\n'))
        chat = OpenAIChat("m", server.openai_url)
        for _ in range(2):
            *pieces, last = await collect(chat, ask())
            assert "".join(piece.text for piece in pieces) == "Paris."
            assert last.finish_reason == "stop"
        await chat.aclose()


async def test_a_stream_whose_connection_closes_after_its_end_mark_is_complete() -> None:
    async with ModelServer() as server:
        # One piece, the reason (none), the end mark; then the connection drops.
        server.script(Reaction(answer=Answer("Paris.", finish_reason="", usage=None), cut_after=3))
        chat = OpenAIChat("m", server.openai_url)
        deltas = await collect(chat, ask())
        await chat.aclose()
    assert deltas[-1].finish_reason == "stop"


@pytest.mark.parametrize("broken", [Reaction.cut(2), Reaction.half_stream(2)])
async def test_a_stream_without_end_mark_and_reason_has_broken_off(broken: Reaction) -> None:
    async with ModelServer() as server:
        server.script(dataclasses.replace(broken, answer=Answer("Paris is.", finish_reason="", usage=None)))
        chat = OpenAIChat("m", server.openai_url)
        with pytest.raises(ModelUnreachable):
            await collect(chat, ask())
        await chat.aclose()


async def test_vectors_whose_indices_are_null_are_taken_in_their_order() -> None:
    async with ModelServer() as server:
        server.script(
            Reaction.raw(b'{"data": [{"index": null, "embedding": [1, 0]}, {"index": null, "embedding": [0, 1]}]}')
        )
        embedding = OpenAIEmbedding("m", server.openai_url)
        assert (await embedding.embed(["a", "b"], purpose="document")).tolist() == [[1, 0], [0, 1]]
        await embedding.aclose()
