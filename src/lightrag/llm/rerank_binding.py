"""Reranking models behind HTTP, in whichever dialect the server speaks.

A dialect that is not named is found out with the first question: known addresses tell it, other servers are asked in
one dialect after the other until one is understood, and that one is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import orjson

from lightrag.errors import ContextTooLong, ModelError, ModelRefused, UnusableAnswer
from lightrag.llm.contracts import ModelFacts, RerankHit
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.http_client import HttpClient, bearer
from lightrag.llm.rerank_dialects import (
    AUTO,
    DIALECTS,
    RerankCall,
    RerankDialect,
    address,
    candidates,
    dialect_of,
    scores,
    variant,
)
from lightrag.llm.usage import note_tokens, told_tokens

_NOT_UNDERSTOOD = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses by which a server says that it does not know what it is asked."""


class HttpRerank:
    """A reranking model.

    `dialect`: one of `DIALECTS`, or `auto`. `host`: base URL, or the whole address of the interface; by default that of
    the dialect's vendor. `timeout`: seconds for one call. Scores are between 0 and 1: those of servers that give logits
    are put through the logistic function, which does not change their order.
    """

    def __init__(
        self,
        model: str = "",
        host: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 30.0,
        *,
        dialect: str = AUTO,
        max_batch: int | None = None,
    ) -> None:
        named = DIALECTS[dialect] if dialect != AUTO else None
        url = host or (named.host if named else "")
        known = named or dialect_of(url)
        self._found = (address(url, variant(known, url)), variant(known, url)) if known else None
        name = model or (known.model if known else "")
        self._facts = ModelFacts(known.name if known else AUTO, name, public_url(url), max_batch=max_batch)
        self._url = url
        self._endpoint = Endpoint(name, self._facts.host, "the model's name", api_key or "")
        self._client = HttpClient(url, timeout, self._endpoint, bearer(api_key))
        self._finding = asyncio.Lock()
        self._logits = known is not None and known.gives_logits

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `binding` is the dialect, or `auto`."""
        return self._facts

    @property
    def dialect(self) -> str:
        """The dialect that is spoken; `auto` as long as that is not known."""
        return self._found[1].name if self._found else AUTO

    @property
    def address(self) -> str:
        """Where questions go; the empty string as long as that is not known."""
        return self._found[0] if self._found else ""

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first.

        Raises `ModelRefused` where no dialect is understood.
        """
        if not documents or top_n < 1:
            return []
        judged: list[tuple[int, float]] = []
        start = 0
        while start < len(documents):
            batch = documents[start : start + self._most()]
            # A batch of its own is not cut to what is wanted in all: its worst may be better than the others' best.
            call = RerankCall(self._facts.name, query, batch, min(top_n, len(batch)))
            judged += [(start + index, score) for index, score in await self._judge(call)]
            start += len(batch)
        self._logits = self._logits or any(not 0.0 <= score <= 1.0 for _, score in judged)
        hits = [RerankHit(index, _logistic(score) if self._logits else score) for index, score in judged]
        return sorted(hits, key=lambda hit: (-hit.score, hit.index))[:top_n]

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _most(self) -> int:
        """Return the most documents in one call: little, as long as the server is not known."""
        most = self._found[1].most_documents if self._found else min(d.most_documents for d in DIALECTS.values())
        return min(most, self._facts.max_batch or most)

    async def _judge(self, call: RerankCall) -> list[tuple[int, float]]:
        if self._found is None:
            async with self._finding:
                if self._found is None:
                    return await self._find(call)
        return await self._ask(*self._found, call)

    async def _find(self, call: RerankCall) -> list[tuple[int, float]]:
        """Ask in one dialect after the other, and keep the one that is understood."""
        answers: list[str] = []
        for url, dialect in candidates(self._url):
            try:
                judged = await self._ask(url, dialect, call)
            except ModelError as error:
                if not _is_misunderstanding(error):
                    raise
                answers.append(f"{dialect.name} at {url.removeprefix(self._url) or '/'}: {error.status or 'no scores'}")
                continue
            self._found = (url, dialect)
            return judged
        raise self._endpoint.refused(
            f"no rerank interface was found ({'; '.join(answers)})",
            "set RERANK_BINDING_HOST to the whole address of the interface, or RERANK_BINDING to its dialect",
        )

    async def _ask(self, url: str, dialect: RerankDialect, call: RerankCall) -> list[tuple[int, float]]:
        raw, headers = await self._client.exchange(url, dialect.body(call))
        try:
            answer = orjson.loads(raw)
            judged = scores(answer, len(call.documents))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer holds no scores, it begins {start!r}") from error
        if not all(math.isfinite(score) for _, score in judged):
            raise self._endpoint.unusable("a score is not a finite number")
        note_tokens(told_tokens(answer, headers))
        return judged


def _is_misunderstanding(error: ModelError) -> bool:
    if isinstance(error, UnusableAnswer):
        return True
    if isinstance(error, ContextTooLong):
        return False
    return isinstance(error, ModelRefused) and error.status in _NOT_UNDERSTOOD


def _logistic(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))
