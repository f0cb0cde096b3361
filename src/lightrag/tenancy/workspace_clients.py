"""The clients of one workspace's own models, made of what its registry says at one moment.

Every model goes through a router of its own, also where there is only one way to reach it: the router's circuits are
those of this workspace and these credentials, and nobody else's calls open them. A model that only a question names is
opened when that happens first, with the health of the chain that it stands in, where it stands in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence

from lightrag.errors import LightRAGError
from lightrag.llm.cache import AnswerStore, CachedChat
from lightrag.llm.contracts import ChatModel, EmbeddingModel, RerankModel, Role
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.router import RoutedChat, RoutedEmbedding, RoutedRerank
from lightrag.llm.routing import BackendReport
from lightrag.llm.stack import cached_chat
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType
from lightrag.tenancy.ledger_models import Account
from lightrag.tenancy.workspace_models import Plan
from lightrag.tenancy.workspace_routes import Openers, RouteMaker, StackOptions, paid_model, route_names

_ANSWERING = (Role.KEYWORDS, Role.ANSWER)
"""What questions name chat models for."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Chats:
    """A chain of chat models."""

    candidates: tuple[Candidate, ...]
    routed: RoutedChat
    model: CachedChat
    roles: list[Role]


@dataclasses.dataclass(frozen=True, slots=True)
class _Rerankers:
    """A chain of reranking models."""

    candidates: tuple[Candidate, ...]
    routed: RoutedRerank


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
        self._account = account
        self._store = store
        self._meter = meter
        self._options = options
        self._routes = RouteMaker(openers, account, meter, options)
        self._chats: list[_Chats] = []
        self._rerankers: list[_Rerankers] = []
        self._routed_embeddings: list[RoutedEmbedding] = []
        self._embeddings: dict[ModelRef, EmbeddingModel] = {}
        self._named_chats: dict[ModelRef, CachedChat] = {}
        self._named_rerankers: dict[ModelRef, RerankModel] = {}
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.chat: dict[Role, CachedChat] = {}
        self.embedding: EmbeddingModel | None = None
        self.reranker: RerankModel | None = None
        self._make()

    @property
    def extraction(self) -> Sequence[Limiter]:
        """What bounds the calls of extraction."""
        served = self.plan.roles.get(Role.EXTRACT)
        if served is None or Role.EXTRACT not in self.chat:
            return ()
        return [self._routes.chat_limiter(candidate) for candidate in served.candidates[:1]]

    def backends(self) -> list[BackendReport]:
        """Return the state of every way to reach a model."""
        return [
            *(BackendReport(tuple(chain.roles), state) for chain in self._chats for state in chain.routed.snapshot()),
            *(BackendReport((Role.EMBED,), state) for one in self._routed_embeddings for state in one.snapshot()),
            *(BackendReport((Role.RERANK,), state) for one in self._rerankers for state in one.routed.snapshot()),
        ]

    def embedding_for(self, ref: ModelRef) -> EmbeddingModel | None:
        """Return one of the workspace's embedding models, whatever is the default."""
        if ref not in self._embeddings:
            served = self.plan.roles.get(Role.EMBED)
            if served is not None and served.candidates[0].ref == ref:
                candidates: Sequence[Candidate] = served.candidates
            else:
                candidates = self.plan.named(ModelType.EMBEDDING, ref)
            if not candidates:
                return None
            self._embeddings[ref] = self._embedding(candidates)
        return self._embeddings[ref]

    def chat_for(self, ref: ModelRef) -> CachedChat | None:
        """Return one of the workspace's chat models by itself: nothing stands in for it."""
        if ref not in self._named_chats:
            candidates = self.plan.named(ModelType.CHAT, ref)
            if not candidates:
                return None
            self._named_chats[ref] = self._chat_alone(candidates)
        return self._named_chats[ref]

    def reranker_for(self, ref: ModelRef) -> RerankModel | None:
        """Return one of the workspace's reranking models by itself: nothing stands in for it."""
        if ref not in self._named_rerankers:
            candidates = self.plan.named(ModelType.RERANK, ref)
            if not candidates:
                return None
            self._named_rerankers[ref] = self._reranker_alone(candidates)
        return self._named_rerankers[ref]

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
        # Parts of a chain before the chain, whose backends they use.
        models: list[ChatModel | EmbeddingModel | RerankModel] = [*self._named_chats.values()]
        models += [chain.model for chain in self._chats]
        models += self._embeddings.values()
        models += [chain.routed for chain in self._rerankers]
        for model in dict.fromkeys(models):
            with contextlib.suppress(LightRAGError):
                await model.aclose()

    def _make(self) -> None:
        for role, served in self.plan.roles.items():
            if role is Role.EMBED:
                self.embedding = self.embedding_for(served.choice.refs[0])
            elif role is Role.RERANK:
                self.reranker = self._open_rerankers(served.candidates).routed
            else:
                same = next((chain for chain in self._chats if chain.candidates == served.candidates), None)
                chain = same or self._open_chats(served.candidates)
                chain.roles.append(role)
                self.chat[role] = chain.model

    def _open_chats(self, candidates: tuple[Candidate, ...]) -> _Chats:
        routed = RoutedChat(self._routes.chat(candidates))
        chain = _Chats(candidates, routed, self._cached(routed, candidates[0]), [])
        self._chats.append(chain)
        return chain

    def _chat_alone(self, candidates: tuple[Candidate, ...]) -> CachedChat:
        chain = next((one for one in self._chats if _holds(one.candidates, candidates)), None)
        if chain is None:
            chain = self._open_chats(candidates)
            chain.roles.extend(_ANSWERING)
        if chain.candidates == candidates:
            return chain.model
        return self._cached(chain.routed.only(route_names(candidates, chain.candidates)), candidates[0])

    def _cached(self, routed: RoutedChat, first: Candidate) -> CachedChat:
        paid = paid_model(first)
        return cached_chat(
            routed,
            meter=self._meter,
            store=self._store,
            cached_roles=frozenset(self._options.cached_roles),
            on_hit=lambda role: self._account.note_kept(paid, role),
        )

    def _open_rerankers(self, candidates: tuple[Candidate, ...]) -> _Rerankers:
        chain = _Rerankers(candidates, RoutedRerank(self._routes.rerank(candidates)))
        self._rerankers.append(chain)
        return chain

    def _reranker_alone(self, candidates: tuple[Candidate, ...]) -> RerankModel:
        chain = next((one for one in self._rerankers if _holds(one.candidates, candidates)), None)
        chain = chain or self._open_rerankers(candidates)
        if chain.candidates == candidates:
            return chain.routed
        return chain.routed.only(route_names(candidates, chain.candidates))

    def _embedding(self, candidates: Sequence[Candidate]) -> EmbeddingModel:
        routed = RoutedEmbedding(self._routes.embedding(candidates))
        self._routed_embeddings.append(routed)
        most = routed.facts.max_batch
        batch = self._options.max_batch if most is None else min(most, self._options.max_batch)
        return BatchedEmbedding(routed, batch, parallel=2 * self._options.embedding_slots * len(candidates))


def _holds(chain: Sequence[Candidate], candidates: Sequence[Candidate]) -> bool:
    return all(candidate in chain for candidate in candidates)
