"""Secrets at rest."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from sqlalchemy import select

from lightrag.errors import ConfigurationError
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.database import ControlDatabase, new_key, now_seconds
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.keyring import (
    FILE_NAME,
    KeyRing,
    KeyRings,
    KeySource,
    add_key,
    load_keyring,
    new_key_text,
    parse_keys,
)
from lightrag.tenancy.tables import CredentialRow, DataKeyRow
from lightrag.tenancy.vault import Place, SecretUnreadable, Vault, is_key_of

SECRET = "sk-canary-0123456789"


async def stored(database: ControlDatabase, vault: Vault, workspace_id: str, secret: str = SECRET) -> str:
    """Store a credential and return its id."""
    async with database.begin() as session:
        key = new_key()
        sealed = await vault.seal(session, Place(workspace_id, key), secret)
        session.add(
            CredentialRow(
                id=key,
                workspace_id=workspace_id,
                provider="OpenAI",
                label=key,
                secret=sealed,
                created_at=now_seconds(),
                updated_at=now_seconds(),
            )
        )
    return key


async def opened(database: ControlDatabase, vault: Vault, workspace_id: str, key: str) -> str:
    """Return a stored secret."""
    async with database.read() as session:
        row = await session.get(CredentialRow, key)
        assert row is not None
        return await vault.open(session, Place(workspace_id, key), row.secret or "")


@pytest.fixture
async def workspace(directory: Directory, actor: Actor) -> str:
    """A workspace's id."""
    return (await directory.create("a", actor)).id


async def test_a_secret_comes_back_and_is_not_in_the_database(
    database: ControlDatabase, vault: Vault, workspace: str
) -> None:
    key = await stored(database, vault, workspace)
    async with database.read() as session:
        row = await session.get(CredentialRow, key)
    assert row is not None
    assert SECRET not in (row.secret or "")
    assert await opened(database, vault, workspace, key) == SECRET


async def test_a_secret_copied_to_another_row_or_tenant_does_not_open(
    database: ControlDatabase, vault: Vault, workspace: str, directory: Directory, actor: Actor
) -> None:
    key = await stored(database, vault, workspace)
    other = (await directory.create("b", actor)).id
    async with database.read() as session:
        row = await session.get(CredentialRow, key)
        assert row is not None
        for place in (Place(other, key), Place(workspace, new_key()), Place(workspace, key, "other")):
            with pytest.raises(SecretUnreadable):
                await vault.open(session, place, row.secret or "")


@pytest.mark.parametrize("text", ["", "enc:v1:", "enc:v1:x:???", "plain", "enc:v1:0123:QUJD"])
async def test_garbage_is_unreadable_not_an_error_of_another_kind(
    database: ControlDatabase, vault: Vault, workspace: str, text: str
) -> None:
    async with database.read() as session:
        with pytest.raises(SecretUnreadable, match="enter it again"):
            await vault.open(session, Place(workspace, "x"), text)


async def test_key_encryption_keys_are_replaced_without_touching_a_secret(
    database: ControlDatabase, workspace: str
) -> None:
    old, new = new_key_text(), new_key_text()
    key = await stored(database, Vault(database, parse_keys(old, "old")), workspace)
    both = Vault(database, parse_keys(f"{new},{old}", "both"))
    dry = await both.rewrap(is_dry=True)
    report = await both.rewrap()
    assert (dry.changed, report.changed, report.unreadable) == (1, 1, 0)
    assert (await both.rewrap()).current == 1
    assert await opened(database, Vault(database, parse_keys(new, "new")), workspace, key) == SECRET
    with pytest.raises(SecretUnreadable):
        await opened(database, Vault(database, parse_keys(old, "old")), workspace, key)


async def test_a_renewed_data_key_leaves_every_secret_readable_and_the_old_key_gone(
    database: ControlDatabase, vault: Vault, workspace: str
) -> None:
    keys = [await stored(database, vault, workspace, f"{SECRET}-{number}") for number in range(3)]
    report = await vault.renew(workspace)
    assert (report.changed, report.unreadable) == (3, 0)
    for number, key in enumerate(keys):
        assert await opened(database, vault, workspace, key) == f"{SECRET}-{number}"
    assert (await vault.rewrap()).current == 1


