"""Reservations of running calls: rows that their process keeps alive, and that others take back when it does not.

A row says which process made it and until when it holds. A process prolongs the rows of calls that last longer than
usual, all together in one statement, so that ordinary calls cost nothing more. What a process holds that is dead is
taken back at once where that can be told, as on the same machine, else when it expires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import LightRAGError
from lightrag.indexing.owner import is_dead, owner_name
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.tables import CounterRow, ReservationRow

LEASE_SECONDS = 60
"""For how long a reservation holds that its process does not prolong."""
RENEW_SECONDS = 20
LOOK_AGAIN = 1.0
"""Seconds between two looks for what dead processes hold."""
_AT_ONCE = 500

_log = logging.getLogger(__name__)


class Reservations:
    """Those of one process. Belongs to one event loop; close it.

    `clock` tells Unix seconds; those of machines that share a database must agree to within `LEASE_SECONDS` minus
    `RENEW_SECONDS`.
    """

    def __init__(self, database: ControlDatabase, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner_name()
        self._held: dict[str, float] = {}
        """Since when, by id, this process need not prolong it."""
        self._task: asyncio.Task[None] | None = None
        self._looked = float("-inf")

    async def add(self, session: AsyncSession, id: str, parts: Mapping[str, Any]) -> None:
        """Store a reservation in the unit of work that reserves."""
        expires_at = int(self._clock()) + LEASE_SECONDS
        session.add(ReservationRow(id=id, expires_at=expires_at, parts=dict(parts), owner=self._owner))

    def hold(self, id: str) -> None:
        """Keep a reservation alive from now on that was stored."""
        self._held[id] = self._clock()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_alive(), name="reservations")

    async def remove(self, session: AsyncSession, id: str) -> bool:
        """Remove a reservation; False where it was taken back already."""
        self._held.pop(id, None)
        return _count(await session.execute(delete(ReservationRow).where(ReservationRow.id == id))) == 1

    async def take_back_lost(self) -> int:
        """Take back what nobody keeps alive any more; return how many. Looks at most once a second."""
        now = self._clock()
        if 0 <= now - self._looked < LOOK_AGAIN:
            return 0
        self._looked = now
        async with self._database.read() as session:
            owners = (await session.scalars(select(ReservationRow.owner).distinct())).all()
            dead = await asyncio.to_thread(lambda: [owner for owner in owners if is_dead(owner)])
            lost = (
                await session.scalars(
                    select(ReservationRow)
                    .where(or_(ReservationRow.expires_at <= int(now), ReservationRow.owner.in_(dead)))
                    .limit(_AT_ONCE)
                )
            ).all()
        taken = sum([await self._take_back(row) for row in lost])
        if taken:
            _log.warning("%d reservations were taken back of processes that are gone", taken)
        return taken

    async def close(self) -> None:
        """Keep nothing alive any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_alive(self) -> None:
        while self._held:
            await asyncio.sleep(RENEW_SECONDS)
            now = self._clock()
            due = [id for id, since in self._held.items() if now - since >= RENEW_SECONDS / 2]
            try:
                for start in range(0, len(due), _AT_ONCE):
                    await self._prolong(due[start : start + _AT_ONCE], now)
                # Also where nobody is refused, so that listings do not go on showing it.
                await self.take_back_lost()
            except LightRAGError as error:
                _log.warning("reservations are prolonged later: %s", error)

    async def _prolong(self, ids: Collection[str], now: float) -> None:
        async with self._database.begin_counting() as session:
            await session.execute(
                update(ReservationRow)
                .where(ReservationRow.id.in_(ids))
                .values(expires_at=int(now) + LEASE_SECONDS)
                .execution_options(synchronize_session=False)
            )
        for id in ids:
            if id in self._held:
                self._held[id] = now

    async def _take_back(self, row: ReservationRow) -> bool:
        """Take back one reservation; False where another process was faster, or it was prolonged after all."""
        async with self._database.begin_counting() as session:
            gone = delete(ReservationRow).where(
                ReservationRow.id == row.id, ReservationRow.expires_at == row.expires_at
            )
            if _count(await session.execute(gone)) != 1:
                return False
            for subject_kind, subject_id, kind, window, amount in row.parts["parts"]:
                await session.execute(
                    update(CounterRow)
                    .where(
                        CounterRow.subject_kind == subject_kind,
                        CounterRow.subject_id == subject_id,
                        CounterRow.kind == kind,
                        CounterRow.window == window,
                    )
                    .values(reserved=CounterRow.reserved - amount)
                )
        return True


def _count(result: Any) -> int:
    return int(result.rowcount)
