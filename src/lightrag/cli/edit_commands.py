"""`lightrag edits list` and `undo`."""

from __future__ import annotations

from typing import Annotated

import typer

from lightrag.cli.access_commands import WorkingDir
from lightrag.cli.running import Where, run

edits_app = typer.Typer(
    help="Look at and undo changes of the graph by hand.", no_args_is_help=True, rich_markup_mode=None
)

Url = Annotated[str | None, typer.Option("--url", help="Work on the server at this address.", show_default=False)]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="Key of that server; by default LIGHTRAG_API_KEY.", show_default=False),
]
Workspace = Annotated[
    str | None, typer.Option("--workspace", help="Name of the workspace; by default WORKSPACE.", show_default=False)
]


@edits_app.command("list")
def list_edits(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most edits to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    workspace: Workspace = None,
) -> None:
    """Print the edits, the newest first."""
    from lightrag.cli.edits import show_edits as work

    where = Where(url=url, api_key=api_key, working_dir=working_dir, workspace=workspace)
    raise typer.Exit(run(work(where, limit, as_json=as_json)))


@edits_app.command("undo")
def undo(
    edit_id: Annotated[str, typer.Argument(help="The edit's id, as 'lightrag edits list' prints it.")],
    url: Url = None,
    api_key: ApiKey = None,
    working_dir: WorkingDir = None,
    workspace: Workspace = None,
) -> None:
    """Take an edit back; the graph becomes what the other edits and the documents make of it."""
    from lightrag.cli.edits import undo_edit as work

    where = Where(url=url, api_key=api_key, working_dir=working_dir, workspace=workspace)
    raise typer.Exit(run(work(where, edit_id)))
