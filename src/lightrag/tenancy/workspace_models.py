"""The clients of one workspace's own models, made of what its registry says at one moment.

Every model goes through a router of its own, also where there is only one way to reach it: the router's circuits are
those of this workspace and these credentials, and nobody else's calls open them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from lightrag.errors import AccessRefused, LightRAGError
from lightrag.llm.cache import AnswerStore, CachedChat
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
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.router import RoutedChat, RoutedEmbedding
from lightrag.llm.routing import BackendReport, Route
from lightrag.llm.stack import cached_chat, chat_backend, embedding_backend, rerank_stack
from lightrag.llm.vision import VisionChat, VisionModel
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType
from lightrag.tenancy.ledger_models import (
    Account,
    AccountedChat,
    AccountedEmbedding,
    AccountedRerank,
    PaidModel,
)
from lightrag.tenancy.registry_records import Holdings
from lightrag.tenancy.resolution import CHAT_ROLES, TYPE_OF_ROLE, Choice, Origin, choose

_log = logging.getLogger(__name__)


class CandidateSource(Protocol):
    """Knows the models of workspaces; `lightrag.tenancy.registry.ModelRegistry` does."""

    async def holdings(self, workspace_id: str) -> Holdings:
        """Return the ways to reach a workspace's enabled models, and its defaults."""
        ...


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
class Served:
    """The models for one role."""

    choice: Choice
    candidates: tuple[Candidate, ...]
    """In the order in which they are tried."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Which of its own models a workspace uses; equal plans are served by the same clients."""

    roles: Mapping[Role, Served]
    """Roles that the server's models serve are absent."""
    embeddings: tuple[Candidate, ...]
    """All embedding models of the workspace: its data may be of another one than the default."""


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


async def read_plan(source: CandidateSource, workspace_id: str) -> Plan:
    """Return what a workspace's registry and defaults come to. Raises `StorageError`."""
    return plan_of(await source.holdings(workspace_id))


def plan_of(holdings: Holdings) -> Plan:
    """Return what models and defaults come to."""
    # A weight of 0 takes a credential out of use.
    known = {
        wanted: [candidate for candidate in holdings.candidates.get(wanted, ()) if candidate.weight > 0]
        for wanted in dict.fromkeys(TYPE_OF_ROLE.values())
    }
    roles: dict[Role, Served] = {}
    for role in (*CHAT_ROLES, Role.EMBED, Role.RERANK, Role.IMAGE2TEXT):
        found = known[TYPE_OF_ROLE[role]]
        choice = choose(role, holdings.defaults, refs_of(found))
        if choice.origin is not Origin.SERVER:
            chain = [candidate for ref in choice.refs for candidate in found if candidate.ref == ref]
            if role is Role.EMBED:
                # Another embedding model makes other vectors: only ways to reach the same one stand in for each other.
                chain = [candidate for candidate in chain if candidate.upstream_name == chain[0].upstream_name]
            roles[role] = Served(choice, tuple(chain))
    return Plan(roles, tuple(known[ModelType.EMBEDDING]))


def refs_of(candidates: Sequence[Candidate]) -> list[ModelRef]:
    """Return the models of candidates, each once."""
    return list(dict.fromkeys(candidate.ref for candidate in candidates))


def recorded_name(candidate: Candidate) -> str:
    """Return how an embedding model is recorded in a workspace that was indexed with it."""
    return f"{candidate.dialect}/{candidate.upstream_name}"


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


def _opened(open_model: Callable[[Candidate], M], candidate: Candidate) -> M | _Unopened:
    try:
        return open_model(candidate)
    except LightRAGError as error:
        _log.warning("model '%s' cannot be used: %s", candidate.ref.text, error)
        return _Unopened(candidate, error)


