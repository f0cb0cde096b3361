"""The models of one engine, and what engines of a process share of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from lightrag.embedded.minilm import MiniLMEmbedder
from lightrag.indexing.pipeline import SlotUse
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import ChatModel, EmbeddingModel, FloatArray, ModelFacts, RerankModel, Role, SparseModel
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.router import RoutedChat, RoutedEmbedding
from lightrag.llm.routing import BackendReport
from lightrag.model_choice import ServerModels
from lightrag.retrieval.question_models import QuestionModels
from lightrag.text.tokens import Tokenizer, load_tokenizer
from lightrag.types import QueryParam

EMBEDDED = "embedded"
"""Binding of the models that come with the package."""
_SLOTS_WITHOUT_MODEL = 2


def bundled_embedder() -> EmbeddingModel:
    """Return the embedding model that comes with the package, for one engine; it loads when it is first used."""
    return MiniLMEmbedder()


class Bundled:
    """What the engines of one process share: the tokenizer, and the embedding model that comes with the package.

    Each takes some forty megabytes once it is used, and neither knows of workspaces.
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer or load_tokenizer()
        self._embedder: EmbeddingModel | None = None

    def embedding(self) -> EmbeddingModel:
        """Return the embedding model; it stays open until this object is closed, whoever closes what is returned."""
        if self._embedder is None:
            self._embedder = bundled_embedder()
        return _Lent(self._embedder)

    async def aclose(self) -> None:
        """Release the embedding model."""
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            await embedder.aclose()


@dataclasses.dataclass(frozen=True, slots=True)
class _Lent:
    """An embedding model that others use too."""

    model: EmbeddingModel

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self.model.facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return the vectors of texts."""
        return await self.model.embed(texts, purpose=purpose)

    async def aclose(self) -> None:
        """Leave the model to the others."""


class Tally(Protocol):
    """Puts something around every binding that is paid for, and is told of calls that were not."""

    def on_hit(self, facts: ModelFacts) -> Callable[[Role], None]:
        """Return what is told of each call of a chat model that a kept answer saved."""
        ...

    def chat(self, model: ChatModel) -> ChatModel:
        """Return the model with it."""
        ...

    def embedding(self, model: EmbeddingModel) -> EmbeddingModel:
        """Return the model with it."""
        ...

    def rerank(self, model: RerankModel) -> RerankModel:
        """Return the model with it."""
        ...


class Changing(Protocol):
    """Models that come and go while the engine runs."""

    @property
    def roles(self) -> Mapping[Role, KeptChat]:
        """What is called for each role, also for those that no model serves at this moment."""
        ...

    @property
    def slots(self) -> int:
        """How many calls of extraction are made at the same time."""
        ...

    async def for_question(self, param: QueryParam) -> QuestionModels:
        """Return the models that a question is answered with. Raises `UnknownModel`, `AmbiguousModel`."""
        ...

    async def embedding_by_name(self, name: str) -> EmbeddingModel | None:
        """Return the embedding model of a binding and name, where there is one."""
        ...

    def wanted_embedding(self) -> str:
        """Return binding and name of the embedding model that is asked for; the data may be of another one."""
        ...

    def switch_embedding(self, model: EmbeddingModel) -> None:
        """Use another embedding model from now on: the vectors are of it."""
        ...

    async def limits_of(self, token_id: str) -> object:
        """Return the limits of a token as they are known at this moment, to be compared with later ones."""
        ...

    async def tell_switched(self) -> None:
        """Have other processes look which model the vectors are of."""
        ...

    def slot_use(self) -> SlotUse:
        """Return how the slots of extraction are used, and until when calls pause."""
        ...

    def backends(self) -> list[BackendReport]:
        """Return the state of every backend."""
        ...

    async def refresh(self) -> None:
        """Take up what was changed."""
        ...

    async def aclose(self) -> None:
        """Close all models."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Models:
    """The models of one engine with what bounds and counts them."""

    chat: Mapping[Role, KeptChat]
    """By role; empty where no language model is configured."""
    embedding: EmbeddingModel
    reranker: RerankModel | None
    extraction: Sequence[Limiter]
    """What bounds the calls of extraction; empty where there is no language model."""
    meter: UsageMeter
    routed: Sequence[tuple[tuple[Role, ...], RoutedChat | RoutedEmbedding]] = ()
    """The models that have several backends, with their roles."""
    changing: Changing | None = None
    """Set where models come and go: the others then say what there is at this moment."""
    sparse: SparseModel | None = None
    """Gives sparse weights of texts, where the settings ask for them."""
    parts: Mapping[KeptChat, Sequence[KeptChat]] = dataclasses.field(default_factory=dict)
    """Of a chat model whose backends run different ones: these, each by itself."""

    def lasting(self, role: Role) -> KeptChat | None:
        """Return what to call for a role for as long as the engine runs; None where no model will ever serve it."""
        return self.chat.get(role) if self.changing is None else self.changing.roles.get(role)

    def extraction_slots(self) -> int:
        """Return how many calls of extraction are made at the same time, or chunks read where there is no model."""
        if self.changing is not None:
            return self.changing.slots
        return sum(limiter.slots for limiter in self.extraction) or _SLOTS_WITHOUT_MODEL

    def named(self) -> ServerModels:
        """Return the models that the settings name, to choose among."""
        return ServerModels(self.chat, self.parts, self.reranker)

    async def for_question(self, param: QueryParam) -> QuestionModels:
        """Return the models that a question is answered with: those that it names, else those that serve it.

        Raises `UnknownModel` for what cannot be used, `AmbiguousModel` for a name that several models have.
        """
        if self.changing is not None:
            return await self.changing.for_question(param)
        return self.named().for_question(param)

    async def refresh(self) -> None:
        """Take up what was changed of the models."""
        if self.changing is not None:
            await self.changing.refresh()

    def backends(self) -> list[BackendReport]:
        """Return the state of every backend; none where each model has only one server."""
        if self.changing is not None:
            return self.changing.backends()
        return [BackendReport(roles, state) for roles, model in self.routed for state in model.snapshot()]

    async def aclose(self) -> None:
        """Close all models."""
        if self.changing is not None:
            await self.changing.aclose()
            return
        for chat in dict.fromkeys(self.chat.values()):
            for part in (*self.parts.get(chat, ()), chat):
                await part.aclose()
        await self.embedding.aclose()
        if self.sparse is not None:
            await self.sparse.aclose()
        if self.reranker is not None:
            await self.reranker.aclose()


def slot_use(limiters: Sequence[Limiter]) -> SlotUse:
    """Return how the slots of limiters are used; calls pause as long as all of them do."""
    if not limiters:
        return SlotUse()
    pauses = [limiter.paused_until for limiter in limiters]
    waits = [until for until in pauses if until is not None]
    return SlotUse(
        sum(limiter.slots for limiter in limiters),
        sum(limiter.active for limiter in limiters),
        min(waits) if len(waits) == len(pauses) else None,
    )
