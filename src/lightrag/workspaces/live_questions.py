"""The models of questions, among those that serve a workspace at the moment of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightrag.errors import UnknownModel
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import RerankModel, Role
from lightrag.model_choice import ServerModels
from lightrag.retrieval.question_models import QuestionModels
from lightrag.tenancy.contracts import ModelRef
from lightrag.tenancy.resolution import TYPE_OF_ROLE, Choice, Offer, choose
from lightrag.types import QueryParam
from lightrag.workspaces.live_chat import LiveChat
from lightrag.workspaces.live_rerank import LiveRerank

if TYPE_CHECKING:
    from lightrag.workspaces.live_models import LiveModels


class LiveQuestions:
    """Chooses for each question by itself: what one of them names makes no difference to the others."""

    def __init__(self, live: LiveModels, server: ServerModels) -> None:
        self._live = live
        self._server = server

    async def models(self, param: QueryParam) -> QuestionModels:
        """Return the models that a question is answered with. Raises `UnknownModel`, `AmbiguousModel`."""
        await self._live.refresh()
        return QuestionModels(
            await self._chat(Role.KEYWORDS, param.model),
            await self._chat(Role.ANSWER, param.model),
            await self._reranker(param.rerank_model),
        )

    async def _chat(self, role: Role, requested: str | None) -> KeptChat | None:
        live = self._live
        if requested is None:
            return live.roles[role] if live.chat(role) is not None else None
        servers = self._server.chats(role)
        choice = await self._choice(role, requested, list(servers))
        ref = choice.refs[0]
        if choice.is_servers:
            return LiveChat(live, lambda: servers[ref])
        return LiveChat(live, lambda: self._own_chat(ref))

    async def _reranker(self, requested: str | None) -> RerankModel | None:
        live = self._live
        if requested is None:
            return live.lasting_reranker if live.reranker() is not None else None
        servers = self._server.rerankers()
        choice = await self._choice(Role.RERANK, requested, list(servers))
        ref = choice.refs[0]
        if choice.is_servers:
            return LiveRerank(live, lambda: servers[ref])
        return LiveRerank(live, lambda: self._own_reranker(ref))

    def _own_chat(self, ref: ModelRef) -> KeptChat:
        clients = self._live.clients
        model = None if clients is None else clients.chat_for(ref)
        if model is None:
            raise _removed(ref)
        return model

    def _own_reranker(self, ref: ModelRef) -> RerankModel:
        clients = self._live.clients
        model = None if clients is None else clients.reranker_for(ref)
        if model is None:
            raise _removed(ref)
        return model

    async def _choice(self, role: Role, requested: str, servers: list[ModelRef]) -> Choice:
        clients = self._live.clients
        offer = Offer(server=servers) if clients is None else clients.plan.offer(TYPE_OF_ROLE[role], servers)
        try:
            return choose(role, {}, offer, requested)
        except UnknownModel as error:
            reason = await self._live.why_unusable(requested, TYPE_OF_ROLE[role])
            raise UnknownModel(f"{error}. {reason}" if reason else str(error)) from None


def _removed(ref: ModelRef) -> UnknownModel:
    return UnknownModel(f"The model '{ref.text}' was removed from the workspace while the question was being answered")
