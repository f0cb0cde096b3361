"""Models of a workspace, in the interface that RAGFlow's clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from lightrag.api.dependencies import documented_key
from lightrag.api.llm_answers import EnvelopeRoute, succeeded
from lightrag.api.llm_desk import Desk, DeskDep, Place, outcome_data, refusal
from lightrag.api.llm_fields import flag, integer, number, optional_text, read_fields, text
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.llm import Envelope, Factory, Key, ModelName, NewModel, Switch
from lightrag.errors import Conflict, InvalidInput
from lightrag.tenancy.catalogue import Provider
from lightrag.tenancy.contracts import Candidate, ModelType, Price

_TURNS = 16
"""How often a change is drafted anew that others keep overtaking."""

router = APIRouter(
    prefix="/llm",
    tags=["llm"],
    route_class=EnvelopeRoute,
    dependencies=[documented_key],
    responses=errors(400, 403, 409, 503),
)

_MICRO = 1_000_000


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return how the OpenAPI document describes a body that the route reads itself."""
    schema = model.model_json_schema()
    told = {name: field["examples"][0] for name, field in schema.get("properties", {}).items() if "examples" in field}
    schema.setdefault("examples", [told])
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}


@router.get("/factories", operation_id="llm_factories", response_model=Envelope)
async def factories(desk: DeskDep) -> Response:
    """Return the providers, with the types of model that work here; of others the reason is told."""
    offered = [one for one in desk.catalogue.all() if not one.is_hidden and desk.allowed(one.name)]
    return succeeded([_factory(one) for one in offered])


@router.post("/add_llm", operation_id="llm_add", response_model=Envelope, openapi_extra=body_of(NewModel))
async def add_llm(request: Request, desk: DeskDep) -> Response:
    """Add a model, or change one, after it has answered."""
    fields = await read_fields(request)
    return await stored(desk, fields)


@router.post("/set_api_key", operation_id="llm_set_api_key", response_model=Envelope, openapi_extra=body_of(Key))
async def set_api_key(request: Request, desk: DeskDep) -> Response:
    """Set a provider's key for all its models that the catalogue knows, after one of them has answered."""
    return await stored(desk, await read_fields(request), needs_name=False)


@router.post("/verify", operation_id="llm_verify", response_model=Envelope, openapi_extra=body_of(Key))
async def verify(request: Request, desk: DeskDep) -> Response:
    """Try a key, or with `llm_name` and `model_type` a model, and store nothing."""
    fields = await read_fields(request)
    place, draft = await drafted(desk, fields, needs_name=False)
    return succeeded(await _verified(desk, place, draft))


@router.post("/delete_llm", operation_id="llm_delete", response_model=Envelope, openapi_extra=body_of(ModelName))
async def delete_llm(request: Request, desk: DeskDep) -> Response:
    """Remove a model from the workspace."""
    fields = await read_fields(request)
    factory, name = text(fields, "llm_factory"), text(fields, "llm_name")
    type, force = _type(fields), flag(fields, "force") or False
    label = optional_text(fields, "credential")
    place = await desk.for_change()
    if not force and type in (None, ModelType.EMBEDDING):
        await desk.check_data_keep_their_model(
            place,
            lambda model: (
                model.ref.provider == factory
                and name in (model.ref.name, model.ref.name.partition("___")[0])
                and label in (None, model.credential.label)
            ),
        )
    await place.registry.delete_model(
        desk.actor, place.workspace_id, factory, name, type=type, label=label, force=force
    )
    return succeeded(True)


@router.post("/enable_llm", operation_id="llm_enable", response_model=Envelope, openapi_extra=body_of(Switch))
async def enable_llm(request: Request, desk: DeskDep) -> Response:
    """Switch a model on or off."""
    fields = await read_fields(request)
    factory, name = text(fields, "llm_factory"), text(fields, "llm_name")
    status = flag(fields, "status")
    place = await desk.for_change()
    await place.registry.set_enabled(
        desk.actor, place.workspace_id, factory, name, is_enabled=status is not False, type=_type(fields)
    )
    return succeeded(True)


