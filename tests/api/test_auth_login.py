"""Logging in, staying logged in, and not guessing passwords."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from lightrag.api import auth_login, auth_tokens
from lightrag.api.auth_login import ConfiguredAccounts, LoginDesk, LoginLimit, TooManyLogins, network_of
from lightrag.api.auth_tokens import Claims, TokenSigner
from lightrag.api.logs import secrets_of
from lightrag.passwords import is_right, make_hash
from lightrag.settings import load_settings

from .conftest import Served
from .test_auth import ACCOUNTS, BOTH, KEY, PATH, SECRET, bearer, token

ARGON2 = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$D0VXCQFqJ4nZwXAt8GnqrZH3KsEKtMFa+RrtuXnKPFQ"
"""Of `geheim`, cheap enough for tests."""
NAMES = {
    "auth_mode",
    "core_version",
    "api_version",
    "webui_title",
    "webui_description",
    "ai_content_notice_enabled",
}


async def log_in(client: httpx.AsyncClient, name: str, password: str, **more: str) -> httpx.Response:
    return await client.post("/login", data={"username": name, "password": password} | more)


async def test_logging_in_gives_a_token_that_opens(scripted: Served) -> None:
    async with scripted(**ACCOUNTS, WEBUI_TITLE="Archive") as (client, _):
        answer = await log_in(client, "ada", "pass-of-ada", grant_type="password", scope="", client_id="x")
        body = answer.json()
        assert answer.status_code == 200
        assert set(body) == NAMES | {"access_token", "token_type"}
        assert (body["token_type"], body["auth_mode"], body["webui_title"]) == ("bearer", "enabled", "Archive")
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await client.get(PATH, headers=bearer(body["access_token"]))).status_code == 200
    claims = jwt.decode(body["access_token"], SECRET, algorithms=["HS256"])
    assert claims == {"sub": "ada", "exp": claims["exp"], "role": "user", "metadata": {"auth_mode": "enabled"}}
    assert claims["exp"] == pytest.approx(time.time() + 48 * 3600, abs=60)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", "pass-of-bob"),
        ("eve", "x"),
        ("ADA", "pass-of-ada"),
        ("x" * 9000, "x"),
        ("ada", ""),
        ("ada", "é\x00" * 500),
    ],
)
async def test_wrong_credentials(scripted: Served, name: str, password: str) -> None:
    async with scripted(**ACCOUNTS) as (client, _):
        answer = await log_in(client, name, password)
    if password:
        assert (answer.status_code, answer.json()) == (401, {"detail": "Incorrect credentials"})
    else:
        assert answer.status_code in {401, 422}


async def test_an_incomplete_form_is_told_so_and_echoes_no_password(scripted: Served) -> None:
    async with scripted(**ACCOUNTS) as (client, _):
        nameless = await client.post("/login", data={"password": "pass-of-ada"})
        as_json = await client.post("/login", json={"username": "ada", "password": "pass-of-ada"})
    assert (nameless.status_code, as_json.status_code) == (422, 422)
    assert nameless.json()["detail"][0]["loc"] == ["body", "username"]
    assert "pass-of-ada" not in nameless.text + as_json.text


async def test_without_accounts_everybody_is_a_guest(scripted: Served) -> None:
    async with scripted() as (client, _):
        login = (await log_in(client, "any", "thing")).json()
        status = (await client.get("/auth-status")).json()
        assert (await client.get(PATH, headers=bearer(login["access_token"]))).status_code == 200
    assert set(login) == NAMES | {"access_token", "token_type", "message"}
    assert set(status) == set(login) | {"auth_configured"}
    assert status["message"] == login["message"] == "Authentication is disabled. Using guest access."
    assert (status["auth_configured"], status["auth_mode"], login["auth_mode"]) == (False, "disabled", "disabled")
    claims = jwt.decode(status["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["metadata"]) == ("guest", "guest", {"auth_mode": "disabled"})
    assert claims["exp"] == pytest.approx(time.time() + 24 * 3600, abs=60)


async def test_with_accounts_the_status_gives_no_token(scripted: Served) -> None:
    async with scripted(**BOTH) as (client, _):
        status = (await client.get("/auth-status")).json()
    assert set(status) == NAMES | {"auth_configured"}
    assert (status["auth_configured"], status["auth_mode"]) == (True, "enabled")


async def test_both_variables_of_early_lightrag_make_an_account(scripted: Served) -> None:
    environ = {"AUTH_USERNAME": "admin", "AUTH_PASSWORD": "admin123", "TOKEN_SECRET": "your-key"}
    async with scripted(**environ, TOKEN_EXPIRE_HOURS="4") as (client, _):
        answer = await log_in(client, "admin", "admin123")
        assert (await client.get(PATH, headers=bearer(answer.json()["access_token"]))).status_code == 200
    claims = jwt.decode(answer.json()["access_token"], "your-key".ljust(32, "\0"), algorithms=["HS256"])
    assert claims["exp"] == pytest.approx(time.time() + 4 * 3600, abs=60)


@pytest.mark.parametrize("prefix", ["", "{argon2}"])
async def test_hashed_passwords(scripted: Served, prefix: str) -> None:
    bcrypt_hash = "{bcrypt}$2b$04$W/wkOyKS9YLdOb7FunUvq.6tb10VLnTGKgpY7dgw3tLpxuln8ieGS"  # of 72 times x
    accounts = f"ada:{prefix}{ARGON2},bob:{bcrypt_hash},eve:plain"
    async with scripted(AUTH_ACCOUNTS=accounts, TOKEN_SECRET=SECRET) as (client, _):
        right = await log_in(client, "ada", "geheim")
        wrong = await log_in(client, "ada", "geheim!")
        as_hash = await log_in(client, "ada", ARGON2)
        bob = await log_in(client, "bob", "x" * 100)
        eve = await log_in(client, "eve", "plain")
    assert [item.status_code for item in (right, wrong, as_hash, bob, eve)] == [200, 401, 401, 200, 200]


@pytest.mark.parametrize("scheme", ["argon2", "bcrypt"])
def test_a_hash_that_was_made_fits_its_password_only(scheme: Any) -> None:
    made = make_hash("correct horse", scheme)
    assert "correct" not in made
    assert is_right(made, "correct horse")
    assert not is_right(made, "correct house")
    assert not is_right(made, made)


async def test_after_too_many_failures_a_client_has_to_wait(scripted: Served) -> None:
    async with scripted(**ACCOUNTS, LOGIN_MAX_FAILED_ATTEMPTS="2") as (client, _):
        failures = [(await log_in(client, "ada", "guess")).status_code for _ in range(2)]
        locked = await log_in(client, "ada", "pass-of-ada")
        other = await log_in(client, "bob", "pass-of-bob")
    assert failures == [401, 401]
    assert locked.status_code == 429
    assert locked.json() == {"detail": "Too many failed login attempts. Please try again later."}
    assert 0 < int(locked.headers["Retry-After"]) <= 300
    assert other.status_code == 200


async def test_many_guesses_at_once_are_no_way_around(scripted: Served) -> None:
    async with scripted(**ACCOUNTS) as (client, _):
        answers = await asyncio.gather(*(log_in(client, "ada", f"guess {n}") for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15


async def test_the_limit_can_be_switched_off(scripted: Served) -> None:
    async with scripted(**ACCOUNTS, LOGIN_MAX_FAILED_ATTEMPTS="0") as (client, _):
        answers = [(await log_in(client, "ada", "guess")).status_code for _ in range(8)]
    assert answers == [401] * 8


def test_failures_are_forgotten_with_time_and_by_success() -> None:
    now = 0.0
    limit = LoginLimit(2, 60, lambda: now)
    limit.attempt("1.2.3.4", "ada")
    now = 30.0
    limit.attempt("1.2.3.4", "ada")
    with pytest.raises(TooManyLogins) as caught:
        limit.attempt("1.2.3.4", "ada")
    assert caught.value.retry_after == 30
    limit.attempt("1.2.3.5", "ada")
    now = 61.0
    limit.attempt("1.2.3.4", "ada")
    limit.succeeded("1.2.3.4", "ada")
    limit.attempt("1.2.3.4", "ada")
    limit.attempt("1.2.3.4", "ada")


def test_the_memory_of_failures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_login, "MAX_TRACKED", 50)
    limit = LoginLimit(5, 60)
    for n in range(500):
        limit.attempt("1.2.3.4", f"name {n}")
    assert len(limit) == 50


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_what_counts_as_one_client(client: str, network: str) -> None:
    assert network_of(client) == network


async def test_unknown_names_cost_what_known_ones_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checked: list[str] = []
    threads = set()

    def note(stored: str, password: str) -> bool:
        checked.append(auth_login.cost_of(stored))
        threads.add(threading.current_thread())
        return is_right(stored, password)

    monkeypatch.setattr(auth_login, "is_right", note)
    environ = {"AUTH_ACCOUNTS": f"ada:{ARGON2},bob:plain,eve:{ARGON2}", "TOKEN_SECRET": SECRET}
    settings = load_settings(None, environ, tmp_path)
    desk = LoginDesk(settings.auth, [ConfiguredAccounts(settings.auth.everyone)])
    costs = []
    for name, password in (
        ("ada", "geheim"),
        ("eve", "no"),
        ("bob", "plain"),
        ("nobody", "plain"),
        ("nobody", "geheim"),
    ):
        checked.clear()
        someone = await desk.log_in("1.2.3.4", name, password)
        assert (someone is not None) == (name in {"ada", "bob"})
        costs.append(sorted(checked))
    assert costs == [["argon2id m=64 t=1 p=1", "plain"]] * 5
    assert threading.main_thread() not in threads


async def test_a_token_is_renewed_before_it_expires_but_not_by_polling(scripted: Served) -> None:
    old = bearer(token(hours=20))
    async with scripted(**ACCOUNTS) as (client, _):
        for path in ("/health", "/documents/pipeline_status", "/openapi.json"):
            assert "X-New-Token" not in (await client.get(path, headers=old)).headers
        assert "X-New-Token" not in (await client.get(PATH, headers=bearer(token(hours=40)))).headers
        first = await client.get(PATH, headers=old)
        again = await client.get(PATH, headers=old)
        other = await client.get(PATH, headers=bearer(token("bob", hours=20)))
        fresh = first.headers["X-New-Token"]
        assert (await client.get(PATH, headers=bearer(fresh))).status_code == 200
    assert first.headers["Cache-Control"] == "no-store"
    assert jwt.decode(fresh, SECRET, algorithms=["HS256"])["exp"] == pytest.approx(time.time() + 48 * 3600, abs=60)
    assert "X-New-Token" not in again.headers
    assert "X-New-Token" in other.headers


@pytest.mark.parametrize(
    ("environ", "hours", "renewed"),
    [
        ({"TOKEN_AUTO_RENEW": "false"}, 1, False),
        ({"TOKEN_RENEW_THRESHOLD": "0.1"}, 6, False),
        ({"TOKEN_RENEW_THRESHOLD": "0.1"}, 4, True),
        ({"TOKEN_EXPIRE_HOURS": "1"}, 0.6, False),
    ],
)
async def test_when_tokens_are_renewed(scripted: Served, environ: dict[str, str], hours: float, renewed: bool) -> None:
    async with scripted(**ACCOUNTS, **environ) as (client, _):
        answer = await client.get(PATH, headers=bearer(token(hours=hours)))
    assert ("X-New-Token" in answer.headers) == renewed


async def test_a_token_may_be_signed_with_a_longer_hash(scripted: Served) -> None:
    async with scripted(**ACCOUNTS, JWT_ALGORITHM="HS512") as (client, _):
        body = (await log_in(client, "ada", "pass-of-ada")).json()
        assert jwt.get_unverified_header(body["access_token"])["alg"] == "HS512"
        assert (await client.get(PATH, headers=bearer(body["access_token"]))).status_code == 200
        assert (await client.get(PATH, headers=bearer(token()))).status_code == 401


async def test_web_pages_may_read_the_new_token_but_get_no_cookies(scripted: Served) -> None:
    origin = {"Origin": "http://app.example"}
    async with scripted(**BOTH) as (client, _):
        anywhere = await client.get("/auth/verify", headers=origin)
    async with scripted(**BOTH, CORS_ORIGINS="http://app.example") as (client, _):
        named = await client.get("/auth/verify", headers=origin)
        stranger = await client.get("/auth/verify", headers={"Origin": "http://evil.example"})
    assert anywhere.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in anywhere.headers
    assert "X-New-Token" in anywhere.headers["access-control-expose-headers"]
    assert named.headers["access-control-allow-origin"] == "http://app.example"
    assert named.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in stranger.headers


async def test_the_document_lets_one_log_in_from_the_pages(scripted: Served) -> None:
    async with scripted(**KEY) as (client, _):
        document = (await client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["APIKeyHeader"]["name"] == "X-API-Key"
    assert schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"] == "login"
    assert document["paths"]["/query"]["post"]["security"] == [{"APIKeyHeader": []}, {"OAuth2PasswordBearer": []}]
    form = document["paths"]["/login"]["post"]["requestBody"]["content"]
    assert set(form) == {"application/x-www-form-urlencoded"}


def test_the_log_masks_the_secrets_of_accounts(tmp_path: Path) -> None:
    settings = load_settings(None, ACCOUNTS | {"AUTH_USERNAME": "x", "AUTH_PASSWORD": "pass-of-x"}, tmp_path)
    assert {SECRET, "pass-of-ada", "pass-of-bob", "pass-of-x"} <= set(secrets_of(settings))
    assert "pass-of" not in repr(settings) + str(settings.describe())


def test_a_token_that_was_good_ends_all_the_same(tmp_path: Path) -> None:
    now = time.time()
    signer = TokenSigner(load_settings(None, ACCOUNTS, tmp_path).auth, lambda: now)
    shown = token(hours=1)
    assert isinstance(signer.read(shown), Claims)
    assert isinstance(signer.read(shown), Claims)
    now += 3601
    assert signer.read(shown) == auth_tokens.EXPIRED
    assert signer.read(shown) == auth_tokens.EXPIRED


def test_what_is_remembered_of_tokens_is_bounded_and_of_one_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_tokens, "_MAX_VERIFIED", 10)
    signer = TokenSigner(load_settings(None, {}, tmp_path).auth)
    shown = [signer.make(f"guest {n}", "guest") for n in range(30)]
    assert all(isinstance(signer.read(item), Claims) for item in shown)
    assert len(signer._verified) == 10
    signer.share_secret(tmp_path)
    assert not any(isinstance(signer.read(item), Claims) for item in shown)
