"""`lightrag hash-password`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from lightrag.cli.main import app
from lightrag.passwords import is_right

runner = CliRunner()


@pytest.mark.parametrize(("scheme", "prefix"), [("argon2", "$argon2id$"), ("bcrypt", "{bcrypt}$2b$")])
def test_a_password_on_the_standard_input_becomes_a_hash(scheme: str, prefix: str) -> None:
    result = runner.invoke(app, ["hash-password", "--scheme", scheme], input="correct horse, ü\nrest\n")
    assert result.exit_code == 0
    assert result.stdout.startswith(prefix)
    assert "correct" not in result.output
    assert is_right(result.stdout.strip(), "correct horse, ü")


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        ([], b"\n", "empty"),
        ([], b"\xff\n", "UTF-8"),
        (["--scheme", "bcrypt"], b"x" * 73, "at most 72 bytes"),
        (["--scheme", "md5"], b"x", "not argon2 or bcrypt"),
        (["secret"], b"x", "unexpected extra argument"),
    ],
)
def test_what_cannot_be_hashed_is_told(arguments: list[str], text: bytes, message: str) -> None:
    result = runner.invoke(app, ["hash-password", *arguments], input=text)
    assert result.exit_code in {1, 2}
    assert message in result.output
    assert "$" not in result.output
