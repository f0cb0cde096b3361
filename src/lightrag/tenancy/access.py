"""Who may do what where: tokens, users, and their rights to workspaces.

A role holds everything of the roles below it. A server administrator holds every role in every workspace. Without a
grant a workspace looks as if it did not exist.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, new_key, now_seconds
from lightrag.tenancy.rights import TOKEN_PREFIX
from lightrag.tenancy.rights import AccessRole as AccessRole
from lightrag.tenancy.tables import GrantRow, TokenRow, UserRow, WorkspaceRow

USED_EVERY = 300
"""Seconds between two notes that a token was used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entitlement:
    """What a credential entitles to."""

    kind: str
    """token | user"""
    id: str
    name: str
    is_admin: bool
    roles: Mapping[str, AccessRole]
    """By workspace name."""
    expires_at: int | None = None

    def role_in(self, workspace: str) -> AccessRole | None:
        """Return the role in a workspace; None for no right at all."""
        return AccessRole.ADMIN if self.is_admin else self.roles.get(workspace)


@dataclasses.dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as it is listed; the token itself is shown once, when it is made."""

    id: str
    hint: str
    label: str
    is_admin: bool
    roles: Mapping[str, AccessRole]
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class UserInfo:
    """An account as it is listed."""

    id: str
    name: str
    is_admin: bool
    is_enabled: bool
    roles: Mapping[str, AccessRole]
    created_at: int


def token_hash(token: str) -> str:
    """Return what is kept of a token. A plain hash does: a token is 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccessControl:
    """Makes, lists and checks tokens and accounts."""

    def __init__(self, database: ControlDatabase, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    # Tokens

    async def create_token(
        self,
        actor: Actor,
        *,
        label: str = "",
        is_admin: bool = False,
        roles: Mapping[str, AccessRole] | None = None,
        expires_at: int | None = None,
    ) -> tuple[str, TokenInfo]:
        """Return a new token and its entry. Raises `NotFound` for an unknown workspace, `InvalidInput` for a token
        that could do nothing or is expired."""
        roles = dict(roles or {})
        if not is_admin and not roles:
            raise InvalidInput("A token needs a role in at least one workspace, or to be a server administrator's")
        if expires_at is not None and expires_at <= now_seconds():
            raise InvalidInput("expires_at lies in the past")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = TokenRow(
            id=new_key(),
            hash=token_hash(token),
            hint=f"{TOKEN_PREFIX}…{token[-4:]}",
            label=label[:255],
            is_admin=is_admin,
            created_at=now_seconds(),
            created_by=actor.text[:255],
            expires_at=expires_at,
        )
        async with self._database.begin() as session:
            session.add(row)
            await _set_grants(session, "token", row.id, roles)
            info = _token_info(row, roles)
            concerned = await _concerned(session, info)
            await self._audit.add(session, actor, "token.create", row.id, workspace_id=concerned, after=_plain(info))
        return token, info

    async def list_tokens(self, workspace: str | None = None) -> list[TokenInfo]:
        """Return all tokens, or those with a role in one workspace, oldest first."""
        async with self._database.read() as session:
            roles = await _all_roles(session, "token")
            rows = (await session.scalars(select(TokenRow).order_by(TokenRow.created_at, TokenRow.id))).all()
        found = [_token_info(row, roles.get(row.id, {})) for row in rows]
        return [info for info in found if workspace is None or workspace in info.roles]

    async def revoke_token(self, actor: Actor, token_id: str) -> TokenInfo:
        """End a token at once, for good. Raises `NotFound`."""
        async with self._database.begin() as session:
            row = await session.get(TokenRow, token_id)
            if row is None:
                raise NotFound(f"There is no token '{token_id}'")
            if row.revoked_at is None:
                row.revoked_at = now_seconds()
            info = _token_info(row, (await _all_roles(session, "token")).get(row.id, {}))
            concerned = await _concerned(session, info)
            await self._audit.add(session, actor, "token.revoke", row.id, workspace_id=concerned, after=_plain(info))
        return info

    async def check_token(self, token: str) -> Entitlement | None:
        """Return what a token entitles to; None where it is unknown, expired or revoked."""
        async with self._database.read() as session:
            row = await session.scalar(select(TokenRow).where(TokenRow.hash == token_hash(token)))
            now = now_seconds()
            if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
                return None
            roles = await _roles_of(session, "token", row.id)
        if row.last_used_at is None or row.last_used_at + USED_EVERY < now:
            async with self._database.begin() as session:
                await session.execute(update(TokenRow).where(TokenRow.id == row.id).values(last_used_at=now))
        return Entitlement("token", row.id, row.label or row.hint, row.is_admin, roles, row.expires_at)

    # Users

    async def put_user(
        self,
        actor: Actor,
        name: str,
        *,
        password_hash: str | None = None,
        is_admin: bool = False,
        is_enabled: bool = True,
        roles: Mapping[str, AccessRole] | None = None,
    ) -> UserInfo:
        """Create or change an account. A changed password or a disabled account ends its sessions.

        Raises `InvalidInput` where a new account has no password, `NotFound` for an unknown workspace.
        """
        if not name or len(name) > 255 or ":" in name or not name.isprintable():
            raise InvalidInput("A user's name has 1 to 255 printable characters and no colon")
        async with self._database.begin() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name))
            before = None
            if row is None:
                if not password_hash:
                    raise InvalidInput(f"User '{name}' needs a password")
                row = UserRow(
                    id=new_key(), name=name, password_hash=password_hash, generation=0, created_at=now_seconds()
                )
                session.add(row)
            else:
                before = _plain(_user_info(row, await _roles_of(session, "user", row.id)))
                if (password_hash and password_hash != row.password_hash) or (row.is_enabled and not is_enabled):
                    row.generation += 1
                row.password_hash = password_hash or row.password_hash
            row.is_admin, row.is_enabled = is_admin, is_enabled
            await session.flush()
            if roles is not None:
                await _set_grants(session, "user", row.id, roles)
            info = _user_info(row, await _roles_of(session, "user", row.id))
            await self._audit.add(session, actor, "user.put", name, before=before, after=_plain(info))
        return info

    async def list_users(self) -> list[UserInfo]:
        """Return all accounts by name."""
        async with self._database.read() as session:
            roles = await _all_roles(session, "user")
            rows = (await session.scalars(select(UserRow).order_by(UserRow.name))).all()
        return [_user_info(row, roles.get(row.id, {})) for row in rows]

    async def delete_user(self, actor: Actor, name: str) -> None:
        """Remove an account; its sessions end. Raises `NotFound`."""
        async with self._database.begin() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name))
            if row is None:
                raise NotFound(f"There is no user '{name}'")
            before = _plain(_user_info(row, await _roles_of(session, "user", row.id)))
            await session.execute(
                delete(GrantRow).where(GrantRow.subject_kind == "user", GrantRow.subject_id == row.id)
            )
            await session.delete(row)
            await self._audit.add(session, actor, "user.delete", name, before=before)

    async def password_hash(self, name: str) -> tuple[str, int] | None:
        """Return an enabled account's password hash and generation; None where there is none."""
        async with self._database.read() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name, UserRow.is_enabled))
        return None if row is None else (row.password_hash, row.generation)

    async def user(self, name: str, generation: int | None = None) -> Entitlement | None:
        """Return what an account entitles to; None where it is gone, disabled or of another generation."""
        async with self._database.read() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name, UserRow.is_enabled))
            if row is None or (generation is not None and generation != row.generation):
                return None
            roles = await _roles_of(session, "user", row.id)
        return Entitlement("user", row.id, row.name, row.is_admin, roles)

    async def in_use(self) -> tuple[bool, bool, tuple[str, ...]]:
        """Return whether there are tokens, whether there are accounts, and one of the accounts' password hashes.

        Ended ones count too: a server does not become open to everybody on the day that its last token expires.
        """
        async with self._database.read() as session:
            token = await session.scalar(select(TokenRow.id).limit(1))
            stored = await session.scalar(select(UserRow.password_hash).limit(1))
        return token is not None, stored is not None, () if stored is None else (stored,)

    # Rights

    async def grant(self, actor: Actor, kind: str, subject_id: str, workspace: str, role: AccessRole | None) -> None:
        """Give a token or user a role in a workspace, or with None take it away. Raises `NotFound`, `Conflict`."""
        tables: dict[str, type[TokenRow] | type[UserRow]] = {"token": TokenRow, "user": UserRow}
        if kind not in tables:
            raise InvalidInput("A grant is to a 'token' or a 'user'")
        async with self._database.begin() as session:
            if await session.get(tables[kind], subject_id) is None:
                raise NotFound(f"There is no {kind} '{subject_id}'")
            roles = dict(await _roles_of(session, kind, subject_id))
            before = {"role": roles.get(workspace)}
            if role is None:
                if roles.pop(workspace, None) is None:
                    raise Conflict(f"This {kind} has no role in workspace '{workspace}'")
            else:
                roles[workspace] = role
            await _set_grants(session, kind, subject_id, roles)
            await self._audit.add(
                session,
                actor,
                "access.grant",
                f"{kind}:{subject_id}@{workspace}",
                workspace_id=await _workspace_id(session, workspace),
                before=before,
                after={"role": role},
            )


