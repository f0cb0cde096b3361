"""The models that a server is configured with, as questions may choose among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import ModelFacts, RerankModel, Role
from lightrag.retrieval.question_models import QuestionModels
from lightrag.tenancy.contracts import ModelRef
from lightrag.tenancy.resolution import Offer, choose
from lightrag.types import QueryParam


@dataclasses.dataclass(frozen=True, slots=True)
class ServerModels:
    """The server's own models. Each is called `name@binding`, and by its name alone where that is enough."""

    chat: Mapping[Role, KeptChat]
    parts: Mapping[KeptChat, Sequence[KeptChat]]
    """Of a chat model whose backends run different ones: these, each by itself."""
    reranker: RerankModel | None

    def chats(self, role: Role) -> dict[ModelRef, KeptChat]:
        """Return all chat models, that of the role first."""
        ordered = [self.chat[role]] if role in self.chat else []
        found: dict[ModelRef, KeptChat] = {}
        for model in dict.fromkeys([*ordered, *self.chat.values()]):
            for part in self.parts.get(model, (model,)):
                found.setdefault(_ref(part.facts), part)
        return found

    def rerankers(self) -> dict[ModelRef, RerankModel]:
        """Return the reranking model, if there is one."""
        return {} if self.reranker is None else {_ref(self.reranker.facts): self.reranker}

    def for_question(self, param: QueryParam) -> QuestionModels:
        """Return the models that a question is answered with. Raises `UnknownModel`, `AmbiguousModel`."""
        return QuestionModels(
            self._chat(Role.KEYWORDS, param.model), self._chat(Role.ANSWER, param.model), self._rerank(param)
        )

    def _chat(self, role: Role, requested: str | None) -> KeptChat | None:
        if requested is None:
            return self.chat.get(role)
        known = self.chats(role)
        return known[choose(role, {}, Offer(server=tuple(known)), requested).refs[0]]

    def _rerank(self, param: QueryParam) -> RerankModel | None:
        if param.rerank_model is None:
            return self.reranker
        known = self.rerankers()
        return known[choose(Role.RERANK, {}, Offer(server=tuple(known)), param.rerank_model).refs[0]]


def _ref(facts: ModelFacts) -> ModelRef:
    return ModelRef(facts.binding, facts.name)
