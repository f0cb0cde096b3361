"""Embedding models, and sparse weights, that are looked up anew for every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from lightrag.callers import current_caller
from lightrag.errors import AccessRefused, LimitReached, StorageMismatch
from lightrag.llm.contracts import EmbeddingModel, FloatArray, ModelFacts, SparseModel

if TYPE_CHECKING:
    from lightrag.workspaces.live_models import LiveModels


class LiveEmbedding:
    """The embedding model that the workspace's data were made with."""

    def __init__(self, live: LiveModels) -> None:
        self._live = live

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model of this moment."""
        return self._live.embedding.facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension). Limits: as `LiveChat.complete`."""
        while True:
            try:
                async with self._live.using():
                    return await self._live.embedding.embed(texts, purpose=purpose)
            except LimitReached as error:
                if purpose == "query" or current_caller().waits or error.holds_back is not None:
                    raise
                await self._live.rest(error)

    async def aclose(self) -> None:
        """Do nothing: the models are closed together."""


class PatientEmbedding:
    """One embedding model, found anew for each call; at a limit it waits."""

    def __init__(self, live: LiveModels, find: Callable[[], EmbeddingModel | None]) -> None:
        self._live = live
        self._find = find

    @property
    def model(self) -> EmbeddingModel:
        """The model as it is now. Raises `AccessRefused` where it is gone."""
        model = self._find()
        if model is None:
            raise AccessRefused("The embedding model that the vectors are made with was removed from the workspace")
        return model

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self.model.facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        while True:
            try:
                async with self._live.using():
                    return await self.model.embed(texts, purpose=purpose)
            except LimitReached as error:
                await self._live.rest(error)

    async def aclose(self) -> None:
        """Do nothing: the models are closed together."""


class MissingEmbedding:
    """Stands for the model that the data were made with and that the workspace has no more, or cannot use.

    `reason` is a sentence that says why it cannot, with the way out.
    """

    def __init__(self, recorded: str, wanted: str, reason: str = "") -> None:
        binding, _, name = recorded.partition("/")
        self.facts = ModelFacts(binding, name)
        self._wanted = wanted
        self._state = f"cannot be used. {reason}" if reason else "it has no more. Add that model again"

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Raise `StorageMismatch`, which names the way out."""
        raise StorageMismatch(
            f"The workspace was indexed with the embedding model '{self.facts.label}', which {self._state}, or make "
            f"all vectors anew with '{self._wanted}': POST /llm/re_embed, or lightrag repair --re-embed"
        )

    async def aclose(self) -> None:
        """Do nothing."""


class LiveSparse:
    """The server's sparse weights, for workspaces that use the server's embedding model and have no account.

    Calls of an account are charged and bounded by its limits, which these are not; texts of a workspace with a model of
    its own do not go to the server's.
    """

    def __init__(self, live: LiveModels, model: SparseModel) -> None:
        self._live = live
        self._model = model

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    async def weights(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> list[dict[str, float]]:
        """Return the weights by token of each text, empty rows where the workspace gets none."""
        await self._live.refresh()
        if not self._live.uses_server_embedding():
            return [{} for _ in texts]
        return await self._model.weights(texts, purpose=purpose)

    async def aclose(self) -> None:
        """Leave the model to what opened it."""
