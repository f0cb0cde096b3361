"""Tokens, accounts, keys and the audit log from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightrag.cli.main import app


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Run commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("LIGHTRAG_KEK", "LIGHTRAG_CONTROL_DSN", "WORKING_DIR"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_a_token_is_made_listed_and_revoked(cli: CliRunner) -> None:
    made = cli.invoke(app, ["token", "create", "--role", "tenant-a=editor", "--create", "--label", "ci"])
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert token.startswith("lrt_")
    [entry] = json.loads(cli.invoke(app, ["token", "list", "--json"]).stdout)
    assert entry["roles"] == {"tenant-a": "editor"}
    assert token not in json.dumps(entry)
    assert cli.invoke(app, ["token", "revoke", entry["id"]]).exit_code == 0
    assert json.loads(cli.invoke(app, ["token", "list", "--json"]).stdout)[0]["revoked_at"]
    assert "token.revoke" in cli.invoke(app, ["audit"]).stdout


def test_wrong_grants_are_explained(cli: CliRunner) -> None:
    for grant in ("tenant-a", "tenant-a=king", "=", "tenant-a=editor=x"):
        answer = cli.invoke(app, ["token", "create", "--role", grant])
        assert answer.exit_code == 2
        assert "WORKSPACE=reader" in answer.stderr
    unknown = cli.invoke(app, ["token", "create", "--role", "ghost=reader"])
    assert unknown.exit_code == 1
    assert "create it first" in unknown.stderr


def test_an_account_takes_its_password_from_the_standard_input(cli: CliRunner) -> None:
    made = cli.invoke(app, ["user", "put", "ann", "--admin"], input="correct horse\n")
    assert made.exit_code == 0, made.output
    assert json.loads(cli.invoke(app, ["user", "list", "--json"]).stdout)[0]["is_admin"] is True
    assert cli.invoke(app, ["user", "put", "bob", "--admin"], input="short\n").exit_code == 2
    assert cli.invoke(app, ["user", "delete", "ann"]).exit_code == 0
    assert cli.invoke(app, ["user", "delete", "ann"]).exit_code == 1


def test_a_new_key_is_made_and_put_in_use_by_one_command(cli: CliRunner) -> None:
    assert cli.invoke(app, ["token", "create", "--admin"]).exit_code == 0
    path = Path("rag_storage/control.key")
    old = path.read_text().strip()
    rotated = cli.invoke(app, ["keys", "rotate", "--new", "--renew"])
    assert rotated.exit_code == 0, rotated.output
    assert "control.key" in rotated.stdout
    new, kept = path.read_text().split()
    assert (kept, new != old) == (old, True)
    assert new not in rotated.output
    assert "keys.rotate" in cli.invoke(app, ["audit"]).stdout
    refused = cli.invoke(app, ["keys", "rotate", "--new", "--dry-run"])
    assert (refused.exit_code, path.read_text().split()) == (2, [new, kept])


def test_keys_are_rotated_with_both_at_hand(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (cli.invoke(app, ["keys", "new"]).stdout.strip() for _ in range(2))
    assert old != new
    monkeypatch.setenv("LIGHTRAG_KEK", old)
    assert cli.invoke(app, ["keys", "rotate", "--dry-run"]).exit_code == 0
    monkeypatch.setenv("LIGHTRAG_KEK", f"{new},{old}")
    assert "0 changed" in cli.invoke(app, ["keys", "rotate", "--renew"]).stdout
    monkeypatch.setenv("LIGHTRAG_KEK", "nonsense")
    refused = cli.invoke(app, ["keys", "rotate"])
    assert refused.exit_code == 2
    assert "lightrag keys new" in refused.stderr


def test_a_workspace_goes_through_its_life(cli: CliRunner, tmp_path: Path) -> None:
    assert cli.invoke(app, ["workspace", "create", "a", "--description", "first"]).exit_code == 0
    assert cli.invoke(app, ["workspace", "create", "a"]).exit_code == 1
    assert cli.invoke(app, ["workspace", "create", "../x"]).exit_code == 2
    assert json.loads(cli.invoke(app, ["workspace", "list", "--json"]).stdout) == [
        {"name": "", "is_default": True},
        {"name": "a", "is_default": False},
    ]
    assert json.loads(cli.invoke(app, ["workspace", "describe", "a", "--json"]).stdout)["entities"] == 0
    assert cli.invoke(app, ["workspace", "export", "a", str(tmp_path / "a.tar.gz")]).exit_code == 0
    assert cli.invoke(app, ["workspace", "import", "b", str(tmp_path / "a.tar.gz")]).exit_code == 0
    assert cli.invoke(app, ["workspace", "rename", "b", "c"]).exit_code == 0
    assert cli.invoke(app, ["workspace", "delete", "c"]).exit_code == 2
    assert cli.invoke(app, ["workspace", "delete", "c", "--yes"]).exit_code == 0
    assert cli.invoke(app, ["workspace", "describe", "c"]).exit_code == 1
