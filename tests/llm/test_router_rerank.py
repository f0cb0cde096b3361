"""One reranking model out of several backends, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from lightrag.errors import AccessRefused, ModelRefused, ModelUnreachable
from lightrag.llm.circuit import CircuitRules, CircuitState
from lightrag.llm.contracts import RerankModel
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.router import RoutedRerank
from lightrag.llm.routing import Route, RoutingRules
from lightrag.llm.stack import rerank_backend
from lightrag.testing.model_server import Reaction
from lightrag.testing.vendor_server_rerank import RerankServer

QUESTION = "blue whale size"
DOCUMENTS = ["the cat sat", "the blue whale grows to a great size", "whale size"]
IMPATIENT = RoutingRules(CircuitRules(open_seconds=60), interactive_patience=0.0, tries_the_unfit=False)
DOWN = Reaction.status_code(500)


@contextlib.asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[RerankServer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(RerankServer("vllm")) for _ in range(count)]


@contextlib.asynccontextmanager
async def routed(backends: Sequence[RerankServer], rules: RoutingRules = IMPATIENT) -> AsyncIterator[RoutedRerank]:
    meter = UsageMeter()
    routes: list[Route[RerankModel]] = [
        Route(
            f"reranker {number}",
            rerank_backend(
                HttpRerank(f"m{number}", server.url, dialect="vllm", timeout=5.0), limiter=Limiter(2), meter=meter
            ),
            number,
        )
        for number, server in enumerate(backends)
    ]
    model = RoutedRerank(routes, rules)
    yield model
    await model.aclose()


async def order(model: RerankModel) -> list[int]:
    return [hit.index for hit in await model.rerank(QUESTION, DOCUMENTS, 2)]


async def test_the_first_in_order_judges_as_long_as_it_is_well() -> None:
    async with servers(2) as backends, routed(backends) as model:
        assert [await order(model) for _ in range(3)] == [[1, 2]] * 3
        assert (len(backends[0].requests), len(backends[1].requests)) == (3, 0)
        assert (model.facts.binding, model.facts.name) == ("vllm", "m0")


@pytest.mark.parametrize(
    "reaction",
    [DOWN, Reaction.status_code(429, retry_after="30"), Reaction.status_code(401), Reaction.raw(b"<html>")],
)
async def test_where_it_fails_the_next_one_judges_all_documents(reaction: Reaction) -> None:
    async with servers(2) as backends, routed(backends) as model:
        backends[0].script(reaction)
        assert await order(model) == [1, 2]
        assert backends[1].requests[0].body["documents"] == DOCUMENTS


async def test_what_would_fail_everywhere_is_not_passed_on() -> None:
    async with servers(2) as backends, routed(backends) as model:
        backends[0].script(Reaction.status_code(422, message="top_n must be positive"))
        with pytest.raises(ModelRefused):
            await order(model)
        assert backends[1].requests == []


async def test_a_reranker_that_is_down_is_left_alone_after_some_calls_and_says_why() -> None:
    async with servers(2) as backends, routed(backends) as model:
        backends[0].script(*[DOWN] * 20)
        for _ in range(6):
            assert await order(model) == [1, 2]
        assert len(backends[0].requests) == 3
        first, second = model.snapshot()
    assert (first.name, first.state, first.failures) == ("reranker 0", CircuitState.OPEN, 3)
    assert "HTTP 500" in first.last_error
    assert (second.state, second.calls, second.failures) == (CircuitState.CLOSED, 6, 0)


async def test_a_dead_reranker_holds_up_nobody() -> None:
    async with servers(1) as backends, routed(backends) as model:
        backends[0].script(*[DOWN] * 20)
        for _ in range(3):
            with pytest.raises(ModelUnreachable, match="HTTP 500"):
                await order(model)
        with pytest.raises(ModelUnreachable, match=r"'reranker 0' is left alone for \d+ s.*HTTP 500"):
            await order(model)
        assert len(backends[0].requests) == 3


async def test_a_reranker_that_has_come_back_gets_its_calls_again() -> None:
    rules = RoutingRules(CircuitRules(failures=1, open_seconds=0.02, slow_start=0.0), 0.0, tries_the_unfit=False)
    async with servers(1) as backends, routed(backends, rules) as model:
        backends[0].script(DOWN)
        with pytest.raises(ModelUnreachable):
            await order(model)
        await asyncio.sleep(0.06)
        assert await order(model) == [1, 2]
        assert model.snapshot()[0].state is CircuitState.CLOSED


async def test_a_wrong_key_is_not_shown_again_and_again() -> None:
    async with servers(1) as backends, routed(backends) as model:
        backends[0].script(Reaction.status_code(401))
        with pytest.raises(AccessRefused):
            await order(model)
        with pytest.raises(ModelUnreachable):
            await order(model)
        assert len(backends[0].requests) == 1
        assert model.snapshot()[0].state is CircuitState.REFUSED


async def test_a_single_failure_is_got_over() -> None:
    async with servers(1) as backends, routed(backends, RoutingRules(interactive_patience=2.0)) as model:
        backends[0].script(DOWN)
        assert await order(model) == [1, 2]
