"""LightRAG's reranking functions, over the dialects of `lightrag.llm.rerank_binding`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.llm.contracts import RerankModel
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.llm.rerank_chunking import ChunkedRerank, token_cutter
from lightrag.text.tokens import Tokenizer

__all__ = ["aggregate_chunk_scores", "ali_rerank", "cohere_rerank", "generic_rerank_api", "jina_rerank"]

Ranking = list[dict[str, Any]]
_KEYS = ("RERANK_BINDING_API_KEY",)


async def generic_rerank_api(
    query: str,
    documents: list[str],
    model: str,
    base_url: str,
    api_key: str | None = None,
    top_n: int | None = None,
    return_documents: bool | None = None,
    extra_body: dict[str, Any] | None = None,
    response_format: str = "standard",
    request_format: str = "standard",
    enable_chunking: bool = False,
    max_tokens_per_doc: int = 480,
) -> Ranking:
    """Ask a rerank server; return `{"index", "relevance_score"}` of the best `top_n` documents, best first.

    `base_url`: the whole address. `request_format` and `response_format`: `standard`, or `aliyun`. `enable_chunking`:
    judge long documents by their pieces. Raises `ModelError`.
    """
    dialect = "aliyun" if "aliyun" in {request_format, response_format} else "auto"
    return await _rank(
        _Call(query, documents, top_n), model, base_url, api_key, dialect, max_tokens_per_doc if enable_chunking else 0
    )


async def cohere_rerank(
    query: str,
    documents: list[str],
    top_n: int | None = None,
    api_key: str | None = None,
    model: str = "rerank-v3.5",
    base_url: str = "https://api.cohere.com/v2/rerank",
    extra_body: dict[str, Any] | None = None,
    enable_chunking: bool = False,
    max_tokens_per_doc: int = 4096,
) -> Ranking:
    """Ask Cohere, or a server that speaks its dialect (vLLM); see `generic_rerank_api`."""
    key = api_key or _key("COHERE_API_KEY", "CO_API_KEY")
    tokens = max_tokens_per_doc if enable_chunking else 0
    return await _rank(_Call(query, documents, top_n), model, base_url, key, "cohere", tokens)


async def jina_rerank(
    query: str,
    documents: list[str],
    top_n: int | None = None,
    api_key: str | None = None,
    model: str = "jina-reranker-v2-base-multilingual",
    base_url: str = "https://api.jina.ai/v1/rerank",
    extra_body: dict[str, Any] | None = None,
) -> Ranking:
    """Ask Jina AI; see `generic_rerank_api`."""
    return await _rank(_Call(query, documents, top_n), model, base_url, api_key or _key("JINA_API_KEY"), "jina", 0)


async def ali_rerank(
    query: str,
    documents: list[str],
    top_n: int | None = None,
    api_key: str | None = None,
    model: str = "gte-rerank-v2",
    base_url: str = "https://dashscope.aliyuncs.com/api/v1/services/rerank/text-rerank/text-rerank",
    extra_body: dict[str, Any] | None = None,
) -> Ranking:
    """Ask Alibaba Cloud's DashScope; see `generic_rerank_api`."""
    key = api_key or _key("DASHSCOPE_API_KEY")
    return await _rank(_Call(query, documents, top_n), model, base_url, key, "aliyun", 0)


def aggregate_chunk_scores(
    chunk_results: Sequence[Mapping[str, Any]],
    doc_indices: Sequence[int],
    num_original_docs: int,
    aggregation: str = "max",
) -> Ranking:
    """Return the scores of documents from those of their pieces: `max`, `mean` or `first`, best first.

    `doc_indices`: the document of each piece. Pieces without a usable index or score do not count.
    """
    scores: dict[int, list[float]] = {}
    for result in chunk_results:
        index, score = result.get("index"), result.get("relevance_score")
        if isinstance(index, int) and isinstance(score, (int, float)) and 0 <= index < len(doc_indices):
            document = doc_indices[index]
            if 0 <= document < num_original_docs:
                scores.setdefault(document, []).append(float(score))
    chosen = {
        document: {"mean": sum(found) / len(found), "first": found[0]}.get(aggregation, max(found))
        for document, found in scores.items()
    }
    ranked = sorted(chosen.items(), key=lambda item: (-item[1], item[0]))
    return [{"index": document, "relevance_score": score} for document, score in ranked]


class _Call:
    def __init__(self, query: str, documents: Sequence[str], top_n: int | None) -> None:
        self.query, self.documents = query, list(documents)
        self.top_n = len(self.documents) if top_n is None else top_n


async def _rank(
    call: _Call, model: str, base_url: str, api_key: str | None, dialect: str, piece_tokens: int
) -> Ranking:
    reranker: RerankModel = HttpRerank(model, base_url, api_key or _key(), dialect=dialect)
    if piece_tokens:
        reranker = ChunkedRerank(reranker, token_cutter(Tokenizer(), piece_tokens))
    try:
        hits = await reranker.rerank(call.query, call.documents, call.top_n)
    finally:
        await reranker.aclose()
    return [{"index": hit.index, "relevance_score": hit.score} for hit in hits]


def _key(*names: str) -> str | None:
    return next((value for name in (*names, *_KEYS) if (value := os.getenv(name))), None)
