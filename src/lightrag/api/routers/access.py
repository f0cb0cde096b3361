"""Tokens, users, rights and the audit log: for the server's administrators, and for those of a workspace in it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field

from lightrag.api.auth import principal_of
from lightrag.api.auth_principal import Principal
from lightrag.api.dependencies import ServerDep, documented_key
from lightrag.api.middleware import request_id_of
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.access import (
    AUDIT_EXAMPLE,
    TOKEN_EXAMPLE,
    USER_EXAMPLE,
    AuditLine,
    GrantWish,
    NewToken,
    TokenEntry,
    TokenWish,
    UserEntry,
    UserWish,
)
from lightrag.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from lightrag.tenancy.access import AccessRole, TokenInfo, UserInfo
    from lightrag.tenancy.contracts import Actor
    from lightrag.tenancy.control_plane import ControlPlane
else:
    from typing import Any as Actor
    from typing import Any as ControlPlane

router = APIRouter(tags=["access"], dependencies=[documented_key], responses=errors(400, 403, 404, 503))

_DONE: Responses = {
    200: {"content": {"application/json": {"example": {"status": "success", "message": "The right was changed"}}}}
}
Name = Annotated[str, Path(min_length=1, max_length=255, examples=["ann"])]


async def get_plane(server: ServerDep) -> ControlPlane:
    """Return the control plane, made where there is none."""
    plane: ControlPlane = await server.control.plane()
    return plane


async def get_actor(request: Request) -> Actor:
    """Return who makes this request, as the audit log names it."""
    from lightrag.tenancy.contracts import Actor as MadeActor

    principal = principal_of(request.scope)
    name = f"{principal.name}#{principal.key[:8]}" if principal.key else principal.name
    return MadeActor(principal.kind, name, request_id_of(request.scope))


async def get_server_admin(request: Request) -> Principal:
    """Return the caller, who has full rights on the server. Raises `Forbidden`."""
    principal = principal_of(request.scope)
    if not principal.is_admin:
        raise Forbidden("Only an administrator of the server may do this")
    return principal


PlaneDep = Annotated[ControlPlane, Depends(get_plane)]
ActorDep = Annotated[Actor, Depends(get_actor)]
ServerAdminDep = Annotated[Principal, Depends(get_server_admin)]


def check_governs(principal: Principal, workspaces: Iterable[str]) -> None:
    """Raise `Forbidden` where a caller is not an administrator of all these workspaces."""
    names = list(workspaces)
    if principal.is_admin:
        return
    if not names or any(principal.role_in(name) != "admin" for name in names):
        raise Forbidden("Only an administrator of the server, or of every workspace that is concerned, may do this")


@router.post("/access/tokens", operation_id="create_token", status_code=HTTPStatus.CREATED)
async def create_token(
    wish: TokenWish, request: Request, server: ServerDep, plane: PlaneDep, actor: ActorDep
) -> NewToken:
    """Make a token. It is shown this once.

    Administrators of a workspace make tokens for it; tokens with full rights are made by the server's.
    """
    principal = principal_of(request.scope)
    if wish.is_admin and not principal.is_admin:
        raise Forbidden("Only an administrator of the server may make a token with full rights")
    if wish.roles:
        check_governs(principal, wish.roles)
    elif not wish.is_admin:
        check_governs(principal, ())
    from lightrag.tenancy.database import now_seconds

    token, info = await plane.access.create_token(
        actor,
        label=wish.label,
        is_admin=wish.is_admin,
        roles=_roles(wish.roles),
        expires_at=None if wish.expires_in is None else now_seconds() + wish.expires_in,
    )
    server.known_access.forget()
    return NewToken(token=token, **_plain(info))


@router.get("/access/tokens", operation_id="list_tokens")
async def list_tokens(
    request: Request,
    plane: PlaneDep,
    workspace: Annotated[str | None, Query(max_length=64, description="Only those with a role in it.")] = None,
) -> Annotated[list[TokenEntry], Field(examples=[[TOKEN_EXAMPLE]])]:
    """Return tokens without their secrets: all of them to the server's administrators, else those of a workspace."""
    principal = principal_of(request.scope)
    check_governs(principal, () if workspace is None else (workspace,))
    found = await plane.access.list_tokens(workspace)
    if not principal.is_admin:
        # Of other workspaces nothing is told, not even that they exist.
        found = [
            dataclasses.replace(info, roles={name: role for name, role in info.roles.items() if name == workspace})
            for info in found
        ]
    return [TokenEntry(**_plain(info)) for info in found]


