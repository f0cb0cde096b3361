"""A client that is made when it is first needed is made once, and released whenever it was made."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lightrag.llm.late_client import LateClient


class Client:
    def __init__(self) -> None:
        self.is_closed = False

    async def aclose(self) -> None:
        assert not self.is_closed
        self.is_closed = True


async def test_callers_at_the_same_time_get_the_same_client() -> None:
    late = LateClient(Client, Client.aclose)
    one, other = await asyncio.gather(late.get(), late.get())
    assert one is other
    await late.aclose()
    await late.aclose()
    assert one.is_closed


async def test_a_client_that_was_never_needed_is_not_made() -> None:
    late = LateClient(lambda: pytest.fail("nobody asked for it"), Client.aclose)
    await late.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await late.get()


async def test_a_client_that_is_being_made_when_its_model_closes_is_released() -> None:
    may_end = threading.Event()

    def make() -> Client:
        may_end.wait()
        return Client()

    late = LateClient(make, Client.aclose)
    getting = asyncio.create_task(late.get())
    await asyncio.sleep(0)
    closing = asyncio.create_task(late.aclose())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert (await getting).is_closed
