"""What a workspace uses, what it may use, and how its models are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import PlainTextResponse, Response

from lightrag.api.auth_principal import Principal
from lightrag.api.dependencies import EngineDep, PrincipalDep, documented_key
from lightrag.api.llm_answers import EnvelopeRoute, succeeded
from lightrag.api.llm_desk import DeskDep
from lightrag.api.llm_fields import flag, number, optional_text, read_fields
from lightrag.api.routers.access import ActorDep, PlaneDep, ServerAdminDep
from lightrag.api.routers.llm import body_of
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.llm import Envelope
from lightrag.api.schemas.usage import LIMITS_EXAMPLE, LimitWish, ReEmbedWish
from lightrag.errors import Forbidden, InvalidInput
from lightrag.tenancy.contracts import ModelType

if TYPE_CHECKING:
    from lightrag.indexing.re_embedding import ReEmbeddingStatus
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.limits import Limit, LimitKind, LimitState, Subject
    from lightrag.tenancy.usage import Part, UsageSum

router = APIRouter(
    prefix="/llm",
    tags=["llm"],
    route_class=EnvelopeRoute,
    dependencies=[documented_key],
    responses=errors(400, 403, 409, 503),
)
tokens = APIRouter(
    prefix="/access", tags=["access"], dependencies=[documented_key], responses=errors(400, 403, 404, 409, 503)
)
"""The limits of tokens, which belong to no workspace."""

_MICRO = 1_000_000
MOST_ENTRIES = 1000

LimitStates = Annotated[dict[str, Any], Field(examples=[LIMITS_EXAMPLE])]
TokenId = Annotated[str, Path(min_length=1, max_length=64, examples=["0f3a"])]


@router.get(
    "/usage",
    operation_id="llm_usage",
    response_model=Envelope,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def usage(
    desk: DeskDep,
    principal: PrincipalDep,
    by: Annotated[str, Query(description="Parts, by commas: day, provider, model, type, token.")] = "day,model",
    since: Annotated[str, Query(description="First day, as 2026-01-31 (UTC).")] = "",
    until: Annotated[str, Query(description="Last day.")] = "",
    format: Annotated[Literal["json", "csv"], Query()] = "json",
) -> Response:
    """Return what the workspace has used, by day and model or by other parts; of tokens administrators are told."""
    from lightrag.tenancy.usage import UsageReport, as_csv, total_of

    parts = _parts(by)
    if "token" in parts:
        _check_governs(principal, desk.workspace)
    days = _day("since", since), _day("until", until)
    place = await desk.found()
    rows: list[UsageSum] = []
    if place is not None:
        rows = await UsageReport(place.plane.database).sums(place.workspace_id, by=parts, since=days[0], until=days[1])
    if format == "csv":
        return PlainTextResponse(as_csv(rows, parts), media_type="text/csv; charset=utf-8")
    return succeeded({"usage": [_sum(row, parts) for row in rows], "total": _sum(total_of(rows), ())})


@router.get("/usage/entries", operation_id="llm_usage_entries", response_model=Envelope)
async def entries(
    desk: DeskDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
    before: Annotated[int | None, Query(ge=0, le=2**62, description="Only entries of an earlier microsecond.")] = None,
) -> Response:
    """Return calls one by one, the newest first, to administrators of the workspace."""
    from lightrag.tenancy.usage import UsageReport

    _check_governs(principal, desk.workspace)
    place = await desk.found()
    if place is None:
        return succeeded([])
    rows = await UsageReport(place.plane.database).entries(place.workspace_id, limit=limit, before=before)
    return succeeded(
        [{**{name: getattr(row, name) for name in _SHOWN}, "cost_usd": _dollars(row.cost)} for row in rows]
    )


@router.get("/limits", operation_id="llm_limits", response_model=Envelope)
async def get_limits(desk: DeskDep, principal: PrincipalDep) -> Response:
    """Return the limits of the workspace with what is used of them, to administrators of the workspace."""
    from lightrag.tenancy.limits import Subject

    _check_governs(principal, desk.workspace)
    place = await desk.found()
    return succeeded({} if place is None else await _states(place.plane, Subject("workspace", place.workspace_id)))


@router.put("/limits", operation_id="llm_set_limits", response_model=Envelope, openapi_extra=body_of(LimitWish))
async def put_limits(request: Request, desk: DeskDep, principal: PrincipalDep) -> Response:
    """Set limits of the workspace. Only administrators of the server may do this."""
    from lightrag.tenancy.limits import Subject
    from lightrag.tenancy.limits_admin import LimitAdmin

    if not principal.is_admin:
        raise Forbidden("Only an administrator of the server may set the limits of a workspace")
    wanted, insists = _wanted(await read_fields(request))
    place = await desk.for_change()
    workspace_id = place.workspace_id or (await place.plane.directory.ensure(desk.workspace, desk.actor)).id
    subject = Subject("workspace", workspace_id)
    await LimitAdmin(place.plane.database, place.plane.audit).put(desk.actor, subject, wanted, insists=insists)
    return succeeded(await _states(place.plane, subject))


@router.get("/health", operation_id="llm_health", response_model=Envelope)
async def health(desk: DeskDep, engine: EngineDep) -> Response:
    """Return how the models of the workspace are, as the calls that were made show it; nothing is called for this."""
    await engine.refresh_models()
    now = datetime.now(UTC).timestamp()
    models = []
    for report in engine.backends():
        state = report.state
        models.append(
            {
                "model": state.name,
                "roles": [role.value for role in report.roles],
                "state": state.state.value,
                "share": round(state.share, 3),
                "seconds_left": round(state.seconds_left, 1),
                "active": state.active,
                "calls": state.calls,
                "failures": state.failures,
                "last_error": state.last_error,
                "last_success": None if state.idle_seconds is None else int(now - state.idle_seconds),
            }
        )
    status = await engine.pipeline_status()
    serving = {role.value: facts.label for role, facts in engine.describe().chat.items()}
    return succeeded({"models": models, "serving": serving, "indexing_paused_until": status.paused_until})


@router.post("/re_embed", operation_id="llm_re_embed", response_model=Envelope, openapi_extra=body_of(ReEmbedWish))
async def start_re_embedding(request: Request, desk: DeskDep, engine: EngineDep) -> Response:
    """Change the embedding model of a workspace that holds documents: all vectors are made anew in the background.

    The present vectors serve until all are made. What was cut short or failed goes on where it stopped.
    """
    await engine.refresh_models()
    wish = optional_text(await read_fields(request), "model")
    place = await desk.found()
    defaults = {} if place is None else await place.registry.defaults(place.workspace_id)
    if wish is None:
        name = engine.wanted_embedding()
    else:
        ref = desk.catalogue.ref(wish)
        found = await place.registry.candidates(place.workspace_id, ModelType.EMBEDDING, ref) if place and ref else []
        if place is None or ref is None or not found:
            raise InvalidInput(f"model: '{wish[:200]}' is no embedding model of this workspace, as name@provider")
        from lightrag.tenancy.workspace_models import recorded_name

        name = recorded_name(found[0])
    await engine.re_embedding.start(name, "\n".join(ref.text for ref in defaults.get("embedding", ())))
    if place is not None and wish is not None and ref is not None:
        # What the workspace wishes for; until the switch its data decide.
        await place.registry.set_defaults(desk.actor, place.workspace_id, {"embedding": [ref]})
    return succeeded(_progress(await engine.re_embedding.status()))


@router.get("/re_embed", operation_id="llm_re_embed_status", response_model=Envelope)
async def re_embedding_status(desk: DeskDep, engine: EngineDep) -> Response:
    """Return how far the change of the embedding model is."""
    return succeeded(_progress(await engine.re_embedding.status()))


@router.delete("/re_embed", operation_id="llm_re_embed_cancel", response_model=Envelope)
async def cancel_re_embedding(desk: DeskDep, engine: EngineDep) -> Response:
    """Give the change up: the present vectors stay, and the default is what it was."""
    status = await engine.re_embedding.cancel()
    place = await desk.found()
    if place is not None:
        left = {model.ref for model in await place.registry.models(place.workspace_id)}
        refs = [ref for ref in map(desk.catalogue.ref, status.before.splitlines()) if ref is not None and ref in left]
        await place.registry.set_defaults(desk.actor, place.workspace_id, {"embedding": refs})
    return succeeded(_progress(status))


@tokens.get("/tokens/{token_id}/limits", operation_id="get_token_limits")
async def get_token_limits(token_id: TokenId, plane: PlaneDep, admin: ServerAdminDep) -> LimitStates:
    """Return the limits of a token with what is used of them."""
    from lightrag.tenancy.limits import Subject
    from lightrag.tenancy.limits_admin import LimitAdmin

    subject = Subject("token", token_id)
    return await _states_of(plane, await LimitAdmin(plane.database, plane.audit).limits_of(subject))


@tokens.put("/tokens/{token_id}/limits", operation_id="set_token_limits", openapi_extra=body_of(LimitWish))
async def put_token_limits(
    token_id: TokenId, request: Request, plane: PlaneDep, actor: ActorDep, admin: ServerAdminDep
) -> LimitStates:
    """Set limits of a token. They hold over all its workspaces, beside those of each."""
    from lightrag.tenancy.limits import Subject
    from lightrag.tenancy.limits_admin import LimitAdmin

    wanted, insists = _wanted(await read_fields(request))
    subject = Subject("token", token_id)
    await LimitAdmin(plane.database, plane.audit).put(actor, subject, wanted, insists=insists)
    return await _states(plane, subject)


_SHOWN = (
    "id",
    "at",
    "token_id",
    "provider",
    "model",
    "type",
    "operation",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "is_estimated",
    "milliseconds",
    "outcome",
    "request_id",
    "part_of",
)


def _progress(status: ReEmbeddingStatus) -> dict[str, Any]:
    share = status.done / status.total if status.total else 0.0
    return {
        "state": status.state,
        "model": status.model,
        "done": status.done,
        "total": status.total,
        "progress": round(min(share, 1.0), 4),
        "error": status.error,
    }


def _check_governs(principal: Principal, workspace: str) -> None:
    if principal.role_in(workspace) != "admin":
        raise Forbidden("Only administrators of the workspace may see this")


def _parts(by: str) -> tuple[Part, ...]:
    from lightrag.tenancy.usage import PARTS

    wanted = [part.strip() for part in by.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in PARTS]
    if unknown or len(set(wanted)) != len(wanted):
        raise InvalidInput(f"by: name some of {', '.join(PARTS)}, each once")
    return tuple(part for part in PARTS if part in wanted)


def _day(name: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name} is no day of the form 2026-01-31") from None


def _sum(row: UsageSum, parts: Sequence[str]) -> dict[str, Any]:
    return {
        **{part: getattr(row, part) for part in parts},
        **row.numbers,
        "total_tokens": row.tokens,
        "cost_usd": _dollars(row.cost),
    }


def _dollars(micro: int | None) -> float | None:
    return None if micro is None else micro / _MICRO


def _wanted(fields: Mapping[str, Any]) -> tuple[dict[LimitKind, int | None], bool]:
    """Return the limits that a body names. Raises `InvalidInput`."""
    from lightrag.tenancy.limits_admin import MOST, parse_kind

    wanted: dict[LimitKind, int | None] = {}
    for name in fields:
        if name == "force":
            continue
        kind = parse_kind(name)
        value = number(fields, name, most=MOST / _MICRO if kind.is_money else MOST)
        if value is None:
            wanted[kind] = None
        elif kind.is_money:
            wanted[kind] = round(value * _MICRO)
        elif value.is_integer():
            wanted[kind] = int(value)
        else:
            raise InvalidInput(f"{name} must be a whole number")
    if not wanted:
        raise InvalidInput('Name limits with their amounts, as {"tokens_per_day": 500000}; null for no limit')
    return wanted, flag(fields, "force") or False


async def _states(plane: ControlPlane, subject: Subject) -> dict[str, Any]:
    from lightrag.tenancy.limits import LimitBook

    return await _states_of(plane, await LimitBook(plane.database).limits_of(subject))


async def _states_of(plane: ControlPlane, limits: Sequence[Limit]) -> dict[str, Any]:
    from lightrag.tenancy.limits import LimitBook

    states = await LimitBook(plane.database).states(limits)
    return {state.limit.kind.value: _state(state) for state in states}


def _state(state: LimitState) -> dict[str, Any]:
    is_money = state.limit.kind.is_money
    shown = {
        name: (amount / _MICRO if is_money else amount)
        for name, amount in (("limit", state.limit.amount), ("used", state.used), ("reserved", state.reserved))
    }
    ends = state.resets_at
    return {**shown, "resets_at": None if ends is None else datetime.fromtimestamp(ends, UTC).isoformat()}
