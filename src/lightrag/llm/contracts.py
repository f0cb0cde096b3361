"""What the engine asks of a model: chat, embeddings, reranking. Bindings speak a server's dialect behind these."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Role(StrEnum):
    """What a model call is for; settings choose a model per role, and usage is counted per role."""

    EXTRACT = "extract"
    SUMMARY = "summary"
    KEYWORDS = "keywords"
    ANSWER = "answer"
    EMBED = "embed"
    RERANK = "rerank"
    IMAGE2TEXT = "image2text"
    """Describes the pictures of documents."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model."""

    binding: str
    name: str
    host: str = ""
    context_tokens: int | None = None
    dimension: int | None = None
    """Length of embeddings."""
    max_batch: int | None = None
    """Most texts in one embedding call."""
    variant: str = ""
    """Fingerprint of the parameters that go with every call; empty where there are none."""

    @property
    def label(self) -> str:
        """Binding and name: what people are told, and what is recorded of an embedding model in a workspace.

        The host may change, the model may not.
        """
        return f"{self.binding}/{self.name}"

    @property
    def called(self) -> str:
        """Name and binding: how questions ask for the model where its settings give it no other provider."""
        return f"{self.name}@{self.binding}"

    @property
    def identity(self) -> str:
        """Names the model in cache keys; equal identities give equal answers."""
        variant = f"#{self.variant}" if self.variant else ""
        return f"{self.label}@{self.host}{variant}"


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the server reported them or, with `estimated`, as counted here."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a format of the web."""

    content: bytes = dataclasses.field(repr=False)
    media_type: str

    @property
    def base64(self) -> str:
        """The content as text."""
        return base64.b64encode(self.content).decode()


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be continued."""

    messages: tuple[Message, ...]
    role: Role
    max_tokens: int | None = None
    temperature: float | None = None
    json_object: bool = False
    """Ask for a JSON object where the server can promise one."""
    extra: tuple[tuple[str, Any], ...] = ()
    """Further parameters of the dialect."""
    chunk_id: str = ""
    """The chunk that the call is about: noted beside a cached answer, not sent and not part of its key."""
    fresh: bool = False
    """Ask the model even where an answer is kept, and keep none."""
    picture: Picture | None = None
    """What a model that describes pictures is asked about."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChatReply:
    """A finished answer. Thinking text of reasoning models is never part of `text`."""

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    thinking: str = ""
    from_cache: bool = False
    model: str = ""
    """Identity of the model that answered, where several may have."""
    given_by: str = ""
    """How questions ask for that model (`name@provider`); empty where it can be only the one that was asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of an answer that is being written; the last one carries `finish_reason` and `usage`."""

    text: str = ""
    thinking: str = ""
    takes_back: bool = False
    """All text of the pieces before turned out to be thinking: the answer begins with this one."""
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str = ""
    """With `finish_reason`: as of `ChatReply`."""
    given_by: str = ""
    """With `finish_reason`: as of `ChatReply`."""


class ChatModel(Protocol):
    """A chat model. Errors are those of `lightrag.errors.ModelError`."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; raises `UnusableAnswer` where it is empty."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written. Closing the iterator ends the call."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class EmbeddingModel(Protocol):
    """An embedding model."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        ...

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension), for any number of texts.

        Texts longer than the model's input are never cut silently: they are windowed and averaged, or refused.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and memory."""
        ...


class SparseModel(Protocol):
    """A model that says how much each token of a text counts."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def weights(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> list[dict[str, float]]:
        """Return the weights by token of each text, without those of zero; an empty row where nothing is known.

        Two texts are the nearer, the greater the sum of the products of the weights of tokens that both have.
        Raises `ModelRefused` where the server gives no weights.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RerankHit:
    """Relevance of one document, by its index in the request."""

    index: int
    score: float


class RerankModel(Protocol):
    """A reranking model."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
