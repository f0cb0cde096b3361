"""Runs an engine on an event loop of its own, whatever loops its callers have.

Scripts mix blocking and asynchronous calls, and run them on one loop after the other (`asyncio.run` for the set-up,
plain calls afterwards). An engine has tasks, locks and connections that belong to one loop, so it gets one that lives
as long as it does. What callers hand in (model functions, streams) goes the other way: it runs on the loop of whoever
waits for the engine at that moment, because its clients and locks belong there; with nobody waiting on a loop, it runs
beside the engine.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_Item = tuple[bool, Any]


class Runner:
    """One event loop in a thread, started by the first call."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._callers: list[asyncio.AbstractEventLoop] = []

    @property
    def is_running(self) -> bool:
        """Whether the thread has been started and not stopped."""
        return self._loop is not None

    def block(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait for it; an interrupt (Ctrl-C) cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait for it without blocking the caller's; cancelling this cancels it."""
        caller = asyncio.get_running_loop()
        if caller is self._loop:
            return await work
        with self._waiting(caller):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._started()))

    async def outside(self, make: Callable[[], Awaitable[T]]) -> T:
        """Run what a caller handed in on that caller's loop; on this one where nobody waits.

        Where the caller's loop ends meanwhile (`asyncio.run` cancels what is left), the call is made here.
        """
        caller = self._caller()
        if caller is None or caller is asyncio.get_running_loop():
            return await make()
        future = asyncio.run_coroutine_threadsafe(_awaited(make), caller)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                future.cancel()
                raise
            return await make()

    async def stream_outside(self, make: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T]:
        """Iterate over what a caller handed in on that caller's loop, and yield here."""
        caller = self._caller() or asyncio.get_running_loop()
        async with contextlib.aclosing(relay(make, caller)) as items:
            async for item in items:
                yield item

    async def stream_inside(self, make: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T]:
        """Iterate on the engine's loop, and yield on the loop of whoever iterates."""
        consumer = asyncio.get_running_loop()
        with self._waiting(consumer):
            async with contextlib.aclosing(relay(make, self._started())) as items:
                async for item in items:
                    yield item

    def stop(self) -> None:
        """End the loop and its thread. The next call starts others."""
        with self._guard:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(loop,), name="lightrag-engine", daemon=True)
                self._thread.start()
                self._loop = loop
            return self._loop

    @contextlib.contextmanager
    def _waiting(self, caller: asyncio.AbstractEventLoop) -> Iterator[None]:
        with self._guard:
            self._callers.append(caller)
        try:
            yield
        finally:
            with self._guard:
                self._callers.remove(caller)

    def _caller(self) -> asyncio.AbstractEventLoop | None:
        with self._guard:
            return next((loop for loop in reversed(self._callers) if loop.is_running()), None)


async def relay(make: Callable[[], AsyncIterator[T]], where: asyncio.AbstractEventLoop) -> AsyncGenerator[T]:
    """Iterate over `make()` on the loop `where`, in one task, and yield its items on the present loop."""
    here = asyncio.get_running_loop()
    if where is here:
        async for item in make():
            yield item
        return
    queue: asyncio.Queue[_Item] = asyncio.Queue()

    def hand_over(item: _Item) -> None:
        with contextlib.suppress(RuntimeError):  # nobody listens on a closed loop
            here.call_soon_threadsafe(queue.put_nowait, item)

    pumped = asyncio.run_coroutine_threadsafe(_pump(make, hand_over), where)
    pumped.add_done_callback(lambda done: hand_over((False, _outcome(done))))
    try:
        while True:
            is_item, value = await queue.get()
            if is_item:
                yield value
            elif value is not None:
                raise value
            else:
                return
    finally:
        pumped.cancel()


async def _pump(make: Callable[[], AsyncIterator[Any]], hand_over: Callable[[_Item], None]) -> None:
    items = make()
    try:
        async for item in items:
            hand_over((True, item))
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def _outcome(done: concurrent.futures.Future[None]) -> BaseException | None:
    if done.cancelled():
        return ConnectionError("the event loop that the stream was read on has ended")
    return done.exception()


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
