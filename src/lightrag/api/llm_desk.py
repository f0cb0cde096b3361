"""What the routes below `/llm/` need for one request: the workspace's models, who asks, and how models are tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, Request

from lightrag.api.context import ServerContext
from lightrag.api.dependencies import get_server, get_workspace
from lightrag.api.llm_answers import CallFailed
from lightrag.api.routers.access import get_actor
from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.tenancy.catalogue import Catalogue
from lightrag.tenancy.catalogue.chosen import catalogue_of
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType, current_caller

if TYPE_CHECKING:
    from lightrag.tenancy.contracts import Actor
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.probing import Outcome
    from lightrag.tenancy.registry import ModelRegistry
    from lightrag.tenancy.registry_records import CredentialInfo, Draft, ModelInfo

_FAILED = {
    ModelType.EMBEDDING: "Fail to access embedding model({name}) using this api key.",
}
_FAILED_ANY = "Fail to access model({name}) using this api key."


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A workspace's entry in the control plane, with its models."""

    workspace_id: str
    """Empty where it has none yet."""
    plane: ControlPlane
    registry: ModelRegistry


class Desk:
    """Serves one request."""

    def __init__(self, server: ServerContext, workspace: str, actor: Actor) -> None:
        self._server = server
        self.workspace = workspace
        self.actor = actor

    @property
    def server(self) -> ServerContext:
        """What the process holds."""
        return self._server

    @property
    def catalogue(self) -> Catalogue:
        """The providers that are known."""
        return catalogue_of(self._server.settings)

    def allowed(self, provider: str) -> bool:
        """Whether the operator lets workspaces add a provider."""
        wanted = self._server.settings.tenancy.allowed_providers
        return not wanted or provider in wanted

    async def found(self) -> Place | None:
        """Return the workspace's models where it has an entry: looking for them makes none."""
        plane = await self._server.control.existing()
        entry = await plane.directory.get(self.workspace) if plane is not None else None
        return None if plane is None or entry is None else Place(entry.id, plane, self._registry(plane))

    async def check_data_keep_their_model(self, place: Place, goes: Callable[[ModelInfo], bool]) -> None:
        """Raise `Conflict` where the workspace's vectors are of a model that nothing would serve any more."""
        from lightrag.tenancy.workspace_models import recorded_name

        candidates = await place.registry.candidates(place.workspace_id, ModelType.EMBEDDING, None)
        gone = {model.id for model in await place.registry.models(place.workspace_id) if goes(model)}
        if self._server.tenants is None or not any(candidate.model_id in gone for candidate in candidates):
            return
        async with self._server.tenants.lease(self.workspace, creates=False) as engine:
            made_with = await engine.embedding_of_data()
        serving = [candidate for candidate in candidates if recorded_name(candidate) == made_with]
        if serving and all(candidate.model_id in gone for candidate in serving):
            raise Conflict(
                f"The workspace's documents are embedded with '{serving[0].ref.text}', so that it is in use: change "
                "the embedding model first (POST /llm/re_embed), or send force: true, after which questions fail "
                "until it is back"
            )

    async def for_change(self) -> Place:
        """Return the workspace's models to be changed; an entry is made when something is stored.

        Raises `NotFound`, `Conflict` where the workspace must not come into being, or is going.
        """
        tenants = self._server.tenants
        if tenants is not None and not await tenants.exists(self.workspace) and not self._may_create():
            raise NotFound(f"There is no workspace '{self.workspace}'; an administrator has to create it first")
        plane = await self._server.control.plane()
        entry = await plane.directory.get(self.workspace)
        return Place("" if entry is None else entry.id, plane, self._registry(plane))

    async def models(self) -> list[ModelInfo]:
        """Return the workspace's models."""
        place = await self.found()
        return [] if place is None else await place.registry.models(place.workspace_id)

    async def credentials(self) -> list[CredentialInfo]:
        """Return the workspace's credentials."""
        place = await self.found()
        return [] if place is None else await place.registry.credentials(place.workspace_id)

    async def defaults(self) -> dict[str, tuple[ModelRef, ...]]:
        """Return the workspace's defaults by slot."""
        place = await self.found()
        return {} if place is None else await place.registry.defaults(place.workspace_id)

    async def used_tokens(self) -> dict[tuple[str, str, str], int]:
        """Return the tokens that the workspace has used in all, by (provider, model, type)."""
        place = await self.found()
        if place is None:
            return {}
        from lightrag.tenancy.usage import UsageReport

        return await UsageReport(place.plane.database).used_tokens(place.workspace_id)

    async def tried(self, place: Place, candidates: Iterable[Candidate]) -> list[Outcome]:
        """Try one model of each type and return what came of it; the ledger of a workspace that has one tells of it.

        That of a workspace which only comes into being tells of it when the draft is saved.
        """
        from lightrag.tenancy.probing import Prober, one_of_each_type
        from lightrag.tenancy.registry_opening import connections_of

        seconds = self._server.settings.tenancy.probe_timeout
        outcomes = await Prober(connections_of(self._server.settings, seconds), seconds).probe(
            one_of_each_type(candidates)
        )
        if place.workspace_id:
            await self._enter(place, place.workspace_id, outcomes)
        return outcomes

    async def _enter(self, place: Place, workspace_id: str, outcomes: Iterable[Outcome]) -> None:
        from lightrag.tenancy.ledger import Ledger

        ledger, caller = Ledger(place.plane.database), current_caller()
        for outcome in outcomes:
            ledger.record(outcome.entry(workspace_id, caller))
        await ledger.close()

    async def save(self, place: Place, draft: Draft, outcomes: Sequence[Outcome]) -> None:
        """Store a draft with what its trials have shown."""
        for one in outcomes:
            if one.dimension is not None:
                draft = draft.with_dimension(one.candidate.ref.name, one.candidate.type, one.dimension)
        verified = {one.candidate.type for one in outcomes if one.is_ok}
        if not place.workspace_id:
            entry = await place.plane.directory.ensure(self.workspace, self.actor)
            draft = dataclasses.replace(draft, workspace_id=entry.id)
            await self._enter(place, entry.id, outcomes)
        await place.registry.save(self.actor, draft, verified=verified)

    def _may_create(self) -> bool:
        return self._server.settings.tenancy.create_on_use

    def _registry(self, plane: ControlPlane) -> ModelRegistry:
        from lightrag.tenancy.registry_opening import registry_of

        return registry_of(self._server.settings, plane)


def refusal(outcomes: Sequence[Outcome]) -> CallFailed:
    """Return the error for models that did not answer: a line for each type."""
    lines = [_FAILED.get(one.candidate.type, _FAILED_ANY).format(name=one.candidate.ref.name) for one in outcomes]
    told = [f"{line} {one.message}" for line, one in zip(lines, outcomes, strict=True)]
    return CallFailed("\n".join(lines), "\n".join(told))


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """Return what came of trying a model, for an answer."""
    candidate = outcome.candidate
    return {
        "llm_name": candidate.ref.name,
        "model_type": candidate.type.value,
        "success": outcome.is_ok,
        "message": outcome.message,
        "milliseconds": outcome.milliseconds,
        "api_base": candidate.base_url,
        "dimension": outcome.dimension,
    }


async def get_desk(request: Request) -> Desk:
    """Return what serves a request, where its caller may do in the workspace what it asks for."""
    try:
        workspace = await get_workspace(request)
    except InvalidInput as error:
        # A workspace that is not named as it must be is no mistake in the fields of the request.
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    return Desk(await get_server(request), workspace, await get_actor(request))


DeskDep = Annotated[Desk, Depends(get_desk)]
