"""Who pays for indexing beside the workspace, and whose work waits because a limit of theirs is reached.

A document names the token that brought it. What is made of it is charged to that token; where a limit of the token does
not allow that at present, its documents wait and those of others go on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable

from lightrag.callers import Caller
from lightrag.errors import LimitReached
from lightrag.types import BROUGHT_BY, DocumentRecord

TRY_AGAIN_SECONDS = 60.0
"""After how long a token's work is tried again at the latest: the limit may have been raised unnoticed."""

LimitsOf = Callable[[str], Awaitable[object]]
"""Returns the limits of a token as they are known at this moment, to be compared with later ones."""


def caller_of(record: DocumentRecord) -> Caller:
    """Return on whose behalf a document is indexed."""
    if record.delete_requested:
        return Caller(request_id=record.track_id)
    return Caller(str(record.metadata.get(BROUGHT_BY) or "") or None, record.track_id)


def brought_by(token_id: str | None) -> dict[str, str]:
    """Return the part of a document's metadata that says who brought it."""
    return {BROUGHT_BY: token_id} if token_id else {}


async def _unlimited(_token_id: str) -> object:
    return ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Pause:
    error: LimitReached
    until: float
    """When the limit allows calls again."""
    look_at: float
    """When it is tried again."""
    limits: object


class Pauses:
    """Whose work waits. Kept in this process: another one learns of a limit when it meets it."""

    def __init__(self, limits_of: LimitsOf = _unlimited, clock: Callable[[], float] = time.time) -> None:
        self._limits_of = limits_of
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    async def note(self, error: LimitReached) -> bool:
        """Note whose limit is reached; return whether it is a token's that was not known to wait."""
        token = error.holds_back
        if token is None:
            return False
        is_news = token not in self._pauses
        now = self._clock()
        look_at = now + min(error.retry_after, TRY_AGAIN_SECONDS)
        self._pauses[token] = _Pause(error, now + error.retry_after, look_at, await self._limits_of(token))
        return is_news

    def error(self, token: str) -> LimitReached | None:
        """Return the limit for which a token's work waits."""
        pause = self._pauses.get(token)
        return pause.error if pause is not None else None

    def waiting(self) -> frozenset[str]:
        """Return the tokens whose work waits."""
        return frozenset(self._pauses)

    def until(self) -> float | None:
        """Return when the first of them may go on, in Unix seconds."""
        return min((pause.until for pause in self._pauses.values()), default=None)

    async def refresh(self) -> None:
        """Let go on whose limit allows calls again, or was changed."""
        for token, pause in list(self._pauses.items()):
            if pause.look_at <= self._clock() or await self._limits_of(token) != pause.limits:
                self._pauses.pop(token, None)
