"""Who is let in: tokens, keys, guests, and what each is told when not."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightrag.api.app import create_app
from lightrag.api.auth import OpenPaths, principal_of, read_credentials
from lightrag.api.auth_access import Access
from lightrag.api.auth_principal import STRANGER, Admission, Credentials, Principal, Refusal, Verdict
from lightrag.settings import load_settings

from .conftest import Served

SECRET = "0123456789abcdef0123456789abcdef"
ACCOUNTS = {"AUTH_ACCOUNTS": "ada:pass-of-ada,bob:pass-of-bob", "TOKEN_SECRET": SECRET}
KEY = {"LIGHTRAG_API_KEY": "right-key"}
BOTH = ACCOUNTS | KEY
PATH = "/documents/status_counts"


def token(
    sub: str = "ada",
    *,
    hours: float = 48,
    role: str | None = "user",
    secret: str = SECRET,
    alg: str = "HS256",
    **more: Any,
) -> str:
    claims = {"sub": sub, "exp": time.time() + hours * 3600, **more} | ({} if role is None else {"role": role})
    return jwt.encode(claims, secret, algorithm=alg)


def unsigned(alg: str) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part({'sub': 'ada', 'exp': time.time() + 99_999, 'role': 'user'})}."


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def key(value: str) -> dict[str, str]:
    return {"X-API-Key": value}


NO_LOGIN = (401, "No credentials provided. Please login.")
INVALID = (401, "Invalid token")
AGAIN = (401, "Invalid token. Please login again.")
EXPIRED = (401, "Token expired")
NO_KEY = (403, "API Key required")
WRONG_KEY = (403, "Invalid API Key")

TABLE: list[tuple[str, dict[str, str], dict[str, str], tuple[int, str] | None]] = [
    ("nothing configured, nothing shown", {}, {}, None),
    ("nothing configured, some key", {}, key("any"), None),
    ("nothing configured, no token at all", {}, bearer("x"), INVALID),
    ("nothing configured, a user's token", {"TOKEN_SECRET": SECRET}, bearer(token()), AGAIN),
    ("nothing configured, a guest's token", {"TOKEN_SECRET": SECRET}, bearer(token("guest", role="guest")), None),
    ("key, nothing shown", KEY, {}, NO_KEY),
    ("key, wrong", KEY, key("wrong"), WRONG_KEY),
    ("key, empty", KEY, key(""), NO_KEY),
    ("key, right", KEY, key("right-key"), None),
    ("key, right as bearer", KEY, bearer("right-key"), None),
    ("key, right as basic", KEY, {"Authorization": "Basic right-key"}, NO_KEY),
    ("key, wrong as bearer", KEY, bearer("wrong"), INVALID),
    ("key, guest", KEY | {"TOKEN_SECRET": SECRET}, bearer(token("guest", role="guest")), NO_KEY),
    ("key, guest with key", KEY | {"TOKEN_SECRET": SECRET}, bearer(token("g", role="guest")) | key("right-key"), None),
    ("key, user's token", KEY | {"TOKEN_SECRET": SECRET}, bearer(token()), AGAIN),
    ("accounts, nothing shown", ACCOUNTS, {}, NO_LOGIN),
    ("accounts, some key", ACCOUNTS, key("any"), NO_LOGIN),
    ("accounts, empty token", ACCOUNTS, {"Authorization": "Bearer "}, NO_LOGIN),
    ("accounts, token", ACCOUNTS, bearer(token()), None),
    ("accounts, scheme in other case", ACCOUNTS, {"Authorization": f"bEARER  {token()}"}, None),
    ("accounts, token of LightRAG 1.2.4", ACCOUNTS, bearer(token(role=None)), None),
    ("accounts, token of somebody else", ACCOUNTS, bearer(token("eve")), AGAIN),
    ("accounts, guest", ACCOUNTS, bearer(token("guest", role="guest")), AGAIN),
    ("accounts, unknown role", ACCOUNTS, bearer(token(role="root")), AGAIN),
    ("accounts, expired", ACCOUNTS, bearer(token(hours=-1)), EXPIRED),
    ("accounts, forged", ACCOUNTS, bearer(token(secret="f" * 32)), INVALID),
    (
        "accounts, LightRAG's default secret",
        ACCOUNTS,
        bearer(token(secret="lightrag-jwt-default-secret".ljust(64, "\0"))),
        INVALID,
    ),
    ("accounts, other algorithm", ACCOUNTS, bearer(token(secret=SECRET * 2, alg="HS512")), INVALID),
    ("accounts, alg none", ACCOUNTS, bearer(unsigned("none")), INVALID),
    ("accounts, alg None", ACCOUNTS, bearer(unsigned("None")), INVALID),
    ("accounts, for somebody else's service", ACCOUNTS, bearer(token(aud="other")), INVALID),
    ("accounts, not yet", ACCOUNTS, bearer(token(nbf=time.time() + 99_999)), INVALID),
    ("accounts, endless", ACCOUNTS, bearer(token(exp=float("inf"))), INVALID),
    ("accounts, expires in words", ACCOUNTS, bearer(token(exp="tomorrow")), INVALID),
    ("accounts, never expires", ACCOUNTS, bearer(jwt.encode({"sub": "ada"}, SECRET)), INVALID),
    ("accounts, no name", ACCOUNTS, bearer(jwt.encode({"exp": time.time() + 99_999}, SECRET)), INVALID),
    ("accounts, deep header", ACCOUNTS, bearer(base64.b64encode(b"[" * 2000).decode() + ".e30.x"), INVALID),
    ("accounts, very long", ACCOUNTS, bearer("a" * 20_000), INVALID),
    ("both, nothing", BOTH, {}, NO_LOGIN),
    ("both, wrong key", BOTH, key("wrong"), NO_LOGIN),
    ("both, key alone", BOTH, key("right-key"), None),
    ("both, token alone", BOTH, bearer(token()), None),
    ("both, token and wrong key", BOTH, bearer(token()) | key("wrong"), None),
    ("both, bad token and right key", BOTH, bearer("x.y.z") | key("right-key"), INVALID),
    ("both, expired and right key", BOTH, bearer(token(hours=-1)) | key("right-key"), EXPIRED),
    ("both, key as bearer", BOTH, bearer("right-key"), None),
]


@pytest.mark.parametrize(("environ", "headers", "refusal"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
async def test_the_order_of_checks(
    scripted: Served, environ: dict[str, str], headers: dict[str, str], refusal: tuple[int, str] | None
) -> None:
    async with scripted(**environ) as (client, _):
        answer = await client.get(PATH, headers=headers)
        verify = await client.get("/auth/verify", headers=headers)
    if refusal is None:
        assert answer.status_code == 200
        assert (verify.status_code, verify.json()) == (200, {"status": "ok"})
    else:
        assert (answer.status_code, answer.json()["detail"]) == refusal
        assert (verify.status_code, verify.json()["detail"]) == refusal
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if refusal[0] == 401 else None)


async def test_bad_credentials_do_no_harm_on_open_paths(scripted: Served) -> None:
    async with scripted(**BOTH) as (client, _):
        for headers in (bearer("x"), bearer(token(hours=-1)), key("wrong")):
            health = await client.get("/health", headers=headers)
            assert health.status_code == 200
            assert "configuration" not in health.json()
            assert (await client.get("/openapi.json", headers=headers)).status_code == 200
        for headers in (bearer(token()), key("right-key"), bearer("right-key")):
            assert "configuration" in (await client.get("/health", headers=headers)).json()
    async with scripted() as (client, _):
        assert "configuration" in (await client.get("/health", headers=bearer("x"))).json()


@pytest.mark.parametrize("environ", [KEY, ACCOUNTS])
async def test_placeholder_keys_of_sdks_pass_only_where_nothing_is_configured(
    scripted: Served, environ: dict[str, str]
) -> None:
    async with scripted() as (client, _):
        assert (await client.get("/v1/models", headers=bearer("sk-none"))).status_code not in {401, 403}
        assert (await client.get("/llm/no-such-route", headers=bearer("your-api-token"))).status_code == 404
        assert (await client.get("/llm/no-such-route", headers=bearer(unsigned("HS256")))).status_code == 401
    async with scripted(**environ) as (client, _):
        assert (await client.get("/v1/models", headers=bearer("sk-none"))).status_code in {401, 403}
        assert (await client.get("/llm/no-such-route", headers=bearer("your-api-token"))).status_code == 401


async def test_the_whitelist_beats_credentials_but_not_verify(scripted: Served) -> None:
    async with scripted(**ACCOUNTS, WHITELIST_PATHS="/auth/*,/documents/status_counts") as (client, _):
        assert (await client.get(PATH, headers=bearer("x"))).status_code == 200
        assert (await client.get("/auth/verify")).status_code == 401


TRICKS = [
    "/api/../documents",
    "/api/%2e%2e/documents",
    "/api/%2e%2e%2fdocuments",
    "/api/..%2fdocuments",
    "/api/%252e%252e/documents",
    "/api/..\\documents",
    "/api/..;/documents",
    "/api/./../documents",
    "/api//../documents",
    "/static/../documents",
    "/static/%2e%2e/documents/status_counts",
    "/docs/../documents",
    "/documents/../api/version",
    "/documents;/api/version",
    "/documents%00/api/",
    "//documents",
    "//api/../documents",
    "/documents/",
    "/Documents",
    "/DOCUMENTS/status_counts",
    "/api%2f../documents",
    "/API/version",
    "/apix",
    "/healthx",
    "/health/../documents",
    "/health%2f..%2fdocuments",
    "/health/",
    "/Health",
    "/health;x",
    "/login/",
    "/login/x",
    "/auth-status/x",
    "/./documents",
    "/%64ocuments",
    "/openapi.json/../documents",
]


async def raw_status(app: FastAPI, path: str, method: str = "GET") -> tuple[int, Any]:
    """Send a request whose path is not tidied by a client, decoded as servers do."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(), "root_path": ""}
    scope |= {"headers": [], "query_string": b"", "scheme": "http", "server": ("server", 80), "client": ("1.2.3.4", 1)}
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body


