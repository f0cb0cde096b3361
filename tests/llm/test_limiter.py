"""The limiter: a bound, a fair order, pauses, and an account of how well slots were used."""

from __future__ import annotations

import asyncio
import time

import pytest

from lightrag.errors import ModelUnreachable
from lightrag.llm.contracts import Role
from lightrag.llm.limiter import LimitedChat, LimitedEmbedding, Limiter, Priority
from lightrag.testing.fake_models import FakeChat, FakeEmbedding
from lightrag.testing.model_contract import ask


async def test_no_more_calls_than_slots_are_under_way() -> None:
    model = FakeChat(delay=0.005)
    limited = LimitedChat(model, Limiter(3))
    await asyncio.gather(*(limited.complete(ask(str(number))) for number in range(20)))
    assert model.peak == 3


async def test_those_who_wait_are_served_in_order_of_arrival() -> None:
    limiter, served = Limiter(1), []

    async def call(number: int) -> None:
        async with limiter.slot():
            served.append(number)

    async with limiter.slot():
        tasks = [asyncio.create_task(call(number)) for number in range(10)]
        await asyncio.sleep(0)
        assert limiter.waiting == 10
    await asyncio.gather(*tasks)
    assert served == list(range(10))


async def test_answers_go_before_extraction_and_extraction_before_summaries() -> None:
    served: list[Role] = []
    model = FakeChat(lambda request: served.append(request.role) or "ok")
    limiter = Limiter(1)
    limited = LimitedChat(model, limiter)
    order = [Role.SUMMARY, Role.EXTRACT, Role.ANSWER, Role.EXTRACT, Role.KEYWORDS]
    async with limiter.slot():
        tasks = [asyncio.create_task(limited.complete(ask(role=role))) for role in order]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert served == [Role.ANSWER, Role.KEYWORDS, Role.EXTRACT, Role.EXTRACT, Role.SUMMARY]


async def test_a_question_is_embedded_before_documents() -> None:
    model, limiter = FakeEmbedding(), Limiter(1)
    limited = LimitedEmbedding(model, limiter)
    async with limiter.slot():
        tasks = [
            asyncio.create_task(limited.embed(["document"], purpose="document")),
            asyncio.create_task(limited.embed(["question"], purpose="query")),
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert model.batches == [("question",), ("document",)]


async def test_a_failed_or_cancelled_call_frees_its_slot() -> None:
    limiter = Limiter(1)
    limited = LimitedChat(FakeChat([ModelUnreachable("down"), "ok"], delay=0.005), limiter)
    with pytest.raises(ModelUnreachable):
        await limited.complete(ask())
    running, waiting = (asyncio.create_task(limited.complete(ask())) for _ in range(2))
    await asyncio.sleep(0)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert (limiter.active, limiter.waiting) == (0, 0)
    assert (await limited.complete(ask())).text == "ok"


async def test_a_slot_given_to_one_who_is_cancelled_in_the_same_moment_is_passed_on() -> None:
    limiter = Limiter(1)
    async with limiter.slot():
        first, second = (asyncio.create_task(LimitedChat(FakeChat(), limiter).complete(ask())) for _ in range(2))
        await asyncio.sleep(0)
    first.cancel()  # leaving the block gave it the slot, and it has not run since
    assert (await second).text == "fake answer"
    assert limiter.active == 0


async def test_a_stream_holds_its_slot_until_it_is_closed() -> None:
    limiter = Limiter(1)
    stream = LimitedChat(FakeChat(["one two three"]), limiter).stream(ask())
    await anext(stream)
    assert limiter.active == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert limiter.active == 0


async def test_a_pause_is_visible() -> None:
    limiter = Limiter(2)
    assert limiter.paused_until is None
    before = time.time()
    limiter.pause(600)
    limiter.pause(60)  # a shorter one changes nothing
    until = limiter.paused_until
    assert until is not None
    assert before + 599.9 <= until <= time.time() + 600


async def test_a_pause_holds_back_new_calls() -> None:
    limiter = Limiter(2)
    begun = time.monotonic()
    limiter.pause(0.05)
    limiter.pause(0.01)
    async with limiter.slot(Priority.INTERACTIVE):
        assert time.monotonic() - begun >= 0.0499
    assert limiter.paused_until is None


async def test_how_long_slots_were_held_is_accounted_for() -> None:
    limiter = Limiter(2)
    limited = LimitedChat(FakeChat(delay=0.02), limiter)
    await asyncio.gather(*(limited.complete(ask()) for _ in range(6)))
    stats = limiter.stats()
    assert stats.busy_seconds >= 6 * 0.02
    assert stats.busy_seconds <= stats.slots * stats.elapsed_seconds + 0.001


def test_a_limiter_has_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Limiter(0)
