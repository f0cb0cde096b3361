"""Work that is done whole, although whoever waits for it is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end, and return or raise what it does; a cancellation meanwhile is raised after it.

    Meant for work that ends soon by itself: the caller cannot be stopped before.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        # Seen, so that the event loop does not complain of it.
        task.exception()
    raise cancelled
