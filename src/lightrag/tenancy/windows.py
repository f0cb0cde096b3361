"""The spans of time over which limits count.

Days and months are those of the calendar, in UTC. Minutes slide: a minute is counted in parts of a few seconds, and a
call counts for at least a whole minute and at most a part longer. So no span of a minute, wherever it begins, holds
more than the limit, and still one counter is changed for a call.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

MINUTE = 60
PART = 5
"""Seconds of a part of a minute."""


class LimitKind(StrEnum):
    """What is limited. Money is in micro US dollars."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    CONCURRENCY = "concurrency"
    TOKENS_PER_DAY = "tokens_per_day"
    TOKENS_PER_MONTH = "tokens_per_month"
    COST_PER_DAY = "cost_per_day"
    COST_PER_MONTH = "cost_per_month"

    @property
    def is_budget(self) -> bool:
        """Whether it is of days or months."""
        return self.value.endswith(("_day", "_month"))

    @property
    def is_money(self) -> bool:
        """Whether it is in micro dollars."""
        return self.value.startswith("cost")

    @property
    def slides(self) -> bool:
        """Whether its window is made of parts that end one after the other."""
        return self.value.endswith("_minute")

    @property
    def is_exact(self) -> bool:
        """Whether calls come in whole numbers, so that what a call needs is known before it."""
        return self in (LimitKind.CONCURRENCY, LimitKind.REQUESTS_PER_MINUTE)


class Part(NamedTuple):
    """What is counted in one part of a window."""

    start: int
    used: int
    reserved: int


def window_of(kind: LimitKind, now: float) -> int:
    """Return the start of the present window, for minutes that of its present part, in Unix seconds."""
    if kind is LimitKind.CONCURRENCY:
        return 0
    if kind.slides:
        return int(now // PART) * PART
    moment = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((moment if kind.value.endswith("_day") else moment.replace(day=1)).timestamp())


def first_of(kind: LimitKind, window: int) -> int:
    """Return the start of the earliest part that counts together with the present one."""
    return window - MINUTE if kind.slides else window


def end_of(kind: LimitKind, window: int) -> float:
    """Return when what is counted in a window, or in a part of a minute, counts no more, in Unix seconds."""
    if kind.slides:
        return window + PART + MINUTE
    start = datetime.fromtimestamp(window, UTC)
    days = 1 if kind.value.endswith("_day") else calendar.monthrange(start.year, start.month)[1]
    return (start + timedelta(days=days)).timestamp()


def free_at(kind: LimitKind, amount: int, needed: int, parts: Sequence[Part], now: float) -> float:
    """Return when a call that needs `needed` finds room in a limit of `amount`, as far as can be told."""
    if not kind.slides:
        return end_of(kind, window_of(kind, now))
    for index, part in enumerate(parts):
        left = parts[index + 1 :]
        used, reserved = sum(one.used for one in left), sum(one.reserved for one in left)
        is_last = not kind.is_exact and not reserved and used < amount
        if used + reserved + needed <= amount or is_last:
            return end_of(kind, part.start)
    return now + MINUTE
