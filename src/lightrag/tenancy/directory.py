"""The workspaces that there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import Conflict, NotFound
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, new_key, note_change, now_seconds
from lightrag.tenancy.names import check_name
from lightrag.tenancy.tables import CounterRow, LimitRow, UsageDayRow, UsageRow, WorkspaceRow

ACTIVE = "active"
RESERVED = "reserved"
Task = Mapping[str, Any]
"""Who is at a workspace that is not active: `owner`, `until` (seconds since 1970), and `to` for its new name."""


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
    task: Task | None = None


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
        self,
        name: str,
        actor: Actor,
        *,
        description: str = "",
        labels: Mapping[str, Any] | None = None,
        state: str = ACTIVE,
        task: Task | None = None,
    ) -> Workspace:
        """Return a new entry. Raises `InvalidInput`, `Conflict` where the name is taken."""
        if name:
            check_name(name)
        row = WorkspaceRow(
            id=new_key(),
            name=name,
            description=description,
            state=state,
            task=None if task is None else dict(task),
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

    async def states(self, names: Collection[str]) -> dict[str, str]:
        """Return the states of those of these workspaces that have an entry."""
        query = select(WorkspaceRow.name, WorkspaceRow.state).where(WorkspaceRow.name.in_(names))
        async with self._database.read() as session:
            return {row.name: row.state for row in (await session.execute(query)).all()}

    async def unfinished(self) -> Sequence[Workspace]:
        """Return the entries that are not active."""
        async with self._database.read() as session:
            return [
                _workspace(row)
                for row in await session.scalars(select(WorkspaceRow).where(WorkspaceRow.state != ACTIVE))
            ]

    async def withdraw(
        self, name: str, state: str, task: Task, actor: Actor, *, may_follow: Callable[[Task], bool]
    ) -> Workspace:
        """Take a workspace out of use. One that is out of use is taken over where `may_follow` says so of its task.

        A task with a new name (`to`) reserves it. Raises `NotFound`, `Conflict`.
        """
        wanted = task.get("to")
        try:
            async with self._database.begin() as session:
                row = await _existing(session, name, is_locked=True)
                if row.state != ACTIVE and not may_follow(row.task or {}):
                    raise Conflict(f"Workspace '{name}' is being removed or renamed; try again later")
                if wanted is not None and row.state == ACTIVE:
                    session.add(_reservation(wanted, task, actor))
                    await session.flush()
                await self._set_state(session, row, state, task, actor)
        except IntegrityError:
            raise Conflict(f"Workspace '{wanted}' exists already") from None
        return _workspace(row)

    async def renew(self, name: str, task: Task) -> None:
        """Note how long a task may go on."""
        async with self._database.begin() as session:
            await session.execute(
                update(WorkspaceRow)
                .where(WorkspaceRow.name.in_([name, task.get("to", name)]), WorkspaceRow.state != ACTIVE)
                .values(task=dict(task))
            )

    async def restore(self, name: str, actor: Actor) -> Workspace:
        """Give a workspace back to its users, and a name up that was reserved for it."""
        async with self._database.begin() as session:
            row = await _existing(session, name, is_locked=True)
            await _free(session, (row.task or {}).get("to"))
            await self._set_state(session, row, ACTIVE, None, actor)
        return _workspace(row)

    async def free(self, name: str) -> None:
        """Give up a name that was reserved."""
        async with self._database.begin() as session:
            await _free(session, name)

    async def rename(self, name: str, new_name: str, actor: Actor) -> Workspace:
        """Give a workspace another name and its users. Raises `NotFound`, `Conflict`, `InvalidInput`."""
        check_name(new_name)
        try:
            async with self._database.begin() as session:
                row = await _existing(session, name, is_locked=True)
                await _free(session, new_name)
                row.name, row.version, row.state, row.task = new_name, row.version + 1, ACTIVE, None
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

    async def _set_state(
        self, session: AsyncSession, row: WorkspaceRow, state: str, task: Task | None, actor: Actor
    ) -> None:
        before, row.state = row.state, state
        row.task = None if task is None else dict(task)
        row.version += 1
        if state == before:
            return
        await self._audit.add(
            session,
            actor,
            "workspace.state",
            row.name,
            workspace_id=row.id,
            before={"state": before},
            after={"state": state},
        )

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


def _reservation(name: str, task: Task, actor: Actor) -> WorkspaceRow:
    return WorkspaceRow(
        id=new_key(),
        name=name,
        description="",
        state=RESERVED,
        task=dict(task),
        version=1,
        labels={},
        created_at=now_seconds(),
        created_by=actor.text[:255],
    )


async def _free(session: AsyncSession, name: str | None) -> None:
    await session.execute(delete(WorkspaceRow).where(WorkspaceRow.name == name, WorkspaceRow.state == RESERVED))


async def _existing(session: AsyncSession, name: str, *, is_locked: bool = False) -> WorkspaceRow:
    query = select(WorkspaceRow).where(WorkspaceRow.name == name)
    row = await session.scalar(query.with_for_update() if is_locked else query)
    if row is None:
        raise NotFound(f"There is no workspace '{name}'")
    return row


def _workspace(row: WorkspaceRow) -> Workspace:
    return Workspace(
        row.id,
        row.name,
        row.description,
        row.state,
        row.version,
        row.labels,
        row.created_at,
        row.created_by,
        row.task,
    )
