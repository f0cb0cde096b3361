"""Works that come together share a transaction, and do not spoil each other."""

from __future__ import annotations

import asyncio

import pytest

from lightrag.indexing.group_commit import GroupCommit, Withdrawn
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.memory import MemoryStorage


class Counted(MemoryStorage):
    """Counts transactions."""

    begun = 0

    def transaction(self):  # type: ignore[no-untyped-def]
        self.begun += 1
        return super().transaction()


@pytest.fixture
async def storage() -> Counted:
    store = Counted("g")
    await store.open()
    return store


def put(key: str, error: Exception | None = None):  # type: ignore[no-untyped-def]
    async def work(tx: Storage) -> str:
        await tx.kv(Namespace.META).put({key: {"by": key}})
        if error is not None:
            raise error
        return key

    return work


async def stored(storage: Storage) -> list[str]:
    return [key for key, _ in await storage.kv(Namespace.META).scan()]


async def test_works_that_come_together_share_a_transaction(storage: Counted) -> None:
    commits = GroupCommit(storage)
    assert await asyncio.gather(*(commits.run(put(str(n))) for n in range(10))) == [str(n) for n in range(10)]
    assert len(await stored(storage)) == 10
    assert storage.begun < 5


async def test_a_failing_work_is_undone_alone(storage: Counted) -> None:
    commits = GroupCommit(storage)
    works = [commits.run(put("a")), commits.run(put("b", ValueError("no"))), commits.run(put("c"))]
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a", "no", "c"]
    assert await stored(storage) == ["a", "c"]


async def test_a_withdrawn_work_does_not_undo_the_others(storage: Counted) -> None:
    async def withdrawn(tx: Storage) -> None:
        raise Withdrawn

    commits = GroupCommit(storage)
    outcomes = await asyncio.gather(commits.run(put("a")), commits.run(withdrawn), return_exceptions=True)
    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], Withdrawn)
    assert await stored(storage) == ["a"]


async def test_who_stops_waiting_leaves_the_others_alone(storage: Counted) -> None:
    commits = GroupCommit(storage)
    first = asyncio.create_task(commits.run(put("a")))
    second = asyncio.create_task(commits.run(put("b")))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "b"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_undoes_what_is_under_way(storage: Counted) -> None:
    started = asyncio.Event()

    async def slow(tx: Storage) -> None:
        await tx.kv(Namespace.META).put({"slow": {}})
        started.set()
        await asyncio.sleep(30)

    commits = GroupCommit(storage)
    task = asyncio.create_task(commits.run(slow))
    await started.wait()
    await commits.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stored(storage) == []
