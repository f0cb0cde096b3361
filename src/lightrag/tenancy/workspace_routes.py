"""The ways to reach a workspace's models, each on its account, bounded by its credential, and counted."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Literal, Protocol, TypeVar

from lightrag.errors import AccessRefused, LightRAGError
from lightrag.llm.contracts import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    EmbeddingModel,
    FloatArray,
    ModelFacts,
    RerankHit,
    RerankModel,
    Role,
)
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.routing import Route
from lightrag.llm.stack import chat_backend, embedding_backend, rerank_backend
from lightrag.llm.vision import VisionChat, VisionModel
from lightrag.tenancy.contracts import Candidate, ModelType
from lightrag.tenancy.ledger_models import (
    Account,
    AccountedChat,
    AccountedEmbedding,
    AccountedRerank,
    PaidModel,
)
from lightrag.tenancy.workspace_models import refs_of

_log = logging.getLogger(__name__)


class Openers(Protocol):
    """Makes bindings of candidates; `lightrag.tenancy.connections.Connections` does."""

    def open_chat(self, candidate: Candidate) -> ChatModel:
        """Return the binding of a chat model."""
        ...

    def open_embedding(self, candidate: Candidate) -> EmbeddingModel:
        """Return the binding of an embedding model."""
        ...

    def open_rerank(self, candidate: Candidate) -> RerankModel:
        """Return the binding of a reranking model."""
        ...

    def open_image2text(self, candidate: Candidate) -> VisionModel:
        """Return the binding of a model that describes pictures."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class StackOptions:
    """How clients are bounded."""

    chat_slots: int = 4
    """Calls at the same time through one credential."""
    embedding_slots: int = 8
    rerank_slots: int = 4
    max_batch: int = 32
    """Texts in one embedding call, where the model does not take fewer."""
    cached_roles: Collection[Role] = frozenset()


class _Unopened:
    """Stands for a model whose client cannot be made here, as where a package is missing; says so when it is called."""

    def __init__(self, candidate: Candidate, error: LightRAGError) -> None:
        self.facts = ModelFacts(candidate.dialect, candidate.upstream_name)
        self._message = str(error)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Raise `AccessRefused`."""
        raise AccessRefused(self._message)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Raise `AccessRefused`."""
        raise AccessRefused(self._message)
        yield ChatDelta()

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Raise `AccessRefused`."""
        raise AccessRefused(self._message)

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Raise `AccessRefused`."""
        raise AccessRefused(self._message)

    async def aclose(self) -> None:
        """Do nothing."""


M = TypeVar("M")
R = TypeVar("R", ChatModel, EmbeddingModel, RerankModel)


def _opened(open_model: Callable[[Candidate], M], candidate: Candidate) -> M | _Unopened:
    try:
        return open_model(candidate)
    except LightRAGError as error:
        _log.warning("model '%s' cannot be used: %s", candidate.ref.text, error)
        return _Unopened(candidate, error)


class RouteMaker:
    """Makes routes of candidates; those of one credential share its slots."""

    def __init__(self, openers: Openers, account: Account, meter: UsageMeter, options: StackOptions) -> None:
        self._openers = openers
        self._account = account
        self._meter = meter
        self._options = options
        self._limiters: dict[str, Limiter] = {}

    def chat(self, candidates: Sequence[Candidate]) -> list[Route[ChatModel]]:
        """Return the ways to reach chat models, and those that describe pictures."""

        def backend(candidate: Candidate) -> ChatModel:
            binding = AccountedChat(_opened(self._open_chat, candidate), self._payer, paid_model(candidate))
            return chat_backend(binding, limiter=self.chat_limiter(candidate), meter=self._meter)

        return _routes(candidates, backend)

    def embedding(self, candidates: Sequence[Candidate]) -> list[Route[EmbeddingModel]]:
        """Return the ways to reach an embedding model."""

        def backend(candidate: Candidate) -> EmbeddingModel:
            opened = _opened(self._openers.open_embedding, candidate)
            limiter = self._limiter(candidate, self._options.embedding_slots, "embedding")
            binding = AccountedEmbedding(opened, self._payer, paid_model(candidate))
            return embedding_backend(binding, limiter=limiter, meter=self._meter)

        return _routes(candidates, backend)

    def rerank(self, candidates: Sequence[Candidate]) -> list[Route[RerankModel]]:
        """Return the ways to reach reranking models."""

        def backend(candidate: Candidate) -> RerankModel:
            opened = _opened(self._openers.open_rerank, candidate)
            limiter = self._limiter(candidate, self._options.rerank_slots, "rerank")
            binding = AccountedRerank(opened, self._payer, paid_model(candidate))
            return rerank_backend(binding, limiter=limiter, meter=self._meter)

        return _routes(candidates, backend)

    def chat_limiter(self, candidate: Candidate) -> Limiter:
        """Return what bounds the chat calls through a candidate's credential."""
        return self._limiter(candidate, self._options.chat_slots)

    def _open_chat(self, candidate: Candidate) -> ChatModel:
        if candidate.type is ModelType.IMAGE2TEXT:
            return VisionChat(self._openers.open_image2text(candidate))
        return self._openers.open_chat(candidate)

    def _payer(self) -> Account:
        return self._account

    def _limiter(self, candidate: Candidate, slots: int, kind: str = "") -> Limiter:
        return self._limiters.setdefault(f"{kind}{candidate.credential_id}", Limiter(slots))


def route_names(candidates: Sequence[Candidate], chain: Sequence[Candidate]) -> list[str]:
    """Return how the routes to some candidates of a chain are called."""
    return [_name(candidate, chain) for candidate in candidates]


def _routes(candidates: Sequence[Candidate], backend: Callable[[Candidate], R]) -> list[Route[R]]:
    return [
        Route(_name(one, candidates), backend(one), _order(one, candidates), one.weight, one.ref.text)
        for one in candidates
    ]


def paid_model(candidate: Candidate) -> PaidModel:
    """Return a candidate as the ledger names it."""
    return PaidModel(
        candidate.ref.provider, candidate.ref.name, candidate.type, candidate.price, candidate.max_output_tokens
    )


def _name(candidate: Candidate, candidates: Sequence[Candidate]) -> str:
    alone = sum(other.ref == candidate.ref for other in candidates) == 1
    return candidate.ref.text if alone else f"{candidate.ref.text} #{candidate.credential_id[:8]}"


def _order(candidate: Candidate, candidates: Sequence[Candidate]) -> int:
    """Return the place in the chain: by model, then by what is said of the credentials."""
    ranks = {ref: rank for rank, ref in enumerate(refs_of(candidates))}
    return ranks[candidate.ref] * 1_000_000 + max(0, min(candidate.order, 999_999))
