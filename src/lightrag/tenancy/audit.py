"""The log of administrative changes: who did what to what, and what it was before.

Entries are added in the unit of work that makes the change, so that neither exists without the other. Secrets never
enter it; callers pass fingerprints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.tenancy.contracts import Actor as Actor
from lightrag.tenancy.database import ControlDatabase, new_key, note_change, now_microseconds
from lightrag.tenancy.tables import AuditRow


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry."""

    id: str
    at: int
    """Microseconds since 1970."""
    actor: str
    workspace_id: str | None
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: str
    request_id: str


class AuditLog:
    """Adds and lists entries."""

    def __init__(self, database: ControlDatabase) -> None:
        self._database = database

    async def add(
        self,
        session: AsyncSession,
        actor: Actor,
        action: str,
        object: str,
        *,
        workspace_id: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        outcome: str = "ok",
    ) -> None:
        """Add an entry to a unit of work, which tells everybody that something was changed."""
        note_change(session)
        session.add(
            AuditRow(
                id=new_key(),
                at=now_microseconds(),
                actor=actor.text[:255],
                workspace_id=workspace_id,
                action=action,
                object=object,
                before=None if before is None else dict(before),
                after=None if after is None else dict(after),
                outcome=outcome,
                request_id=actor.request_id[:64],
            )
        )
        await session.flush()

    async def refused(
        self, actor: Actor, action: str, object: str, reason: str, *, workspace_id: str | None = None
    ) -> None:
        """Add an entry on an attempt that changed nothing."""
        async with self._database.begin() as session:
            await self.add(
                session, actor, action, object, workspace_id=workspace_id, after={"reason": reason}, outcome="refused"
            )

    async def entries(
        self, *, workspace_id: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Return entries, newest first: of one workspace or all, older than `before` (microseconds)."""
        query = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id).limit(limit)
        if workspace_id is not None:
            query = query.where(AuditRow.workspace_id == workspace_id)
        if before is not None:
            query = query.where(AuditRow.at < before)
        async with self._database.read() as session:
            rows = (await session.scalars(query)).all()
        return [
            AuditEntry(
                row.id,
                row.at,
                row.actor,
                row.workspace_id,
                row.action,
                row.object,
                row.before,
                row.after,
                row.outcome,
                row.request_id,
            )
            for row in rows
        ]

    async def forget(self, older_than: int) -> None:
        """Remove entries from before a time in microseconds."""
        async with self._database.begin() as session:
            await session.execute(delete(AuditRow).where(AuditRow.at < older_than))
