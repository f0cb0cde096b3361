"""One model out of several backends, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from lightrag.errors import (
    AccessRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.llm.circuit import CircuitRules, CircuitState
from lightrag.llm.contracts import ChatModel, EmbeddingModel, Role
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.openai_binding import OpenAIChat, OpenAIEmbedding
from lightrag.llm.router import RoutedChat, RoutedEmbedding
from lightrag.llm.routing import Route, RoutingRules
from lightrag.llm.stack import cached_chat, chat_backend
from lightrag.storage.contracts import Namespace
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeChat
from lightrag.testing.model_contract import ask, closed_port, collect
from lightrag.testing.model_server import ModelServer, Reaction

IMPATIENT = RoutingRules(CircuitRules(open_seconds=60), interactive_patience=0.0, background_patience=0.0)
DOWN = Reaction.status_code(500)


@contextlib.asynccontextmanager
async def servers(count: int, **options: object) -> AsyncIterator[list[ModelServer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ModelServer(answer=lambda _, n=number: f"from {n}", **options))  # type: ignore[arg-type, misc]
            for number in range(count)
        ]


@contextlib.asynccontextmanager
async def routed(
    backends: Sequence[ModelServer],
    orders: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    rules: RoutingRules = IMPATIENT,
) -> AsyncIterator[RoutedChat]:
    routes: list[Route[ChatModel]] = [
        Route(
            f"backend {number}",
            OpenAIChat("m", server.openai_url, timeout=5.0),
            (orders or range(len(backends)))[number],
            (weights or [1.0] * len(backends))[number],
        )
        for number, server in enumerate(backends)
    ]
    chat = RoutedChat(routes, rules, chance=random.Random(7))
    yield chat
    await chat.aclose()


async def test_the_first_in_order_answers_as_long_as_it_is_well() -> None:
    async with servers(2) as backends, routed(backends) as chat:
        assert [(await chat.complete(ask())).text for _ in range(5)] == ["from 0"] * 5
        assert backends[1].requests == []
        assert chat.facts.identity == f"openai/m@{backends[0].openai_url}"


@pytest.mark.parametrize(
    "reaction",
    [
        DOWN,
        Reaction.status_code(429, retry_after="30"),
        Reaction.status_code(401),
        Reaction.status_code(404),
        Reaction.status_code(402),
        Reaction.says(""),
        Reaction.raw(b"<html>"),
    ],
)
async def test_where_it_fails_the_next_one_answers(reaction: Reaction) -> None:
    async with servers(2) as backends, routed(backends) as chat:
        backends[0].script(reaction, reaction)
        assert (await chat.complete(ask())).text == "from 1"
        assert (await collect(chat, ask()))[0].text == "from"


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        (Reaction.status_code(400, message="temperature must be at most 2"), ModelRefused),
        (Reaction.status_code(400, message="the input exceeds the context length"), ContextTooLong),
    ],
)
async def test_what_would_fail_everywhere_is_not_passed_on(reaction: Reaction, error: type[ModelError]) -> None:
    async with servers(2) as backends, routed(backends) as chat:
        backends[0].script(reaction, reaction)
        with pytest.raises(error):
            await chat.complete(ask())
        with pytest.raises(error):
            await collect(chat, ask())
        assert backends[1].requests == []
        assert (await chat.complete(ask())).text == "from 0"


async def test_an_answer_that_has_begun_is_not_begun_again_elsewhere() -> None:
    async with servers(2) as backends, routed(backends) as chat:
        backends[0].script(Reaction.cut(1))
        stream = chat.stream(ask())
        assert (await anext(stream)).text == "from"
        with pytest.raises(ModelUnreachable):
            await anext(stream)
        assert backends[1].requests == []


async def test_a_backend_that_is_down_is_left_alone_after_some_calls() -> None:
    async with servers(2) as backends, routed(backends) as chat:
        backends[0].script(*[DOWN] * 20)
        assert [(await chat.complete(ask())).text for _ in range(10)] == ["from 1"] * 10
        assert len(backends[0].requests) == 3
        first, second = chat.snapshot()
    assert (first.state, first.calls, first.failures) == (CircuitState.OPEN, 3, 3)
    assert "HTTP 500" in first.last_error
    assert 50 < first.seconds_left < 70
    assert (second.state, second.calls, second.failures, second.last_error) == (CircuitState.CLOSED, 10, 0, "")


async def test_a_backend_that_has_come_back_gets_its_calls_again() -> None:
    rules = RoutingRules(CircuitRules(failures=1, open_seconds=0.02, slow_start=0.0), 0.0, 0.0)
    async with servers(2) as backends, routed(backends, rules=rules) as chat:
        backends[0].script(DOWN, DOWN)
        texts = []
        for _ in range(3):
            texts.append((await chat.complete(ask())).text)
            await asyncio.sleep(0.06)
        texts.append((await chat.complete(ask())).text)
    assert texts == ["from 1", "from 1", "from 0", "from 0"]


async def test_calls_are_shared_out_by_weight() -> None:
    routes: list[Route[ChatModel]] = [
        Route(str(weight), FakeChat([f"from {weight}"]), weight=weight) for weight in (3.0, 1.0, 0.0)
    ]
    chat = RoutedChat(routes, IMPATIENT, chance=random.Random(7))
    counts = Counter([(await chat.complete(ask())).text for _ in range(400)])
    assert counts["from 0.0"] == 0
    assert 270 < counts["from 3.0"] < 330


async def test_calls_go_to_the_less_busy_one() -> None:
    async with servers(2, latency=0.05) as backends, routed(backends, [0, 0]) as chat:
        await asyncio.gather(*[chat.complete(ask()) for _ in range(40)])
        spread = [len(server.requests) for server in backends]
    assert min(spread) >= 15


async def test_a_background_call_waits_for_a_backend_and_nobody_s_answer_does_for_long() -> None:
    rules = RoutingRules(
        CircuitRules(failures=1, open_seconds=0.05), interactive_patience=0.0, background_patience=30.0
    )
    async with servers(2) as backends, routed(backends, rules=rules) as chat:
        for server in backends:
            server.script(DOWN)
        with pytest.raises(ModelUnreachable):
            await chat.complete(ask(role=Role.ANSWER))
        for server in backends:
            server.script(DOWN)
        assert (await chat.complete(ask(role=Role.EXTRACT))).text.startswith("from")


async def test_where_all_are_down_one_is_tried_all_the_same() -> None:
    async with servers(1) as backends, routed(backends) as chat:
        backends[0].script(*[DOWN] * 3)
        for _ in range(3):
            with pytest.raises(ModelUnreachable):
                await chat.complete(ask())
        assert chat.snapshot()[0].state is CircuitState.OPEN
        assert (await chat.complete(ask())).text == "from 0"
        assert chat.snapshot()[0].state is CircuitState.CLOSED


async def test_where_all_refuse_nobody_waits() -> None:
    patient = RoutingRules(interactive_patience=600, background_patience=600)
    async with servers(2, api_key="right") as backends, routed(backends, rules=patient) as chat:
        with pytest.raises(AccessRefused):
            await chat.complete(ask(role=Role.EXTRACT))
        assert [state.state for state in chat.snapshot()] == [CircuitState.REFUSED] * 2


async def test_nonsense_from_all_is_not_paid_for_again() -> None:
    patient = RoutingRules(interactive_patience=600, background_patience=600)
    async with servers(2) as backends, routed(backends, rules=patient) as chat:
        for server in backends:
            server.script(*[Reaction.says("")] * 5)
        with pytest.raises(UnusableAnswer):
            await chat.complete(ask(role=Role.EXTRACT))
        assert [len(server.requests) for server in backends] == [1, 1]


async def test_a_stream_that_is_closed_early_is_no_failure() -> None:
    async with servers(1, tps=20) as backends, routed(backends) as chat:
        backends[0].script(Reaction.says("word " * 100))
        stream = chat.stream(ask())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        (state,) = chat.snapshot()
    assert (state.active, state.calls, state.failures) == (0, 1, 0)


async def test_in_the_stack_every_backend_is_counted_under_its_own_name() -> None:
    async with servers(2) as backends:
        backends[0].script(DOWN)
        meter, limiter = UsageMeter(), Limiter(2)
        routes: list[Route[ChatModel]] = [
            Route(name, chat_backend(OpenAIChat(name, server.openai_url), limiter=limiter, meter=meter), order)
            for order, (name, server) in enumerate(zip(("local", "spare"), backends, strict=True))
        ]
        store = MemoryStorage("w").kv(Namespace.LLM_CACHE)
        chat = cached_chat(RoutedChat(routes, IMPATIENT), meter=meter, store=store)
        request = ask(role=Role.EXTRACT)
        replies = [await chat.complete(request) for _ in range(2)]
        await chat.aclose()
    assert [(reply.text, reply.from_cache) for reply in replies] == [("from 1", False), ("from 1", True)]
    rows = {row.model: (row.calls, row.errors, row.cache_hits) for row in meter.snapshot()}
    assert rows == {"openai/local": (1, 1, 1), "openai/spare": (1, 0, 0)}


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_is_kept_under_the_model_that_gave_it(streamed: bool) -> None:
    first, second = FakeChat([ModelUnreachable("down"), "from a"], name="a"), FakeChat(["from b"], name="b")
    routed = RoutedChat([Route("a", first), Route("b", second, 1)], IMPATIENT)
    meter, store = UsageMeter(), MemoryStorage("w").kv(Namespace.LLM_CACHE)
    whole, only_b = (
        cached_chat(model, meter=meter, store=store, cached_roles={Role.ANSWER})
        for model in (routed, routed.only(["b"]))
    )

    async def answer(chat: ChatModel) -> str:
        request = ask(role=Role.ANSWER)
        if streamed:
            return "".join(delta.text for delta in await collect(chat, request))
        return (await chat.complete(request)).text

    assert [await answer(whole) for _ in range(3)] == ["from b", "from a", "from a"]
    assert await answer(only_b) == "from b"
    assert (len(first.requests), len(second.requests)) == (2, 1)


async def test_some_of_the_backends_share_their_health_with_the_whole_and_stay_open_with_it() -> None:
    first, second = FakeChat(["from a"], name="a"), FakeChat([AccessRefused("wrong key"), "from b"], name="b")
    whole = RoutedChat([Route("a", first), Route("b", second, 1)], IMPATIENT)
    part = whole.only(["b"])
    with pytest.raises(AccessRefused):
        await part.complete(ask())
    assert part.facts.name == "b"
    assert [state.state for state in whole.snapshot()] == [CircuitState.CLOSED, CircuitState.REFUSED]
    await part.aclose()
    assert not second.closed
    assert (await whole.complete(ask())).text == "from a"


async def test_a_short_rate_limit_is_waited_for_and_a_long_one_is_not() -> None:
    async with servers(2) as backends:
        backends[0].script(
            Reaction.status_code(429, retry_after="0.05"), None, Reaction.status_code(429, retry_after="60")
        )
        meter = UsageMeter()
        routes: list[Route[ChatModel]] = [
            Route(str(order), chat_backend(OpenAIChat("m", server.openai_url), limiter=Limiter(1), meter=meter), order)
            for order, server in enumerate(backends)
        ]
        chat = RoutedChat(routes, IMPATIENT)
        assert [(await chat.complete(ask())).text for _ in range(3)] == ["from 0", "from 1", "from 1"]
        assert chat.snapshot()[0].state is CircuitState.RESTING
        await chat.aclose()


def test_no_backend_at_all_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="weight"):
        RoutedChat([Route("a", OpenAIChat("m"), weight=0.0)])


# Embeddings


def embedding(server: ModelServer | None, model: str = "m") -> EmbeddingModel:
    url = server.openai_url if server is not None else f"http://127.0.0.1:{closed_port()}/v1"
    return OpenAIEmbedding(model, url, timeout=5.0)


async def test_the_same_model_elsewhere_embeds_where_the_first_one_fails() -> None:
    async with ModelServer() as first, ModelServer() as second:
        model = RoutedEmbedding([Route("a", embedding(first)), Route("b", embedding(second), 1)], IMPATIENT)
        expected = await model.embed(["one", "two"], purpose="document")
        first.script(DOWN)
        np.testing.assert_array_equal(await model.embed(["one", "two"], purpose="document"), expected)
        assert model.facts.identity == f"openai/m@{first.openai_url}"
        await model.aclose()
    texts = [body["input"] for body in second.bodies("/embeddings")]
    assert texts[1:] == [["one", "two"]]  # after the check


@pytest.mark.parametrize("dimension", [32, 64])
async def test_another_model_never_embeds(dimension: int) -> None:
    async with ModelServer() as first, ModelServer(dimension=dimension) as other:
        if dimension == 64:
            rows = np.eye(2, 64, dtype=np.float32).tolist()
            data = (
                b'{"data": '
                + str([{"index": i, "embedding": row} for i, row in enumerate(rows)]).replace("'", '"').encode()
                + b"}"
            )
            other.script(Reaction.raw(data))
        model = RoutedEmbedding([Route("a", embedding(first)), Route("b", embedding(other), 1)], IMPATIENT)
        await model.embed(["one"], purpose="document")
        first.script(DOWN, DOWN)
        for _ in range(2):
            with pytest.raises((AccessRefused, ModelUnreachable)):
                await model.embed(["one"], purpose="document")
        assert (await model.embed(["one"], purpose="document")).shape == (1, 64)
        state = model.snapshot()[1]
        await model.aclose()
    assert state.state is CircuitState.REFUSED
    assert "another embedding model" in state.last_error
    assert len(other.requests) == 1


async def test_as_long_as_the_first_one_has_not_answered_the_name_has_to_do() -> None:
    async with ModelServer() as second:
        model = RoutedEmbedding([Route("a", embedding(None)), Route("b", embedding(second), 1)], IMPATIENT)
        assert (await model.embed(["one"], purpose="query")).shape == (1, 64)
        assert model.facts.dimension == 64
        await model.aclose()


async def test_a_rate_limit_of_all_is_waited_for() -> None:
    rules = dataclasses.replace(IMPATIENT, background_patience=10.0)
    async with ModelServer() as first:
        first.script(Reaction.status_code(429, retry_after="0.05"))
        model = RoutedEmbedding([Route("a", embedding(first))], rules)
        assert (await model.embed(["one"], purpose="document")).shape == (1, 64)
        first.script(Reaction.status_code(429, retry_after="0.05"))
        with pytest.raises(ModelRateLimited):
            await model.embed(["one"], purpose="query")
        await model.aclose()