@pytest.mark.parametrize("path", TRICKS)
async def test_no_spelling_of_a_path_opens_another(make_settings: Any, path: str) -> None:
    status, body = await raw_status(create_app(make_settings(**BOTH)), path)
    assert status == 401 or (status == 404 and b"Not Found" in body)


PUBLIC = re.compile(r"/|/(health|livez|readyz|login|auth-status|docs|redoc|openapi\.json)|/(docs|static|api)(/.*)?")
"""What strangers reach with the default whitelist."""
FILLERS = ["x", "doc-1", "a.b", "..", "%2e%2e", "*", "é", "a/b"]


def spellings(paths: list[str]) -> st.SearchStrategy[str]:
    """Return paths of the document: as they are, or bent in ways that some servers read as the same path."""

    @st.composite
    def spell(draw: st.DrawFn) -> str:
        path = re.sub(r"\{[^}]*\}", lambda _: draw(st.sampled_from(FILLERS)), draw(st.sampled_from(paths)))
        prefix = draw(
            st.sampled_from(["", "", "/api/..", "/static/..", "/health/..", "/api/x/../..", "/", "/.", "/docs/."])
        )
        suffix = draw(st.sampled_from(["", "", "/", "//", "/.", "/..", ";/health", "%00", "?", "/../api/x", "\\"]))
        letters = [draw(st.sampled_from([char, char, char, f"%{ord(char):02x}", char.upper()])) for char in path[:8]]
        return prefix + "".join(letters) + path[8:] + suffix

    return spell()


