"""`lightrag verify`, `repair`, `retry`, `config show`."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from lightrag.cli.running import FAILED, OK, Where, console, opened

if TYPE_CHECKING:
    from lightrag.indexing.verify import VerifyReport

_MORE_ROUNDS = 2
_LISTED = 50
"""Failed documents whose reasons are printed."""


async def verify(where: Where, *, as_json: bool) -> int:
    """Compare derived data with what it is derived from; exit status 1 where something does not agree."""
    async with opened(where.settings(), indexes=False) as engine:
        report = await engine.verify()
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report) | {"ok": report.ok}, ensure_ascii=False) + "\n")
    else:
        _tell(report)
        if not report.ok:
            console().print("mend it with: lightrag repair", markup=False)
    return OK if report.ok else FAILED


async def repair(where: Where) -> int:
    """Mend what `verify` finds, make missing vectors, and compare again, as long as that brings something.

    What documents and chunks lost has to be there again before it shows what the graph lacks of it.
    """
    async with opened(where.settings(), indexes=True) as engine:
        await engine.wait_until_idle()
        found = before = await engine.repair()
        await engine.wait_until_idle()
        after = await engine.verify()
        for _ in range(_MORE_ROUNDS):
            if after.ok or after.problems == before.problems:
                break
            before = await engine.repair()
            await engine.wait_until_idle()
            after = await engine.verify()
    mended = max(found.problem_count - after.problem_count, 0)
    console().print(f"mended: {mended} of {found.problem_count} problems", markup=False)
    _tell(after)
    return OK if after.ok else FAILED


async def re_embed(where: Where) -> int:
    """Make all vectors anew with the embedding model that is configured."""
    from lightrag.assembly import open_engine

    settings = where.settings()
    engine = await open_engine(settings)
    try:
        due = await engine.re_embed()
    finally:
        await engine.close()
    out = console()
    out.print(f"{due} vectors are made anew …", markup=False)
    async with opened(settings, indexes=True) as engine:
        await engine.wait_until_idle()
        report = await engine.verify()
    _tell(report)
    return OK if report.ok else FAILED


async def retry(where: Where) -> int:
    """Begin failed documents again; exit status 1 where some fail again."""
    from lightrag.types import DocStatus

    async with opened(where.settings(), indexes=True) as engine:
        await engine.retry_failed()
        await engine.wait_until_idle()
        counts = await engine.status_counts()
        failed, _ = await engine.list_documents(statuses=[DocStatus.FAILED], limit=_LISTED)
    out = console()
    out.print(", ".join(f"{count} {status.value}" for status, count in counts.items() if count), markup=False)
    for record in failed:
        out.print(f"  failed: {record.file_path}: {record.error_msg}", markup=False)
    if (more := counts[DocStatus.FAILED] - len(failed)) > 0:
        out.print(f"  … and {more} more", markup=False)
    return FAILED if counts[DocStatus.FAILED] else OK


def show_config(where: Where, *, changed_only: bool, as_json: bool) -> int:
    """Print every setting with its value and where that was set; secrets are masked."""
    settings = where.settings()
    lines = [line for line in settings.describe() if line.origin != "default" or not changed_only]
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(line) for line in lines], ensure_ascii=False) + "\n")
        return OK
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("setting", "value", "set by", "variables"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        cells = (f"{line.group}.{line.name}", line.value, line.origin, ", ".join(line.variables))
        table.add_row(*(Text(cell) for cell in cells))
    out = console()
    out.print(table)
    for warning in settings.warnings:
        out.print(f"warning: {warning}", markup=False)
    return OK


def _tell(report: VerifyReport) -> None:
    out = console()
    counts = ("documents", "chunks", "entities", "relations", "vectors")
    out.print(", ".join(f"{getattr(report, name)} {name}" for name in counts), markup=False)
    if report.stale:
        out.print(f"{report.stale} vectors or summaries are due; the pipeline makes them", markup=False)
    out.print("everything agrees" if report.ok else f"{report.problem_count} problems", markup=False)
    for problem in report.problems:
        out.print(f"  {problem}", markup=False)
    if report.problem_count > len(report.problems):
        out.print(f"  and {report.problem_count - len(report.problems)} more", markup=False)
