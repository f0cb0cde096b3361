"""Limits on what a workspace or token uses: reserved before a call, settled after it.

A call is let through where, of every limit that applies, what is used and what running calls may come to use leaves
room for what this one may come to use; so the strictest limit wins. The last of a budget goes to one call at a time,
though it may need more than is left: a budget is exceeded by one call at most, or by as much as calls use more than
was foreseen. Reservations are rows of the control plane, changed in one short transaction, so that the limits hold over
all processes; see `lightrag.tenancy.windows` for the times over which they count, and `lightrag.tenancy.reservations`
for those of processes that died.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from lightrag.errors import BudgetExceeded, LimitReached, RateLimited
from lightrag.tenancy.database import ControlDatabase, new_key
from lightrag.tenancy.reservations import Reservations
from lightrag.tenancy.tables import CounterRow, LimitRow, UsageDayRow
from lightrag.tenancy.windows import MINUTE, Part, end_of, first_of, free_at, window_of
from lightrag.tenancy.windows import LimitKind as LimitKind

BRIEF_PAUSE = 1.0
"""Seconds to wait for a free place among running calls before asking again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Whose limits: those of a workspace or of a token."""

    kind: str
    """workspace | token"""
    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One limit that applies."""

    subject: Subject
    kind: LimitKind
    amount: int


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """What a call uses, or may come to use."""

    tokens: int = 0
    cost: int | None = 0
    """Micro dollars; None where the price is not known."""
    requests: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class LimitState:
    """A limit with what is used of it in its present window."""

    limit: Limit
    used: int
    reserved: int
    resets_at: float | None
    """Unix seconds, when nothing counts any more of what does at this moment; None for the number of running calls,
    and for a minute in which nothing counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reservation:
    """What was reserved for one call."""

    id: str
    parts: tuple[tuple[Subject, LimitKind, int, int], ...]
    """Subject, kind, window or part of one, amount."""


class LimitBook:
    """Reserves and settles on the counters of the control plane. Close it where it has reserved something."""

    def __init__(self, database: ControlDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._reservations = Reservations(database, clock)

    async def close(self) -> None:
        """Keep no reservations alive any more."""
        await self._reservations.close()

    async def limits_of(self, subject: Subject) -> tuple[Limit, ...]:
        """Return the limits of a workspace or token."""
        async with self._database.read() as session:
            return await read_limits(session, subject)

    async def reserve(self, limits: Sequence[Limit], demand: Demand, model: str = "") -> Reservation:
        """Reserve what a call may come to use. Raises `RateLimited` or `BudgetExceeded`; then nothing is reserved.

        `model` names what is called, for messages.
        """
        _check_priced(limits, demand, model)
        ordered = sorted(limits, key=lambda limit: (limit.subject.kind, limit.subject.id, limit.kind.value))
        try:
            return await self._try(ordered, demand)
        except LimitReached:
            if not await self._reservations.take_back_lost():
                raise
        return await self._try(ordered, demand)

    async def settle(self, reservation: Reservation, used: Demand) -> None:
        """Put what was used in the place of what was reserved. May be called again; only the first call counts."""
        async with self._database.begin_counting() as session:
            # One that was taken back is gone; what it used counts all the same.
            was_held = await self._reservations.remove(session, reservation.id)
            for subject, kind, window, amount in reservation.parts:
                values = {"used": CounterRow.used + _lasting(kind, used)}
                if was_held:
                    values["reserved"] = CounterRow.reserved - amount
                await session.execute(update(CounterRow).where(*_is_counter(subject, kind, window)).values(values))

    async def states(self, limits: Sequence[Limit]) -> list[LimitState]:
        """Return limits with what is used of them."""
        now = self._clock()
        async with self._database.read() as session:
            return [await self._state(session, limit, now) for limit in limits]

    async def _state(self, session: AsyncSession, limit: Limit, now: float) -> LimitState:
        subject, kind, window = limit.subject, limit.kind, window_of(limit.kind, now)
        parts = await _parts(session, limit, window)
        used = sum(part.used for part in parts) if parts else await _used_before(session, subject, kind, window)
        ends: float | None = None
        if kind.slides:
            counting = [part.start for part in parts if part.used or part.reserved]
            ends = end_of(kind, counting[-1]) if counting else None
        elif kind is not LimitKind.CONCURRENCY:
            ends = end_of(kind, window)
        return LimitState(limit, used, sum(part.reserved for part in parts), ends)

    async def _try(self, limits: Sequence[Limit], demand: Demand) -> Reservation:
        now = self._clock()
        parts = [(limit, window_of(limit.kind, now), _amount(limit.kind, demand)) for limit in limits]
        reservation = Reservation(
            new_key(), tuple((limit.subject, limit.kind, window, amount) for limit, window, amount in parts)
        )
        async with self._database.begin_counting() as session:
            for limit, window, amount in parts:
                if not await self._add(session, limit, window, amount):
                    # The transaction is rolled back with this.
                    raise _refusal(limit, amount, await _parts(session, limit, window), now)
            await self._reservations.add(session, reservation.id, _stored(reservation))
        self._reservations.hold(reservation.id)
        return reservation

    async def _add(self, session: AsyncSession, limit: Limit, window: int, amount: int) -> bool:
        """Add to what is reserved of a limit, where there is room."""
        statement = (
            update(CounterRow)
            .where(*_is_counter(limit.subject, limit.kind, window), _has_room(limit, window, amount))
            .values(reserved=CounterRow.reserved + amount)
            .execution_options(synchronize_session=False)
        )
        if _count(await session.execute(statement)) == 1:
            return True
        if not await self._begin(session, limit, window):
            return False
        return _count(await session.execute(statement)) == 1

    async def _begin(self, session: AsyncSession, limit: Limit, window: int) -> bool:
        """Make the counter of a window; False where there is one."""
        subject, kind = limit.subject, limit.kind
        if await session.scalar(select(CounterRow.used).where(*_is_counter(subject, kind, window))) is not None:
            return False
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement: Any = insert(CounterRow).values(
            subject_kind=subject.kind,
            subject_id=subject.id,
            kind=kind.value,
            window=window,
            used=await _used_before(session, subject, kind, window),
            reserved=0,
        )
        await session.execute(statement.on_conflict_do_nothing())
        # Of minutes a second one is kept, for processes whose clocks are behind.
        oldest = window - 2 * MINUTE if kind.slides else window
        await session.execute(delete(CounterRow).where(*_are_counters(subject, kind), CounterRow.window < oldest))
        return True


def _has_room(limit: Limit, window: int, amount: int) -> ColumnElement[bool]:
    """Return the condition under which the counter of a window may take on `amount`.

    The row itself is named by its columns: where Postgres waits for another transaction, it looks at the row again, but
    not at what a subquery has read.
    """
    used, reserved = CounterRow.used + 0, CounterRow.reserved + 0
    if limit.kind.slides:
        other = aliased(CounterRow)
        is_other = (
            other.subject_kind == limit.subject.kind,
            other.subject_id == limit.subject.id,
            other.kind == limit.kind.value,
            other.window >= first_of(limit.kind, window),
            other.window != window,
        )
        used += select(func.coalesce(func.sum(other.used), 0)).where(*is_other).scalar_subquery()
        reserved += select(func.coalesce(func.sum(other.reserved), 0)).where(*is_other).scalar_subquery()
    room = used + reserved + amount <= limit.amount
    return room if limit.kind.is_exact else or_(room, and_(reserved == 0, used < limit.amount))


async def _parts(session: AsyncSession, limit: Limit, window: int) -> list[Part]:
    """Return what counts in a window, by time."""
    query = (
        select(CounterRow.window, CounterRow.used, CounterRow.reserved)
        .where(*_are_counters(limit.subject, limit.kind), CounterRow.window >= first_of(limit.kind, window))
        .order_by(CounterRow.window)
    )
    return [Part(*row) for row in (await session.execute(query)).all()]


async def read_limits(session: AsyncSession, subject: Subject) -> tuple[Limit, ...]:
    """Return the limits of a workspace or token."""
    rows = await session.execute(
        select(LimitRow.kind, LimitRow.amount)
        .where(LimitRow.subject_kind == subject.kind, LimitRow.subject_id == subject.id)
        .order_by(LimitRow.kind)
    )
    return tuple(Limit(subject, LimitKind(kind), amount) for kind, amount in rows)


def _check_priced(limits: Sequence[Limit], demand: Demand, model: str) -> None:
    if demand.cost is not None:
        return
    for limit in limits:
        if limit.kind.is_money:
            raise BudgetExceeded(
                f"The price of {model or 'the model'} is not known, so that the {limit.subject.kind}'s limit "
                f"{limit.kind} cannot be kept; set the model's price (0 where it costs nothing), or remove the limit",
                retry_after=3600,
                kind=limit.kind.value,
                subject=limit.subject.kind,
            )


def _refusal(limit: Limit, needed: int, parts: Sequence[Part], now: float) -> LimitReached:
    if limit.kind is LimitKind.CONCURRENCY:
        message = (
            f"The {limit.subject.kind} may make {limit.amount} model calls at the same time, and makes them; "
            "try again in a moment"
        )
        return RateLimited(message, BRIEF_PAUSE, limit.kind.value, limit.subject.kind, is_brief=True)
    ends = free_at(limit.kind, limit.amount, needed, parts, now)
    at = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    amount = shown(limit.kind, limit.amount)
    if (
        not limit.kind.is_exact
        and any(part.reserved for part in parts)
        and sum(part.used for part in parts) < limit.amount
    ):
        # Calls use less than is reserved for them, and the last of a limit goes to one call whatever it needs.
        message = (
            f"What is left of the {limit.subject.kind}'s limit {limit.kind.value} ({amount}) is reserved by calls that "
            "run; try again in a moment"
        )
        return RateLimited(message, BRIEF_PAUSE, limit.kind.value, limit.subject.kind, is_brief=True)
    message = (
        f"The {limit.subject.kind}'s limit {limit.kind.value} ({amount}) is reached; calls are possible again from "
        f"{at} on, or when the limit is raised"
    )
    refused = BudgetExceeded if limit.kind.is_budget else RateLimited
    return refused(message, max(ends - now, 0.1), limit.kind.value, limit.subject.kind)


def shown(kind: LimitKind, amount: int) -> str:
    """Return an amount as people read it."""
    return f"{amount / 1e6:.15g} US dollars" if kind.is_money else f"{amount:,}"


def _amount(kind: LimitKind, demand: Demand) -> int:
    if kind.is_exact:
        return demand.requests
    return demand.cost or 0 if kind.is_money else demand.tokens


def _lasting(kind: LimitKind, used: Demand) -> int:
    return 0 if kind is LimitKind.CONCURRENCY else _amount(kind, used)


def _is_counter(subject: Subject, kind: LimitKind, window: int) -> tuple[ColumnElement[bool], ...]:
    return (*_are_counters(subject, kind), CounterRow.window == window)


def _are_counters(subject: Subject, kind: LimitKind) -> tuple[ColumnElement[bool], ...]:
    return (
        CounterRow.subject_kind == subject.kind,
        CounterRow.subject_id == subject.id,
        CounterRow.kind == kind.value,
    )


async def _used_before(session: AsyncSession, subject: Subject, kind: LimitKind, window: int) -> int:
    """Return what the ledger holds of a day or month in which the counter begins late, as for a limit that is new."""
    if not kind.is_budget:
        return 0
    whose = UsageDayRow.workspace_id if subject.kind == "workspace" else UsageDayRow.token_id
    total = UsageDayRow.cost if kind.is_money else UsageDayRow.prompt_tokens + UsageDayRow.completion_tokens
    query = select(func.sum(total)).where(whose == subject.id, UsageDayRow.day >= window // 86_400)
    return int(await session.scalar(query) or 0)


def _count(result: Any) -> int:
    return int(result.rowcount)


def _stored(reservation: Reservation) -> Mapping[str, Any]:
    return {
        "parts": [
            [subject.kind, subject.id, kind.value, window, amount]
            for subject, kind, window, amount in reservation.parts
        ]
    }
