"""What one process changes in the control plane is seen by others without asking the database."""

from __future__ import annotations

from pathlib import Path

from lightrag.tenancy.access import AccessControl, AccessRole
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.change_signal import ChangeSignal
from lightrag.tenancy.database import ControlDatabase, control_url
from lightrag.tenancy.directory import Directory


async def test_another_process_sees_that_something_was_changed(tmp_path: Path, actor: Actor) -> None:
    url, file = control_url(None, tmp_path), tmp_path / "changes"
    one, other = (ControlDatabase(url, ChangeSignal.open(file)) for _ in range(2))
    await one.open()
    await other.open()
    seen = [other.changes]
    await Directory(one, AuditLog(one)).create("a", actor)
    seen.append(other.changes)
    token, info = await AccessControl(one, AuditLog(one)).create_token(actor, roles={"a": AccessRole.READER})
    seen.append(other.changes)
    await AccessControl(one, AuditLog(one)).revoke_token(actor, info.id)
    seen.append(other.changes)
    assert len(set(seen)) == 4
    assert await AccessControl(other, AuditLog(other)).check_token(token) is None
    assert other.changes == seen[-1], "looking changes nothing"
    await one.close()
    await other.close()


async def test_what_was_rolled_back_is_no_change(tmp_path: Path, actor: Actor) -> None:
    database = ControlDatabase(control_url(None, tmp_path), ChangeSignal.open(tmp_path / "changes"))
    await database.open()
    before = database.changes
    try:
        async with database.begin() as session:
            await AuditLog(database).add(session, actor, "nothing", "a")
            raise KeyError
    except KeyError:
        pass
    assert database.changes == before
    await database.close()


def test_where_the_file_cannot_be_made_the_database_is_asked_again_after_a_while(tmp_path: Path) -> None:
    signal = ChangeSignal.open(tmp_path / "missing" / "changes")
    signal.give()
    assert signal.state == b""
    signal.close()


def test_a_file_that_is_too_short_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "changes"
    file.write_bytes(b"x")
    one, other = ChangeSignal.open(file), ChangeSignal.open(file)
    before = other.state
    one.give()
    assert other.state != before
    one.close()
    other.close()
