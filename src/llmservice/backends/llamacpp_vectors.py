"""Embedding models and rerankers on llama.cpp: dense vectors, and cross-encoders with one segment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from llmservice.backends.contracts import Embedded, ModelFacts, ModelSource, Score, VectorKind
from llmservice.backends.files import fingerprint
from llmservice.backends.gguf_header import (
    GgufHeader,
    read_gguf_header,
    require_embedding_model,
    require_rerank_model,
)
from llmservice.backends.llamacpp_server import LlamaServer
from llmservice.backends.vector_outputs import normalised
from llmservice.embedders import BaseEmbedder
from llmservice.errors import ContextOverflow
from llmservice.rerankers import BaseReranker

Result = TypeVar("Result")
_CLOSING_TOKENS = 4
"""Most tokens that a template puts around a pair."""


class LlamaCppEmbedder(BaseEmbedder):
    """A GGUF embedding model; dense vectors only."""

    def load(self) -> None:
        """Check the file and load it; blocks."""
        header = read_gguf_header(self.source.path)
        require_embedding_model(header)
        self._server = _start(self.source, header)
        self._facts = ModelFacts(
            "llamacpp",
            self._server.context_length,
            fingerprint(self.source.path),
            dimension=header.number("embedding_length"),
            vectors=("dense",),
        )

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def embed_texts(self, texts: Sequence[str], kinds: frozenset[VectorKind], truncate: bool) -> list[Embedded]:
        """Return vectors of each text, in order."""
        return await _together([self._embed(text, truncate) for text in texts])

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await self._server.tokens(text, special=False)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await self._server.aclose()

    async def _embed(self, text: str, truncate: bool) -> Embedded:
        limit = self._facts.context_length
        given: str | list[int] = text
        # No text has more tokens than bytes, so that only long ones need counting beforehand.
        if len(text.encode("utf-8", "replace")) + _CLOSING_TOKENS > limit:
            tokens = await self._server.tokens(text, special=True)
            if len(tokens) > limit and not truncate:
                raise ContextOverflow(len(tokens), limit)
            given = tokens if len(tokens) <= limit else [*tokens[: limit - 1], tokens[-1]]
        answer = await self._server.call("handle_embeddings", {"input": given})
        vector = normalised(np.asarray(answer["data"][0]["embedding"], np.float32))
        return Embedded(int(answer["usage"]["prompt_tokens"]), dense=vector)


class LlamaCppReranker(BaseReranker):
    """A GGUF cross-encoder of the XLM-RoBERTa family."""

    def load(self) -> None:
        """Check the file and load it; blocks."""
        header = read_gguf_header(self.source.path)
        require_rerank_model(header)
        self._server = _start(self.source, header)
        self._facts = ModelFacts("llamacpp", self._server.context_length, fingerprint(self.source.path))

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def rerank(self, query: str, documents: Sequence[str], document_tokens: int | None) -> list[Score]:
        """Return each document's score, in the order of the documents."""
        room = self._facts.context_length - _CLOSING_TOKENS
        query_length = len(await self._server.tokens(query, special=False)) if len(query.encode()) > room // 2 else None
        if query_length is not None and query_length >= room:
            raise ContextOverflow(query_length + _CLOSING_TOKENS, self._facts.context_length)
        return await _together([self._score(query, document, document_tokens) for document in documents])

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await self._server.tokens(text, special=False)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await self._server.aclose()

    async def _score(self, query: str, document: str, document_tokens: int | None) -> Score:
        document = await self._fitting(query, document, document_tokens)
        answer = await self._server.call("handle_rerank", {"query": query, "documents": [document]})
        return Score(float(answer["results"][0]["relevance_score"]), int(answer["usage"]["prompt_tokens"]))

    async def _fitting(self, query: str, document: str, document_tokens: int | None) -> str:
        """Return the beginning of a document that fits beside the query and is not longer than asked for."""
        room = self._facts.context_length - _CLOSING_TOKENS
        most = room if document_tokens is None else document_tokens
        length = len(document.encode("utf-8", "replace"))
        if len(query.encode("utf-8", "replace")) + length <= room and length <= most:
            return document
        left = min(room - len(await self._server.tokens(query, special=False)), most)
        tokens = await self._server.tokens(document, special=False)
        while len(tokens) > left:
            # Pieces of cut text may be tokenized otherwise, so the shortened one is counted again.
            document = document[: max(0, min(len(document) - 1, len(document) * left // len(tokens)))]
            tokens = await self._server.tokens(document, special=False)
        return document


def _start(source: ModelSource, header: GgufHeader) -> LlamaServer:
    """Load an encoder; it reads an input in one batch, which must therefore hold the whole context."""
    context = min(source.context_length or 1 << 30, header.number("context_length") or 512)
    settings: dict[str, Any] = {"embedding": True, "n_batch": context, "n_ubatch": context}
    if header.is_reranker:
        import xllamacpp  # type: ignore[import-untyped]

        settings["pooling_type"] = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    bounded = ModelSource(
        source.path,
        source.name,
        source.threads,
        source.slots,
        context,
        source.gpu_layers,
        {name: value for name, value in source.options.items() if name != "n_batch"},
    )
    return LlamaServer(bounded, header, **settings)


async def _together(calls: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Await all; the first failure cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
