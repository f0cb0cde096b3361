"""The commands on whole workspaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lightrag.cli.access_commands import AsJson, WorkingDir
from lightrag.cli.running import Where, run

workspace_app = typer.Typer(
    help="Create, look at, rename, move and remove whole workspaces. Documents that wait are left to the server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

InputDir = Annotated[
    Path | None,
    typer.Option("--input-dir", help="Folder of the documents' files; by default ./inputs.", show_default=False),
]
Name = Annotated[str, typer.Argument(help="The workspace's name; '' for the root one.")]


@workspace_app.command("create")
def workspace_create(
    name: Name,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
) -> None:
    """Create a workspace."""
    from lightrag.cli.workspaces import create as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, description)))


@workspace_app.command("list")
def workspace_list(as_json: AsJson = False, working_dir: WorkingDir = None, input_dir: InputDir = None) -> None:
    """Print the names of all workspaces."""
    from lightrag.cli.workspaces import list_all as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), as_json=as_json)))


@workspace_app.command("describe")
def workspace_describe(
    name: Name, as_json: AsJson = False, working_dir: WorkingDir = None, input_dir: InputDir = None
) -> None:
    """Print the sizes of a workspace, its models and what it has used."""
    from lightrag.cli.workspaces import describe as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, as_json=as_json)))


@workspace_app.command("rename")
def workspace_rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="The new name.")],
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
) -> None:
    """Give a workspace another name; rights, models and usage go with it. Running servers close it meanwhile."""
    from lightrag.cli.workspaces import rename as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, new_name)))


@workspace_app.command("delete")
def workspace_delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
) -> None:
    """Remove a workspace with its documents, graph, files, keys, models, usage and rights, for good.

    Running servers close it before; where one is using it, nothing is removed.
    """
    from lightrag.cli.workspaces import delete as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, is_sure=yes)))


@workspace_app.command("export")
def workspace_export(
    name: Name,
    target: Annotated[Path, typer.Argument(help="The file to write, such as tenant-a.tar.gz.")],
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
) -> None:
    """Write documents, graph, vectors and input files into one file; keys, rights and usage are not part of it."""
    from lightrag.cli.workspaces import export as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, target)))


@workspace_app.command("import")
def workspace_import(
    name: Name,
    source: Annotated[Path, typer.Argument(help="A file that export wrote.", exists=True, dir_okay=False)],
    working_dir: WorkingDir = None,
    input_dir: InputDir = None,
) -> None:
    """Make a new workspace from an exported one."""
    from lightrag.cli.workspaces import import_archive as work

    raise typer.Exit(run(work(Where(working_dir=working_dir, input_dir=input_dir), name, source)))
