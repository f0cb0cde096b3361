"""How rerank servers differ: where they listen, what they want to be asked, how much of it, and what scores mean.

Formats: https://docs.cohere.com/reference/rerank, https://docs.cohere.com/v1/reference/rerank,
https://api.jina.ai/redoc, https://docs.voyageai.com/reference/reranker-api,
https://help.aliyun.com/en/model-studio/text-rerank-api, https://huggingface.github.io/text-embeddings-inference,
https://docs.vllm.ai/en/latest/models/pooling_models.html,
https://docs.nvidia.com/nim/nemo-retriever/text-reranking, https://github.com/ggml-org/llama.cpp (tools/server)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Body = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class RerankCall:
    """What is asked."""

    model: str
    query: str
    documents: Sequence[str]
    top_n: int


@dataclasses.dataclass(frozen=True, slots=True)
class RerankDialect:
    """One way of asking."""

    name: str
    path: str
    """Below the host, where the address names none."""
    body: Callable[[RerankCall], Body]
    host: str = ""
    """Where the vendor serves it."""
    model: str = ""
    """The model that is asked for where none is named."""
    most_documents: int = 1000
    """Most documents in one call."""
    gives_logits: bool = False
    """Scores are logits, not between 0 and 1."""


def _flat(call: RerankCall) -> Body:
    return {"model": call.model, "query": call.query, "documents": list(call.documents), "top_n": call.top_n}


def _without_texts(call: RerankCall) -> Body:
    return {**_flat(call), "return_documents": False}


def _voyage(call: RerankCall) -> Body:
    return {
        "model": call.model,
        "query": call.query,
        "documents": list(call.documents),
        "top_k": call.top_n,
        "truncation": True,
    }


def _aliyun(call: RerankCall) -> Body:
    return {
        "model": call.model,
        "input": {"query": call.query, "documents": list(call.documents)},
        "parameters": {"top_n": call.top_n, "return_documents": False},
    }


def _tei(call: RerankCall) -> Body:
    return {"query": call.query, "texts": list(call.documents), "raw_scores": False, "truncate": True}


def _nvidia(call: RerankCall) -> Body:
    return {
        "model": call.model,
        "query": {"text": call.query},
        "passages": [{"text": text} for text in call.documents],
        "truncate": "END",
    }


COHERE = RerankDialect("cohere", "/v2/rerank", _flat, "https://api.cohere.com", "rerank-v3.5")
COHERE_V1 = dataclasses.replace(COHERE, name="cohere-v1", path="/v1/rerank", body=_without_texts)
JINA = RerankDialect("jina", "/v1/rerank", _without_texts, "https://api.jina.ai", "jina-reranker-v2-base-multilingual")
VOYAGE = RerankDialect("voyageai", "/v1/rerank", _voyage, "https://api.voyageai.com", "rerank-2.5")
ALIYUN = RerankDialect(
    "aliyun",
    "/api/v1/services/rerank/text-rerank/text-rerank",
    _aliyun,
    "https://dashscope.aliyuncs.com",
    "gte-rerank-v2",
    most_documents=500,
)
ALIYUN_COMPATIBLE = dataclasses.replace(ALIYUN, name="aliyun-compatible", path="/compatible-api/v1/reranks", body=_flat)
TEI = RerankDialect("tei", "/rerank", _tei, "http://localhost:8080", most_documents=32)
VLLM = RerankDialect("vllm", "/v1/rerank", _flat, "http://localhost:8000")
LLAMACPP = RerankDialect("llamacpp", "/v1/rerank", _flat, "http://localhost:8080", gives_logits=True)
NVIDIA = RerankDialect("nvidia", "/v1/ranking", _nvidia, "http://localhost:8000", most_documents=512, gives_logits=True)
GENERIC = RerankDialect("generic", "/v1/rerank", _flat)

AUTO = "auto"
DIALECTS: Mapping[str, RerankDialect] = {
    dialect.name: dialect for dialect in (COHERE, JINA, VOYAGE, ALIYUN, TEI, VLLM, LLAMACPP, NVIDIA, GENERIC)
}
"""What can be named in the settings; the variants are told by the address."""

_HOSTS = {"api.cohere": COHERE, "api.jina.ai": JINA, "api.voyageai.com": VOYAGE, "aliyuncs.com": ALIYUN}
_ENDINGS = ("/rerank", "/reranks", "/text-rerank", "/reranking", "/ranking")


def dialect_of(host: str) -> RerankDialect | None:
    """Return the dialect of a vendor's address; None where the address is not a vendor's."""
    name = urlsplit(host).hostname or ""
    return next((dialect for part, dialect in _HOSTS.items() if part in name), None)


def variant(dialect: RerankDialect, host: str) -> RerankDialect:
    """Return the variant of a dialect that an address tells."""
    path = urlsplit(host).path
    if dialect is COHERE and "/v1" in path:
        return COHERE_V1
    if dialect is ALIYUN and "/compatible" in path:
        return ALIYUN_COMPATIBLE
    return dialect


def address(host: str, dialect: RerankDialect) -> str:
    """Return where to post: `host` itself where it names the interface, or a path below it."""
    base = host.rstrip("/")
    if base.endswith(_ENDINGS):
        return base
    ending = dialect.path.rpartition("/")[2]
    return f"{base}/{ending}" if _has_version(base) else base + dialect.path


def candidates(host: str) -> list[tuple[str, RerankDialect]]:
    """Return the (address, dialect) pairs to try on a server that is not known, the likeliest first."""
    base = host.rstrip("/")
    if base.endswith(_ENDINGS):
        return [(base, dialect) for dialect in (GENERIC, TEI, VOYAGE, ALIYUN)]
    root = base.rpartition("/")[0] if _has_version(base) else base
    return [
        (f"{root}/v1/rerank", GENERIC),
        (f"{root}/rerank", TEI),
        (f"{root}/rerank", GENERIC),
        (f"{root}/v2/rerank", COHERE),
        (f"{root}/v1/rerank", VOYAGE),
        (root + ALIYUN.path, ALIYUN),
    ]


def scores(answer: Any, count: int) -> list[tuple[int, float]]:
    """Return (index, score) of each document that an answer judges.

    Servers write `results`, `data` or `rankings` (below `output` at DashScope), or a bare list, of objects with `index`
    and `relevance_score`, `score` or `logit`. Raises ValueError, LookupError, TypeError or AttributeError for others.
    """
    rows = answer
    if isinstance(answer, dict):
        answer = answer.get("output", answer)
        rows = next(answer[key] for key in ("results", "rankings", "data") if key in answer or key == "data")
    found: dict[int, float] = {}
    for row in rows:
        index = row["index"]
        if not isinstance(index, int) or not 0 <= index < count:
            raise ValueError(f"there is no document {index!r}")
        found[index] = float(
            next(row[key] for key in ("relevance_score", "logit", "score") if key in row or key == "score")
        )
    if count and not found:
        raise ValueError("no document is judged")
    return list(found.items())


def _has_version(base: str) -> bool:
    last = base.rpartition("/")[2]
    return len(last) == 2 and last[0] == "v" and last[1].isdigit()