@router.post(
    "/delete_factory", operation_id="llm_delete_factory", response_model=Envelope, openapi_extra=body_of(Factory)
)
async def delete_factory(request: Request, desk: DeskDep) -> Response:
    """Remove a provider from the workspace, with all its keys and models."""
    fields = await read_fields(request)
    factory, force = text(fields, "llm_factory"), flag(fields, "force") or False
    place = await desk.for_change()
    if not force:
        await desk.check_data_keep_their_model(place, lambda model: model.ref.provider == factory)
    await place.registry.delete_credential(desk.actor, place.workspace_id, factory, None, force=force)
    return succeeded(True)


@router.get("/list", operation_id="llm_list", response_model=Envelope)
async def list_llms(
    desk: DeskDep, model_type: Annotated[str | None, Query(description="Only models of this type.")] = None
) -> Response:
    """Return the models of the workspace by provider.

    `available` tells that a model is switched on and has a key that can be read, not that it answers.
    """
    type = _type({"model_type": model_type})
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for model in await desk.models():
        if type not in (None, model.type):
            continue
        item = {
            "llm_name": model.ref.name,
            "model_type": model.type.value,
            "fid": model.ref.provider,
            "available": model.is_available,
            "status": "1" if model.is_enabled else "0",
            "max_tokens": model.context_tokens,
            "is_tools": model.has_tools,
        }
        items = found.setdefault(model.ref.provider, {})
        known = items.setdefault((model.ref.name, model.type.value), item)
        if model.is_available and not known["available"]:
            items[model.ref.name, model.type.value] = item
    return succeeded({factory: list(items.values()) for factory, items in found.items()})


@router.get("/my_llms", operation_id="llm_my_llms", response_model=Envelope)
async def my_llms(
    desk: DeskDep, include_details: Annotated[str, Query(description="true: addresses, sizes and keys' states.")] = ""
) -> Response:
    """Return the models of the workspace with the tokens that they have used."""
    used = await desk.used_tokens()
    found: dict[str, dict[str, Any]] = {}
    with_details = include_details.strip().lower() in ("true", "1")
    for model in await desk.models():
        name, type = model.ref.name, model.type.value
        item: dict[str, Any] = {
            "type": type,
            "name": name,
            "used_token": used.get((model.ref.provider, name, type), 0),
            "status": "1" if model.is_enabled else "0",
        }
        if with_details:
            credential = model.credential
            item |= {
                "api_base": credential.address,
                "max_tokens": model.context_tokens or 8192,
                "max_output_tokens": model.max_output_tokens,
                "dimension": model.dimension,
                "is_tools": model.has_tools,
                "is_verified": model.is_verified,
                "credential": credential.label,
                "api_key_set": credential.key_state != "none",
                "api_key_state": credential.key_state,
                "api_key_hint": credential.hint,
                "order": model.order,
                "weight": model.weight,
            }
        provider = desk.catalogue.get(model.ref.provider)
        tags = ",".join(provider.tags) if provider is not None else None
        items = found.setdefault(model.ref.provider, {"tags": tags, "llm": []})["llm"]
        if with_details or item not in items:
            items.append(item)
    return succeeded(found)


async def drafted(desk: Desk, fields: Mapping[str, Any], *, needs_name: bool = True) -> tuple[Place, Any]:
    """Return a change that is checked and not stored. Raises `InvalidInput`."""
    from lightrag.tenancy.registry_records import KeyWish, ModelWish

    factory = text(fields, "llm_factory")
    base_url, label = optional_text(fields, "api_base", "base_url"), optional_text(fields, "credential")
    if not needs_name and not (optional_text(fields, "llm_name") and optional_text(fields, "model_type")):
        place = await desk.for_change()
        return place, await place.registry.draft_key(place.workspace_id, KeyWish(factory, fields, base_url, label))
    wish = ModelWish(
        factory,
        text(fields, "llm_name"),
        text(fields, "model_type"),
        fields,
        base_url,
        label,
        context_tokens=_context(desk, factory, fields),
        max_output_tokens=integer(fields, "max_output_tokens"),
        dimension=integer(fields, "dimension", most=65_536),
        has_tools=flag(fields, "is_tools"),
        order=integer(fields, "order", least=0, most=1000),
        weight=number(fields, "weight", most=1000),
        price=_price(fields),
    )
    place = await desk.for_change()
    return place, await place.registry.draft_model(place.workspace_id, wish)


