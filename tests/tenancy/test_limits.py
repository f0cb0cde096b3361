"""Limits of workspaces and tokens."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from lightrag.errors import BudgetExceeded, Conflict, InvalidInput, LimitReached, NotFound, RateLimited
from lightrag.tenancy import reservations
from lightrag.tenancy.access import AccessControl, AccessRole
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.contracts import ModelType
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.ledger import Ledger, UsageEntry
from lightrag.tenancy.limits import Demand, Limit, LimitBook, LimitKind, Subject
from lightrag.tenancy.limits_admin import LimitAdmin, parse_kind
from lightrag.tenancy.reservations import LEASE_SECONDS
from lightrag.tenancy.tables import CounterRow, ReservationRow
from lightrag.tenancy.windows import MINUTE, PART

NOON = 1_766_000_000.0
ONE = Subject("workspace", "w" * 32)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def _limit(kind: LimitKind, amount: int, subject: Subject = ONE) -> Limit:
    return Limit(subject, kind, amount)


async def _used(database: ControlDatabase, kind: LimitKind) -> tuple[int, int]:
    async with database.read() as session:
        row = await session.scalar(select(CounterRow).where(CounterRow.kind == kind.value))
        assert row is not None
        return row.used, row.reserved


async def test_64_calls_at_once_exceed_a_budget_by_nothing_that_was_not_in_flight(database: ControlDatabase) -> None:
    limits = [_limit(LimitKind.TOKENS_PER_DAY, 1000), _limit(LimitKind.COST_PER_MONTH, 10_000)]
    # Two books are two processes: what holds them together is the database.
    books = [LimitBook(database, Clock()), LimitBook(database, Clock())]
    chance = random.Random(1)
    spent = 0

    async def call(number: int) -> bool:
        nonlocal spent
        book = books[number % 2]
        try:
            held = await book.reserve(limits, Demand(tokens=50, cost=100))
        except LimitReached:
            return False
        await asyncio.sleep(chance.random() / 100)
        used = chance.randint(10, 50)
        spent += used
        await book.settle(held, Demand(tokens=used, cost=used))
        return True

    served = 0
    for _ in range(3):
        served += sum(await asyncio.gather(*(call(number) for number in range(64))))
    assert 20 <= served < 192
    # The last call alone may need more than is left.
    assert spent <= 1000 + 50
    assert await _used(database, LimitKind.TOKENS_PER_DAY) == (spent, 0)
    assert await _used(database, LimitKind.COST_PER_MONTH) == (spent, 0)


async def test_the_strictest_limit_wins_and_names_itself(database: ControlDatabase) -> None:
    book, token = LimitBook(database, Clock()), Subject("token", "t" * 32)
    limits = [_limit(LimitKind.TOKENS_PER_DAY, 10_000), _limit(LimitKind.REQUESTS_PER_MINUTE, 1, token)]
    await book.settle(await book.reserve(limits, Demand(tokens=10)), Demand(tokens=10))
    with pytest.raises(RateLimited, match="The token's limit requests_per_minute") as refused:
        await book.reserve(limits, Demand(tokens=10))
    assert 0 < refused.value.retry_after <= MINUTE + PART
    # What was refused has reserved nothing of the other limit.
    assert await _used(database, LimitKind.TOKENS_PER_DAY) == (10, 0)


async def test_a_window_that_ends_allows_calls_again(database: ControlDatabase) -> None:
    clock = Clock()
    book, limits = LimitBook(database, clock), [_limit(LimitKind.TOKENS_PER_MINUTE, 100)]
    await book.settle(await book.reserve(limits, Demand(tokens=100)), Demand(tokens=120))
    with pytest.raises(RateLimited) as refused:
        await book.reserve(limits, Demand(tokens=1))
    clock.now += refused.value.retry_after
    await book.reserve(limits, Demand(tokens=1))


async def test_the_last_of_a_budget_goes_to_one_call_though_it_may_need_more(database: ControlDatabase) -> None:
    book, limits = LimitBook(database, Clock()), [_limit(LimitKind.TOKENS_PER_DAY, 100)]
    first = await book.reserve(limits, Demand(tokens=5000))
    with pytest.raises(LimitReached):
        await book.reserve(limits, Demand(tokens=1))
    await book.settle(first, Demand(tokens=20))
    await book.reserve(limits, Demand(tokens=5000))


@pytest.mark.parametrize("kind", [LimitKind.TOKENS_PER_DAY, LimitKind.COST_PER_MONTH, LimitKind.TOKENS_PER_MINUTE])
async def test_what_running_calls_have_reserved_is_waited_for_as_long_as_they_run(
    database: ControlDatabase, kind: LimitKind
) -> None:
    book, limits, whole = LimitBook(database, Clock()), [_limit(kind, 100)], Demand(tokens=80, cost=80)
    first = await book.reserve(limits, whole)
    with pytest.raises(RateLimited, match="is reserved by calls that run; try again in a moment") as refused:
        await book.reserve(limits, whole)
    assert refused.value.is_brief
    assert refused.value.retry_after <= 5
    await book.settle(first, Demand(tokens=10, cost=10))
    second = await book.reserve(limits, whole)
    await book.settle(second, Demand(tokens=95, cost=95))
    with pytest.raises(LimitReached, match="is reached") as reached:
        await book.reserve(limits, whole)
    assert not reached.value.is_brief
    assert reached.value.retry_after > 5


async def test_calls_at_the_same_time_are_counted_while_they_run(database: ControlDatabase) -> None:
    book, limits = LimitBook(database), [_limit(LimitKind.CONCURRENCY, 2)]
    held = [await book.reserve(limits, Demand()) for _ in range(2)]
    with pytest.raises(RateLimited, match="2 model calls at the same time"):
        await book.reserve(limits, Demand())
    await book.settle(held[0], Demand())
    await book.settle(held[0], Demand())  # a second time is no second place
    await book.reserve(limits, Demand())
    with pytest.raises(RateLimited):
        await book.reserve(limits, Demand())


async def test_no_minute_wherever_it_begins_holds_more_calls_than_the_limit(database: ControlDatabase) -> None:
    clock, chance = Clock(), random.Random(2)
    book, limits = LimitBook(database, clock), [_limit(LimitKind.REQUESTS_PER_MINUTE, 10)]
    served: list[float] = []
    while clock.now < NOON + 6 * MINUTE:
        clock.now += chance.choice((0.1, 0.1, 0.5, 2, 7))
        try:
            await book.settle(await book.reserve(limits, Demand()), Demand())
        except RateLimited:
            continue
        served.append(clock.now)
    assert all(later - earlier > MINUTE for earlier, later in zip(served, served[10:], strict=False))
    # Who asks all the time gets nearly all of it.
    assert len(served) >= 10 * 6 * MINUTE / (MINUTE + 2 * PART)


async def test_who_used_up_a_minute_at_its_end_waits_for_a_whole_one(database: ControlDatabase) -> None:
    clock = Clock()
    clock.now = NOON - NOON % MINUTE + 59.5
    book, limits = LimitBook(database, clock), [_limit(LimitKind.REQUESTS_PER_MINUTE, 3)]
    for _ in range(3):
        await book.settle(await book.reserve(limits, Demand()), Demand())
    clock.now += 1
    with pytest.raises(RateLimited) as refused:
        await book.reserve(limits, Demand())
    assert MINUTE - PART <= refused.value.retry_after <= MINUTE + PART
    [state] = await book.states(limits)
    assert (state.used, state.resets_at) == (3, clock.now + refused.value.retry_after)
    told = datetime.fromtimestamp(clock.now + refused.value.retry_after, UTC)
    assert told.strftime("possible again from %Y-%m-%dT%H:%M:%SZ on") in str(refused.value)
    clock.now += refused.value.retry_after - 0.1
    with pytest.raises(RateLimited):
        await book.reserve(limits, Demand())
    clock.now += 0.1
    assert (await book.states(limits))[0].used == 0
    await book.reserve(limits, Demand())


async def test_a_refusal_tells_when_enough_is_free_not_when_everything_is(database: ControlDatabase) -> None:
    clock = Clock()
    book, limits = LimitBook(database, clock), [_limit(LimitKind.TOKENS_PER_MINUTE, 100)]
    for tokens in (30, 30, 40):
        await book.settle(await book.reserve(limits, Demand(tokens=tokens)), Demand(tokens=tokens))
        clock.now += 10
    with pytest.raises(RateLimited) as refused:
        await book.reserve(limits, Demand(tokens=20))
    assert refused.value.retry_after <= MINUTE + PART - 30
    clock.now += refused.value.retry_after
    await book.settle(await book.reserve(limits, Demand(tokens=20)), Demand(tokens=20))


async def test_a_minute_without_calls_is_free_at_once(database: ControlDatabase) -> None:
    clock = Clock()
    [state] = await LimitBook(database, clock).states([_limit(LimitKind.REQUESTS_PER_MINUTE, 3)])
    assert (state.used, state.reserved, state.resets_at) == (0, 0, None)


async def test_64_calls_at_once_never_exceed_the_requests_of_a_minute(database: ControlDatabase) -> None:
    books = [LimitBook(database, Clock()), LimitBook(database, Clock())]
    limits = [_limit(LimitKind.REQUESTS_PER_MINUTE, 40)]

    async def call(number: int) -> bool:
        try:
            held = await books[number % 2].reserve(limits, Demand())
        except RateLimited:
            return False
        await books[number % 2].settle(held, Demand())
        return True

    served = [await asyncio.gather(*(call(number) for number in range(64))) for _ in range(2)]
    assert sum(map(sum, served)) == 40


async def test_reservations_that_nobody_prolongs_are_taken_back(database: ControlDatabase) -> None:
    clock = Clock()
    gone, book = LimitBook(database, clock), LimitBook(database, clock)
    limits = [_limit(LimitKind.CONCURRENCY, 1), _limit(LimitKind.TOKENS_PER_MONTH, 9)]
    lost = await gone.reserve(limits, Demand(tokens=9))
    await gone.close()
    clock.now += LEASE_SECONDS
    await book.reserve(limits, Demand(tokens=9))
    # It was not dead after all: what it used counts, and no place is given free twice.
    await gone.settle(lost, Demand(tokens=4))
    assert await _used(database, LimitKind.CONCURRENCY) == (0, 1)
    assert await _used(database, LimitKind.TOKENS_PER_MONTH) == (4, 9)


async def test_a_call_that_lasts_long_keeps_its_place(
    database: ControlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RENEW_SECONDS", 0.01)
    clock = Clock()
    book, other, limits = LimitBook(database, clock), LimitBook(database, clock), [_limit(LimitKind.CONCURRENCY, 1)]
    held = await book.reserve(limits, Demand())
    for _ in range(3):
        clock.now += LEASE_SECONDS - 1
        async with asyncio.timeout(60):
            while await _expires_at(database) < clock.now + LEASE_SECONDS - 1:
                await asyncio.sleep(0.01)
        with pytest.raises(RateLimited):
            await other.reserve(limits, Demand())
    await book.settle(held, Demand())
    await other.reserve(limits, Demand())


async def _expires_at(database: ControlDatabase) -> float:
    async with database.read() as session:
        return await session.scalar(select(ReservationRow.expires_at)) or 0


_HOLDER = """
import asyncio, sys
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.limits import Demand, Limit, LimitBook, LimitKind, Subject

