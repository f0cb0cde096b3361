"""Reranking models: the base class of every backend for them, and the table that makes one.

A new reranking model extends `BaseReranker` and gets a line in `create_reranker`.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

from llmservice.backends.contracts import ModelFacts, ModelSource, Score
from llmservice.errors import ModelLoadError


class BaseReranker(abc.ABC):
    """A cross-encoder. `load` is called once, in a thread, before anything else."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source

    @abc.abstractmethod
    def load(self) -> None:
        """Check the files and load them; blocks. Raises `ModelLoadError` with the reason and the mend."""

    @property
    @abc.abstractmethod
    def facts(self) -> ModelFacts:
        """What is known of the model."""

    @abc.abstractmethod
    async def rerank(self, query: str, documents: Sequence[str], document_tokens: int | None) -> list[Score]:
        """Return each document's score, in the order of the documents.

        Documents lose what is beyond `document_tokens`, and what makes a pair longer than the context. Raises
        `ContextOverflow` where the query alone leaves no room for one.
        """

    @abc.abstractmethod
    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Stop what runs and release the model."""

    async def score(self, query: str, documents: Sequence[str], *, document_tokens: int | None = None) -> list[Score]:
        """Return each document's score, in order; of each at most so many tokens are read."""
        return await self.rerank(query, documents, document_tokens) if documents else []


def create_reranker(source: ModelSource, engine: str) -> BaseReranker:
    """Load a reranker with an engine, `onnx` or `llamacpp`; blocks. Raises `ModelLoadError`."""
    if engine == "onnx":
        from llmservice.backends.onnx_reranker import OnnxReranker

        model: BaseReranker = OnnxReranker(source)
    elif engine == "llamacpp":
        from llmservice.backends.llamacpp_vectors import LlamaCppReranker

        model = LlamaCppReranker(source)
    else:
        raise ModelLoadError(f"The backend {engine!r} has no rerankers; use onnx (directory) or llamacpp (GGUF)")
    model.load()
    return model
