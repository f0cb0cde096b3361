"""Opens the models that the settings name, each with what bounds, repeats, keeps and counts its calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightrag.engine_models import EMBEDDED, Bundled, Models, Tally, bundled_embedder
from lightrag.errors import ConfigurationError
from lightrag.indexing.manifest import UNNAMED, Manifest
from lightrag.llm import bindings
from lightrag.llm.cache import CachedChat, KeptChat
from lightrag.llm.contracts import ChatModel, EmbeddingModel, ModelFacts, RerankModel, Role, SparseModel
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.embedding_limit import LimitedTexts
from lightrag.llm.limiter import Limiter
from lightrag.llm.meter import UsageMeter
from lightrag.llm.ollama_binding import ollama_models
from lightrag.llm.rerank_chunking import token_cutter
from lightrag.llm.retry import RetryPolicy
from lightrag.llm.router import RoutedChat, RoutedEmbedding
from lightrag.llm.routing import Route
from lightrag.llm.sparse import SteadySparse
from lightrag.llm.stack import (
    cached_chat,
    chat_backend,
    chat_stack,
    embedding_backend,
    embedding_stack,
    rerank_stack,
)
from lightrag.settings import ChatModelSettings, EmbeddingSettings, Settings, VendorSettings
from lightrag.storage.contracts import Namespace, Storage
from lightrag.text.tokens import Tokenizer, load_tokenizer


async def open_models(
    settings: Settings,
    storage: Storage,
    recorded: Manifest | None,
    policy: RetryPolicy | None = None,
    tally: Tally | None = None,
    bundled: Bundled | None = None,
) -> Models:
    """Return the models that the settings name; their answers are kept in `storage`.

    `recorded` is what the workspace was made with: it decides on the embedding model where no binding is named.
    `policy` says how failed calls are repeated. `tally` is put around every model but the bundled one. `bundled` is
    what other engines use too; without it the engine has its own.
    """
    local = await _local_ollama(settings)
    opening = _Opening(settings, storage, policy, tally, bundled)
    chat = opening.chat_models(local)
    embedding = opening.embedding_model(_embedding_binding(settings.embedding, local, recorded))
    return Models(
        chat,
        embedding,
        opening.reranker(),
        opening.extraction if Role.EXTRACT in chat else (),
        opening.meter,
        tuple(opening.routed),
        sparse=opening.sparse_model(),
        parts=opening.parts,
    )


class _Opening:
    """Makes the models of one engine; what is alike is shared."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        policy: RetryPolicy | None,
        tally: Tally | None,
        bundled: Bundled | None,
    ) -> None:
        self._settings = settings
        self._tally = tally
        self._bundled = bundled
        self._store = storage.kv(Namespace.LLM_CACHE)
        self._policy = policy
        self._limiters: dict[tuple[str, str, int], Limiter] = {}
        self.meter = UsageMeter()
        self.extraction: list[Limiter] = []
        self.routed: list[tuple[tuple[Role, ...], RoutedChat | RoutedEmbedding]] = []
        self.parts: dict[KeptChat, Sequence[KeptChat]] = {}
        self._embedding_limiter = Limiter(settings.embedding.max_async)

    def chat_models(self, local: frozenset[str]) -> dict[Role, CachedChat]:
        """Return the chat models by role."""
        llm = self._settings.llm
        by_role = {
            Role.EXTRACT: llm.extract,
            Role.SUMMARY: llm.extract,
            Role.KEYWORDS: llm.keyword,
            Role.ANSWER: llm.query,
        }
        made: list[tuple[ChatModelSettings, CachedChat]] = []
        chat: dict[Role, CachedChat] = {}
        for role, wanted in by_role.items():
            binding = _chat_binding(wanted, local)
            if binding == EMBEDDED:
                continue
            model = next((model for other, model in made if other == wanted), None)
            if model is None:
                same = tuple(other for other, settings in by_role.items() if settings == wanted)
                model = self._routed_chat(wanted, same) if wanted.backends else self._chat(binding, wanted)
                made.append((wanted, model))
            chat[role] = model
        if llm.extract.backends:
            self.extraction = self._first_choice(llm.extract)
        elif Role.EXTRACT in chat:
            self.extraction = [self._limiter(_chat_binding(llm.extract, local), llm.extract)]
        return chat

    def embedding_model(self, binding: str) -> EmbeddingModel:
        """Return the embedding model."""
        model = self._whole_embedding(binding)
        limit = self._settings.embedding.token_limit
        # The bundled model reads long texts in windows and needs no cut.
        return model if limit is None or binding == EMBEDDED else LimitedTexts(model, limit, self._tokenizer())

    def _whole_embedding(self, binding: str) -> EmbeddingModel:
        wanted = self._settings.embedding
        if wanted.backends:
            return self._routed_embedding(wanted)
        if binding == EMBEDDED:
            return bundled_embedder() if self._bundled is None else self._bundled.embedding()
        model = self._embedding(binding, wanted)
        return embedding_stack(
            model,
            limiter=self._embedding_limiter,
            meter=self.meter,
            policy=self._policy,
            max_batch=model.facts.max_batch,
        )

    def sparse_model(self) -> SparseModel | None:
        """Return what gives sparse weights; None where they are not asked for."""
        if not self._settings.embedding.sparse:
            return None
        model = bindings.sparse_binding(self._settings.embedding)
        return SteadySparse(model, self._embedding_limiter, self.meter, self._policy)

    def reranker(self) -> RerankModel | None:
        """Return the reranking model; None where none is configured."""
        wanted = self._settings.rerank
        if wanted.binding is None:
            return None
        cut = token_cutter(self._tokenizer(), wanted.max_tokens_per_doc) if wanted.enable_chunking else None
        binding = bindings.rerank_binding(wanted)
        return rerank_stack(
            binding if self._tally is None else self._tally.rerank(binding),
            limiter=Limiter(wanted.max_async),
            meter=self.meter,
            policy=self._policy,
            cut=cut,
        )

    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer() if self._bundled is None else self._bundled.tokenizer

    def _chat(self, binding: str, wanted: ChatModelSettings) -> CachedChat:
        model = self._chat_binding(binding, wanted)
        return chat_stack(
            model,
            limiter=self._limiter(binding, wanted),
            meter=self.meter,
            store=self._store,
            policy=self._policy,
            cached_roles=cached_roles(self._settings),
            on_hit=self._on_hit(model.facts),
        )

    def _on_hit(self, facts: ModelFacts) -> Callable[[Role], None] | None:
        return None if self._tally is None else self._tally.on_hit(facts)

    def _routed_chat(self, wanted: ChatModelSettings, roles: tuple[Role, ...]) -> CachedChat:
        routes: list[Route[ChatModel]] = []
        for backend in wanted.backends:
            binding = backend.chat.binding or EMBEDDED
            model = chat_backend(
                self._chat_binding(binding, backend.chat),
                limiter=self._limiter(binding, backend.chat),
                meter=self.meter,
            )
            routes.append(Route(backend.name, model, backend.order, backend.weight))
        routed = RoutedChat(routes)
        self.routed.append((roles, routed))
        whole = self._cached(routed)
        by_model: dict[tuple[str, str], list[str]] = {}
        for route in routes:
            if route.weight > 0:
                by_model.setdefault((route.model.facts.binding, route.model.facts.name), []).append(route.name)
        if len(by_model) > 1:
            self.parts[whole] = [self._cached(routed.only(names)) for names in by_model.values()]
        return whole

    def _cached(self, model: ChatModel) -> CachedChat:
        return cached_chat(
            model,
            meter=self.meter,
            store=self._store,
            cached_roles=cached_roles(self._settings),
            on_hit=self._on_hit(model.facts),
        )

    def _routed_embedding(self, wanted: EmbeddingSettings) -> EmbeddingModel:
        routes: list[Route[EmbeddingModel]] = []
        for backend in wanted.backends:
            binding = backend.embedding.binding or EMBEDDED
            model = embedding_backend(
                self._embedding(binding, backend.embedding),
                limiter=Limiter(backend.embedding.max_async),
                meter=self.meter,
            )
            routes.append(Route(backend.name, model, backend.order, backend.weight))
        routed = RoutedEmbedding(routes)
        self.routed.append(((Role.EMBED,), routed))
        slots = sum(backend.embedding.max_async for backend in wanted.backends)
        return BatchedEmbedding(routed, routed.facts.max_batch, parallel=2 * slots)

    def _chat_binding(self, binding: str, wanted: ChatModelSettings) -> ChatModel:
        model = _make_chat(binding, wanted, self._settings.vendors)
        return model if self._tally is None else self._tally.chat(model)

    def _embedding(self, binding: str, wanted: EmbeddingSettings) -> EmbeddingModel:
        model = _make_embedding(binding, wanted, self._settings.vendors)
        return model if self._tally is None else self._tally.embedding(model)

    def _limiter(self, binding: str, wanted: ChatModelSettings) -> Limiter:
        return self._limiters.setdefault((binding, wanted.host, wanted.max_async), Limiter(wanted.max_async))

    def _first_choice(self, wanted: ChatModelSettings) -> list[Limiter]:
        """Return what bounds the backends that get the calls as long as all are well."""
        used = [backend for backend in wanted.backends if backend.weight > 0]
        first = min(backend.order for backend in used)
        chosen = [self._limiter(str(b.chat.binding), b.chat) for b in used if b.order == first]
        return list(dict.fromkeys(chosen))