async def stored(desk: Desk, fields: Mapping[str, Any], *, needs_name: bool = True) -> Response:
    """Store a change when it has answered, or when nobody wants to know.

    Where others have changed something meanwhile, it is drafted again, and stored if what was tried is still the same.
    """
    place, draft = await drafted(desk, fields, needs_name=needs_name)
    if flag(fields, "verify"):
        return succeeded(await _verified(desk, place, draft))
    outcomes: list[Any] = []
    if not flag(fields, "unverified"):
        if not draft.candidates:
            raise InvalidInput(
                f"No models configured for {draft.provider.name}: add one with add_llm, or name one by llm_name and "
                "model_type; unverified: true stores the key untried"
            )
        outcomes = await desk.tried(place, draft.candidates)
        if not any(one.is_ok for one in outcomes):
            raise refusal(outcomes)
    for turns_left in reversed(range(_TURNS)):
        try:
            await desk.save(place, draft, outcomes)
            break
        except Conflict:
            place, draft = await drafted(desk, fields, needs_name=needs_name)
            if not turns_left or not all(_is_among(one.candidate, draft.candidates) for one in outcomes):
                raise
    return succeeded(True)


def _is_among(tried: Candidate, drafted: Sequence[Candidate]) -> bool:
    """Tell whether what was tried would be used in the same way."""

    def way(one: Candidate) -> tuple[object, ...]:
        return (one.ref, one.type, one.upstream_name, one.base_url, one.secret, one.extra)

    return any(way(one) == way(tried) for one in drafted)


async def _verified(desk: Desk, place: Place, draft: Any) -> dict[str, Any]:
    outcomes = await desk.tried(place, draft.candidates)
    is_ok = any(one.is_ok for one in outcomes)
    message = "" if is_ok else str(refusal(outcomes)) if outcomes else "There is no model to try"
    return {"success": is_ok, "message": message, "outcomes": [outcome_data(one) for one in outcomes]}


def _type(fields: Mapping[str, Any]) -> ModelType | None:
    from lightrag.tenancy.registry_records import model_type

    name = optional_text(fields, "model_type")
    return None if name is None else model_type(name)


def _context(desk: Desk, factory: str, fields: Mapping[str, Any]) -> int | None:
    """Return the context window that is asked for. Raises `InvalidInput` where the model has a smaller one."""
    wanted = integer(fields, "max_tokens")
    provider = desk.catalogue.get(factory)
    known = provider.find(text(fields, "llm_name"), _type(fields)) if provider is not None else None
    most = known.context_tokens if known is not None and not flag(fields, "unverified") else None
    if wanted is not None and most is not None and wanted > most:
        raise InvalidInput(
            f"max_tokens is {wanted}, but {text(fields, 'llm_name')} of {factory} takes {most} tokens as far as is "
            "known; send unverified: true if that is outdated"
        )
    return wanted


def _price(fields: Mapping[str, Any]) -> Price | None:
    told = [number(fields, name, most=1_000_000) for name in ("price_in", "price_cached", "price_out")]
    if all(price is None for price in told):
        return None
    return Price(*(None if price is None else round(price * _MICRO) for price in told))


def _factory(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "logo": "",
        "tags": ",".join(provider.tags),
        "status": "1",
        "rank": provider.rank,
        "model_types": [type.value for type in provider.types],
        "unsupported": {type.value: reason for type, reason in provider.unserved.items()},
        "base_url": provider.base_url,
        "needs_base_url": not provider.base_url,
        "fields": [
            {"name": field.name, "required": field.is_required, "secret": field.is_secret} for field in provider.fields
        ],
    }