async def test_secrets_that_are_stored_while_keys_are_replaced_stay_readable(
    database: ControlDatabase, workspace: str, tmp_path: Path
) -> None:
    path, source = tmp_path / "kek", KeySource(file=tmp_path / "kek")
    path.write_text(new_key_text())
    rings = [KeyRings(load_keyring(source, tmp_path), lambda: load_keyring(source, tmp_path)) for _ in range(2)]
    # Two processes that read the keys at their start.
    first, second = (Vault(database, ring) for ring in rings)
    stored_keys: list[tuple[str, str]] = []

    async def store(vault: Vault, number: int) -> None:
        for turn in range(10):
            secret = f"{SECRET}-{number}-{turn}"
            key = await stored(database, vault, workspace, secret)
            stored_keys.append((key, secret))
            assert await read_back(vault, key) == secret

    async def read_back(vault: Vault, key: str) -> str:
        async with database.read() as session:
            query = select(CredentialRow, DataKeyRow).outerjoin(DataKeyRow, is_key_of(CredentialRow))
            row, data_key = (await session.execute(query.where(CredentialRow.id == key))).one()
        return await vault.open_with(Place(workspace, key), row.secret, data_key)

    async def rotate() -> None:
        for _ in range(4):
            add_key(source, tmp_path)
            operator = Vault(database, load_keyring(source, tmp_path))
            assert (await operator.rewrap()).unreadable == 0
            assert (await operator.renew(workspace)).unreadable == 0
            path.write_text(path.read_text().split()[0])

    await asyncio.gather(rotate(), *(store(vault, number) for number, vault in enumerate((first, second) * 2)))
    fresh = Vault(database, load_keyring(source, tmp_path))
    assert (await fresh.rewrap(is_dry=True)).changed == 0
    for key, secret in stored_keys:
        assert await read_back(fresh, key) == secret


async def test_a_process_that_is_behind_wraps_by_the_key_that_the_rotation_put_in_use(
    database: ControlDatabase, workspace: str, tmp_path: Path
) -> None:
    path, source = tmp_path / "kek", KeySource(file=tmp_path / "kek")
    path.write_text(new_key_text())
    behind = Vault(database, KeyRings(load_keyring(source, tmp_path), lambda: load_keyring(source, tmp_path)))
    add_key(source, tmp_path)
    # There is nothing to wrap anew as yet.
    await Vault(database, load_keyring(source, tmp_path)).rewrap()
    key = await stored(database, behind, workspace)
    path.write_text(path.read_text().split()[0])
    assert await opened(database, Vault(database, load_keyring(source, tmp_path)), workspace, key) == SECRET


async def test_keys_of_a_workspace_without_secrets_are_not_made_and_a_removed_one_is_passed_over(
    database: ControlDatabase, vault: Vault, workspace: str
) -> None:
    for workspace_id in (workspace, new_key()):
        assert (await vault.renew(workspace_id)).changed == 0
    assert (await vault.rewrap()).current == 0


def test_a_key_is_put_before_the_others_of_its_file_and_only_there(tmp_path: Path) -> None:
    first = load_keyring(KeySource(), tmp_path)
    path = add_key(KeySource(), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = load_keyring(KeySource(), tmp_path)
    assert second.current != first.current
    assert first.current in second.ids
    for source in (KeySource(text=new_key_text()), KeySource(command="cat kek")):
        with pytest.raises(ConfigurationError, match="not kept in a file"):
            add_key(source, tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == [FILE_NAME]


async def test_a_lost_key_does_not_keep_new_secrets_from_being_stored(
    database: ControlDatabase, vault: Vault, workspace: str
) -> None:
    lost = await stored(database, vault, workspace)
    fresh = Vault(database, parse_keys(new_key_text(), "fresh"))
    key = await stored(database, fresh, workspace)
    assert await opened(database, fresh, workspace, key) == SECRET
    with pytest.raises(SecretUnreadable):
        await opened(database, fresh, workspace, lost)


async def test_fingerprints_tell_equal_secrets_of_one_workspace_only(
    database: ControlDatabase, vault: Vault, workspace: str, directory: Directory, actor: Actor
) -> None:
    other = (await directory.create("b", actor)).id
    async with database.begin() as session:
        first = await vault.fingerprint(session, workspace, SECRET)
        assert first == await vault.fingerprint(session, workspace, SECRET)
        assert first != await vault.fingerprint(session, workspace, SECRET + "x")
        assert first != await vault.fingerprint(session, other, SECRET)


def test_a_key_is_made_beside_the_database_for_its_owner_only(tmp_path: Path) -> None:
    first = load_keyring(KeySource(), tmp_path)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert load_keyring(KeySource(), tmp_path).current == first.current
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_keys_come_from_text_file_and_command(tmp_path: Path) -> None:
    key = new_key_text()
    path = tmp_path / "kek"
    path.write_text(key + "\n")
    rings: list[KeyRing] = [
        load_keyring(KeySource(text=key), tmp_path),
        load_keyring(KeySource(file=path), tmp_path),
        load_keyring(KeySource(command=f"cat {path}"), tmp_path),
    ]
    assert len({ring.current for ring in rings}) == 1


@pytest.mark.parametrize("text", ["", "short", "A" * 44, "=" * 44, "not base64 !!"])
def test_a_key_that_is_none_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lightrag keys new") as refusal:
        parse_keys(text, "LIGHTRAG_KEK")
    assert not text or text not in str(refusal.value)


def test_a_command_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LIGHTRAG_KEK_COMMAND"):
        load_keyring(KeySource(command="false"), tmp_path)
    with pytest.raises(ConfigurationError, match="LIGHTRAG_KEK_COMMAND"):
        load_keyring(KeySource(command="/no/such/program"), tmp_path)
