"""Language models: the base class of every backend for them, and the table that makes one.

A new backend for language models extends `BaseModelWrapper` and gets a line in `create_model`.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncGenerator

from llmservice.backends.contracts import ChatRequest, CompletionRequest, ModelFacts, ModelSource, Piece
from llmservice.errors import ModelLoadError


class BaseModelWrapper(abc.ABC):
    """A language model. `initialize` is called once, in a thread, before anything else."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source

    @abc.abstractmethod
    def initialize(self) -> None:
        """Check the files and load them; blocks. Raises `ModelLoadError` with the reason and the mend."""

    @abc.abstractmethod
    def generate(self, request: ChatRequest | CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of an answer; the last one has the finish reason and the counts.

        Raises `ContextOverflow` or `InvalidRequest` before the first piece. Closing the iterator frees the slot.
        """

    @property
    @abc.abstractmethod
    def facts(self) -> ModelFacts:
        """What is known of the model."""

    @abc.abstractmethod
    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Stop what runs and release the model."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """Yield an answer piece by piece."""
        async with contextlib.aclosing(self.generate(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Yield a continuation piece by piece."""
        async with contextlib.aclosing(self.generate(request)) as pieces:
            async for piece in pieces:
                yield piece


def create_model(source: ModelSource, engine: str) -> BaseModelWrapper:
    """Load a language model with an engine, `llamacpp` or `mlx`; blocks. Raises `ModelLoadError`."""
    if engine == "llamacpp":
        from llmservice.backends.llamacpp_chat import LlamaCppModel

        model: BaseModelWrapper = LlamaCppModel(source)
    elif engine == "mlx":
        from llmservice.backends.mlx_chat import MlxModel

        model = MlxModel(source)
    else:
        raise ModelLoadError(f"The backend {engine!r} has no language models; use llamacpp (GGUF) or mlx (directory)")
    model.initialize()
    return model
