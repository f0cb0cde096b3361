"""The control plane's database on SQLite and on Postgres: schema, workspaces, tokens, users, audit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from lightrag.errors import ConfigurationError, Conflict, InvalidInput, NotFound, StorageUnavailable
from lightrag.tenancy.access import AccessControl, AccessRole
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, control_url, now_seconds
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.schema_version import HEAD, MIGRATIONS
from lightrag.tenancy.tables import Base, TokenRow, WorkspaceRow


async def test_migrations_lead_to_the_tables_that_the_code_uses(database: ControlDatabase) -> None:
    def differences(connection: object) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})  # type: ignore[arg-type]
        return list(compare_metadata(context, Base.metadata))

    async with database.begin() as session:
        connection = await session.connection()
        assert await connection.run_sync(differences) == []
        assert (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar() == HEAD


def test_head_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_processes_that_open_a_new_database_at_once_make_it_once(tmp_path: Path) -> None:
    databases = [ControlDatabase(control_url(None, tmp_path)) for _ in range(6)]
    await asyncio.gather(*(database.open() for database in databases))
    for database in databases:
        await database.close()


@pytest.mark.parametrize("dsn", ["mysql://h/db", "::nonsense::", "oracle+x://u:topsecret@h/db"])
def test_another_kind_of_database_is_refused_without_repeating_its_password(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LIGHTRAG_CONTROL_DSN") as refusal:
        control_url(dsn, tmp_path)
    assert "topsecret" not in str(refusal.value)


async def test_an_unreachable_database_is_unavailable_not_a_crash(tmp_path: Path) -> None:
    database = ControlDatabase(control_url("postgresql://u:topsecret@127.0.0.1:1/db", tmp_path))
    with pytest.raises(StorageUnavailable) as refusal:
        await database.open()
    assert "topsecret" not in str(refusal.value)


async def test_a_workspace_name_is_given_once_even_when_many_ask(directory: Directory, actor: Actor) -> None:
    made = await asyncio.gather(*(directory.ensure("tenant-a", actor) for _ in range(8)))
    assert len({workspace.id for workspace in made}) == 1
    with pytest.raises(Conflict, match="tenant-a"):
        await directory.create("tenant-a", actor)


@pytest.mark.parametrize("name", ["_hidden", "-x", "a" * 65, "a/b", "ä", "a\n", "a b", "٣"])
async def test_invalid_workspace_names_are_refused_in_the_contracts_words(
    directory: Directory, actor: Actor, name: str
) -> None:
    with pytest.raises(InvalidInput, match="must be 1-64 alphanumeric characters"):
        await directory.create(name, actor)


async def test_renaming_keeps_the_identity(directory: Directory, actor: Actor) -> None:
    made = await directory.create("old", actor)
    await directory.create("taken", actor)
    assert (await directory.rename("old", "new", actor)).id == made.id
    assert await directory.get("old") is None
    with pytest.raises(Conflict):
        await directory.rename("new", "taken", actor)
    with pytest.raises(NotFound):
        await directory.rename("old", "other", actor)


async def test_a_token_is_shown_once_and_kept_as_a_hash(
    database: ControlDatabase, access: AccessControl, directory: Directory, actor: Actor
) -> None:
    await directory.create("a", actor)
    token, info = await access.create_token(actor, label="ci", roles={"a": AccessRole.EDITOR})
    entitlement = await access.check_token(token)
    assert entitlement is not None
    assert entitlement.role_in("a") is AccessRole.EDITOR
    assert entitlement.role_in("b") is None
    async with database.read() as session:
        row = await session.scalar(select(TokenRow))
    assert row is not None
    assert token not in (row.hash, row.hint, row.label)
    assert info.hint == row.hint


async def test_revoked_expired_and_unknown_tokens_entitle_to_nothing(
    database: ControlDatabase, access: AccessControl, actor: Actor
) -> None:
    token, info = await access.create_token(actor, is_admin=True, expires_at=now_seconds() + 1000)
    assert await access.check_token(token) is not None
    assert await access.check_token(token + "x") is None
    async with database.begin() as session:
        row = await session.get(TokenRow, info.id)
        assert row is not None
        row.expires_at = now_seconds() - 1
    assert await access.check_token(token) is None
    other, other_info = await access.create_token(actor, is_admin=True)
    await access.revoke_token(actor, other_info.id)
    assert await access.check_token(other) is None


async def test_a_token_for_a_workspace_that_does_not_exist_is_not_made(access: AccessControl, actor: Actor) -> None:
    with pytest.raises(NotFound, match="ghost"):
        await access.create_token(actor, roles={"ghost": AccessRole.READER})
    assert await access.list_tokens() == []


async def test_roles_contain_the_ones_below() -> None:
    assert AccessRole.ADMIN.covers(AccessRole.READER)
    assert AccessRole.EDITOR.covers(AccessRole.EDITOR)
    assert not AccessRole.READER.covers(AccessRole.EDITOR)


async def test_a_changed_password_ends_the_sessions_of_a_user(
    access: AccessControl, directory: Directory, actor: Actor
) -> None:
    await directory.create("a", actor)
    await access.put_user(actor, "ann", password_hash="h1", roles={"a": AccessRole.READER})
    hashed = await access.password_hash("ann")
    assert hashed is not None
    generation = hashed[1]
    assert await access.user("ann", generation) is not None
    await access.put_user(actor, "ann", password_hash="h2")
    assert await access.user("ann", generation) is None
    current = await access.user("ann")
    assert current is not None
    assert current.role_in("a") is AccessRole.READER
    await access.put_user(actor, "ann", is_enabled=False)
    assert await access.password_hash("ann") is None


async def test_every_change_is_in_the_audit_log_with_its_actor(
    access: AccessControl, audit: AuditLog, directory: Directory, actor: Actor
) -> None:
    workspace = await directory.create("a", actor)
    token, info = await access.create_token(actor, roles={"a": AccessRole.READER})
    await access.grant(actor, "token", info.id, "a", AccessRole.ADMIN)
    await access.revoke_token(actor, info.id)
    entries = await audit.entries()
    assert [entry.action for entry in entries] == ["token.revoke", "access.grant", "token.create", "workspace.create"]
    assert {entry.actor for entry in entries} == {"user:ann"}
    assert token not in repr(entries)
    assert await audit.entries(workspace_id=workspace.id) == entries


async def test_the_audit_log_of_a_workspace_tells_of_access_to_it_and_to_no_other_one(
    access: AccessControl, audit: AuditLog, directory: Directory, actor: Actor
) -> None:
    one, other = await directory.create("a", actor), await directory.create("b", actor)
    _, both = await access.create_token(actor, roles={"a": AccessRole.READER, "b": AccessRole.READER})
    await access.create_token(actor, is_admin=True)
    await access.grant(actor, "token", both.id, "b", AccessRole.EDITOR)
    await access.grant(actor, "token", both.id, "a", None)
    await access.revoke_token(actor, both.id)
    told = {entry.id: [line.action for line in await audit.entries(workspace_id=entry.id)] for entry in (one, other)}
    assert told[one.id] == ["access.grant", "workspace.create"]
    assert told[other.id] == ["token.revoke", "access.grant", "workspace.create"]
    assert "@b" not in repr(await audit.entries(workspace_id=one.id))


async def test_old_audit_entries_are_removed_where_that_is_wished(
    database: ControlDatabase, audit: AuditLog, directory: Directory, actor: Actor
) -> None:
    await directory.create("a", actor)
    [entry] = await audit.entries()
    await audit.forget(entry.at)
    assert len(await audit.entries()) == 1
    await audit.forget(entry.at + 1)
    assert await audit.entries() == []


async def test_a_forgotten_workspace_takes_its_rights_along(
    database: ControlDatabase, access: AccessControl, directory: Directory, actor: Actor
) -> None:
    await directory.create("a", actor)
    token, _ = await access.create_token(actor, roles={"a": AccessRole.READER})
    await directory.forget("a", actor)
    await directory.create("a", actor)
    entitlement = await access.check_token(token)
    assert entitlement is not None
    assert entitlement.role_in("a") is None


async def test_units_of_work_that_count_together_lose_nothing(
    database: ControlDatabase, directory: Directory, actor: Actor
) -> None:
    workspace = await directory.create("a", actor)

    async def raise_it() -> None:
        async with database.begin() as session:
            row = await session.get(WorkspaceRow, workspace.id, with_for_update=True)
            assert row is not None
            row.version += 1

    await asyncio.gather(*(raise_it() for _ in range(20)))
    found = await directory.get("a")
    assert found is not None
    assert found.version == workspace.version + 20
