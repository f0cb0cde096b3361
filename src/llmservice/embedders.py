"""Embedding models: the base class of every backend for them, and the table that makes one.

A new embedding model extends `BaseEmbedder` and gets a line in `create_embedder`.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

from llmservice.backends.contracts import Embedded, ModelFacts, ModelSource, VectorKind
from llmservice.errors import InvalidRequest, ModelLoadError


class BaseEmbedder(abc.ABC):
    """An embedding model. `load` is called once, in a thread, before anything else."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source

    @abc.abstractmethod
    def load(self) -> None:
        """Check the files and load them; blocks. Raises `ModelLoadError` with the reason and the mend."""

    @property
    @abc.abstractmethod
    def facts(self) -> ModelFacts:
        """What is known of the model, among it the kinds of vector that it makes."""

    @abc.abstractmethod
    async def embed_texts(self, texts: Sequence[str], kinds: frozenset[VectorKind], truncate: bool) -> list[Embedded]:
        """Return vectors of each text, in order; `kinds` are among those of `facts`.

        Texts longer than the context raise `ContextOverflow`, unless `truncate`, which keeps their beginning.
        """

    @abc.abstractmethod
    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Stop what runs and release the model."""

    async def embed(self, texts: Sequence[str], kinds: frozenset[VectorKind], *, truncate: bool) -> list[Embedded]:
        """Return vectors of each text, in order. Raises `InvalidRequest` for a kind that the model does not make."""
        missing = sorted(kinds - set(self.facts.vectors))
        if missing:
            raise InvalidRequest(
                f"The model {self.source.name} makes no {' or '.join(missing)} vectors, only "
                f"{', '.join(self.facts.vectors)}; BGE-M3 as ONNX with three outputs makes all kinds"
            )
        if not texts:
            return []
        return await self.embed_texts(texts, kinds, truncate)


def create_embedder(source: ModelSource, engine: str) -> BaseEmbedder:
    """Load an embedding model with an engine, `onnx` or `llamacpp`; blocks. Raises `ModelLoadError`."""
    if engine == "onnx":
        from llmservice.backends.onnx_embedder import OnnxEmbedder

        model: BaseEmbedder = OnnxEmbedder(source)
    elif engine == "llamacpp":
        from llmservice.backends.llamacpp_vectors import LlamaCppEmbedder

        model = LlamaCppEmbedder(source)
    else:
        raise ModelLoadError(f"The backend {engine!r} has no embedding models; use onnx (directory) or llamacpp (GGUF)")
    model.load()
    return model
