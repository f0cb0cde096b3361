"""`lightrag usage`."""

from __future__ import annotations

import datetime
from enum import StrEnum
from typing import Annotated

import typer

from lightrag.cli.access_commands import WorkingDir
from lightrag.cli.running import Where, run


class Form(StrEnum):
    """How sums are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def usage(
    workspace: Annotated[
        str | None, typer.Argument(help="Only of this workspace; absent: of all together.", show_default=False)
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Parts: day, provider, model, type, token.")] = "day,model",
    days: Annotated[int, typer.Option("--days", min=1, max=100_000, help="Days back from today.")] = 31,
    form: Annotated[Form, typer.Option("--form", help="How it is printed.")] = Form.TABLE,
    working_dir: WorkingDir = None,
) -> None:
    """Print what model calls have used, in tokens and money."""
    from lightrag.cli.usage import show_usage as work

    since = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days - 1)
    raise typer.Exit(run(work(Where(working_dir=working_dir), workspace, by, since, form.value)))
