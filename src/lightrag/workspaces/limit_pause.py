"""Work that waits for a limit of its workspace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from lightrag.errors import LimitReached
from lightrag.indexing.pipeline import SlotUse

LOOK_AGAIN = 1.0
"""How often work that waits for a limit looks whether the limit was changed."""

_log = logging.getLogger(__name__)


class LimitPause:
    """Has work wait until a limit allows calls again, or is changed.

    `limits` returns those of this moment, `refresh` takes up what was changed of them.
    """

    def __init__(
        self, workspace: str, limits: Callable[[], Sequence[object]], refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._workspace = workspace
        self._limits = limits
        self._refresh = refresh
        self._until: float | None = None

    async def rest(self, error: LimitReached) -> None:
        """Wait until a limit allows calls again, or is changed."""
        until = time.time() + error.retry_after
        if not error.is_brief and (self._until or 0) < until:
            self._until = until
            _log.info("work in workspace '%s' pauses: %s", self._workspace, error)
        limits = self._limits()
        while (left := until - time.time()) > 0:
            await asyncio.sleep(min(left, LOOK_AGAIN))
            await self._refresh()
            if self._limits() != limits:
                self._until = None
                return

    def noted(self, use: SlotUse) -> SlotUse:
        """Return how slots are used, with the moment until which work waits."""
        until = self._until
        if until is not None and until > time.time():
            return SlotUse(use.slots, use.busy, max(until, use.paused_until or until))
        return use
