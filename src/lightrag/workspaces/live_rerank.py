"""The reranking model, looked up anew for every call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightrag.errors import AccessRefused
from lightrag.llm.contracts import ModelFacts, RerankHit

if TYPE_CHECKING:
    from lightrag.workspaces.live_models import LiveModels


class LiveRerank:
    """The reranking model of this moment."""

    def __init__(self, live: LiveModels) -> None:
        self._live = live

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model of this moment."""
        model = self._live.reranker()
        return model.facts if model is not None else ModelFacts("none", "none")

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        async with self._live.using():
            model = self._live.reranker()
            if model is None:
                raise AccessRefused("The workspace has no reranking model any more")
            return await model.rerank(query, documents, top_n)

    async def aclose(self) -> None:
        """Do nothing: the models are closed together."""