async def test_strangers_reach_nothing_outside_of_the_whitelist(make_settings: Any) -> None:
    app = create_app(make_settings(**BOTH))
    document = app.openapi()["paths"]
    operations = [(path, method.upper()) for path, methods in document.items() for method in methods]
    assert len(operations) > 30
    for path, method in operations:
        if not PUBLIC.fullmatch(path):
            status, _ = await raw_status(app, re.sub(r"\{[^}]*\}", "x", path), method)
            assert status == 401, (method, path)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(spellings(list(document)), st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]))
    def explore(path: str, method: str) -> None:
        status, body = asyncio.run(raw_status(app, path, method))
        if not PUBLIC.fullmatch(unquote(path)):
            assert status == 401, path
        elif ".." in unquote(path):
            assert status in {401, 404, 405}, (path, body)

    await asyncio.to_thread(explore)


def test_open_paths_match_whole_segments() -> None:
    paths = OpenPaths(("/api/*", "/exact", "nothing", "*", "/x*"))
    assert all(paths.opens(path) for path in ("/api", "/api/", "/api/tags", "/api/a/b", "/exact", "/api/.well-known"))
    assert not any(paths.opens(path) for path in ("/apis", "/exact/", "/", "/xy", "/nothing", "/api/..", "/api/a/../b"))
    assert not any(paths.opens(path) for path in ("/api//x", "/api/%2e", "/api/a\\b", "/api/a\nb", "/api/\x00"))
    assert OpenPaths(("/*",)).opens("/anything/at/all")


