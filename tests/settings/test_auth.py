"""Accounts and secrets in the settings: what is accepted, what is refused, and what is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError
from lightrag.passwords import check_stored, cost_of
from lightrag.settings import Settings, auth_warnings, load_settings
from lightrag.settings.auth import is_public

SECRET = {"TOKEN_SECRET": "0123456789abcdef0123456789abcdef"}
ARGON2 = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$D0VXCQFqJ4nZwXAt8GnqrZH3KsEKtMFa+RrtuXnKPFQ"
BCRYPT = "$2b$04$W/wkOyKS9YLdOb7FunUvq.6tb10VLnTGKgpY7dgw3tLpxuln8ieGS"


def load(folder: Path, **environ: str) -> Settings:
    return load_settings(None, environ, folder)


def accounts(folder: Path, text: str) -> dict[str, str]:
    settings = load(folder, AUTH_ACCOUNTS=text, **SECRET)
    return {account.name: account.password.get_secret_value() for account in settings.auth.everyone}


def refusal(folder: Path, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, **environ)
    return str(caught.value)


def warnings(folder: Path, **environ: str) -> str:
    settings = load(folder, **environ)
    return "\n".join(auth_warnings(settings.auth, settings.server))


def test_accounts_are_names_and_passwords(tmp_path: Path) -> None:
    assert accounts(tmp_path, "ada:one") == {"ada": "one"}
    assert accounts(tmp_path, "ada:one, bob:two:three") == {"ada": "one", "bob": "two:three"}
    assert accounts(tmp_path, '["ada:one,two", "bob:x"]') == {"ada": "one,two", "bob": "x"}


def test_hashes_with_commas_are_one_password(tmp_path: Path) -> None:
    text = f"ada:{ARGON2},bob:{{argon2}}{ARGON2},eve:{{bcrypt}}{BCRYPT},t:p=1"
    assert accounts(tmp_path, text) == {
        "ada": ARGON2,
        "bob": "{argon2}" + ARGON2,
        "eve": "{bcrypt}" + BCRYPT,
        "t": "p=1",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ada:hidden,bob", "entry 2 should be name:password"),
        ("hidden", "entry 1 should be name:password"),
        (":hidden", "entry 1 should be name:password"),
        ("ada:", "entry 1 should be name:password"),
        ("ada:hidden,", "entry 2 is empty"),
        ("ada:hidden,,bob:hidden", "entry 2 is empty"),
        ("ada:hidden,bob:x,ada:hidden", "entry 3 has the same name as entry 1"),
        ("ada:hidden," + "x" * 257 + ":hidden", "entry 2: the name is longer than 256"),
        ("ada:{bcrypt}hidden", "entry 1: the password looks like a hash but is not a complete one"),
        ("ada:{argon2}hidden", "entry 1: the password looks like a hash but is not a complete one"),
        ("ada:$argon2id$v=19$m=64,t=1,p=1$hidden", "entry 1: the password looks like a hash"),
        (f"ada:{ARGON2.replace('m=64', 'm=99999999')}", "entry 1: the password's hash costs too much"),
        (f"ada:{BCRYPT.replace('$04$', '$31$')}", "entry 1: the password's hash costs too much"),
        ('["ada:hidden"', "not a JSON list"),
        ('["ada:hidden", 1]', "should be a JSON list of texts"),
    ],
)
def test_a_malformed_account_is_named_by_its_position_only(tmp_path: Path, text: str, message: str) -> None:
    told = refusal(tmp_path, AUTH_ACCOUNTS=text, **SECRET)
    assert told.startswith("AUTH_ACCOUNTS (environment): ")
    assert message in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AUTH_ACCOUNTS": "ada:hidden"}, "TOKEN_SECRET is not set"),
        ({"AUTH_ACCOUNTS": "ada:hidden", "TOKEN_SECRET": "lightrag-jwt-default-secret"}, "everybody knows"),
        ({"AUTH_ACCOUNTS": "ada:hidden", "TOKEN_SECRET": "4f85ds4f56dsf46"}, "everybody knows"),
        ({"AUTH_USERNAME": "ada", "AUTH_PASSWORD": "hidden"}, "TOKEN_SECRET is not set"),
        ({"AUTH_USERNAME": "ada"}, "AUTH_USERNAME is set without AUTH_PASSWORD"),
        ({"AUTH_PASSWORD": "hidden"}, "AUTH_PASSWORD is set without AUTH_USERNAME"),
        ({"AUTH_USERNAME": "ada", "AUTH_PASSWORD": "{bcrypt}hidden"} | SECRET, "AUTH_PASSWORD: the password looks"),
        ({"TOKEN_SECRET": "-----BEGIN PUBLIC KEY-----hidden"}, "a key of another kind"),
        ({"JWT_ALGORITHM": "none"}, "should be 'HS256', 'HS384' or 'HS512'"),
        ({"JWT_ALGORITHM": "RS256"}, "should be 'HS256', 'HS384' or 'HS512'"),
        ({"TOKEN_EXPIRE_HOURS": "0"}, "greater than 0"),
        ({"TOKEN_EXPIRE_HOURS": "inf"}, "TOKEN_EXPIRE_HOURS"),
        ({"TOKEN_RENEW_THRESHOLD": "2"}, "less than or equal to 1"),
        ({"LOGIN_MAX_FAILED_ATTEMPTS": "-1"}, "greater than or equal to 0"),
        ({"LIGHTRAG_REQUIRE_AUTH": "true"}, "there are no credentials"),
        ({"LIGHTRAG_REQUIRE_AUTH": "true", "HOST": "127.0.0.1"}, "there are no credentials"),
    ],
)
def test_what_would_be_unsafe_is_refused(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    told = refusal(tmp_path, **environ)
    assert message in told
    assert "hidden" not in told


def test_a_refusal_for_want_of_a_secret_says_how_to_make_one(tmp_path: Path) -> None:
    assert "openssl rand -hex 32" in refusal(tmp_path, AUTH_ACCOUNTS="ada:x")


def test_required_credentials_close_the_ollama_routes_unless_they_are_opened(tmp_path: Path) -> None:
    environ = {"LIGHTRAG_REQUIRE_AUTH": "true", "LIGHTRAG_API_KEY": "k"}
    assert load(tmp_path, **environ).server.whitelist_paths == ("/health",)
    assert load(tmp_path, WHITELIST_PATHS="/api/*", **environ).server.whitelist_paths == ("/api/*",)
    assert load(tmp_path).server.whitelist_paths == ("/health", "/api/*")


def test_the_account_of_early_lightrag_joins_the_others(tmp_path: Path) -> None:
    environ = SECRET | {"AUTH_ACCOUNTS": "ada:one", "AUTH_PASSWORD": "two"}
    assert [str(item) for item in load(tmp_path, AUTH_USERNAME="bob", **environ).auth.everyone] == ["ada", "bob"]
    assert [str(item) for item in load(tmp_path, AUTH_USERNAME="ada", **environ).auth.everyone] == ["ada"]
    assert "have no effect" in warnings(tmp_path, AUTH_USERNAME="ada", **environ)


def test_a_public_address_without_credentials_is_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path).startswith("NO CREDENTIALS: whoever can reach 0.0.0.0:9621")
    assert warnings(tmp_path, HOST="127.0.0.1") == ""
    assert "NO CREDENTIALS" not in warnings(tmp_path, LIGHTRAG_API_KEY="k")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "server"])
def test_addresses_that_others_can_reach(host: str) -> None:
    assert is_public(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_addresses_of_this_machine_only(host: str) -> None:
    assert not is_public(host)


def test_open_doors_are_told_of(tmp_path: Path) -> None:
    told = warnings(tmp_path, LIGHTRAG_API_KEY="k")
    assert "WHITELIST_PATHS opens /api/*" in told
    assert "WHITELIST_PATHS=/health" in told
    assert warnings(tmp_path, LIGHTRAG_API_KEY="k", WHITELIST_PATHS="/health") == ""
    assert "no request needs credentials" in warnings(tmp_path, LIGHTRAG_API_KEY="k", WHITELIST_PATHS="/*")
    assert "'api/*' opens nothing" in warnings(tmp_path, HOST="::1", WHITELIST_PATHS="api/*")
    assert "shorter than 32 bytes" in warnings(tmp_path, AUTH_ACCOUNTS="a:b", TOKEN_SECRET="your-key")


def test_what_the_settings_show_holds_no_password(tmp_path: Path) -> None:
    settings = load(tmp_path, AUTH_ACCOUNTS="ada:hidden,bob:hidden", TOKEN_SECRET="hidden" * 6)
    shown = {line.name: line.value for line in settings.describe() if line.group == "auth"}
    assert shown["accounts"] == "ada, bob"
    assert "hidden" not in str(shown) + repr(settings)


def test_a_misspelt_variable_of_logins_is_told_of(tmp_path: Path) -> None:
    assert "did you mean AUTH_ACCOUNTS?" in "\n".join(load(tmp_path, AUTH_ACCOUNT="a:b").warnings)


def test_forms_of_stored_passwords() -> None:
    for stored in ("plain", "{sha}x", "$5$x", "$x", ARGON2, "{argon2}" + ARGON2, BCRYPT, "{bcrypt}" + BCRYPT):
        check_stored(stored)
    assert cost_of("plain") == "plain"
    assert cost_of("{bcrypt}" + BCRYPT) == cost_of(BCRYPT) == "bcrypt 04"
    assert cost_of(ARGON2) == "argon2id m=64 t=1 p=1"
