"""The control plane as one thing: what a process opens at its start and closes at its end."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Self

from lightrag.settings import Settings
from lightrag.tenancy.access import AccessControl
from lightrag.tenancy.audit import AuditLog
from lightrag.tenancy.change_signal import ChangeSignal
from lightrag.tenancy.database import ControlDatabase, control_url, now_microseconds
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.keyring import KeyRing, KeyRings, KeySource, load_keyring
from lightrag.tenancy.names import CHANGES_FILE
from lightrag.tenancy.vault import Vault

_DAY = 86_400_000_000
"""Microseconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class ControlPlane:
    """All parts that need no network."""

    database: ControlDatabase
    audit: AuditLog
    directory: Directory
    access: AccessControl
    vault: Vault

    @classmethod
    def made_of(cls, database: ControlDatabase, keys: KeyRing | KeyRings) -> Self:
        """Return the parts on a database."""
        audit = AuditLog(database)
        return cls(database, audit, Directory(database, audit), AccessControl(database, audit), Vault(database, keys))

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()


async def open_control_plane(settings: Settings) -> ControlPlane:
    """Open the control plane that the settings name, made where there is none.

    Raises `ConfigurationError` for unusable keys or addresses, `StorageError` where the database fails.
    """
    tenancy, working_dir = settings.tenancy, settings.paths.working_dir
    dsn = tenancy.control_dsn.get_secret_value() if tenancy.control_dsn else None
    source = key_source(settings)
    keyring = await asyncio.to_thread(load_keyring, source, working_dir)
    database = ControlDatabase(control_url(dsn, working_dir), await asyncio.to_thread(_signal, working_dir))
    await database.open()
    plane = ControlPlane.made_of(database, KeyRings(keyring, lambda: load_keyring(source, working_dir)))
    if tenancy.audit_days:
        await plane.audit.forget(now_microseconds() - tenancy.audit_days * _DAY)
    return plane


def _signal(working_dir: Path) -> ChangeSignal:
    working_dir.mkdir(parents=True, exist_ok=True)
    return ChangeSignal.open(working_dir / CHANGES_FILE)


def key_source(settings: Settings) -> KeySource:
    """Return where the settings keep the key-encryption keys."""
    tenancy = settings.tenancy
    return KeySource(tenancy.kek.get_secret_value() if tenancy.kek else None, tenancy.kek_file, tenancy.kek_command)
