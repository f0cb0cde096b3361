"""The pool of engines: one opening for many, room for new ones, nothing closed that is in use."""

from __future__ import annotations

import asyncio

import pytest

from lightrag.errors import ConfigurationError, StorageUnavailable
from lightrag.workspaces.pool import WorkspaceFailed, WorkspacePool


class Engine:
    """An engine that does nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.working = False
        self.closed = False

    def is_working(self) -> bool:
        """Tell what the test says."""
        return self.working

    async def close(self) -> None:
        """Note it."""
        await asyncio.sleep(0)
        self.closed = True


class Opener:
    """Opens engines, as slowly and as badly as the test wants."""

    def __init__(self) -> None:
        self.opened: list[Engine] = []
        self.gate: asyncio.Event | None = None
        self.fails: set[str] = set()
        self.most_open = 0

    async def __call__(self, name: str) -> Engine:
        if self.gate is not None:
            await self.gate.wait()
        if name in self.fails:
            raise ConfigurationError("Storage connection failed")
        engine = Engine(name)
        self.opened.append(engine)
        self.most_open = max(self.most_open, sum(not engine.closed for engine in self.opened))
        return engine

    def names(self) -> list[str]:
        """Return what was opened, in order."""
        return [engine.name for engine in self.opened]


@pytest.fixture
def opener() -> Opener:
    """A fresh opener."""
    return Opener()


async def use(pool: WorkspacePool[Engine], name: str) -> Engine:
    """Lease an engine for a moment."""
    async with pool.lease(name) as engine:
        assert not engine.closed
        return engine


async def test_many_first_requests_share_one_opening(opener: Opener) -> None:
    opener.gate = asyncio.Event()
    pool = WorkspacePool(opener, 5)
    asked = [asyncio.create_task(use(pool, "a")) for _ in range(100)]
    await asyncio.sleep(0)
    opener.gate.set()
    engines = await asyncio.gather(*asked)
    assert opener.names() == ["a"]
    assert len(set(map(id, engines))) == 1


async def test_opening_one_keeps_nobody_else_waiting(opener: Opener) -> None:
    pool = WorkspacePool(opener, 5)
    await use(pool, "a")
    opener.gate = asyncio.Event()
    slow = asyncio.create_task(use(pool, "b"))
    await asyncio.sleep(0)
    await use(pool, "a")
    opener.gate.set()
    await slow


async def test_the_one_used_longest_ago_makes_room(opener: Opener) -> None:
    pool = WorkspacePool(opener, 3)
    for name in ("a", "b", "c", "a", "d"):
        await use(pool, name)
    async with asyncio.timeout(60):
        while not any(engine.closed for engine in opener.opened):
            await asyncio.sleep(0)
    assert [engine.name for engine in opener.opened if engine.closed] == ["b"]
    assert opener.most_open <= 4


async def test_nothing_is_closed_that_is_held_pinned_or_at_work(opener: Opener) -> None:
    pool = WorkspacePool(opener, 3, patience=60)
    await pool.pin("pinned")
    (await use(pool, "working")).working = True
    async with pool.lease("held") as held:
        waiting = asyncio.create_task(use(pool, "new"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not any(engine.closed for engine in opener.opened)
    await asyncio.wait_for(waiting, 60)
    assert held.closed
    assert [engine.name for engine in opener.opened if engine.closed] == ["held"]


async def test_a_full_pool_says_what_to_do(opener: Opener) -> None:
    pool = WorkspacePool(opener, 1, patience=0.05)
    async with pool.lease("a"):
        with pytest.raises(StorageUnavailable, match="LIGHTRAG_MAX_WORKSPACES_IN_POOL"):
            await use(pool, "b")
    await use(pool, "b")


async def test_a_failed_opening_tells_all_who_wait_and_the_next_one_tries_again(opener: Opener) -> None:
    opener.fails.add("a")
    pool = WorkspacePool(opener, 2)
    failures = await asyncio.gather(*(use(pool, "a") for _ in range(5)), return_exceptions=True)
    assert {str(failure) for failure in failures} == {"Failed to initialize workspace 'a': Storage connection failed"}
    assert all(isinstance(failure, WorkspaceFailed) for failure in failures)
    await use(pool, "b")
    opener.fails.clear()
    await use(pool, "a")
    assert opener.names() == ["b", "a"]


async def test_who_leaves_while_it_is_opened_does_not_take_it_from_the_others(opener: Opener) -> None:
    opener.gate = asyncio.Event()
    pool = WorkspacePool(opener, 2)
    first, second = (asyncio.create_task(use(pool, "a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    opener.gate.set()
    assert (await second).name == "a"
    assert opener.names() == ["a"]


async def test_a_workspace_that_is_being_closed_is_opened_anew_only_after_that(opener: Opener) -> None:
    pool = WorkspacePool(opener, 2)
    first = await use(pool, "a")
    closing = asyncio.create_task(pool.evict("a"))
    await asyncio.sleep(0)
    second = await use(pool, "a")
    await closing
    assert first.closed
    assert second is not first


async def test_eviction_waits_for_leases_and_gives_up_in_time(opener: Opener) -> None:
    pool = WorkspacePool(opener, 2)
    async with pool.lease("a"):
        assert not await pool.evict("a", patience=0.05)
    assert await pool.evict("a", patience=1)
    assert len(pool) == 0


async def test_closing_closes_all_and_opens_nothing_more(opener: Opener) -> None:
    pool = WorkspacePool(opener, 3)
    await pool.pin("a")
    await use(pool, "b")
    await pool.close()
    assert all(engine.closed for engine in opener.opened)
    with pytest.raises(StorageUnavailable):
        await use(pool, "c")


async def test_many_workspaces_pass_through_a_small_pool(opener: Opener) -> None:
    pool = WorkspacePool(opener, 10)
    gate = asyncio.Semaphore(8)

    async def visit(number: int) -> None:
        async with gate:
            engine = await use(pool, f"w{number % 100}")
            assert engine.name == f"w{number % 100}"

    await asyncio.gather(*(visit(number) for number in range(1000)))
    assert len(pool) <= 10
    assert sum(not engine.closed for engine in opener.opened) <= 10