async def _set_grants(session: AsyncSession, kind: str, subject_id: str, roles: Mapping[str, AccessRole]) -> None:
    found = (
        await session.execute(select(WorkspaceRow.name, WorkspaceRow.id).where(WorkspaceRow.name.in_(roles)))
    ).all()
    ids = {row.name: row.id for row in found}
    missing = sorted(set(roles) - set(ids))
    if missing:
        raise NotFound(f"There is no workspace {', '.join(map(repr, missing))}; create it first")
    await session.execute(delete(GrantRow).where(GrantRow.subject_kind == kind, GrantRow.subject_id == subject_id))
    session.add_all(
        GrantRow(id=new_key(), subject_kind=kind, subject_id=subject_id, workspace_id=ids[name], role=role.value)
        for name, role in roles.items()
    )
    await session.flush()


async def _workspace_id(session: AsyncSession, name: str) -> str | None:
    return await session.scalar(select(WorkspaceRow.id).where(WorkspaceRow.name == name))


async def _concerned(session: AsyncSession, info: TokenInfo) -> str | None:
    """Return the workspace whose administrators may read of a token in its audit log.

    None for one that is good elsewhere too: of other workspaces they are told nothing.
    """
    if info.is_admin or len(info.roles) != 1:
        return None
    return await _workspace_id(session, next(iter(info.roles)))


