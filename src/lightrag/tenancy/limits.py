"""Limits on what a workspace or token uses: reserved before a call, settled after it.

A call is let through where, of every limit that applies, what is used and what running calls may come to use leaves
room for what this one may come to use; so the strictest limit wins. The last of a budget goes to one call at a time,
though it may need more than is left: a budget is exceeded by one call at most, or by as much as calls use more than
was foreseen. Reservations are rows of the control plane, changed in one short transaction, so that the limits hold over
all processes. Those of a process that died are taken back when they expire.

Minutes, days and months are those of the calendar, in UTC.
"""

from __future__ import annotations

import calendar
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import BudgetExceeded, LimitReached, RateLimited
from lightrag.tenancy.database import ControlDatabase, new_key
from lightrag.tenancy.tables import CounterRow, LimitRow, ReservationRow, UsageDayRow

EXPIRES_SECONDS = 900
"""After how long a reservation is taken back that nobody settled: longer than calls take."""
CONCURRENCY_PAUSE = 1.0
"""Seconds to wait for a free place among running calls before asking again."""

_log = logging.getLogger(__name__)


class LimitKind(StrEnum):
    """What is limited. Money is in micro US dollars."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    CONCURRENCY = "concurrency"
    TOKENS_PER_DAY = "tokens_per_day"
    TOKENS_PER_MONTH = "tokens_per_month"
    COST_PER_DAY = "cost_per_day"
    COST_PER_MONTH = "cost_per_month"

    @property
    def is_budget(self) -> bool:
        """Whether it is of days or months."""
        return self.value.endswith(("_day", "_month"))

    @property
    def is_money(self) -> bool:
        """Whether it is in micro dollars."""
        return self.value.startswith("cost")


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
    """Unix seconds; None for the number of running calls."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reservation:
    """What was reserved for one call."""

    id: str
    parts: tuple[tuple[Subject, LimitKind, int, int], ...]
    """Subject, kind, window, amount."""


def window_of(kind: LimitKind, now: float) -> tuple[int, float | None]:
    """Return the start of the present window and when it ends, in Unix seconds."""
    if kind is LimitKind.CONCURRENCY:
        return 0, None
    moment = datetime.fromtimestamp(now, UTC)
    if kind.value.endswith("_minute"):
        start = moment.replace(second=0, microsecond=0)
        end = start + timedelta(minutes=1)
    elif kind.value.endswith("_day"):
        start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        end = start + timedelta(days=1)
    else:
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = start + timedelta(days=calendar.monthrange(start.year, start.month)[1])
    return int(start.timestamp()), end.timestamp()


