"""Metering, batching, and the whole stack over real HTTP."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from lightrag.errors import ModelRefused, ModelUnreachable
from lightrag.llm.contracts import Role
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import MeteredChat, UsageMeter, UsageRow
from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.llm.retry import RetryPolicy
from lightrag.llm.stack import chat_stack, embedding_stack
from lightrag.testing.fake_models import FakeChat, FakeEmbedding, hash_vectors
from lightrag.testing.model_contract import ask, collect
from lightrag.testing.model_server import ModelServer, Reaction

from .test_cache import Store

QUICK = RetryPolicy(base=0.001, most=0.002)


def only_row(meter: UsageMeter) -> UsageRow:
    (row,) = meter.snapshot()
    return row


async def test_calls_tokens_and_errors_are_counted_by_role_and_model() -> None:
    meter = UsageMeter()
    async with ModelServer() as server:
        server.script(
            Reaction.says("a", usage=(100, 10), cached_tokens=60),
            Reaction.says("b", usage=None),
            Reaction.status_code(500),
        )
        chat = MeteredChat(OpenAIChat("m", server.openai_url), meter)
        await chat.complete(ask(role=Role.EXTRACT))
        await chat.complete(ask(role=Role.KEYWORDS))
        with pytest.raises(ModelUnreachable):
            await chat.complete(ask(role=Role.EXTRACT))
        await chat.aclose()
    extract, keywords = meter.snapshot()
    assert (extract.role, extract.model, extract.calls, extract.errors) == ("extract", "openai/m", 2, 1)
    assert (extract.prompt_tokens, extract.completion_tokens, extract.cached_tokens) == (100, 10, 60)
    assert (extract.estimated_tokens, keywords.estimated_tokens > 0) == (0, True)
    assert extract.seconds > 0


async def test_a_stream_that_was_given_up_is_counted_with_what_it_had_written() -> None:
    meter = UsageMeter()
    stream = MeteredChat(FakeChat(["one two three four"]), meter).stream(ask())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    row = only_row(meter)
    assert (row.calls, row.aborted, row.errors) == (1, 1, 0)
    assert row.completion_tokens == 1
    assert row.estimated_tokens == row.prompt_tokens + row.completion_tokens


async def test_a_finished_stream_is_counted_once() -> None:
    meter = UsageMeter()
    await collect(MeteredChat(FakeChat(["one two"]), meter), ask())
    row = only_row(meter)
    assert (row.calls, row.aborted, row.completion_tokens, row.estimated_tokens) == (1, 0, 1, 0)


async def test_a_snapshot_does_not_change_any_more() -> None:
    meter = UsageMeter()
    chat = MeteredChat(FakeChat(), meter)
    await chat.complete(ask())
    before = only_row(meter)
    await chat.complete(ask())
    assert (before.calls, only_row(meter).calls) == (1, 2)


async def test_texts_are_embedded_in_batches_side_by_side_and_come_back_in_order() -> None:
    texts = [f"text {number}" for number in range(25)]
    model = FakeEmbedding(delay=0.005)
    vectors = await BatchedEmbedding(model, 4).embed(texts, purpose="document")
    np.testing.assert_array_equal(vectors, hash_vectors(texts, 64))
    assert sorted(map(len, model.batches), reverse=True) == [4, 4, 4, 4, 4, 4, 1]
    assert model.peak > 1


async def test_a_batch_holds_no_more_characters_than_a_server_takes() -> None:
    model = FakeEmbedding()
    await BatchedEmbedding(model, 100, max_characters=10).embed(["x" * 6, "y" * 4, "z" * 50, "a"], purpose="document")
    assert sorted(map(len, model.batches)) == [1, 1, 2]


async def test_no_texts_give_no_vectors_and_make_no_call() -> None:
    model = FakeEmbedding(32)
    assert (await BatchedEmbedding(model).embed([], purpose="document")).shape == (0, 32)
    assert not model.batches


async def test_a_batch_that_is_too_long_is_split_and_only_the_long_text_is_cut_into_windows() -> None:
    async with ModelServer(context_tokens=100) as server:
        model = BatchedEmbedding(OpenAIEmbedding("m", server.openai_url), 8)
        server.script(Reaction.status_code(400, message="max 300000 tokens per request"))
        texts = [f"text {number}" for number in range(8)]
        np.testing.assert_allclose(await model.embed(texts, purpose="document"), hash_vectors(texts, 64), atol=1e-6)
        vectors = await model.embed([*texts[:7], "word " * 1000], purpose="document")
        np.testing.assert_allclose(vectors[:7], hash_vectors(texts[:7], 64), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors[7]), 1, atol=1e-6)
        await model.aclose()


async def test_an_error_of_one_batch_is_the_error_of_all() -> None:
    model = FakeEmbedding(failures=[ModelRefused("wrong key")], delay=0.002)
    with pytest.raises(ModelRefused, match="wrong key"):
        await BatchedEmbedding(model, 1).embed(["a", "b", "c"], purpose="document")


async def test_the_chat_stack_survives_a_bad_server_and_pays_once() -> None:
    limiter, meter, store = Limiter(2), UsageMeter(), Store()
    async with ModelServer(latency=0.005) as server:
        server.script(
            Reaction.status_code(429, retry_after="0.03"),
            Reaction.status_code(500),
            Reaction.raw(b"garbage"),
            Reaction.cut(),
            Reaction.says(""),
        )
        chat = chat_stack(OpenAIChat("m", server.openai_url), limiter=limiter, meter=meter, store=store, policy=QUICK)
        requests = [ask(f"passage {number}", Role.EXTRACT) for number in range(6)]
        first = await asyncio.gather(*(chat.complete(request) for request in requests))
        second = await asyncio.gather(*(chat.complete(request) for request in requests))
        await chat.aclose()
        assert server.stats()["chat"] == 6 + 5
        assert server.stats()["peak"] == 2
    assert [reply.text for reply in first] == [reply.text for reply in second]
    row = only_row(meter)
    assert (row.calls, row.errors, row.cache_hits) == (11, 5, 6)
    assert (limiter.active, limiter.waiting) == (0, 0)


async def test_the_embedding_stack_repeats_only_the_batch_that_failed() -> None:
    limiter, meter = Limiter(4), UsageMeter()
    async with ModelServer() as server:
        server.script(None, Reaction.status_code(500))
        model = embedding_stack(
            OpenAIEmbedding("m", server.openai_url, max_batch=5), limiter=limiter, meter=meter, policy=QUICK
        )
        texts = [f"text {number}" for number in range(20)]
        vectors = await model.embed(texts, purpose="document")
        await model.aclose()
        assert server.stats()["embed_texts"] == 20
    np.testing.assert_allclose(vectors, hash_vectors(texts, 64), atol=1e-6)
    row = only_row(meter)
    assert (row.role, row.calls, row.errors, row.texts) == ("embed", 5, 1, 20)
    assert row.prompt_tokens == sum(len(text) // 4 + 1 for text in texts)
    assert row.estimated_tokens == 0
