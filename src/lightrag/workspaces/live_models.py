"""The models of one engine, which follow what the control plane says of its workspace.

Each call goes to what the workspace uses at that moment: its own models where it has some for the role, else those of
the server. Whether something was changed is looked up every two seconds, and at once after a change that was made on
this machine; calls under way end on the clients that they began on. Work in the background waits where a limit
is reached, and goes on when the limit allows it again; who asks a question is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lightrag.engine_models import Bundled, Models, slot_use
from lightrag.errors import LimitReached, StorageError
from lightrag.indexing.manifest import Manifest, manifest_of_data, note_manifest
from lightrag.indexing.pipeline import SlotUse
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import EmbeddingModel, RerankModel, Role
from lightrag.llm.limiter import Limiter
from lightrag.llm.routing import BackendReport
from lightrag.model_assembly import cached_roles, open_models
from lightrag.retrieval.question_models import QuestionModels
from lightrag.settings import Settings
from lightrag.storage.contracts import Namespace, Storage
from lightrag.tenancy.contracts import ModelRef, ModelType
from lightrag.tenancy.resolution import CHAT_ROLES, why_unusable
from lightrag.types import QueryParam
from lightrag.workspaces.limit_pause import LimitPause
from lightrag.workspaces.live_chat import PresentChats, chat_of_role
from lightrag.workspaces.live_embedding import LiveEmbedding, LiveSparse, MissingEmbedding, PatientEmbedding
from lightrag.workspaces.live_questions import LiveQuestions
from lightrag.workspaces.live_rerank import reranker_of_workspace
from lightrag.workspaces.model_services import ServiceDoor
from lightrag.workspaces.server_tally import ServerTally

if TYPE_CHECKING:
    from lightrag.tenancy.database import Changes
    from lightrag.tenancy.ledger_models import Account
    from lightrag.tenancy.workspace_clients import WorkspaceClients
    from lightrag.tenancy.workspace_models import Plan
    from lightrag.workspaces.model_services import ModelServices

REMEMBERED = 2.0
"""Seconds for which it is remembered how a workspace's models are."""
LASTING_ROLES = (*CHAT_ROLES, Role.IMAGE2TEXT)
_UNKNOWN, _UNLISTED = -2, -1
"""In place of a version: nothing is known, and the control plane does not know the workspace."""

_log = logging.getLogger(__name__)