@router.delete("/access/tokens/{token_id}", operation_id="revoke_token")
async def revoke_token(
    token_id: Annotated[str, Path(min_length=1, max_length=64)],
    request: Request,
    server: ServerDep,
    plane: PlaneDep,
    actor: ActorDep,
) -> TokenEntry:
    """End a token for good; the next request with it is refused."""
    principal = principal_of(request.scope)
    if not principal.is_admin:
        await _governed_token(plane, principal, token_id)
    info = await plane.access.revoke_token(actor, token_id)
    server.known_access.forget()
    return TokenEntry(**_plain(info))


@router.get("/access/users", operation_id="list_users")
async def list_users(
    plane: PlaneDep, _admin: ServerAdminDep
) -> Annotated[list[UserEntry], Field(examples=[[USER_EXAMPLE]])]:
    """Return all accounts of the control plane."""
    return [UserEntry(**_plain(info)) for info in await plane.access.list_users()]


@router.put("/access/users/{name}", operation_id="put_user")
async def put_user(
    name: Name, wish: UserWish, server: ServerDep, plane: PlaneDep, actor: ActorDep, _admin: ServerAdminDep
) -> UserEntry:
    """Create or change an account, which logs in at `/login`."""
    hashed = None
    if wish.password is not None:
        from lightrag.passwords import make_hash

        hashed = await asyncio.to_thread(make_hash, wish.password.get_secret_value())
    info = await plane.access.put_user(
        actor,
        name,
        password_hash=hashed,
        is_admin=wish.is_admin,
        is_enabled=wish.is_enabled,
        roles=None if wish.roles is None else _roles(wish.roles),
    )
    server.known_access.forget()
    return UserEntry(**_plain(info))


@router.delete("/access/users/{name}", operation_id="delete_user", responses=_DONE)
async def delete_user(
    name: Name, server: ServerDep, plane: PlaneDep, actor: ActorDep, _admin: ServerAdminDep
) -> dict[str, str]:
    """Remove an account; its sessions end."""
    await plane.access.delete_user(actor, name)
    server.known_access.forget()
    return {"status": "success", "message": f"User '{name}' was removed"}


@router.put("/access/grants", operation_id="put_grant", responses=_DONE | errors(409))
async def put_grant(
    wish: GrantWish, request: Request, server: ServerDep, plane: PlaneDep, actor: ActorDep
) -> dict[str, str]:
    """Give a token or user a role in a workspace, or take it away.

    Administrators of a workspace change tokens that are good for workspaces of theirs only; accounts may have roles in
    others too.
    """
    principal = principal_of(request.scope)
    check_governs(principal, (wish.workspace,))
    if wish.kind == "token" and not principal.is_admin:
        # A token that is good for one workspace goes there without a header: another role would lead it astray.
        await _governed_token(plane, principal, wish.id)
    role = None if wish.role is None else _roles({wish.workspace: wish.role})[wish.workspace]
    await plane.access.grant(actor, wish.kind, wish.id, wish.workspace, role)
    server.known_access.forget()
    return {"status": "success", "message": "The right was changed"}


@router.get("/audit", operation_id="list_audit")
async def list_audit(
    request: Request,
    plane: PlaneDep,
    workspace: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[float | None, Query(ge=0, le=1e12, description="Seconds since 1970.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Annotated[list[AuditLine], Field(examples=[[AUDIT_EXAMPLE]])]:
    """Return administrative changes, newest first: all to the server's administrators, else those of a workspace."""
    check_governs(principal_of(request.scope), () if workspace is None else (workspace,))
    named = await plane.directory.get(workspace) if workspace is not None else None
    if workspace is not None and named is None:
        raise NotFound(f"There is no workspace '{workspace}'")
    names = {entry.id: entry.name for entry in await plane.directory.list()}
    entries = await plane.audit.entries(
        workspace_id=None if named is None else named.id,
        before=None if before is None else int(before * 1_000_000),
        limit=limit,
    )
    return [
        AuditLine(
            id=entry.id,
            at=entry.at / 1_000_000,
            actor=entry.actor,
            workspace=names.get(entry.workspace_id or ""),
            action=entry.action,
            object=entry.object,
            before=entry.before,
            after=entry.after,
            outcome=entry.outcome,
            request_id=entry.request_id,
        )
        for entry in entries
    ]


async def _governed_token(plane: ControlPlane, principal: Principal, token_id: str) -> None:
    """Raise `NotFound` for a token that is not an administrator of a workspace's to change."""
    found = next((info for info in await plane.access.list_tokens() if info.id == token_id), None)
    if found is None or any(principal.role_in(name) != "admin" for name in found.roles) or found.is_admin:
        raise NotFound(f"There is no token '{token_id}'")


def _roles(roles: Mapping[str, str]) -> dict[str, AccessRole]:
    from lightrag.tenancy.rights import AccessRole as Role

    return {name: Role(role) for name, role in roles.items()}


def _plain(info: TokenInfo | UserInfo) -> dict[str, Any]:
    return dataclasses.asdict(info) | {"roles": {name: role.value for name, role in info.roles.items()}}
