"""`lightrag token`, `user`, `keys`, `audit`: the control plane from the command line of the server's machine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from lightrag.cli.running import OK, Where, console
from lightrag.errors import InvalidInput

if TYPE_CHECKING:
    from lightrag.tenancy.access import AccessRole
    from lightrag.tenancy.contracts import Actor
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.vault import RotationReport


@contextlib.asynccontextmanager
async def control_plane(where: Where) -> AsyncIterator[ControlPlane]:
    """Open the control plane that the settings name."""
    from lightrag.tenancy.control_plane import open_control_plane

    plane = await open_control_plane(where.settings())
    try:
        yield plane
    finally:
        await plane.close()


def actor() -> Actor:
    """Return who makes changes here: whoever may use the server's files."""
    from lightrag.tenancy.contracts import Actor

    return Actor("cli")


async def create_token(
    where: Where, label: str, grants: Sequence[str], *, is_admin: bool, days: float | None, creates: bool
) -> int:
    """Print a new token."""
    from lightrag.tenancy.database import now_seconds

    roles = parse_grants(grants)
    async with control_plane(where) as plane:
        for name in roles if creates else ():
            await plane.directory.ensure(name, actor())
        expires = None if days is None else now_seconds() + int(days * 86400)
        token, info = await plane.access.create_token(
            actor(), label=label, is_admin=is_admin, roles=roles, expires_at=expires
        )
    console(on_stderr=True).print(f"token {info.id}; it is shown this once:", markup=False)
    typer.echo(token)
    return OK


async def list_tokens(where: Where, *, as_json: bool) -> int:
    """Print all tokens, without their secrets."""
    async with control_plane(where) as plane:
        tokens = await plane.access.list_tokens()
    if as_json:
        _print_json([dataclasses.asdict(info) for info in tokens])
        return OK
    rows = [
        (info.id, info.hint, info.label, _rights(info.is_admin, info.roles), _state(info.revoked_at, info.expires_at))
        for info in tokens
    ]
    print_table(
        ("id", "token", "label", "rights", "state"), rows, "no tokens yet; make one with: lightrag token create"
    )
    return OK


async def revoke_token(where: Where, token_id: str) -> int:
    """End a token."""
    async with control_plane(where) as plane:
        info = await plane.access.revoke_token(actor(), token_id)
    typer.echo(f"revoked {info.hint}")
    return OK


async def put_user(
    where: Where, name: str, grants: Sequence[str], *, is_admin: bool, is_enabled: bool, asks_password: bool
) -> int:
    """Create or change an account; the password comes from a prompt or the standard input."""
    from lightrag.cli.passwords import read_password
    from lightrag.passwords import make_hash

    hashed = None
    if asks_password:
        password = read_password()
        if len(password) < 8:
            raise InvalidInput("A password has at least 8 characters")
        hashed = await asyncio.to_thread(make_hash, password)
    async with control_plane(where) as plane:
        info = await plane.access.put_user(
            actor(),
            name,
            password_hash=hashed,
            is_admin=is_admin,
            is_enabled=is_enabled,
            roles=parse_grants(grants) if grants else None,
        )
    typer.echo(f"user {info.name}: {_rights(info.is_admin, info.roles)}")
    return OK


async def list_users(where: Where, *, as_json: bool) -> int:
    """Print all accounts."""
    async with control_plane(where) as plane:
        users = await plane.access.list_users()
    if as_json:
        _print_json([dataclasses.asdict(info) for info in users])
        return OK
    rows = [(u.name, _rights(u.is_admin, u.roles), "" if u.is_enabled else "disabled") for u in users]
    print_table(("name", "rights", "state"), rows, "no accounts yet; make one with: lightrag user put")
    return OK


async def delete_user(where: Where, name: str) -> int:
    """Remove an account."""
    async with control_plane(where) as plane:
        await plane.access.delete_user(actor(), name)
    typer.echo(f"removed {name}")
    return OK


def new_key() -> int:
    """Print a fresh key-encryption key."""
    from lightrag.tenancy.keyring import new_key_text

    typer.echo(new_key_text())
    return OK