async def test_a_websocket_is_refused(make_settings: Any) -> None:
    app = create_app(make_settings())
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/query", "headers": [], "query_string": b""}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_guests_token_works_in_every_process_on_the_folder(scripted: Served, tmp_path: Path) -> None:
    async with scripted() as (one, _), scripted() as (other, _):
        shown = bearer((await one.get("/auth-status")).json()["access_token"])
        assert (await other.get(PATH, headers=shown)).status_code == 200
    async with scripted() as (later, _):
        assert (await later.get(PATH, headers=shown)).status_code == 200
    kept = tmp_path / "rag_storage" / ".token_secret"
    assert kept.stat().st_mode & 0o777 == 0o600
    async with scripted(**ACCOUNTS) as (closed, _):
        assert (await closed.get(PATH, headers=shown)).status_code == 401


async def test_a_folder_that_cannot_be_written_does_not_prevent_a_start(scripted: Served, tmp_path: Path) -> None:
    (tmp_path / "rag_storage" / ".token_secret").mkdir(parents=True)
    async with scripted() as (client, _):
        shown = bearer((await client.get("/auth-status")).json()["access_token"])
        assert (await client.get(PATH, headers=shown)).status_code == 200


class RoomTokens:
    """Knows one token, which opens one workspace: stands for the control plane's."""

    closes = True

    async def judge(self, shown: Credentials) -> Verdict:
        if shown.bearer is None or not shown.bearer.startswith("lrt_"):
            return None
        if shown.bearer != "lrt_right":
            return Refusal(401, "Invalid token")  # type: ignore[arg-type]
        return Admission(Principal("token", "ci", "editor", {"tenant-a": "editor"}))


async def test_further_authenticators_can_be_added(tmp_path: Path) -> None:
    access = Access(load_settings(None, {}, tmp_path), [RoomTokens()])
    assert access.is_closed
    admitted = await access.admit(Credentials("lrt_right", None))
    assert isinstance(admitted, Admission)
    assert admitted.principal.role_in("tenant-a") == "editor"
    assert admitted.principal.role_in("tenant-b") is None
    for shown, detail in (
        (Credentials("lrt_wrong", None), "Invalid token"),
        (Credentials(None, None), "API Key required or login authentication required."),
    ):
        refused = await access.admit(shown)
        assert isinstance(refused, Refusal)
        assert refused.detail == detail


async def test_routes_know_who_calls(make_settings: Any) -> None:
    access = Access(make_settings(**BOTH))
    seen = {}
    for headers in (bearer(token()), key("right-key"), bearer("right-key")):
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        verdict = await access.admit(read_credentials({"headers": raw}))
        assert isinstance(verdict, Admission)
        seen[verdict.principal.kind] = verdict.principal
    assert seen["user"] == Principal("user", "ada", "admin", is_admin=True)
    assert seen["api_key"].is_admin
    assert principal_of({}) is STRANGER
    assert STRANGER.role_in("") is None
