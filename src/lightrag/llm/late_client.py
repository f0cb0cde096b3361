"""A vendor's client that is made when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

C = TypeVar("C")


class LateClient(Generic[C]):
    """Makes a client once, in a thread: importing an SDK takes longer than a server should for its start.

    Args:
        make: Makes the client; may block.
        close: Releases it; called at most once.
    """

    def __init__(self, make: Callable[[], C], close: Callable[[C], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._made: C | None = None
        self._making = asyncio.Lock()
        self._is_closed = False

    async def get(self) -> C:
        """Return the client. Raises what making it raises, and `RuntimeError` after `aclose`."""
        if self._made is None:
            async with self._making:
                if self._made is None:
                    if self._is_closed:
                        raise RuntimeError("the model was closed")
                    self._made = await asyncio.to_thread(self._make)
        return self._made

    async def aclose(self) -> None:
        """Release the client, where one was made. May be called more than once."""
        self._is_closed = True
        # One that is being made at this moment is released as well.
        async with self._making:
            made, self._made = self._made, None
        if made is not None:
            await self._close(made)
