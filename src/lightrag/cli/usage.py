"""Prints the sums of the ledger."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from typing import TYPE_CHECKING

from lightrag.cli.access import control_plane
from lightrag.cli.running import OK, Where, console
from lightrag.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from lightrag.tenancy.usage import Part


async def show_usage(where: Where, workspace: str | None, by: str, since: datetime.date, form: str) -> int:
    """Print what was used since a day. Raises `NotFound` for an unknown workspace, `InvalidInput`."""
    from lightrag.tenancy.usage import UsageReport, as_csv

    parts = _parts(by)
    async with control_plane(where) as plane:
        entry = await plane.directory.get(workspace) if workspace is not None else None
        if workspace is not None and entry is None:
            raise NotFound(f"There is no workspace '{workspace}' in the control plane")
        workspace_id = None if entry is None else entry.id
        rows = await UsageReport(plane.database).sums(workspace_id, by=parts, since=since)
    if form == "csv":
        sys.stdout.write(as_csv(rows, parts))
        return OK
    if form == "json":
        listed = [{name: value for name, value in dataclasses.asdict(row).items() if value is not None} for row in rows]
        sys.stdout.write(json.dumps(listed) + "\n")
        return OK
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in (*parts, "calls", "errors", "prompt", "answer", "US dollars"):
        table.add_column(heading)
    for row in rows:
        cost = f"{row.cost / 1e6:.4f}" + (" and unknown" if row.unpriced_tokens else "")
        numbers = (row.calls, row.errors, row.prompt_tokens, row.completion_tokens)
        table.add_row(*(Text(str(getattr(row, part) or "-")) for part in parts), *map(str, numbers), cost)
    console().print(table)
    return OK


def _parts(by: str) -> tuple[Part, ...]:
    from lightrag.tenancy.usage import PARTS

    wanted = {part.strip() for part in by.split(",") if part.strip()}
    if not wanted <= set(PARTS):
        raise InvalidInput(f"--by: name some of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)
