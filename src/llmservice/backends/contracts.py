"""What a loaded model can be asked for; every backend implements one of these, inside a worker process.

A backend is made by its factory with a `ModelSource`, loads in its constructor's `load` and never talks HTTP. All
methods are coroutines; what computes runs in threads of the backend's own. Cancelling a coroutine or closing an
iterator frees the slot that it held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
FinishReason = Literal["stop", "length", "tool_calls"]
VectorKind = Literal["dense", "sparse", "colbert"]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model lies and how it is to be loaded."""

    path: Path
    name: str
    """The name that clients see."""
    threads: int
    slots: int = 1
    """Requests that are worked on at once."""
    context_length: int | None = None
    """Tokens; None for the model's own."""
    gpu_layers: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What only one backend knows."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a loaded model."""

    backend: str
    context_length: int
    fingerprint: str
    """Changes with the file; part of every cache key."""
    dimension: int | None = None
    vectors: tuple[VectorKind, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; bounds are checked at the edge."""

    max_tokens: int
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_penalty: float | None = None
    logprobs: int | None = None
    """Alternatives per token; None for no log probabilities."""
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to go on with."""

    messages: Sequence[Mapping[str, Any]]
    """OpenAI's messages, as validated at the edge."""
    sampling: Sampling
    tools: Sequence[Mapping[str, Any]] = ()
    """Functions that the template may show; a forced choice arrives as `json_schema`."""
    json_schema: Mapping[str, Any] | None = None
    """The answer's text must be JSON that this schema admits; `{}` for any object."""


@dataclasses.dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A text to go on with, no template applied."""

    prompt: str
    sampling: Sampling
    json_schema: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's log probability and those of its alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer; the last one has a finish reason and the counts."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning: str = ""
    """Thoughts that the model's template keeps apart from the answer."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """Deltas in OpenAI's form (`index`, `id`, `function`), where the engine reads the model's own call syntax."""


@dataclasses.dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of one text, those that were asked for."""

    tokens: int
    dense: FloatArray | None = None
    """Shape (dimension,), L2-normalised."""
    sparse: Mapping[str, float] | None = None
    """Weight by token id, as BGE-M3's lexical weights."""
    colbert: FloatArray | None = None
    """Shape (tokens, dimension), rows L2-normalised."""


class Backend(Protocol):
    """What every loaded model has."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        ...

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        ...


class ChatBackend(Backend, Protocol):
    """A language model. Raises `ContextOverflow` before the first piece where the prompt does not fit."""

    def chat(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """Yield an answer piece by piece."""
        ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Yield a continuation piece by piece."""
        ...


class EmbeddingBackend(Backend, Protocol):
    """An embedding model. Texts longer than the context raise `ContextOverflow`, unless `truncate`."""

    async def embed(self, texts: Sequence[str], kinds: frozenset[VectorKind], *, truncate: bool) -> list[Embedded]:
        """Return vectors of each text, in order."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """How relevant a document is: the model's logit."""

    logit: float
    tokens: int


class RerankBackend(Backend, Protocol):
    """A cross-encoder. Pairs longer than the context are truncated on the document's side."""

    async def score(self, query: str, documents: Sequence[str], *, document_tokens: int | None = None) -> list[Score]:
        """Return each document's score, in order; of each at most so many tokens are read."""
        ...
