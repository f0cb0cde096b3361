"""Reranking models that are looked up anew for every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lightrag.errors import AccessRefused, LightRAGError
from lightrag.llm.contracts import ModelFacts, RerankHit, RerankModel

if TYPE_CHECKING:
    from lightrag.workspaces.live_models import LiveModels


def reranker_of_workspace(live: LiveModels) -> LiveRerank:
    """Return the reranking model, whichever that is when it is called."""

    def find() -> RerankModel:
        model = live.reranker()
        if model is None:
            raise AccessRefused("The workspace has no reranking model any more")
        return model

    return LiveRerank(live, find)


class LiveRerank:
    """A reranking model that is found anew for each call; `find` raises `LightRAGError` where there is none."""

    def __init__(self, live: LiveModels, find: Callable[[], RerankModel]) -> None:
        self._live = live
        self._find = find

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model of this moment."""
        try:
            return self._find().facts
        except LightRAGError:
            return ModelFacts("none", "none")

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        async with self._live.using():
            return await self._find().rerank(query, documents, top_n)

    async def aclose(self) -> None:
        """Do nothing: the models are closed together."""
