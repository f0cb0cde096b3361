"""Work that has begun is done whole, however often its caller is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from lightrag.finishing import to_the_end


class Work:
    """Waits until it may end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.may_end = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.is_done = False
        self._error = error

    async def run(self) -> str:
        self.has_begun.set()
        await self.may_end.wait()
        self.is_done = True
        if self._error is not None:
            raise self._error
        return "done"


async def test_what_the_work_returns_or_raises_is_passed_on() -> None:
    work, broken = Work(), Work(ValueError("broken"))
    work.may_end.set()
    broken.may_end.set()
    assert await to_the_end(work.run()) == "done"
    with pytest.raises(ValueError, match="broken"):
        await to_the_end(broken.run())


@pytest.mark.parametrize("error", [None, ValueError("broken")])
async def test_a_cancellation_takes_effect_after_the_work(error: Exception | None) -> None:
    work = Work(error)
    caller = asyncio.create_task(to_the_end(work.run()))
    await work.has_begun.wait()
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.is_done
