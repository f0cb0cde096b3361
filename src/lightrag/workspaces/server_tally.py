"""The server's own models on the account of a workspace. Without accounts nothing of them is imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Literal

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
from lightrag.llm.wrapper import Wrapper
from lightrag.tenancy.contracts import ModelType

if TYPE_CHECKING:
    from lightrag.tenancy.ledger_models import Account, PaidModel


class ServerTally:
    """Charges calls of the server's own models to the workspace, as soon as somebody keeps accounts."""

    def __init__(self, account: Callable[[], Account | None]) -> None:
        self._account = account

    def on_hit(self, facts: ModelFacts) -> Callable[[Role], None]:
        """Return what enters a call of a chat model that a kept answer saved."""

        def note(role: Role) -> None:
            account = self._account()
            if account is not None:
                account.note_kept(_paid(facts, ModelType.CHAT), role)

        return note

    def chat(self, model: ChatModel) -> ChatModel:
        """Return the model on the workspace's account."""
        return _ChargedChat(model, self._account)

    def embedding(self, model: EmbeddingModel) -> EmbeddingModel:
        """Return the model on the workspace's account."""
        return _ChargedEmbedding(model, self._account)

    def rerank(self, model: RerankModel) -> RerankModel:
        """Return the model on the workspace's account."""
        return _ChargedRerank(model, self._account)


class _ChargedChat(Wrapper[ChatModel]):
    """A chat model of the server."""

    def __init__(self, model: ChatModel, account: Callable[[], Account | None]) -> None:
        super().__init__(model)
        self._account = account
        self._accounted: ChatModel | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer."""
        return await self._now().complete(request)

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written."""
        return self._now().stream(request)

    def _now(self) -> ChatModel:
        if self._account() is None:
            return self._model
        if self._accounted is None:
            from lightrag.tenancy.ledger_models import AccountedChat

            self._accounted = AccountedChat(self._model, self._account, _paid(self.facts, ModelType.CHAT))
        return self._accounted


class _ChargedEmbedding(Wrapper[EmbeddingModel]):
    """An embedding model of the server."""

    def __init__(self, model: EmbeddingModel, account: Callable[[], Account | None]) -> None:
        super().__init__(model)
        self._account = account

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        if self._account() is None:
            return await self._model.embed(texts, purpose=purpose)
        from lightrag.tenancy.ledger_models import AccountedEmbedding

        model = AccountedEmbedding(self._model, self._account, _paid(self.facts, ModelType.EMBEDDING))
        return await model.embed(texts, purpose=purpose)


class _ChargedRerank(Wrapper[RerankModel]):
    """A reranking model of the server."""

    def __init__(self, model: RerankModel, account: Callable[[], Account | None]) -> None:
        super().__init__(model)
        self._account = account

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        if self._account() is None:
            return await self._model.rerank(query, documents, top_n)
        from lightrag.tenancy.ledger_models import AccountedRerank

        model = AccountedRerank(self._model, self._account, _paid(self.facts, ModelType.RERANK))
        return await model.rerank(query, documents, top_n)


def _paid(facts: ModelFacts, kind: ModelType) -> PaidModel:
    from lightrag.tenancy.ledger_models import PaidModel

    return PaidModel(facts.binding, facts.name, kind, host=facts.host)