class LiveModels:
    """What serves a workspace at this moment. Use `open_live_models`."""

    def __init__(self, settings: Settings, storage: Storage, door: ServiceDoor, bundled: Bundled | None = None) -> None:
        self._settings = settings
        self._bundled = bundled
        self._storage = storage
        self._door = door
        self._lock = asyncio.Lock()
        self._looked = -REMEMBERED
        self._changes: Changes | None = None
        self._version = _UNKNOWN
        self._pause = LimitPause(storage.workspace, self._limits, self.refresh)
        self._base: Models
        self._clients: WorkspaceClients | None = None
        self.account: Account | None = None
        """Whom calls are charged to; None where nobody keeps accounts."""
        self.embedding: EmbeddingModel
        self.roles: Mapping[Role, KeptChat] = {role: chat_of_role(self, role) for role in LASTING_ROLES}
        self.lasting_reranker = reranker_of_workspace(self)

    async def open(self, recorded: Manifest | None) -> Models:
        """Open what serves at this moment, and return the models of the engine."""
        services = await self._door.existing()
        plan = None
        if services is not None:
            plan = await self._read(services)
        own = plan is not None and recorded is not None and await self._has(plan, recorded.embedding)
        # Where the data were made with a model of the workspace, the server's does not have to fit them.
        self._base = await open_models(
            self._settings,
            self._storage,
            None if own else recorded,
            tally=ServerTally(lambda: self.account),
            bundled=self._bundled,
        )
        if services is not None and plan is not None:
            self._clients = self._make(services, plan)
        self.embedding = await self._chosen_embedding() if services is not None else self._base.embedding
        base = self._base
        return Models(
            PresentChats(self),
            LiveEmbedding(self),
            self.lasting_reranker,
            base.extraction,
            base.meter,
            base.routed,
            changing=self,
            sparse=LiveSparse(self, base.sparse) if base.sparse is not None else None,
        )

    @property
    def clients(self) -> WorkspaceClients | None:
        """The clients of the workspace's own models, where it has some."""
        return self._clients

    @property
    def slots(self) -> int:
        """How many calls of extraction are made at the same time."""
        return sum(limiter.slots for limiter in self._base.extraction) or self._settings.llm.extract.max_async

    def chat(self, role: Role) -> KeptChat | None:
        """Return what serves a role at this moment."""
        own = self._clients.chat.get(role) if self._clients is not None else None
        return own or self._base.chat.get(role)

    def reranker(self) -> RerankModel | None:
        """Return what reranks at this moment."""
        own = self._clients.reranker if self._clients is not None else None
        return own or self._base.reranker

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop kept answers."""
        await self._storage.kv(Namespace.LLM_CACHE).delete(keys)

    async def for_question(self, param: QueryParam) -> QuestionModels:
        """Return the models that a question is answered with. Raises `UnknownModel`, `AmbiguousModel`."""
        return await LiveQuestions(self, self._base.named()).models(param)

    async def why_unusable(self, requested: str, type: ModelType) -> str:
        """Return why a model that the workspace has cannot be used for a type; empty where it has none of the name."""
        services = await self._door.existing()
        if services is None or self.account is None:
            return ""
        registry = services.registry

        def bare(ref: ModelRef) -> str | None:
            provider = registry.catalogue.get(ref.provider)
            return provider.bare(ref.name) if provider is not None else None

        return why_unusable(requested, type, await registry.models(self.account.workspace_id), bare)

    def uses_server_embedding(self) -> bool:
        """Tell whether vectors are of the server's own model and nobody pays for them."""
        return self.account is None and self.embedding is self._base.embedding

    def slot_use(self) -> SlotUse:
        """Return how the slots of extraction are used, and until when calls pause."""
        return self._pause.noted(slot_use(self._extraction()))

    def backends(self) -> list[BackendReport]:
        """Return the state of every backend."""
        own = self._clients.backends() if self._clients is not None else []
        return [*own, *self._base.backends()]

    async def embedding_by_name(self, name: str) -> EmbeddingModel | None:
        """Return the embedding model that is recorded under a name, where the workspace or the server has it."""
        await self.refresh()
        if self._base.embedding.facts.label == name:
            return PatientEmbedding(self, lambda: self._base.embedding)

        def find() -> EmbeddingModel | None:
            clients = self._clients
            ref = self._candidate(clients.plan, name) if clients is not None else None
            return clients.embedding_for(ref) if clients is not None and ref is not None else None

        return PatientEmbedding(self, find) if find() is not None else None

    def wanted_embedding(self) -> str:
        """Return the name of the embedding model that the workspace's defaults or the server's settings ask for."""
        own = self._clients.embedding if self._clients is not None else None
        return (own or self._base.embedding).facts.label

    async def refresh(self) -> None:
        """Take up what was changed. Raises nothing where the control plane does not answer: then all stays as it is."""
        try:
            services = await self._door.existing()
            if services is None or not self._is_due(services):
                return
            async with self._lock:
                if self._is_due(services):
                    await self._take_up(services)
        except StorageError as error:
            self._looked, self._version = time.monotonic(), _UNKNOWN
            _log.warning("workspace '%s' goes on with the models that it had: %s", self._storage.workspace, error)

    def switch_embedding(self, model: EmbeddingModel) -> None:
        """Use another embedding model from now on: the vectors are of it."""
        self.embedding = model.model if isinstance(model, PatientEmbedding) else model

    async def tell_switched(self) -> None:
        """Have other processes look which model the vectors are of."""
        services = await self._door.existing()
        if services is None or self.account is None:
            return
        from lightrag.tenancy.directory import raise_version

        async with services.plane.database.begin() as session:
            await raise_version(session, self.account.workspace_id)

    async def limits_of(self, token_id: str) -> object:
        """Return the limits of a token as they are known at this moment, to be compared with later ones."""
        services = await self._door.existing()
        return () if services is None else await services.tokens.of(token_id)

    async def rest(self, error: LimitReached) -> None:
        """Wait until a limit allows calls again, or is changed."""
        await self._pause.rest(error)

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[None]:
        """Keep what serves at this moment open for the length of the block."""
        await self.refresh()
        if self._clients is None:
            yield
            return
        async with self._clients.used():
            yield

    async def aclose(self) -> None:
        """Close all models."""
        if self._clients is not None:
            await self._clients.aclose()
        await self._base.aclose()

    def _limits(self) -> Sequence[object]:
        return self.account.limits if self.account is not None else ()

    def _is_due(self, services: ModelServices) -> bool:
        changed = services.plane.database.changes != self._changes
        return changed or time.monotonic() - self._looked >= REMEMBERED

    async def _take_up(self, services: ModelServices) -> None:
        before = self._version
        plan = await self._read(services)
        if self._version == before:
            return
        clients = self._clients
        is_other = plan is None or clients is None or clients.plan != plan
        if is_other:
            self._clients = self._make(services, plan) if plan is not None else None
        self.embedding = await self._chosen_embedding()
        if is_other and clients is not None:
            await clients.retire()

    async def _read(self, services: ModelServices) -> Plan | None:
        """Return the plan of the workspace where it was changed, and set its account."""
        from lightrag.tenancy.workspace_models import plan_of

        changes = services.plane.database.changes
        found = await services.registry.standing(self._storage.workspace, self._version)
        plan = self._clients.plan if self._clients is not None else None
        if found is None:
            self._version, self.account, plan = _UNLISTED, None, None
        elif found.holdings is not None:
            plan = plan_of(found.holdings)
            account = self.account
            if account is None or account.workspace_id != found.workspace_id:
                account = services.account(found.workspace_id)
            account.limits = found.limits
            self.account, self._version = account, found.version
        self._looked, self._changes = time.monotonic(), changes
        return plan

    def _make(self, services: ModelServices, plan: Plan) -> WorkspaceClients:
        from lightrag.tenancy.workspace_clients import WorkspaceClients
        from lightrag.tenancy.workspace_routes import StackOptions

        settings = self._settings
        options = StackOptions(
            chat_slots=settings.llm.extract.max_async,
            embedding_slots=settings.embedding.max_async,
            rerank_slots=settings.rerank.max_async,
            max_batch=settings.embedding.batch_num,
            cached_roles=cached_roles(settings),
        )
        assert self.account is not None
        store = self._storage.kv(Namespace.LLM_CACHE)
        return WorkspaceClients(plan, services.connections, self.account, store, self._base.meter, options)

    def _extraction(self) -> Sequence[Limiter]:
        own = self._clients.extraction if self._clients is not None else ()
        return own or self._base.extraction

    async def _chosen_embedding(self) -> EmbeddingModel:
        """Return the model that made the data, else the one that is wished for, which is recorded then."""
        clients, base = self._clients, self._base.embedding
        wanted = (clients.embedding if clients is not None else None) or base
        recorded = await manifest_of_data(self._storage)
        if recorded is None:
            await note_manifest(self._storage, Manifest(wanted.facts.label, self._storage.family))
            return wanted
        if recorded.embedding in ("", wanted.facts.label) or clients is None:
            return wanted
        if recorded.embedding == base.facts.label:
            return base
        ref = self._candidate(clients.plan, recorded.embedding)
        model = clients.embedding_for(ref) if ref is not None else None
        if model is not None:
            return model
        reason = await self._why_missing(recorded.embedding)
        if not reason and clients.embedding is None:
            # Without models of its own a workspace is opened as ever: the engine says what does not fit.
            return wanted
        return MissingEmbedding(recorded.embedding, wanted.facts.label, reason)

    async def _has(self, plan: Plan, name: str) -> bool:
        """Tell whether the workspace has the model that is recorded under a name, usable or not."""
        return self._candidate(plan, name) is not None or bool(await self._why_missing(name))

    async def _why_missing(self, name: str) -> str:
        """Return why the embedding model that is recorded under a name cannot be used; empty where there is none."""
        services = await self._door.existing()
        if services is None or self.account is None:
            return ""
        registry = services.registry
        for model in await registry.models(self.account.workspace_id):
            provider = registry.catalogue.get(model.ref.provider)
            wire = provider.wires.get(model.type) if provider is not None else None
            is_it = provider is not None and f"{wire}/{provider.bare(model.ref.name)}" == name
            if model.type is ModelType.EMBEDDING and is_it:
                return await self.why_unusable(model.ref.text, model.type)
        return ""

    @staticmethod
    def _candidate(plan: Plan, name: str) -> ModelRef | None:
        from lightrag.tenancy.workspace_models import recorded_name

        return next((c.ref for c in plan.embeddings if recorded_name(c) == name), None)


async def open_live_models(
    settings: Settings,
    storage: Storage,
    recorded: Manifest | None,
    door: ServiceDoor,
    bundled: Bundled | None = None,
) -> Models:
    """Return the models of an engine that follow the control plane. Raises as `lightrag.model_assembly.open_models`.

    `bundled` is what the engine shares with others of its process.
    """
    return await LiveModels(settings, storage, door, bundled).open(recorded)