async def main():
    database = ControlDatabase(sys.argv[1])
    await database.open()
    await LimitBook(database).reserve([Limit(Subject("workspace", "w" * 32), LimitKind.CONCURRENCY, 1)], Demand())
    print("held", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_process_holds_nothing(database: ControlDatabase) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, database._url, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    clock = Clock()
    clock.now = time.time()
    book, limits = LimitBook(database, clock), [_limit(LimitKind.CONCURRENCY, 1)]
    with pytest.raises(RateLimited):
        await book.reserve(limits, Demand())
    holder.kill()
    await holder.wait()
    # What a refusal says to wait for, the call finds.
    clock.now += reservations.LOOK_AGAIN
    await book.reserve(limits, Demand())
    await book.close()


async def test_a_limit_on_money_refuses_models_of_unknown_price(database: ControlDatabase) -> None:
    with pytest.raises(BudgetExceeded, match="The price of gpt-x is not known"):
        await LimitBook(database).reserve([_limit(LimitKind.COST_PER_DAY, 1000)], Demand(cost=None), "gpt-x")


async def test_a_limit_set_late_counts_what_was_used_before(
    database: ControlDatabase, directory: Directory, audit: AuditLog, actor: Actor
) -> None:
    one = Subject("workspace", (await directory.create("one", actor)).id)
    clock = Clock()
    ledger, admin, book = Ledger(database), LimitAdmin(database, audit, clock), LimitBook(database, clock)
    at, cost = int(NOON * 1e6), 1_250_000
    entry = UsageEntry(one.id, "OpenAI", "gpt-x", ModelType.CHAT, "answer", 900, 0, 50, cost=cost, at=at)
    ledger.record(entry)
    await ledger.close()
    with pytest.raises(Conflict, match=r"cost_per_day of 0\.5 US dollars lies .* already \(1\.25 US dollars\)"):
        await admin.put(actor, one, {LimitKind.COST_PER_DAY: 500_000})
    with pytest.raises(Conflict, match="950"):
        await admin.put(actor, one, {LimitKind.TOKENS_PER_MONTH: 900})
    assert await book.limits_of(one) == ()
    before = await directory.get("one")
    limits = await admin.put(actor, one, {LimitKind.TOKENS_PER_MONTH: 900}, insists=True)
    after = await directory.get("one")
    assert before is not None
    assert after is not None
    assert after.version > before.version
    assert [state.used for state in await book.states(limits)] == [950]
    with pytest.raises(BudgetExceeded):
        await book.reserve(limits, Demand(tokens=1))
    assert await admin.put(actor, one, {LimitKind.TOKENS_PER_MONTH: None}) == ()


async def test_limits_that_make_no_sense_are_refused(
    database: ControlDatabase, directory: Directory, access: AccessControl, audit: AuditLog, actor: Actor
) -> None:
    one = Subject("workspace", (await directory.create("one", actor)).id)
    admin = LimitAdmin(database, audit)
    with pytest.raises(InvalidInput, match="tokens_per_day has to be between 0"):
        await admin.put(actor, one, {LimitKind.TOKENS_PER_DAY: -1})
    with pytest.raises(InvalidInput, match="There is no limit 'tokens'"):
        parse_kind("tokens")
    with pytest.raises(NotFound):
        await admin.put(actor, Subject("token", "0" * 32), {LimitKind.CONCURRENCY: 1})
    _, info = await access.create_token(actor, roles={"one": AccessRole.READER})
    assert await admin.put(actor, Subject("token", info.id), {LimitKind.CONCURRENCY: 1})