async def _roles_of(session: AsyncSession, kind: str, subject_id: str) -> dict[str, AccessRole]:
    return (await _all_roles(session, kind, subject_id)).get(subject_id, {})


async def _all_roles(
    session: AsyncSession, kind: str, subject_id: str | None = None
) -> dict[str, dict[str, AccessRole]]:
    query = (
        select(GrantRow.subject_id, WorkspaceRow.name, GrantRow.role)
        .join(WorkspaceRow, WorkspaceRow.id == GrantRow.workspace_id)
        .where(GrantRow.subject_kind == kind)
    )
    if subject_id is not None:
        query = query.where(GrantRow.subject_id == subject_id)
    roles: dict[str, dict[str, AccessRole]] = {}
    for subject, name, role in (await session.execute(query)).all():
        roles.setdefault(subject, {})[name] = AccessRole(role)
    return roles


def _token_info(row: TokenRow, roles: Mapping[str, AccessRole]) -> TokenInfo:
    return TokenInfo(
        row.id,
        row.hint,
        row.label,
        row.is_admin,
        dict(roles),
        row.created_at,
        row.created_by,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )


def _user_info(row: UserRow, roles: Mapping[str, AccessRole]) -> UserInfo:
    return UserInfo(row.id, row.name, row.is_admin, row.is_enabled, dict(roles), row.created_at)


def _plain(info: TokenInfo | UserInfo) -> dict[str, object]:
    fields: Sequence[str] = ("hint", "label", "name", "is_admin", "is_enabled", "expires_at", "revoked_at")
    seen: dict[str, object] = {field: getattr(info, field) for field in fields if hasattr(info, field)}
    return {**seen, "roles": {name: role.value for name, role in info.roles.items()}}
