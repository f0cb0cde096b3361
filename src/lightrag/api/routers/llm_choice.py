"""Which models a workspace uses for what, and under which keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lightrag.api.dependencies import documented_key
from lightrag.api.llm_answers import EnvelopeRoute, succeeded
from lightrag.api.llm_desk import Desk, DeskDep, Place
from lightrag.api.llm_fields import flag, read_fields, text
from lightrag.api.routers.llm import body_of, stored
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.llm import Defaults, Envelope, Key
from lightrag.errors import Conflict, InvalidInput
from lightrag.llm.contracts import Role
from lightrag.settings import Settings
from lightrag.tenancy.contracts import ModelRef, ModelType
from lightrag.tenancy.resolution import TYPE_OF_ROLE, Offer, Origin, choose

router = APIRouter(
    prefix="/llm",
    tags=["llm"],
    route_class=EnvelopeRoute,
    dependencies=[documented_key],
    responses=errors(400, 403, 409, 503),
)

_ROLE_NAMES = {Role.EMBED: "embedding", Role.RERANK: "rerank"}
_MEDIA = (ModelType.IMAGE2TEXT, ModelType.SPEECH2TEXT, ModelType.TTS)


@router.get("/defaults", operation_id="llm_defaults", response_model=Envelope)
async def get_defaults(desk: DeskDep) -> Response:
    """Return the workspace's models by slot: a type of model, or a role of chat. The first choice comes first."""
    from lightrag.tenancy.registry_records import SLOTS

    defaults = await desk.defaults()
    return succeeded({slot: [ref.text for ref in defaults.get(slot, ())] for slot in SLOTS})


@router.put("/defaults", operation_id="llm_set_defaults", response_model=Envelope, openapi_extra=body_of(Defaults))
async def set_defaults(request: Request, desk: DeskDep) -> Response:
    """Set the models of the slots that are named; the others stay as they are."""
    from lightrag.tenancy.registry_records import type_of_slot

    fields = await read_fields(request)
    if not fields:
        raise InvalidInput('Name slots with their models, as {"chat": "gpt-4@OpenAI"}')
    wanted: dict[str, list[ModelRef]] = {}
    for slot, value in fields.items():
        type_of_slot(slot)
        wanted[slot] = _refs(desk, slot, value)
    place = await desk.for_change()
    if wanted.get("embedding"):
        await check_embedding(desk, place, wanted["embedding"][0])
    await place.registry.set_defaults(desk.actor, place.workspace_id, wanted)
    return succeeded(True)


@router.get("/effective", operation_id="llm_effective", response_model=Envelope)
async def effective(desk: DeskDep) -> Response:
    """Return the models that serve each role at this moment, and who chose them."""
    defaults, models = await desk.defaults(), await desk.models()
    own: dict[ModelType, list[ModelRef]] = {}
    for model in models:
        if model.is_available and model.ref not in own.setdefault(model.type, []):
            own[model.type].append(model.ref)
    answer: dict[str, Any] = {}
    for role, type in TYPE_OF_ROLE.items():
        if type in _MEDIA:
            continue
        choice = choose(role, defaults, Offer(own.get(type, [])))
        names = [ref.text for ref in choice.refs]
        if choice.origin is Origin.SERVER:
            names = _of_server(desk.server.settings, role)
        answer[_ROLE_NAMES.get(role, role.value)] = {"models": names, "source": choice.origin.value}
    for type in _MEDIA:
        chosen = [ref for ref in defaults.get(type.value, ()) if ref in own.get(type, [])]
        source = Origin.WORKSPACE_TYPE if chosen else Origin.WORKSPACE_MODELS
        names = [ref.text for ref in chosen or own.get(type, [])[:1]]
        answer[type.value] = {"models": names, "source": source.value if names else "none"}
    return succeeded(answer)


@router.get("/credentials", operation_id="llm_credentials", response_model=Envelope)
async def list_credentials(desk: DeskDep) -> Response:
    """Return the workspace's keys: where they are used, their ends and fingerprints, never themselves."""
    items = []
    for info in await desk.credentials():
        item = dataclasses.asdict(info) | {"extra": dict(info.extra)}
        del item["id"]
        items.append(item | {"api_key_set": info.key_state != "none"})
    return succeeded(items)


@router.put("/credentials", operation_id="llm_put_credential", response_model=Envelope, openapi_extra=body_of(Key))
async def put_credential(request: Request, desk: DeskDep) -> Response:
    """Add or change a key of a provider under a label of its own, after a model has answered to it."""
    fields = await read_fields(request)
    text(fields, "llm_factory")
    label = text({"credential": fields.get("credential") or fields.get("label")}, "credential")
    return await stored(desk, {**fields, "credential": label}, needs_name=False)


@router.delete("/credentials", operation_id="llm_delete_credential", response_model=Envelope)
async def delete_credential(
    desk: DeskDep,
    llm_factory: Annotated[str, Query(max_length=200)] = "",
    credential: Annotated[str, Query(max_length=200)] = "",
    force: Annotated[str, Query(description="true: also where defaults name its models.")] = "",
) -> Response:
    """Remove a key with the models that it serves."""
    factory = text({"llm_factory": llm_factory}, "llm_factory")
    label = text({"credential": credential}, "credential")
    is_forced = flag({"force": force}, "force") or False
    place = await desk.for_change()
    if not is_forced:
        await desk.check_data_keep_their_model(
            place, lambda model: model.ref.provider == factory and model.credential.label == label
        )
    await place.registry.delete_credential(desk.actor, place.workspace_id, factory, label, force=is_forced)
    return succeeded(True)


async def check_embedding(desk: Desk, place: Place, ref: ModelRef) -> None:
    """Raise `Conflict` where the workspace's vectors are of another model than this one."""
    from lightrag.tenancy.workspace_models import recorded_name

    tenants = desk.server.tenants
    found = await place.registry.candidates(place.workspace_id, ModelType.EMBEDDING, ref)
    if tenants is None or not found:
        return
    async with tenants.lease(desk.workspace, creates=False) as engine:
        present = await engine.embedding_of_data()
    if present is not None and present != recorded_name(found[0]):
        raise Conflict(
            f"The vectors of this workspace are of '{present}', and those of '{ref.text}' cannot be compared with "
            f'them. Have all vectors made anew in the background: POST /llm/re_embed {{"model": "{ref.text}"}}'
        )


def _refs(desk: Desk, slot: str, value: Any) -> list[ModelRef]:
    if value is None or value == "":
        return []
    texts: Sequence[Any] = value if isinstance(value, list) else [value]
    refs = []
    for one in texts:
        ref = desk.catalogue.ref(one) if isinstance(one, str) else None
        if ref is None:
            raise InvalidInput(f"{slot}: '{str(one)[:200]}' is not of the form name@provider with a known provider")
        refs.append(ref)
    return refs


def _of_server(settings: Settings, role: Role) -> list[str]:
    """Return the server's own model for a role, as `name@binding`; none where it has none."""
    llm = settings.llm
    chat: Mapping[Role, Any] = {
        Role.EXTRACT: llm.extract,
        Role.SUMMARY: llm.extract,
        Role.KEYWORDS: llm.keyword,
        Role.ANSWER: llm.query,
        Role.EMBED: settings.embedding,
        Role.RERANK: settings.rerank,
    }
    model = chat[role]
    return [f"{model.model or model.binding}@{model.binding}"] if model.binding else []
