"""The workspaces that there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import Conflict, NotFound
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, new_key, note_change, now_seconds
from lightrag.tenancy.names import check_name
from lightrag.tenancy.tables import CounterRow, LimitRow, UsageDayRow, UsageRow, WorkspaceRow


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's entry."""

    id: str
    name: str
    description: str
    state: str
    version: int
    labels: Mapping[str, Any]
    created_at: int
    created_by: str


class Directory:
    """Creates, finds, renames and forgets workspaces. The empty name is the root workspace."""

    def __init__(self, database: ControlDatabase, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def get(self, name: str) -> Workspace | None:
        """Return a workspace's entry, if there is one."""
        async with self._database.read() as session:
            row = await _by_name(session, name)
        return None if row is None else _workspace(row)

    async def ensure(self, name: str, actor: Actor) -> Workspace:
        """Return a workspace's entry, made where there is none."""
        found = await self.get(name)
        if found is not None:
            return found
        try:
            return await self.create(name, actor)
        except Conflict:
            made = await self.get(name)
            assert made is not None
            return made

    async def create(
        self, name: str, actor: Actor, *, description: str = "", labels: Mapping[str, Any] | None = None
    ) -> Workspace:
        """Return a new entry. Raises `InvalidInput`, `Conflict` where the name is taken."""
        if name:
            check_name(name)
        row = WorkspaceRow(
            id=new_key(),
            name=name,
            description=description,
            state="active",
            version=1,
            labels=dict(labels or {}),
            created_at=now_seconds(),
            created_by=actor.text[:255],
        )
        try:
            async with self._database.begin() as session:
                session.add(row)
                await session.flush()
                await self._audit.add(session, actor, "workspace.create", name, workspace_id=row.id)
        except IntegrityError:
            raise Conflict(f"Workspace '{name}' exists already") from None
        return _workspace(row)

    async def list(self) -> list[Workspace]:
        """Return all entries by name."""
        async with self._database.read() as session:
            return [_workspace(row) for row in await session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.name))]

    async def rename(self, name: str, new_name: str, actor: Actor) -> Workspace:
        """Give a workspace another name. Raises `NotFound`, `Conflict`, `InvalidInput`."""
        check_name(new_name)
        try:
            async with self._database.begin() as session:
                row = await _existing(session, name)
                row.name, row.version = new_name, row.version + 1
                await session.flush()
                await self._audit.add(
                    session,
                    actor,
                    "workspace.rename",
                    new_name,
                    workspace_id=row.id,
                    before={"name": name},
                    after={"name": new_name},
                )
        except IntegrityError:
            raise Conflict(f"Workspace '{new_name}' exists already") from None
        return _workspace(row)

    async def set_state(self, name: str, state: str, actor: Actor) -> Workspace:
        """Mark a workspace as `active` or `deleting`."""
        async with self._database.begin() as session:
            row = await _existing(session, name)
            before, row.state = row.state, state
            row.version += 1
            await self._audit.add(
                session,
                actor,
                "workspace.state",
                name,
                workspace_id=row.id,
                before={"state": before},
                after={"state": state},
            )
        return _workspace(row)

    async def forget(self, name: str, actor: Actor) -> None:
        """Remove a workspace with its keys, models, limits, usage and rights; the audit log stays."""
        async with self._database.begin() as session:
            row = await _existing(session, name)
            for table in (LimitRow, CounterRow):
                await session.execute(
                    delete(table).where(table.subject_kind == "workspace", table.subject_id == row.id)
                )
            await session.execute(delete(UsageRow).where(UsageRow.workspace_id == row.id))
            await session.execute(delete(UsageDayRow).where(UsageDayRow.workspace_id == row.id))
            await session.delete(row)
            await self._audit.add(session, actor, "workspace.delete", name, workspace_id=row.id)


async def raise_version(session: AsyncSession, workspace_id: str) -> None:
    """Tell everybody who keeps a workspace's models, keys, defaults or limits that they changed."""
    note_change(session)
    await session.execute(
        update(WorkspaceRow).where(WorkspaceRow.id == workspace_id).values(version=WorkspaceRow.version + 1)
    )


async def _by_name(session: AsyncSession, name: str) -> WorkspaceRow | None:
    return await session.scalar(select(WorkspaceRow).where(WorkspaceRow.name == name))


async def _existing(session: AsyncSession, name: str) -> WorkspaceRow:
    row = await _by_name(session, name)
    if row is None:
        raise NotFound(f"There is no workspace '{name}'")
    return row


def _workspace(row: WorkspaceRow) -> Workspace:
    return Workspace(
        row.id, row.name, row.description, row.state, row.version, row.labels, row.created_at, row.created_by
    )
