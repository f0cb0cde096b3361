"""`lightrag.rerank` against servers of the dialects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lightrag.rerank import aggregate_chunk_scores, ali_rerank, cohere_rerank, generic_rerank_api, jina_rerank
from lightrag.testing.vendor_server_rerank import RerankServer

QUESTION = "what colour is the tower"
DOCUMENTS = ["a house", "the colour of the tower", "the bridge", "the tower"]

Function = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.mark.parametrize(
    ("function", "dialect", "path"),
    [
        (cohere_rerank, "cohere", "/v2/rerank"),
        (cohere_rerank, "vllm", "/rerank"),
        (cohere_rerank, "vllm", "/v1/rerank"),
        (jina_rerank, "jina", "/v1/rerank"),
        (ali_rerank, "aliyun", "/api/v1/services/rerank/text-rerank/text-rerank"),
    ],
)
async def test_each_function_speaks_its_vendors_dialect(function: Function, dialect: str, path: str) -> None:
    async with RerankServer(dialect, api_key="secret") as server:
        ranking = await function(
            query=QUESTION, documents=DOCUMENTS, top_n=2, api_key="secret", model="m", base_url=server.url + path
        )
    assert [item["index"] for item in ranking] == [1, 3]
    assert ranking[0]["relevance_score"] > ranking[1]["relevance_score"]
    assert server.requests[0].path == path


async def test_any_server_is_asked_in_the_form_that_it_understands() -> None:
    async with RerankServer("tei") as server:
        ranking = await generic_rerank_api(QUESTION, DOCUMENTS, "m", server.url, None, top_n=1, enable_chunking=True)
    assert ranking[0]["index"] == 1


def test_scores_of_pieces_become_those_of_documents() -> None:
    pieces = [
        {"index": 0, "relevance_score": 0.2},
        {"index": 1, "relevance_score": 0.8},
        {"index": 2, "relevance_score": 0.6},
        {"index": None, "relevance_score": 0.9},
        {"index": 7, "relevance_score": 0.9},
    ]
    assert aggregate_chunk_scores(pieces, [0, 0, 1], 2) == [
        {"index": 0, "relevance_score": 0.8},
        {"index": 1, "relevance_score": 0.6},
    ]
    assert aggregate_chunk_scores(pieces, [0, 0, 1], 2, "mean")[0]["index"] == 1
