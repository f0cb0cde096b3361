"""What was used: sums over the ledger by day, model and token, and its rows."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import func, select

from lightrag.errors import InvalidInput
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.tables import SUMMED, UsageDayRow, UsageRow

Part = Literal["day", "provider", "model", "type", "token"]
PARTS: tuple[Part, ...] = ("day", "provider", "model", "type", "token")
_EPOCH = date(1970, 1, 1)
_COLUMNS = {
    "day": UsageDayRow.day,
    "provider": UsageDayRow.provider,
    "model": UsageDayRow.model,
    "type": UsageDayRow.type,
    "token": UsageDayRow.token_id,
}


@dataclasses.dataclass(frozen=True, slots=True)
class UsageSum:
    """Sums of calls; of the parts that were not asked for nothing is said."""

    day: str | None = None
    """As 2025-12-31, in UTC."""
    provider: str | None = None
    model: str | None = None
    type: str | None = None
    token: str | None = None
    """Id of the token; empty for work that was done for nobody in particular."""
    calls: int = 0
    errors: int = 0
    cached_answers: int = 0
    """Calls that were not made because the answer was kept."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    """Micro dollars, of what has a known price."""
    unpriced_tokens: int = 0
    """Tokens of calls whose price is not known; their cost is missing from `cost`."""

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def numbers(self) -> dict[str, int]:
        """The sums by name, without money."""
        return {name: getattr(self, name) for name in SUMMED if name != "cost"}


def total_of(sums: Sequence[UsageSum]) -> UsageSum:
    """Return the sum of sums."""
    return UsageSum(**{name: sum(getattr(one, name) for one in sums) for name in SUMMED})


def day_number(day: date) -> int:
    """Return the days since 1970."""
    return (day - _EPOCH).days


class UsageReport:
    """Reads the ledger."""

    def __init__(self, database: ControlDatabase) -> None:
        self._database = database

    async def sums(
        self,
        workspace_id: str | None,
        *,
        by: Sequence[Part] = ("day", "provider", "model", "type"),
        since: date | None = None,
        until: date | None = None,
        token_id: str | None = None,
    ) -> list[UsageSum]:
        """Return sums of a workspace (None: of all), by parts and in their order; both days are included.

        Raises `InvalidInput` where the days are in the wrong order.
        """
        if since is not None and until is not None and since > until:
            raise InvalidInput(f"since ({since}) lies after until ({until})")
        columns = [_COLUMNS[part] for part in by]
        query: Any = select(*columns, *(func.sum(getattr(UsageDayRow, name)) for name in SUMMED))
        if workspace_id is not None:
            query = query.where(UsageDayRow.workspace_id == workspace_id)
        if since is not None:
            query = query.where(UsageDayRow.day >= day_number(since))
        if until is not None:
            query = query.where(UsageDayRow.day <= day_number(until))
        if token_id is not None:
            query = query.where(UsageDayRow.token_id == token_id)
        if columns:
            query = query.group_by(*columns).order_by(*columns)
        async with self._database.read() as session:
            rows = (await session.execute(query)).all()
        return [_sum(by, row) for row in rows if row[len(by)] is not None]

    async def total(self, workspace_id: str, *, since: date | None = None) -> UsageSum:
        """Return the sum of a workspace."""
        found = await self.sums(workspace_id, by=(), since=since)
        return found[0] if found else UsageSum()

    async def used_tokens(self, workspace_id: str) -> dict[tuple[str, str, str], int]:
        """Return the tokens that were ever used, by provider, model and type."""
        return {
            (str(row.provider), str(row.model), str(row.type)): row.tokens
            for row in await self.sums(workspace_id, by=("provider", "model", "type"))
        }

    async def entries(self, workspace_id: str, *, limit: int = 100, before: int | None = None) -> list[UsageRow]:
        """Return rows of the ledger, the newest first; `before`: only those of an earlier microsecond."""
        query = select(UsageRow).where(UsageRow.workspace_id == workspace_id)
        if before is not None:
            query = query.where(UsageRow.at < before)
        async with self._database.read() as session:
            return list(await session.scalars(query.order_by(UsageRow.at.desc(), UsageRow.id).limit(limit)))


def as_csv(sums: Iterable[UsageSum], by: Sequence[Part]) -> str:
    """Return sums as a table with a heading; money in US dollars."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*by, *UsageSum().numbers, "cost_usd"])
    for row in sums:
        # A name that begins like a formula is not to be one in the spreadsheet that opens this.
        parts = [_harmless(str(getattr(row, part) or "")) for part in by]
        writer.writerow([*parts, *row.numbers.values(), f"{row.cost / 1e6:.6f}"])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def _sum(by: Sequence[Part], row: Sequence[Any]) -> UsageSum:
    named: dict[str, Any] = dict(zip(by, row[: len(by)], strict=True))
    if "day" in named:
        named["day"] = (_EPOCH + timedelta(days=int(named["day"]))).isoformat()
    # Postgres gives sums as decimals.
    named.update(zip(SUMMED, map(int, row[len(by) :]), strict=True))
    return UsageSum(**named)
