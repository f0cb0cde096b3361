"""`lightrag hash-password`, also under LightRAG's name `lightrag-hash-password`."""

from __future__ import annotations

import sys

import typer

from lightrag.passwords import Scheme, make_hash


def hash_password(scheme: Scheme) -> int:
    """Print the hash of a password that is asked for twice, or of the first line of the standard input."""
    try:
        typer.echo(make_hash(read_password(), scheme))
    except UnicodeError:
        typer.echo("The password is not UTF-8 text.", err=True)
        return 1
    except ValueError as error:
        typer.echo(f"{error}.", err=True)
        return 1
    return 0


def read_password() -> str:
    """Return a password that is asked for twice, or the first line of the standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.buffer.readline().decode("utf-8").rstrip("\r\n")


def main() -> None:
    """Run the command by itself."""
    from lightrag.cli.main import hash_password as command

    alone = typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    alone.command()(command)
    alone(prog_name="lightrag-hash-password")