class WorkspaceClients:
    """Clients of a plan. They are closed when they were retired and the last call through them has ended."""

    def __init__(
        self,
        plan: Plan,
        openers: Openers,
        account: Account,
        store: AnswerStore,
        meter: UsageMeter,
        options: StackOptions,
    ) -> None:
        self.plan = plan
        self._openers = openers
        self._account = account
        self._store = store
        self._meter = meter
        self._options = options
        self._limiters: dict[str, Limiter] = {}
        self._routed: list[tuple[list[Role], RoutedChat | RoutedEmbedding]] = []
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.chat: dict[Role, CachedChat] = {}
        self.embedding: EmbeddingModel | None = None
        self.reranker: RerankModel | None = None
        self._embeddings: dict[ModelRef, EmbeddingModel] = {}
        self._make()

    @property
    def extraction(self) -> Sequence[Limiter]:
        """What bounds the calls of extraction."""
        served = self.plan.roles.get(Role.EXTRACT)
        if served is None or Role.EXTRACT not in self.chat:
            return ()
        return [self._limiters[candidate.credential_id] for candidate in served.candidates[:1]]

    def backends(self) -> list[BackendReport]:
        """Return the state of every way to reach a model."""
        return [BackendReport(tuple(roles), state) for roles, model in self._routed for state in model.snapshot()]

    def embedding_for(self, ref: ModelRef) -> EmbeddingModel | None:
        """Return one of the workspace's embedding models, whatever is the default."""
        if ref not in self._embeddings:
            served = self.plan.roles.get(Role.EMBED)
            if served is not None and served.candidates[0].ref == ref:
                candidates = list(served.candidates)
            else:
                candidates = [candidate for candidate in self.plan.embeddings if candidate.ref == ref]
            if not candidates:
                return None
            self._embeddings[ref] = self._embedding(candidates)
        return self._embeddings[ref]

    @contextlib.asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep the clients open for the length of the block."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._retired and not self._users:
                await self._close()

    async def retire(self) -> None:
        """Close the clients as soon as nobody uses them."""
        self._retired = True
        if not self._users:
            await self._close()

    async def aclose(self) -> None:
        """Close the clients at once."""
        self._retired = True
        await self._close()

    async def _close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close_all(), name="close-clients")
        await asyncio.shield(self._closing)

    async def _close_all(self) -> None:
        models: list[ChatModel | EmbeddingModel | RerankModel] = [*dict.fromkeys(self.chat.values())]
        models += self._embeddings.values()
        if self.reranker is not None:
            models.append(self.reranker)
        for model in models:
            with contextlib.suppress(LightRAGError):
                await model.aclose()

    def _make(self) -> None:
        made: list[tuple[tuple[Candidate, ...], CachedChat, list[Role]]] = []
        for role, served in self.plan.roles.items():
            if role is Role.EMBED:
                self.embedding = self.embedding_for(served.choice.refs[0])
            elif role is Role.RERANK:
                self.reranker = self._rerank(served.candidates[0])
            else:
                same = next((item for item in made if item[0] == served.candidates), None)
                if same is None:
                    roles: list[Role] = []
                    same = (served.candidates, self._chat(served.candidates, roles), roles)
                    made.append(same)
                same[2].append(role)
                self.chat[role] = same[1]

    def _chat(self, candidates: Sequence[Candidate], roles: list[Role]) -> CachedChat:
        routes = [
            Route(
                _name(candidate, candidates),
                chat_backend(
                    AccountedChat(_opened(self._open_chat, candidate), lambda: self._account, paid_model(candidate)),
                    limiter=self._limiter(candidate, self._options.chat_slots),
                    meter=self._meter,
                ),
                _order(candidate, candidates),
                candidate.weight,
            )
            for candidate in candidates
        ]
        routed = RoutedChat(routes)
        self._routed.append((roles, routed))
        return cached_chat(
            routed, meter=self._meter, store=self._store, cached_roles=frozenset(self._options.cached_roles)
        )

    def _open_chat(self, candidate: Candidate) -> ChatModel:
        if candidate.type is ModelType.IMAGE2TEXT:
            return VisionChat(self._openers.open_image2text(candidate))
        return self._openers.open_chat(candidate)

    def _embedding(self, candidates: Sequence[Candidate]) -> EmbeddingModel:
        slots = self._options.embedding_slots
        routes = [
            Route(
                _name(candidate, candidates),
                embedding_backend(
                    AccountedEmbedding(
                        _opened(self._openers.open_embedding, candidate), lambda: self._account, paid_model(candidate)
                    ),
                    limiter=self._limiter(candidate, slots, "embedding"),
                    meter=self._meter,
                ),
                _order(candidate, candidates),
                candidate.weight,
            )
            for candidate in candidates
        ]
        routed = RoutedEmbedding(routes)
        self._routed.append(([Role.EMBED], routed))
        most = routed.facts.max_batch
        batch = self._options.max_batch if most is None else min(most, self._options.max_batch)
        return BatchedEmbedding(routed, batch, parallel=2 * slots * len(routes))

    def _rerank(self, candidate: Candidate) -> RerankModel:
        binding = _opened(self._openers.open_rerank, candidate)
        return rerank_stack(
            AccountedRerank(binding, lambda: self._account, paid_model(candidate)),
            limiter=self._limiter(candidate, self._options.rerank_slots, "rerank"),
            meter=self._meter,
        )

    def _limiter(self, candidate: Candidate, slots: int, kind: str = "") -> Limiter:
        return self._limiters.setdefault(f"{kind}{candidate.credential_id}", Limiter(slots))


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