class LimitBook:
    """Reserves and settles on the counters of the control plane."""

    def __init__(self, database: ControlDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

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
            if not await self._take_back_expired():
                raise
        return await self._try(ordered, demand)

    async def settle(self, reservation: Reservation, used: Demand) -> None:
        """Put what was used in the place of what was reserved. May be called again; only the first call counts."""
        async with self._database.begin_counting() as session:
            gone = await session.execute(delete(ReservationRow).where(ReservationRow.id == reservation.id))
            # One that expired was taken back already; what it used counts all the same.
            was_held = _count(gone) == 1
            for subject, kind, window, amount in reservation.parts:
                values = {"used": CounterRow.used + _lasting(kind, used)}
                if was_held:
                    values["reserved"] = CounterRow.reserved - amount
                await session.execute(update(CounterRow).where(*_is_counter(subject, kind, window)).values(values))

    async def states(self, limits: Sequence[Limit]) -> list[LimitState]:
        """Return limits with what is used of them."""
        now, found = self._clock(), []
        async with self._database.read() as session:
            for limit in limits:
                window, ends = window_of(limit.kind, now)
                row = await session.scalar(select(CounterRow).where(*_is_counter(limit.subject, limit.kind, window)))
                used = row.used if row is not None else await _used_before(session, limit.subject, limit.kind, window)
                found.append(LimitState(limit, used, row.reserved if row is not None else 0, ends))
        return found

    async def _try(self, limits: Sequence[Limit], demand: Demand) -> Reservation:
        now = self._clock()
        parts = [(limit, window_of(limit.kind, now)[0], _amount(limit.kind, demand)) for limit in limits]
        reservation = Reservation(
            new_key(), tuple((limit.subject, limit.kind, window, amount) for limit, window, amount in parts)
        )
        async with self._database.begin_counting() as session:
            for limit, window, amount in parts:
                if not await self._add(session, limit, window, amount):
                    # The transaction is rolled back with this.
                    raise _refusal(limit, now)
            session.add(
                ReservationRow(id=reservation.id, expires_at=int(now) + EXPIRES_SECONDS, parts=_stored(reservation))
            )
        return reservation

    async def _add(self, session: AsyncSession, limit: Limit, window: int, amount: int) -> bool:
        """Add to what is reserved of a limit, where there is room."""
        room = CounterRow.used + CounterRow.reserved + amount <= limit.amount
        if limit.kind not in (LimitKind.CONCURRENCY, LimitKind.REQUESTS_PER_MINUTE):
            room = or_(room, and_(CounterRow.reserved == 0, CounterRow.used < limit.amount))
        statement = (
            update(CounterRow)
            .where(*_is_counter(limit.subject, limit.kind, window), room)
            .values(reserved=CounterRow.reserved + amount)
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
        await session.execute(
            delete(CounterRow).where(
                CounterRow.subject_kind == subject.kind,
                CounterRow.subject_id == subject.id,
                CounterRow.kind == kind.value,
                CounterRow.window < window,
            )
        )
        return True

    async def _take_back_expired(self) -> int:
        """Take back what calls reserved that were never settled; return how many."""
        async with self._database.read() as session:
            expired = list(
                await session.scalars(
                    select(ReservationRow).where(ReservationRow.expires_at <= int(self._clock())).limit(500)
                )
            )
        taken = sum([await self._take_back(row) for row in expired])
        if taken:
            _log.warning("%d reservations of calls that were never settled were taken back", taken)
        return taken

    async def _take_back(self, row: ReservationRow) -> bool:
        """Take back one reservation; False where another process was faster."""
        async with self._database.begin_counting() as session:
            if _count(await session.execute(delete(ReservationRow).where(ReservationRow.id == row.id))) != 1:
                return False
            for subject, subject_id, kind, window, amount in row.parts["parts"]:
                await session.execute(
                    update(CounterRow)
                    .where(*_is_counter(Subject(subject, subject_id), LimitKind(kind), window))
                    .values(reserved=CounterRow.reserved - amount)
                )
        return True


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


def _refusal(limit: Limit, now: float) -> LimitReached:
    _, ends = window_of(limit.kind, now)
    if limit.kind is LimitKind.CONCURRENCY:
        message = (
            f"The {limit.subject.kind} may make {limit.amount} model calls at the same time, and makes them; "
            "try again in a moment"
        )
        return RateLimited(message, CONCURRENCY_PAUSE, limit.kind.value, limit.subject.kind)
    assert ends is not None
    at = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    amount = f"{limit.amount / 1e6:g} US dollars" if limit.kind.is_money else f"{limit.amount:,}"
    message = (
        f"The {limit.subject.kind}'s limit {limit.kind.value} ({amount}) is reached; calls are possible again from "
        f"{at} on, or when the limit is raised"
    )
    refused = BudgetExceeded if limit.kind.is_budget else RateLimited
    return refused(message, max(ends - now, 0.1), limit.kind.value, limit.subject.kind)


def _amount(kind: LimitKind, demand: Demand) -> int:
    if kind in (LimitKind.REQUESTS_PER_MINUTE, LimitKind.CONCURRENCY):
        return demand.requests
    return demand.cost or 0 if kind.is_money else demand.tokens


def _lasting(kind: LimitKind, used: Demand) -> int:
    return 0 if kind is LimitKind.CONCURRENCY else _amount(kind, used)


def _is_counter(subject: Subject, kind: LimitKind, window: int) -> tuple[Any, ...]:
    return (
        CounterRow.subject_kind == subject.kind,
        CounterRow.subject_id == subject.id,
        CounterRow.kind == kind.value,
        CounterRow.window == window,
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
