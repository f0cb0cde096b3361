"""Failed calls are tried again as far as that can help."""

from __future__ import annotations

import asyncio
import time

import pytest

from lightrag.errors import (
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.llm.contracts import ChatDelta, ChatRequest
from lightrag.llm.limiter import LimitedChat, Limiter
from lightrag.llm.openai_binding import OpenAIChat
from lightrag.llm.retry import RetryingChat, RetryingEmbedding, RetryPolicy
from lightrag.testing.fake_models import Answer, FakeChat, FakeEmbedding
from lightrag.testing.model_contract import ask, collect
from lightrag.testing.model_server import ModelServer, Reaction

QUICK = RetryPolicy(base=0.001, most=0.002)
DOWN = ModelUnreachable("down")


async def test_what_may_heal_is_tried_again() -> None:
    model = FakeChat([DOWN, DOWN, "at last"])
    assert (await RetryingChat(model, QUICK).complete(ask())).text == "at last"
    assert len(model.requests) == 3


async def test_embeddings_are_tried_again_too() -> None:
    model = FakeEmbedding(failures=[DOWN, DOWN])
    vectors = await RetryingEmbedding(model, QUICK).embed(["a"], purpose="document")
    assert vectors.shape == (1, 64)
    assert len(model.batches) == 3


async def test_it_ends_after_the_attempts_that_the_policy_allows() -> None:
    model = FakeChat([DOWN])
    with pytest.raises(ModelUnreachable):
        await RetryingChat(model, RetryPolicy(attempts=4, base=0.001)).complete(ask())
    assert len(model.requests) == 4


@pytest.mark.parametrize("error", [ModelRefused("wrong key"), ContextTooLong("too long")])
async def test_what_cannot_heal_is_not_tried_again(error: ModelError) -> None:
    model = FakeChat([error])
    with pytest.raises(type(error)):
        await RetryingChat(model, QUICK).complete(ask())
    assert len(model.requests) == 1


async def test_an_unusable_answer_is_paid_for_and_asked_for_only_once_more() -> None:
    model = FakeChat([UnusableAnswer("garbage")])
    with pytest.raises(UnusableAnswer):
        await RetryingChat(model, QUICK).complete(ask())
    assert len(model.requests) == 2


async def test_a_rate_limit_pauses_every_slot() -> None:
    limiter = Limiter(4)
    model = FakeChat([ModelRateLimited("slow down", 60.0), "ok"])
    retrying = RetryingChat(LimitedChat(model, limiter), QUICK, limiter)
    calls = [asyncio.create_task(retrying.complete(ask(str(number)))) for number in range(3)]
    async with asyncio.timeout(60):
        while limiter.paused_until is None or limiter.active:
            await asyncio.sleep(0)
    assert limiter.waiting == 3
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_rate_limits_do_not_count_as_attempts() -> None:
    limiter = Limiter(4)
    answers: list[Answer] = [ModelRateLimited("slow down", 0.03) for _ in range(4)]
    model = FakeChat([*answers, "ok"])
    retrying = RetryingChat(LimitedChat(model, limiter), RetryPolicy(attempts=2, base=0.001), limiter)
    begun = time.monotonic()
    assert (await retrying.complete(ask())).text == "ok"
    assert len(model.requests) == 5
    assert time.monotonic() - begun >= 4 * 0.03


async def test_a_wait_beyond_the_deadline_is_an_error_at_once() -> None:
    limiter = Limiter(1)
    model = FakeChat([ModelRateLimited("come back tomorrow", 86400.0)])
    with pytest.raises(ModelRateLimited, match="tomorrow"):
        await RetryingChat(model, RetryPolicy(deadline=60), limiter).complete(ask())
    assert limiter.paused_until is None


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_no_attempt_begins_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("lightrag.llm.retry.time", clock)
    monkeypatch.setattr("lightrag.llm.retry.asyncio", clock)
    begun: list[float] = []

    def answer(_request: ChatRequest) -> Answer:
        begun.append(clock.now - 1000)
        return ModelRateLimited("slow down", 20.0)

    with pytest.raises(ModelRateLimited):
        await RetryingChat(FakeChat(answer), RetryPolicy(deadline=50)).complete(ask())
    # Pauses are a tenth longer at most.
    assert len(begun) == 3
    assert begun[-1] <= 50


async def test_a_stream_is_tried_again_only_until_its_first_piece() -> None:
    model = FakeChat([DOWN, "one two"])
    deltas = await collect(RetryingChat(model, QUICK), ask())
    assert "".join(delta.text for delta in deltas) == "one two"


async def test_a_stream_that_breaks_off_later_is_an_error() -> None:
    arrived: list[ChatDelta] = []
    async with ModelServer() as server:
        server.script(Reaction.status_code(500), Reaction.cut(2))
        chat = RetryingChat(OpenAIChat("m", server.openai_url), QUICK)

        async def listen() -> None:
            arrived.extend([delta async for delta in chat.stream(ask())])

        with pytest.raises(ModelUnreachable):
            await listen()
        await chat.aclose()
        assert server.stats()["chat"] == 2


async def test_cancelling_ends_the_wait_for_the_next_attempt() -> None:
    call = asyncio.create_task(RetryingChat(FakeChat([DOWN]), RetryPolicy(base=60, most=60)).complete(ask()))
    await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
