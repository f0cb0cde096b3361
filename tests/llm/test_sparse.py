"""Sparse weights from a server of OpenAI's dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from lightrag.errors import ModelRefused, ModelUnreachable, UnusableAnswer
from lightrag.llm.contracts import Role
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.retry import RetryPolicy
from lightrag.llm.sparse import OpenAISparse, SteadySparse
from lightrag.testing.model_server import ModelServer, Reaction


def answer(*rows: dict[str, Any]) -> Reaction:
    data = [{"index": index, "embedding": [], **row} for index, row in enumerate(rows)]
    return Reaction.raw(orjson.dumps({"data": data}))


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as one:
        yield one


async def test_weights_come_in_the_order_of_the_texts_and_without_those_of_zero(server: ModelServer) -> None:
    second, first = {"sparse_embedding": {"5": 0.25, "9": 0}, "index": 1}, {"sparse_embedding": {"7": 1}, "index": 0}
    server.script(answer(second, first))
    model = OpenAISparse("m3", server.openai_url)
    assert await model.weights(["a", "b"], purpose="document") == [{"7": 1.0}, {"5": 0.25}]
    await model.aclose()
    assert server.bodies("/embeddings") == [
        {"model": "m3", "input": ["a", "b"], "embedding_type": "sparse", "truncate": True}
    ]


async def test_a_server_that_gives_none_is_named_with_the_setting(server: ModelServer) -> None:
    model = OpenAISparse("plain", server.openai_url)
    with pytest.raises(ModelRefused, match=r"'plain' .*no sparse weights.*EMBEDDING_SPARSE=false"):
        await model.weights(["a"], purpose="query")
    await model.aclose()


@pytest.mark.parametrize("given", [{"5": "much"}, {"5": None}, [1, 2], "5"])
async def test_what_are_no_weights_is_said_to_be_unusable(server: ModelServer, given: Any) -> None:
    server.script(answer({"sparse_embedding": given}))
    model = OpenAISparse("m3", server.openai_url)
    with pytest.raises(UnusableAnswer):
        await model.weights(["a"], purpose="query")
    await model.aclose()


async def test_a_failed_call_is_made_again_and_counted_with_embeddings(server: ModelServer) -> None:
    meter = UsageMeter()
    inner = OpenAISparse("m3", server.openai_url, max_batch=1)
    model = SteadySparse(inner, Limiter(2), meter, RetryPolicy(base=0.001))
    server.script(Reaction(status=503), answer({"sparse_embedding": {"1": 1}}), answer({"sparse_embedding": {"2": 1}}))
    assert await model.weights(["a", "b"], purpose="document") == [{"1": 1.0}, {"2": 1.0}]
    row = meter.row(Role.EMBED, model.facts)
    assert (row.calls, row.errors, row.texts) == (3, 1, 2)
    await model.aclose()


async def test_a_server_that_is_away_is_unreachable(server: ModelServer) -> None:
    server.script(Reaction(status=500))
    model = SteadySparse(OpenAISparse("m3", server.openai_url), Limiter(1), UsageMeter(), RetryPolicy(attempts=1))
    with pytest.raises(ModelUnreachable):
        await model.weights(["a"], purpose="query")
    await model.aclose()
