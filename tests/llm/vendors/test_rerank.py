"""Reranking in all dialects, known and found out."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from lightrag.errors import (
    AccessRefused,
    ContextTooLong,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.llm.contracts import Usage
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.rerank_chunking import token_cutter
from lightrag.llm.rerank_dialects import COHERE, COHERE_V1, DIALECTS, address, dialect_of, variant
from lightrag.llm.retry import RetryPolicy
from lightrag.llm.stack import rerank_stack
from lightrag.llm.usage import noted_usage, told_tokens
from lightrag.testing.model_contract import SECRET, closed_port
from lightrag.testing.model_server import Reaction
from lightrag.testing.vendor_server_rerank import RerankServer
from lightrag.text.tokens import load_tokenizer

QUESTION = "blue whale size"
DOCUMENTS = ["the cat sat", "the blue whale grows to a great size", "a blue car", "whale size"]

BODIES: dict[str, dict[str, Any]] = {
    "cohere": {"model": "m", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2},
    "jina": {"model": "m", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2, "return_documents": False},
    "voyageai": {"model": "m", "query": QUESTION, "documents": DOCUMENTS, "top_k": 2, "truncation": True},
    "aliyun": {
        "model": "m",
        "input": {"query": QUESTION, "documents": DOCUMENTS},
        "parameters": {"top_n": 2, "return_documents": False},
    },
    "tei": {"query": QUESTION, "texts": DOCUMENTS, "raw_scores": False, "truncate": True},
    "vllm": {"model": "m", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2},
    "llamacpp": {"model": "m", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2},
}


@pytest.mark.parametrize("dialect", BODIES)
async def test_each_dialect_is_spoken_as_the_vendor_wants_it(dialect: str) -> None:
    async with RerankServer(dialect, api_key=SECRET) as server:
        model = HttpRerank("m", server.url, SECRET, dialect=dialect)
        hits = await model.rerank(QUESTION, DOCUMENTS, 2)
        await model.aclose()
    assert [hit.index for hit in hits] == [1, 3]
    assert all(0.0 <= hit.score <= 1.0 for hit in hits)
    (request,) = server.requests
    assert request.path == DIALECTS[dialect].path
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.body == BODIES[dialect]
    assert (model.facts.binding, model.facts.name) == (dialect, "m")


@pytest.mark.parametrize("manner", ["vllm", "llamacpp", "tei", "cohere", "jina", "voyageai", "aliyun"])
async def test_the_dialect_of_an_unknown_server_is_found_once_and_kept(manner: str) -> None:
    async with RerankServer(manner) as server:
        model = HttpRerank("m", server.url)
        answers = await asyncio.gather(*[model.rerank(QUESTION, DOCUMENTS, 4) for _ in range(3)])
        tried = len(server.requests)
        await model.rerank(QUESTION, DOCUMENTS, 4)
        assert len(server.requests) == tried + 1
        await model.aclose()
    assert all([hit.index for hit in hits] == [1, 3, 2, 0] for hits in answers)
    assert len({(r.path, *sorted(r.body)) for r in server.requests[-3:]}) == 1
    assert model.address.startswith(server.url)


@pytest.mark.parametrize("ending", ["/v1", "/v1/rerank", "/rerank"])
async def test_an_address_may_name_the_version_or_the_interface(ending: str) -> None:
    async with RerankServer("vllm") as server:
        model = HttpRerank("m", server.url + ending)
        assert (await model.rerank(QUESTION, DOCUMENTS, 1))[0].index == 1
        await model.aclose()


async def test_what_has_no_rerank_interface_is_refused_with_what_was_tried() -> None:
    async with RerankServer("vllm") as server:
        model = HttpRerank("m", server.url + "/elsewhere")
        with pytest.raises(ModelRefused, match=r"tei at /rerank: 404.*RERANK_BINDING_HOST"):
            await model.rerank(QUESTION, DOCUMENTS, 1)
        await model.aclose()


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        (Reaction.status_code(429, retry_after="2"), ModelRateLimited),
        (Reaction.status_code(500), ModelUnreachable),
        (Reaction.status_code(401), AccessRefused),
    ],
)
@pytest.mark.parametrize("dialect", ["auto", "vllm"])
async def test_failures_are_not_taken_for_another_dialect(
    dialect: str, reaction: Reaction, error: type[Exception]
) -> None:
    async with RerankServer("vllm") as server:
        server.script(reaction)
        model = HttpRerank("m", server.url, dialect=dialect)
        with pytest.raises(error):
            await model.rerank(QUESTION, DOCUMENTS, 1)
        assert (await model.rerank(QUESTION, DOCUMENTS, 1))[0].index == 1
        await model.aclose()
    assert len(server.requests) == 2


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    model = HttpRerank("m", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(ModelUnreachable):
        await model.rerank(QUESTION, DOCUMENTS, 1)
    await model.aclose()


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b'{"results": []}', b'{"results": [{"index": 9, "score": 1}]}', b'[{"index": 0, "score": NaN}]'],
)
async def test_an_answer_without_scores_is_unusable(body: bytes) -> None:
    async with RerankServer("vllm") as server:
        server.script(Reaction.raw(body))
        model = HttpRerank("m", server.url, dialect="vllm")
        with pytest.raises(UnusableAnswer):
            await model.rerank(QUESTION, DOCUMENTS, 1)
        await model.aclose()


async def test_logits_become_scores_between_0_and_1_in_the_same_order() -> None:
    rows = [{"index": index, "relevance_score": score} for index, score in enumerate((-9.4, 6.1, 0.3, -800.0))]
    small = [{"index": 0, "relevance_score": 0.5}]
    async with RerankServer("vllm") as server:
        server.script(*(Reaction.raw(orjson.dumps({"results": given})) for given in (rows, small)))
        model = HttpRerank("m", server.url)
        hits = await model.rerank(QUESTION, DOCUMENTS, 4)
        (later,) = await model.rerank(QUESTION, DOCUMENTS, 1)
        await model.aclose()
    assert [hit.index for hit in hits] == [1, 2, 0, 3]
    assert [round(hit.score, 3) for hit in hits] == [0.998, 0.574, 0.0, 0.0]
    assert round(later.score, 3) == 0.622  # a server that gave logits once always gives them


async def test_more_documents_than_a_server_takes_go_in_several_calls() -> None:
    documents = ["filler"] * 70 + ["blue whale size"]
    async with RerankServer("tei") as server:
        model = HttpRerank("m", server.url, dialect="tei")
        hits = await model.rerank(QUESTION, documents, 3)
        assert await model.rerank(QUESTION, [], 3) == []
        await model.aclose()
    assert (hits[0].index, hits[0].score, len(hits)) == (70, 1.0, 3)
    assert [len(request.body["texts"]) for request in server.requests] == [32, 32, 7]


def test_vendors_are_told_by_their_addresses() -> None:
    hosts = {
        "https://api.cohere.com/v2/rerank": "cohere",
        "https://api.jina.ai/v1/rerank": "jina",
        "https://api.voyageai.com/v1": "voyageai",
        "https://dashscope.aliyuncs.com/api/v1/services/rerank/text-rerank/text-rerank": "aliyun",
        "https://dashscope-intl.aliyuncs.com": "aliyun",
    }
    for host, name in hosts.items():
        found = dialect_of(host)
        assert found is not None
        assert found.name == name
    assert dialect_of("http://localhost:8000/v1/rerank") is None
    assert variant(COHERE, "https://api.cohere.com/v1/rerank") is COHERE_V1
    assert address("https://api.voyageai.com/v1/", DIALECTS["voyageai"]) == "https://api.voyageai.com/v1/rerank"
    assert address("", COHERE) == "/v2/rerank"
    assert HttpRerank(dialect="jina").facts.name == "jina-reranker-v2-base-multilingual"
    assert HttpRerank(dialect="jina").address == "https://api.jina.ai/v1/rerank"


async def test_the_newer_interface_of_dashscope_is_told_by_its_address() -> None:
    async with RerankServer("vllm") as server:
        server.script(Reaction.raw(b'{"results": [{"index": 1, "relevance_score": 0.9}]}'))
        model = HttpRerank("qwen3-rerank", f"{server.url}/compatible-api/v1/reranks", dialect="aliyun")
        await model.rerank(QUESTION, DOCUMENTS, 2)
        await model.aclose()
    (request,) = server.requests
    assert request.path == "/compatible-api/v1/reranks"
    assert request.body == {"model": "qwen3-rerank", "query": QUESTION, "documents": DOCUMENTS, "top_n": 2}


async def test_a_long_document_is_as_relevant_as_its_best_piece() -> None:
    long = " ".join(["filler"] * 300) + " blue whale size " + " ".join(["filler"] * 300)
    cut = token_cutter(load_tokenizer(), 60)
    async with RerankServer("cohere", context_tokens=400) as server:
        binding = HttpRerank("m", server.url, dialect="cohere")
        with pytest.raises(ContextTooLong):
            await binding.rerank(QUESTION, ["the cat sat", long, "a blue car"], 2)
        meter = UsageMeter()
        model = rerank_stack(binding, limiter=Limiter(1), meter=meter, cut=cut)
        hits = await model.rerank(QUESTION, ["the cat sat", long, "a blue car"], 2)
        await model.aclose()
    assert [hit.index for hit in hits] == [1, 2]
    assert hits[0].score == 1.0
    row = meter.snapshot()[0]
    assert (row.role, row.calls) == ("rerank", 1)
    assert row.texts == len(server.requests[-1].body["documents"]) > 10


async def test_a_failed_call_is_tried_again_and_counted() -> None:
    async with RerankServer("vllm") as server:
        server.script(Reaction.status_code(503))
        meter = UsageMeter()
        model = rerank_stack(
            HttpRerank("m", server.url, dialect="vllm"),
            limiter=Limiter(1),
            meter=meter,
            policy=RetryPolicy(attempts=2, base=0.001),
        )
        assert (await model.rerank(QUESTION, DOCUMENTS, 1))[0].index == 1
        await model.aclose()
    (row,) = meter.snapshot()
    assert (row.calls, row.errors, row.model) == (2, 1, "vllm/m")


@pytest.mark.parametrize("dialect", BODIES)
async def test_tokens_are_those_that_the_server_tells(dialect: str) -> None:
    async with RerankServer(dialect) as server:
        model = HttpRerank("m", server.url, "key", dialect=dialect)
        with noted_usage() as noted:
            await model.rerank(QUESTION, DOCUMENTS, 2)
        await model.aclose()
        [request] = server.requests
        # Cohere tells what it bills, which are searches and no tokens.
        assert noted.usage == (None if dialect == "cohere" else Usage(server.tokens(request.body)))


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"usage": {"total_tokens": 7}}, 7),
        ({"usage": {"prompt_tokens": 6, "total_tokens": 7}}, 6),
        ({"usage": {"prompt_tokens": 0, "total_tokens": 0}}, None),
        ({"meta": {"tokens": {"input_tokens": 9}}}, 9),
        ({"meta": {"billed_units": {"search_units": 1}}}, None),
        ({"usage": "many"}, None),
        ({"usage": None, "meta": []}, None),
        ([], None),
    ],
)
def test_tokens_are_found_where_vendors_write_them(answer: Any, tokens: int | None) -> None:
    assert told_tokens(answer) == tokens
    assert told_tokens(answer, {"x-compute-tokens": "none"}) == tokens
