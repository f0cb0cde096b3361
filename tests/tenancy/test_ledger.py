"""The ledger of model calls."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from lightrag.errors import StorageUnavailable
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.contracts import ModelType, Price
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.directory import Directory
from lightrag.tenancy.ledger import Ledger, UsageEntry, priced
from lightrag.tenancy.usage import Part, UsageReport, as_csv

DAY = 86_400_000_000


def _entry(workspace_id: str, **changes: object) -> UsageEntry:
    entry = UsageEntry(workspace_id, "OpenAI", "gpt-x", ModelType.CHAT, "answer", 100, 20, 10)
    return dataclasses.replace(entry, **changes)  # type: ignore[arg-type]


async def test_every_entry_is_written_once_and_summed_by_day_and_model(
    database: ControlDatabase, directory: Directory, actor: Actor
) -> None:
    one = (await directory.create("one", actor)).id
    ledger, report = Ledger(database), UsageReport(database)
    price = Price(prompt=1_000_000, cached=500_000, completion=2_000_000)
    for number in range(3):
        ledger.record(priced(_entry(one, token_id="t" * 32, request_id=f"r{number}"), price))
    ledger.record(_entry(one, model="gpt-y", outcome="error", completion_tokens=0))
    ledger.record(_entry(one, at=5 * DAY, outcome="aborted"))
    await ledger.close()

    by_model = {(row.model, row.token): row for row in await report.sums(one, by=("model", "token"))}
    paid = by_model["gpt-x", "t" * 32]
    assert (paid.calls, paid.prompt_tokens, paid.cached_tokens, paid.completion_tokens) == (3, 300, 60, 30)
    assert paid.cost == 3 * (80 + 10 + 20)
    assert paid.unpriced_tokens == 0
    assert by_model["gpt-y", ""].errors == 1
    days = await report.sums(one, by=("day",))
    assert days[0].day == "1970-01-06"
    assert [row.calls for row in days] == [1, 4]
    assert [row.day for row in await report.sums(one, by=("day",), until=date(1970, 1, 6))] == ["1970-01-06"]
    assert await report.used_tokens(one) == {("OpenAI", "gpt-x", "chat"): 440, ("OpenAI", "gpt-y", "chat"): 100}
    assert {row.request_id for row in await report.entries(one)} == {"r0", "r1", "r2", ""}


async def test_an_unknown_price_is_not_free(database: ControlDatabase, directory: Directory, actor: Actor) -> None:
    one = (await directory.create("one", actor)).id
    ledger = Ledger(database)
    ledger.record(priced(_entry(one), Price()))
    await ledger.close()
    total = await UsageReport(database).total(one)
    assert (total.cost, total.unpriced_tokens) == (0, 110)
    assert (await UsageReport(database).entries(one))[0].cost is None


async def test_a_database_that_fails_for_a_while_loses_nothing(
    database: ControlDatabase, directory: Directory, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = (await directory.create("one", actor)).id
    ledger = Ledger(database, flush_seconds=0.01)
    begin = database.begin

    def fail() -> None:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(database, "begin", fail)
    ledger.record(_entry(one))
    with pytest.raises(StorageUnavailable):
        await ledger.flush()
    assert ledger.waiting == 1
    monkeypatch.setattr(database, "begin", begin)
    await ledger.close()
    assert (await UsageReport(database).total(one)).calls == 1


async def test_nothing_comes_back_of_a_workspace_that_was_removed(
    database: ControlDatabase, directory: Directory, actor: Actor
) -> None:
    one, two = [(await directory.create(name, actor)).id for name in ("one", "two")]
    ledger = Ledger(database)
    ledger.record(_entry(one))
    ledger.record(_entry(two))
    await directory.forget("one", actor)
    await ledger.close()
    assert (await UsageReport(database).total(one)).calls == 0
    assert (await UsageReport(database).total(two)).calls == 1


async def test_a_write_whose_end_was_not_seen_is_not_repeated(
    database: ControlDatabase, directory: Directory, actor: Actor
) -> None:
    one = (await directory.create("one", actor)).id
    entry = _entry(one)
    for _ in range(2):
        ledger = Ledger(database)
        ledger.record(entry)
        await ledger.close()
    assert (await UsageReport(database).total(one)).calls == 1


async def test_the_table_for_spreadsheets(database: ControlDatabase, directory: Directory, actor: Actor) -> None:
    one = (await directory.create("one", actor)).id
    ledger = Ledger(database)
    ledger.record(priced(_entry(one, model="=cmd()", at=DAY), Price(1_000_000, None, 1_000_000)))
    await ledger.close()
    by: tuple[Part, ...] = ("day", "model")
    lines = as_csv(await UsageReport(database).sums(one, by=by), by).splitlines()
    assert lines == [
        "day,model,calls,errors,cached_answers,prompt_tokens,cached_tokens,completion_tokens,unpriced_tokens,cost_usd",
        "1970-01-02,'=cmd(),1,0,0,100,20,10,0,0.000110",
    ]
