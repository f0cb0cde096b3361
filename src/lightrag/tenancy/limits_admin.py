"""Setting the limits of workspaces and tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.database import ControlDatabase, note_change
from lightrag.tenancy.directory import raise_version
from lightrag.tenancy.limits import Limit, LimitBook, LimitKind, Subject, shown
from lightrag.tenancy.tables import CounterRow, LimitRow, TokenRow, WorkspaceRow

MOST = 2**53
"""What JSON's readers keep exactly."""


class LimitAdmin:
    """Changes limits, and enters that in the audit log."""

    def __init__(self, database: ControlDatabase, audit: AuditLog, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._audit = audit
        self._book = LimitBook(database, clock)

    async def limits_of(self, subject: Subject) -> tuple[Limit, ...]:
        """Return the limits of a workspace or token. Raises `NotFound` for an unknown one."""
        async with self._database.read() as session:
            await _check_exists(session, subject)
        return await self._book.limits_of(subject)

    async def put(
        self, actor: Actor, subject: Subject, wanted: Mapping[LimitKind, int | None], *, insists: bool = False
    ) -> tuple[Limit, ...]:
        """Set limits, None to remove one; those that are not named stay. Returns all that hold then.

        Raises `InvalidInput` for amounts that make no sense, `NotFound` for an unknown workspace or token, `Conflict`
        where a limit lies below what is used of it already, unless the caller `insists`.
        """
        limits = [Limit(subject, kind, _checked(kind, amount)) for kind, amount in wanted.items() if amount is not None]
        if not insists:
            for state in await self._book.states(limits):
                if state.limit.kind.is_budget and state.used > state.limit.amount:
                    kind, used = state.limit.kind, shown(state.limit.kind, state.used)
                    raise Conflict(
                        f"{kind} of {shown(kind, state.limit.amount)} lies below what is used already ({used}), and "
                        f"would stop the {subject.kind} at once; say force to insist"
                    )
        async with self._database.begin() as session:
            await _check_exists(session, subject)
            before = await _rows(session, subject)
            amounts = {kind.value: row.amount for kind, row in before.items()}
            for kind, amount in wanted.items():
                row = before.get(kind)
                if amount is None:
                    await _remove(session, subject, kind)
                elif row is None:
                    session.add(
                        LimitRow(subject_kind=subject.kind, subject_id=subject.id, kind=kind.value, amount=amount)
                    )
                else:
                    row.amount = amount
            note_change(session)
            if subject.kind == "workspace":
                await raise_version(session, subject.id)
            await self._audit.add(
                session,
                actor,
                f"{subject.kind}.limits",
                subject.id,
                workspace_id=subject.id if subject.kind == "workspace" else None,
                before=amounts,
                after={kind.value: amount for kind, amount in wanted.items()},
            )
        return await self._book.limits_of(subject)


def parse_kind(text: str) -> LimitKind:
    """Return the kind of a name. Raises `InvalidInput`."""
    try:
        return LimitKind(text)
    except ValueError:
        known = ", ".join(kind.value for kind in LimitKind)
        raise InvalidInput(f"There is no limit '{text[:64]}'; there are {known}") from None


def _checked(kind: LimitKind, amount: int) -> int:
    if not 0 <= amount <= MOST:
        raise InvalidInput(f"{kind} has to be between 0 and {MOST}, or null for no limit")
    return amount


async def _check_exists(session: AsyncSession, subject: Subject) -> None:
    table = WorkspaceRow if subject.kind == "workspace" else TokenRow
    if await session.get(table, subject.id) is None:
        raise NotFound(f"There is no such {subject.kind}")


async def _rows(session: AsyncSession, subject: Subject) -> dict[LimitKind, LimitRow]:
    rows = await session.scalars(
        select(LimitRow).where(LimitRow.subject_kind == subject.kind, LimitRow.subject_id == subject.id)
    )
    return {LimitKind(row.kind): row for row in rows}


async def _remove(session: AsyncSession, subject: Subject, kind: LimitKind) -> None:
    # The counter goes with it: if the limit comes back, it begins with what the ledger holds by then.
    for table in (LimitRow, CounterRow):
        await session.execute(
            delete(table).where(
                table.subject_kind == subject.kind, table.subject_id == subject.id, table.kind == kind.value
            )
        )