def cached_roles(settings: Settings) -> frozenset[Role]:
    """Return the roles whose answers are kept."""
    roles = {Role.SUMMARY, Role.IMAGE2TEXT}
    if settings.indexing.cache_extractions:
        roles.add(Role.EXTRACT)
    if settings.query.cache_answers:
        roles |= {Role.KEYWORDS, Role.ANSWER}
    return frozenset(roles)


async def _local_ollama(settings: Settings) -> frozenset[str]:
    """Return the models of the Ollama server on this machine, asked only where no binding is named."""
    hosts = {
        wanted.host
        for wanted in (settings.llm, settings.llm.extract, settings.llm.keyword, settings.llm.query, settings.embedding)
        if wanted.binding is None and not wanted.backends
    }
    found: set[str] = set()
    for host in hosts:
        found |= set(await ollama_models(host))
    return frozenset(found)


def _chat_binding(wanted: ChatModelSettings, local: frozenset[str]) -> str:
    if wanted.backends:
        return str(wanted.backends[0].chat.binding)
    if wanted.binding is not None:
        return wanted.binding
    return "ollama" if wanted.model in local else EMBEDDED


def _embedding_binding(wanted: EmbeddingSettings, local: frozenset[str], recorded: Manifest | None) -> str:
    if wanted.binding is not None:
        return wanted.binding
    if recorded is not None and not recorded.embedding.startswith(f"{UNNAMED}/"):
        # What a workspace was indexed with decides, not which server happens to run today.
        return recorded.embedding.split("/", 1)[0]
    return "ollama" if wanted.model in local else EMBEDDED


def _make_chat(binding: str, wanted: ChatModelSettings, vendors: VendorSettings) -> ChatModel:
    make = bindings.CHAT.get(binding)
    if make is None:
        raise ConfigurationError(f"LLM_BINDING is '{binding}'; known are {', '.join(bindings.CHAT)} and {EMBEDDED}")
    return make(wanted, vendors)


def _make_embedding(binding: str, wanted: EmbeddingSettings, vendors: VendorSettings) -> EmbeddingModel:
    make = bindings.EMBEDDING.get(binding)
    if make is None:
        known = f"{', '.join(bindings.EMBEDDING)} and {EMBEDDED}"
        raise ConfigurationError(f"EMBEDDING_BINDING is '{binding}'; known are {known}")
    return make(wanted, vendors)
