"""The ledger of model calls: one row a call, never changed, with sums by day that are kept in the same transaction.

Rows are collected and written together, within a second and at the end. A process that is killed loses at most the
rows of its last second.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import LightRAGError
from lightrag.tenancy.contracts import ModelType, Price
from lightrag.tenancy.database import ControlDatabase, new_key, now_microseconds
from lightrag.tenancy.tables import SUMMED, UsageDayRow, UsageRow, WorkspaceRow

FLUSH_SECONDS = 0.5
MOST_WAITING = 100_000
"""Rows that are held while the database does not answer; what comes beyond is lost, and the log says how much."""
_AT_ONCE = 500
_DAY = 86_400_000_000

OK, ERROR, ABORTED, CACHED = "ok", "error", "aborted", "cached"
PROBE = "probe"
"""The operation of calls that only try a model."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class UsageEntry:
    """One call of a model, what one caller pays of a call that serves several, or a call that a kept answer saved."""

    workspace_id: str
    provider: str
    model: str
    type: ModelType
    operation: str
    """extract | summary | keywords | answer | embed | rerank | probe | …"""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt tokens."""
    completion_tokens: int = 0
    is_estimated: bool = False
    cost: int | None = None
    """Micro dollars; None where the price is not known."""
    milliseconds: int = 0
    outcome: str = OK
    """ok | error | aborted | cached"""
    token_id: str | None = None
    request_id: str = ""
    part_of: str | None = None
    """The entry of the same call under which it is counted; only that one counts as a call."""
    at: int = dataclasses.field(default_factory=now_microseconds)
    """Microseconds since 1970."""
    id: str = dataclasses.field(default_factory=new_key)

    @property
    def is_call(self) -> bool:
        """Whether it stands for a call that was made."""
        return self.part_of is None and self.outcome != CACHED

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens


def priced(entry: UsageEntry, price: Price) -> UsageEntry:
    """Return the entry with its cost."""
    cost = price.cost(entry.prompt_tokens, entry.cached_tokens, entry.completion_tokens)
    return dataclasses.replace(entry, cost=cost)


class Ledger:
    """Takes entries at once and writes them soon. Belongs to one event loop; close it to have everything written."""

    def __init__(self, database: ControlDatabase, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._database = database
        self._flush_seconds = flush_seconds
        self._waiting: deque[UsageEntry] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._lost = 0

    @property
    def waiting(self) -> int:
        """How many entries are not written yet."""
        return len(self._waiting)

    def record(self, entry: UsageEntry) -> None:
        """Take an entry; it is written within a second. Needs a running event loop."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            if self._lost % 1000 == 1:
                _log.error("the usage ledger cannot be written; %d entries are lost so far", self._lost)
            return
        self._waiting.append(entry)
        self._wake.set()
        if self._task is None or self._task.done():
            # In a context of its own: it is nobody's call, of no workspace.
            self._task = asyncio.create_task(self._run(), name="usage-ledger", context=contextvars.Context())

    async def flush(self) -> None:
        """Write everything that waits. Raises `StorageError`; what was not written goes on waiting."""
        async with self._writing:
            while self._waiting:
                batch = [self._waiting[index] for index in range(min(_AT_ONCE, len(self._waiting)))]
                await self._write(batch)
                for _ in batch:
                    self._waiting.popleft()

    async def close(self) -> None:
        """Write everything and stop. Where the database fails, the log says what is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        try:
            await self.flush()
        except LightRAGError as error:
            _log.error("%d entries of the usage ledger are lost: %s", len(self._waiting), error)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._flush_seconds)
            self._wake.clear()
            try:
                # Cancelled in the middle, a write may or may not have been done: entries are told apart by their ids.
                await self.flush()
            except LightRAGError as error:
                _log.warning("the usage ledger is written later: %s", error)
                self._wake.set()

    async def _write(self, batch: Sequence[UsageEntry]) -> None:
        async with self._database.begin() as session:
            alive = await _existing(session, {entry.workspace_id for entry in batch})
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            entries = [entry for entry in batch if entry.workspace_id in alive]
            if not entries:
                return
            done = set(
                await session.scalars(select(UsageRow.id).where(UsageRow.id.in_([entry.id for entry in entries])))
            )
            fresh = [entry for entry in entries if entry.id not in done]
            if not fresh:
                return
            await session.execute(insert(UsageRow).values([_row(entry) for entry in fresh]))
            # One statement per key and in one order, so that two processes wait for each other and never in a circle.
            for row in _sums(fresh):
                statement: Any = insert(UsageDayRow).values(row)
                added = {name: getattr(UsageDayRow, name) + row[name] for name in SUMMED}
                await session.execute(statement.on_conflict_do_update(index_elements=_DAY_KEY, set_=added))


_DAY_KEY = ("workspace_id", "day", "token_id", "provider", "model", "type")


async def _existing(session: AsyncSession, ids: Iterable[str]) -> set[str]:
    # Nothing is left of a workspace that was removed, and nothing comes back.
    return set(await session.scalars(select(WorkspaceRow.id).where(WorkspaceRow.id.in_(sorted(ids)))))


def _row(entry: UsageEntry) -> dict[str, Any]:
    return {
        **{field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)},
        "type": str(entry.type),
        "provider": entry.provider[:128],
        "model": entry.model[:255],
        "operation": entry.operation[:16],
        "request_id": entry.request_id[:64],
    }


def _sums(entries: Sequence[UsageEntry]) -> list[dict[str, Any]]:
    """Return the rows by day and model, in the order of their keys."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        key = (
            entry.workspace_id,
            entry.at // _DAY,
            entry.token_id or "",
            entry.provider[:128],
            entry.model[:255],
            str(entry.type),
        )
        row = rows.setdefault(key, {**dict(zip(_DAY_KEY, key, strict=True)), **dict.fromkeys(SUMMED, 0)})
        row["calls"] += entry.is_call
        row["errors"] += entry.is_call and entry.outcome == ERROR
        row["cached_answers"] += entry.outcome == CACHED
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            row[name] += getattr(entry, name)
        row["cost"] += entry.cost or 0
        row["unpriced_tokens"] += entry.tokens if entry.cost is None else 0
    return [rows[key] for key in sorted(rows)]
