"""The commands on tokens, accounts, keys and the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lightrag.cli.running import Where, run

token_app = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True, rich_markup_mode=None)
user_app = typer.Typer(help="Make, list and remove accounts.", no_args_is_help=True, rich_markup_mode=None)
keys_app = typer.Typer(
    help="The keys that guard the stored keys of model providers.", no_args_is_help=True, rich_markup_mode=None
)

WorkingDir = Annotated[
    Path | None,
    typer.Option("--working-dir", help="Folder of the databases; by default ./rag_storage.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Grants = Annotated[
    list[str] | None,
    typer.Option("--role", help="As tenant-a=editor: reader, editor or admin; may be repeated.", show_default=False),
]
Admin = Annotated[bool, typer.Option("--admin", help="Full rights on the server and in every workspace.")]


@token_app.command("create")
def token_create(
    role: Grants = None,
    admin: Admin = False,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, help="Days until it expires.", show_default=False)
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Also create the workspaces that do not exist.")] = False,
    working_dir: WorkingDir = None,
) -> None:
    """Make a token and print it, this once."""
    from lightrag.cli.access import create_token as work

    where = Where(working_dir=working_dir)
    raise typer.Exit(run(work(where, label, role or [], is_admin=admin, days=days, creates=create)))


@token_app.command("list")
def token_list(as_json: AsJson = False, working_dir: WorkingDir = None) -> None:
    """Print all tokens, without their secrets."""
    from lightrag.cli.access import list_tokens as work

    raise typer.Exit(run(work(Where(working_dir=working_dir), as_json=as_json)))


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(help="The id that `token list` prints.")], working_dir: WorkingDir = None
) -> None:
    """End a token for good; running servers refuse it from the next request on."""
    from lightrag.cli.access import revoke_token as work

    raise typer.Exit(run(work(Where(working_dir=working_dir), token_id)))


@user_app.command("put")
def user_put(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    role: Grants = None,
    admin: Admin = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="It cannot log in.")] = False,
    password: Annotated[
        bool, typer.Option("--password/--keep-password", help="Ask for a password, or keep the present one.")
    ] = True,
    working_dir: WorkingDir = None,
) -> None:
    """Create or change an account.

    Asks for the password, or reads the first line of the standard input. A new password ends all sessions.
    """
    from lightrag.cli.access import put_user as work

    where = Where(working_dir=working_dir)
    raise typer.Exit(
        run(work(where, name, role or [], is_admin=admin, is_enabled=not disabled, asks_password=password))
    )


@user_app.command("list")
def user_list(as_json: AsJson = False, working_dir: WorkingDir = None) -> None:
    """Print all accounts."""
    from lightrag.cli.access import list_users as work

    raise typer.Exit(run(work(Where(working_dir=working_dir), as_json=as_json)))


@user_app.command("delete")
def user_delete(
    name: Annotated[str, typer.Argument(help="The account's name.")], working_dir: WorkingDir = None
) -> None:
    """Remove an account; its sessions end."""
    from lightrag.cli.access import delete_user as work

    raise typer.Exit(run(work(Where(working_dir=working_dir), name)))


@keys_app.command("new")
def keys_new() -> None:
    """Print a fresh key for LIGHTRAG_KEK."""
    from lightrag.cli.access import new_key as work

    raise typer.Exit(work())


@keys_app.command("rotate")
def keys_rotate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Make a new key first and put it before the others in their file.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Replace the workspaces' own keys too, and encrypt everything anew.")
    ] = False,
    working_dir: WorkingDir = None,
) -> None:
    """Bring all stored keys under the first of the configured keys.

    Put the new key before the old one, run this, then drop the old one. Servers go on working meanwhile and take up
    the new key by themselves; only where it is in their environment (LIGHTRAG_KEK) they have to be restarted with both
    keys before. May be cut short and repeated. Exit status 1 where something cannot be read.
    """
    from lightrag.cli.access import rotate_keys as work

    where = Where(working_dir=working_dir)
    raise typer.Exit(run(work(where, is_dry=dry_run, renews=renew, adds_key=new)))


def audit(
    workspace: Annotated[str | None, typer.Option("--workspace", help="Only of this one.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most entries.")] = 50,
    as_json: AsJson = False,
    working_dir: WorkingDir = None,
) -> None:
    """Print administrative changes, newest first."""
    from lightrag.cli.access import show_audit as work

    raise typer.Exit(run(work(Where(working_dir=working_dir), workspace, limit, as_json=as_json)))
