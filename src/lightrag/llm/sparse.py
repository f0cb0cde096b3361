"""Sparse weights of texts, from a server of OpenAI's dialect that can give them beside vectors.

Format: `POST /embeddings` with `embedding_type` `sparse` answers `sparse_embedding` in every item of `data`, an object
of weights by token id, as BGE-M3's lexical weights. See docs/llmservice.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from lightrag.errors import ModelError
from lightrag.llm.contracts import ModelFacts, Role, SparseModel
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.limiter import Limiter, Priority
from lightrag.llm.meter import Timed, UsageMeter
from lightrag.llm.openai_client import OpenAIClient
from lightrag.llm.retry import Retrial, RetryPolicy
from lightrag.llm.usage import estimate_texts, note_tokens, noted_usage, told_tokens
from lightrag.llm.vectors import batches, by_index
from lightrag.llm.wrapper import Wrapper

Purpose = Literal["document", "query"]
Weights = dict[str, float]

_DIGITS = 5
"""Decimals of a weight that are kept; BGE-M3's lie between 0 and 1."""


class OpenAISparse:
    """Asks the embedding server for sparse weights, `max_batch` texts in one call; `timeout`: seconds for one.

    Texts beyond the model's context are read from their beginning: the vector beside the weights says whether they may
    be that long.
    """

    def __init__(
        self, model: str, base_url: str, api_key: str | None = None, max_batch: int = 32, timeout: float | None = 30.0
    ) -> None:
        self._timeout = timeout
        self._facts = ModelFacts("openai", model, public_url(base_url), max_batch=max_batch)
        self._endpoint = Endpoint(model, self._facts.host, "the model's name", api_key or "")
        self._client = OpenAIClient(base_url, api_key, timeout, None, self._endpoint)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def weights(self, texts: Sequence[str], *, purpose: Purpose) -> list[Weights]:
        """Return the weights by token of each text. Raises `ModelRefused` where the server gives none."""
        found: list[Weights] = []
        for batch in batches(texts, self._facts.max_batch):
            found += await self._call(batch)
        return found

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, texts: Sequence[str]) -> list[Weights]:
        body = {"model": self._facts.name, "input": list(texts), "embedding_type": "sparse", "truncate": True}
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._client.post("/embeddings", body)
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        try:
            data = orjson.loads(raw)
            if data.get("error") and not data.get("data"):
                raise self._client.reported(data["error"])
            items = by_index(data["data"])
            given = [item.get("sparse_embedding") for item in items]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            start = raw[:80].decode("utf-8", "replace")
            raise self._endpoint.unusable(f"the answer holds no sparse weights, it begins {start!r}") from error
        if len(given) != len(texts):
            raise self._endpoint.unusable(f"{len(given)} rows of weights came back for {len(texts)} texts")
        note_tokens(told_tokens(data))
        return [self._read(row) for row in given]

    def _read(self, row: Any) -> Weights:
        if row is None:
            raise self._endpoint.refused(
                "the server gave no sparse weights (sparse_embedding)",
                "use a server and model that have them, such as llmservice with BGE-M3, or EMBEDDING_SPARSE=false",
            )
        if not isinstance(row, Mapping):
            raise self._endpoint.unusable("sparse weights are not an object of weights by token")
        try:
            rounded = {str(token): round(float(weight), _DIGITS) for token, weight in row.items()}
        except (TypeError, ValueError) as error:
            raise self._endpoint.unusable(f"sparse weights cannot be read ({error})") from error
        if not all(map(math.isfinite, rounded.values())):
            raise self._endpoint.unusable("a sparse weight is not a finite number")
        return {token: weight for token, weight in rounded.items() if weight > 0}


class SteadySparse(Wrapper[SparseModel]):
    """A sparse model whose calls each hold a slot, are counted with those of embeddings, and tried again.

    `limiter` is the embedding model's, since both are one server. Closing it closes `model`.
    """

    def __init__(
        self, model: SparseModel, limiter: Limiter, meter: UsageMeter, policy: RetryPolicy | None = None
    ) -> None:
        super().__init__(model)
        self._limiter = limiter
        self._meter = meter
        self._policy = policy or RetryPolicy()

    async def weights(self, texts: Sequence[str], *, purpose: Purpose) -> list[Weights]:
        """Return the weights by token of each text; what fails costs one batch again."""
        found: list[Weights] = []
        for batch in batches(texts, self.facts.max_batch):
            found += await self._persist(batch, purpose)
        return found

    async def _persist(self, texts: Sequence[str], purpose: Purpose) -> list[Weights]:
        retrial = Retrial(self._policy, self._limiter)
        priority = Priority.INTERACTIVE if purpose == "query" else Priority.INDEXING
        while True:
            try:
                async with self._limiter.slot(priority):
                    return await self._counted(texts, purpose)
            except ModelError as error:
                await retrial.after(error)

    async def _counted(self, texts: Sequence[str], purpose: Purpose) -> list[Weights]:
        row = self._meter.row(Role.EMBED, self.facts)
        with Timed(row), noted_usage() as noted:
            found = await self._model.weights(texts, purpose=purpose)
        row.texts += len(texts)
        self._meter.add(Role.EMBED, self.facts, noted.usage or estimate_texts(texts))
        return found
