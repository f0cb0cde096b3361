"""`lightrag workspace`: whole workspaces on the server's machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lightrag.cli.access import actor, print_table
from lightrag.cli.running import OK, Where, console
from lightrag.errors import InvalidInput

if TYPE_CHECKING:
    from lightrag.workspaces.tenants import Tenants

_MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def opened(where: Where) -> AsyncIterator[Tenants]:
    """Open what there is of all workspaces; engines are opened for a look only, need no models and work nothing off."""
    from lightrag.assembly import open_engine
    from lightrag.cli.local_models import PresentControl, unasked_models
    from lightrag.engine import Engine
    from lightrag.settings import Settings
    from lightrag.tenancy.control_plane import open_control_plane
    from lightrag.workspaces.tenants import Tenants

    async def open_idle(settings: Settings, name: str) -> Engine:
        engine = await open_engine(settings, name, models=unasked_models)
        await engine.open()
        return engine

    settings = where.settings()
    plane = await open_control_plane(settings)
    tenants = Tenants(settings, PresentControl(plane), open_idle, starts_engines=False)
    try:
        yield tenants
    finally:
        await tenants.close()
        await plane.close()


async def create(where: Where, name: str, description: str) -> int:
    """Create a workspace."""
    async with opened(where) as tenants:
        await tenants.create(name, actor(), description=description)
    typer.echo(f"created '{name}'")
    return OK


async def list_all(where: Where, *, as_json: bool) -> int:
    """Print the names of all workspaces."""
    async with opened(where) as tenants:
        names, default = await tenants.names(), tenants.default
    if as_json:
        sys.stdout.write(json.dumps([{"name": name, "is_default": name == default} for name in names]) + "\n")
        return OK
    for name in names:
        typer.echo((name or "(root)") + ("  default" if name == default else ""))
    return OK


async def describe(where: Where, name: str, *, as_json: bool) -> int:
    """Print the sizes of a workspace, its models and what it has used."""
    async with opened(where) as tenants:
        report = await tenants.describe(name)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report), ensure_ascii=False) + "\n")
        return OK
    documents = ", ".join(f"{count} {status}" for status, count in report.documents.items() if count) or "none"
    rows: Sequence[Sequence[str]] = [
        ("documents", documents),
        ("entities", str(report.entities)),
        ("relations", str(report.relations)),
        ("databases", f"{report.database_bytes / _MIB:.1f} MB"),
        ("input files", f"{report.input_bytes / _MIB:.1f} MB"),
        *((f"{type} models", ", ".join(names)) for type, names in report.models.items()),
        ("model calls", f"{report.usage.get('calls', 0):,}"),
        ("tokens", f"{report.usage.get('total_tokens', 0):,}"),
        ("cost", f"{report.usage.get('cost_usd', 0):.4f} US dollars"),
        ("description", report.description or "-"),
    ]
    print_table((report.name or "(root)", ""), rows, "")
    return OK


async def rename(where: Where, name: str, new_name: str) -> int:
    """Give a workspace another name."""
    async with opened(where) as tenants:
        await tenants.rename(name, new_name, actor())
    typer.echo(f"'{name}' is named '{new_name}'")
    return OK


async def delete(where: Where, name: str, *, is_sure: bool) -> int:
    """Remove a workspace for good."""
    async with opened(where) as tenants:
        report = await tenants.describe(name)
        if not is_sure:
            count = sum(report.documents.values())
            if not sys.stdin.isatty():
                raise InvalidInput(f"'{name}' holds {count} documents; say --yes to remove it for good")
            typer.confirm(f"Remove '{name}' with its {count} documents for good?", abort=True)
        await tenants.delete(name, actor())
    typer.echo(f"removed '{name}'")
    return OK


async def export(where: Where, name: str, target: Path) -> int:
    """Write a workspace into one file."""
    async with opened(where) as tenants:
        facts = await tenants.export(name, target)
    _tell(facts.rows)
    console().print(f"exported to {target}", markup=False)
    return OK


async def import_archive(where: Where, name: str, source: Path) -> int:
    """Make a workspace from such a file."""
    async with opened(where) as tenants:
        facts = await tenants.import_archive(name, source, actor())
    _tell(facts.rows)
    typer.echo(f"imported as '{name}'")
    return OK


def _tell(rows: dict[str, int]) -> None:
    print_table(("part", "rows"), [(part, str(count)) for part, count in rows.items() if count], "nothing in it")
