"""Tokens, users, rights, and who changed what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lightrag.client.decoding import many, plain
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint
from lightrag.client.records import AccessToken, AuditEntry, Done, NewAccessToken, User
from lightrag.client.requests import Wish, given

Role = Literal["reader", "editor", "admin"]


class AccessCalls(Part):
    """Calls of administrators: of the server, or of a workspace for what concerns it."""

    @endpoint("POST", "/access/tokens", NewAccessToken.read)
    def create_token(
        self,
        label: str = "",
        *,
        roles: Mapping[str, Role] | None = None,
        is_admin: bool = False,
        expires_in: int | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Wish:
        """Make a token with roles by workspace; `token` of the result is shown this once. `expires_in`: seconds."""
        wanted = given(roles=roles and dict(roles), expires_in=expires_in, limits=limits and dict(limits))
        return Wish(json={"label": label, "is_admin": is_admin, **wanted})

    @endpoint("GET", "/access/tokens", many(AccessToken.read))
    def tokens(self, workspace: str | None = None) -> Wish:
        """Return tokens without their secrets: all, or those with a role in a workspace."""
        return Wish(params=given(workspace=workspace))

    @endpoint("DELETE", "/access/tokens/{token_id}", AccessToken.read)
    def revoke_token(self, token_id: str) -> Wish:
        """End a token for good."""
        return Wish(path={"token_id": token_id})

    @endpoint("GET", "/access/tokens/{token_id}/limits", plain)
    def token_limits(self, token_id: str) -> Wish:
        """Return the limits of a token with what is used of them, by kind."""
        return Wish(path={"token_id": token_id})

    @endpoint("PUT", "/access/tokens/{token_id}/limits", plain, is_repeatable=True)
    def set_token_limits(self, /, token_id: str, *, force: bool | None = None, **limits: float | None) -> Wish:
        """Set limits of a token, which hold over all its workspaces; None for no limit. Returns all of them."""
        return Wish(path={"token_id": token_id}, json=limits | given(force=force))

    @endpoint("GET", "/access/users", many(User.read))
    def users(self) -> Wish:
        """Return all accounts."""
        return Wish()

    @endpoint("PUT", "/access/users/{name}", User.read, is_repeatable=True)
    def put_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: Mapping[str, Role] | None = None,
        is_admin: bool = False,
        is_enabled: bool = True,
    ) -> Wish:
        """Create or change an account. `password`: needed for a new one. `roles`: replace all; None leaves them."""
        wanted = given(password=password, roles=None if roles is None else dict(roles))
        return Wish(path={"name": name}, json={"is_admin": is_admin, "is_enabled": is_enabled, **wanted})

    @endpoint("DELETE", "/access/users/{name}", Done.read)
    def delete_user(self, name: str) -> Wish:
        """Remove an account; its sessions end."""
        return Wish(path={"name": name})

    @endpoint("PUT", "/access/grants", Done.read, is_repeatable=True)
    def grant(self, kind: Literal["token", "user"], id: str, workspace: str, role: Role | None) -> Wish:
        """Give a token or user a role in a workspace; None takes it away."""
        return Wish(json={"kind": kind, "id": id, "workspace": workspace, "role": role})

    @endpoint("GET", "/audit", many(AuditEntry.read))
    def audit(self, *, workspace: str | None = None, before: float | None = None, limit: int | None = None) -> Wish:
        """Return administrative changes, newest first. `before`: seconds since 1970."""
        return Wish(params=given(workspace=workspace, before=before, limit=limit))


class AccessControl(AccessCalls, SyncPart):
    """Tokens, users, rights and the audit log."""


class AsyncAccessControl(AccessCalls, AsyncPart):
    """Tokens, users, rights and the audit log."""