async def rotate_keys(where: Where, *, is_dry: bool, renews: bool, adds_key: bool) -> int:
    """Wrap all data keys by the first key-encryption key; with `renews` replace the data keys, too.

    `adds_key` puts a fresh key first, where they are kept in a file.
    """
    if adds_key and is_dry:
        raise InvalidInput("--new makes a key, which --dry-run must not do; run one of them")
    if adds_key:
        await _add_key(where)
    async with control_plane(where) as plane:
        report = await plane.vault.rewrap(is_dry=is_dry)
        _tell_rotation("data keys", report, is_dry)
        unreadable = report.unreadable
        if not is_dry:
            renewed = await _renew_all(plane) if renews else None
            unreadable += renewed or 0
            async with plane.database.begin() as session:
                after = {"data_keys": report.changed, "renewed": renews, "unreadable": unreadable}
                await plane.audit.add(session, actor(), "keys.rotate", report.key_id, after=after)
    return OK if not unreadable else 1


async def _add_key(where: Where) -> None:
    from lightrag.tenancy.control_plane import key_source
    from lightrag.tenancy.keyring import add_key

    settings = where.settings()
    path = await asyncio.to_thread(add_key, key_source(settings), settings.paths.working_dir)
    typer.echo(f"a new key stands first in {path}; keep a copy of it elsewhere. The others go when this has succeeded")


async def _renew_all(plane: ControlPlane) -> int:
    """Replace all data keys; return how many secrets cannot be read."""
    unreadable = 0
    for workspace in await plane.directory.list():
        report = await plane.vault.renew(workspace.id)
        if report.changed or report.unreadable:
            _tell_rotation(f"secrets of '{workspace.name}'", report, is_dry=False)
        unreadable += report.unreadable
    return unreadable


async def show_audit(where: Where, workspace: str | None, limit: int, *, as_json: bool) -> int:
    """Print administrative changes, newest first."""
    async with control_plane(where) as plane:
        named = await plane.directory.get(workspace) if workspace else None
        if workspace and named is None:
            raise InvalidInput(f"There is no workspace '{workspace}'")
        entries = await plane.audit.entries(workspace_id=named.id if named else None, limit=limit)
    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in entries])
        return OK
    rows = [(_time(e.at // 1_000_000), e.actor, e.action, e.object, e.outcome) for e in entries]
    print_table(("time", "who", "did", "what", "outcome"), rows, "nothing has been changed yet")
    return OK


def parse_grants(grants: Sequence[str]) -> dict[str, AccessRole]:
    """Return roles by workspace from texts such as `tenant-a=editor`. Raises `InvalidInput`."""
    from lightrag.tenancy.access import AccessRole

    roles: dict[str, AccessRole] = {}
    for grant in grants:
        name, _, role = grant.partition("=")
        if role not in list(AccessRole):
            raise InvalidInput(f"'{grant}' is not WORKSPACE=reader, WORKSPACE=editor or WORKSPACE=admin")
        roles[name] = AccessRole(role)
    return roles


def _tell_rotation(what: str, report: RotationReport, is_dry: bool) -> None:
    verb = "to change" if is_dry else "changed"
    line = f"{what}: {report.changed} {verb}, {report.current} up to date"
    if report.unreadable:
        line += f", {report.unreadable} unreadable: their key-encryption key is not among those of the settings"
    typer.echo(line)


def _rights(is_admin: bool, roles: Mapping[str, AccessRole]) -> str:
    if is_admin:
        return "everything"
    return ", ".join(f"{name}={role.value}" for name, role in sorted(roles.items())) or "nothing"


def _state(revoked_at: int | None, expires_at: int | None) -> str:
    if revoked_at is not None:
        return f"revoked {_time(revoked_at)}"
    return f"expires {_time(expires_at)}" if expires_at is not None else ""


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows below the names of their columns; where there are none, `empty` to the standard error."""
    from rich.table import Table

    if not rows:
        console(on_stderr=True).print(empty, markup=False)
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console().print(table)
