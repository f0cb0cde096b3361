"""Who may call: accounts, tokens, and what of it would be unsafe to start with."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from lightrag.passwords import check_stored
from lightrag.settings.groups import ServerSettings
from lightrag.settings.options import Group, Option, Secret

MAX_NAME = 256
"""Characters of an account's name."""
PUBLIC_SECRETS = frozenset({"lightrag-jwt-default-secret", "4f85ds4f56dsf46"})
"""Secrets that LightRAG falls back to: everybody knows them."""
SAFE_SECRET_BYTES = 32
MAKE_SECRET = "openssl rand -hex 32"  # noqa: S105 - a command that prints one
STRICT_WHITELIST = ("/health",)
"""What is open by default with `LIGHTRAG_REQUIRE_AUTH`."""

Hours = Annotated[float, Field(gt=0, le=24 * 365 * 100, allow_inf_nan=False)]


class Account(Group):
    """Somebody who may log in; `password` is plain or a hash."""

    name: str
    password: SecretStr

    def __str__(self) -> str:
        return self.name


def parse_accounts(value: Any) -> Any:
    """Return accounts from `name:password,name:password`, or a JSON list of such texts.

    Raises `ValueError` that names the position of what is wrong, and no password.
    """
    if not isinstance(value, str):
        return value
    accounts: list[Account] = []
    taken: dict[str, int] = {}
    for position, entry in enumerate(_entries(value), 1):
        account = _account(entry, position)
        if account.name in taken:
            raise ValueError(f"entry {position} has the same name as entry {taken[account.name]}")
        taken[account.name] = position
        accounts.append(account)
    return tuple(accounts)


def _entries(text: str) -> list[str]:
    entries: list[str]
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            # The decoder's own message may quote the text.
            raise ValueError(f"not a JSON list (line {error.lineno}, column {error.colno})") from None
        if not all(isinstance(entry, str) for entry in entries):
            raise ValueError('should be a JSON list of texts such as "name:password"')
        return entries
    entries = []
    for piece in text.split(","):
        # The parameters of an Argon2 hash are parted by commas themselves: m=65536,t=3,p=4.
        continues = piece.startswith(("t=", "p=")) and entries and "$argon2" in entries[-1]
        if continues:
            entries[-1] += "," + piece
        else:
            entries.append(piece)
    return entries


def _account(entry: str, position: int) -> Account:
    name, colon, password = entry.strip().partition(":")
    if not entry.strip():
        raise ValueError(f"entry {position} is empty")
    if not colon or not name or not password:
        raise ValueError(f"entry {position} should be name:password")
    if len(name) > MAX_NAME:
        raise ValueError(f"entry {position}: the name is longer than {MAX_NAME} characters")
    try:
        check_stored(password)
    except ValueError as error:
        raise ValueError(f"entry {position}: {error}") from None
    return Account(name=name, password=SecretStr(password))


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


class AuthSettings(Group):
    """Logins and the tokens that they give."""

    accounts: Annotated[
        tuple[Account, ...], Option(("AUTH_ACCOUNTS",), is_secret=True), BeforeValidator(parse_accounts)
    ] = Field((), description="who may log in: name:password,name:password; passwords plain or hashed")
    username: Annotated[str | None, Option(("AUTH_USERNAME",))] = Field(
        None, max_length=MAX_NAME, description="name of a single account; AUTH_ACCOUNTS takes any number"
    )
    password: Annotated[Secret, Option(("AUTH_PASSWORD",))] = Field(
        None, description="password of that account, plain or hashed"
    )
    token_secret: Annotated[Secret, Option(("TOKEN_SECRET",))] = Field(
        None, description="secret that signs tokens, needed where there are accounts"
    )
    algorithm: Annotated[Literal["HS256", "HS384", "HS512"], Option(("JWT_ALGORITHM",)), BeforeValidator(_upper)] = (
        Field("HS256", description="how tokens are signed: HS256, HS384 or HS512")
    )
    token_hours: Annotated[Hours, Option(("TOKEN_EXPIRE_HOURS",))] = Field(
        48, description="hours that a token of an account is good for"
    )
    guest_token_hours: Annotated[Hours, Option(("GUEST_TOKEN_EXPIRE_HOURS",))] = Field(
        24, description="hours that a guest's token is good for"
    )
    renew: Annotated[bool, Option(("TOKEN_AUTO_RENEW",))] = Field(
        True, description="send a fresh token in X-New-Token before one expires"
    )
    renew_threshold: Annotated[float, Option(("TOKEN_RENEW_THRESHOLD",))] = Field(
        0.5, ge=0, le=1, description="part of its life below which a token is renewed"
    )
    max_failed_logins: Annotated[int, Option(("LOGIN_MAX_FAILED_ATTEMPTS",))] = Field(
        5, ge=0, description="failed logins of one client for one name, after which it must wait; 0 for no limit"
    )
    lockout_seconds: Annotated[float, Option(("LOGIN_LOCKOUT_WINDOW_SECONDS",))] = Field(
        300, gt=0, le=86400, description="seconds in which failed logins are counted"
    )
    require: Annotated[bool, Option(("LIGHTRAG_REQUIRE_AUTH",))] = Field(
        False, description="refuse to start without credentials, and close /api/* unless WHITELIST_PATHS opens it"
    )

    @property
    def everyone(self) -> tuple[Account, ...]:
        """All accounts, however they were given; AUTH_ACCOUNTS wins where both have a name."""
        if self.username is None or self.password is None or any(item.name == self.username for item in self.accounts):
            return self.accounts
        return (*self.accounts, Account(name=self.username, password=self.password))


def auth_problems(auth: AuthSettings, server: ServerSettings) -> Iterator[str]:
    """Yield what forbids a start."""
    if (auth.username is None) != (auth.password is None):
        given, missing = (
            ("AUTH_USERNAME", "AUTH_PASSWORD") if auth.password is None else ("AUTH_PASSWORD", "AUTH_USERNAME")
        )
        yield f"{given} is set without {missing}: an account needs both"
    if auth.password is not None:
        try:
            check_stored(auth.password.get_secret_value())
        except ValueError as error:
            yield f"AUTH_PASSWORD: {error}"
    secret = _secret(auth)
    if auth.everyone and not secret:
        yield f"TOKEN_SECRET is not set: accounts need a secret that signs their tokens. Make one with: {MAKE_SECRET}"
    elif auth.everyone and secret in PUBLIC_SECRETS:
        yield (
            "TOKEN_SECRET is LightRAG's built-in one, which everybody knows: whoever reaches the server could sign "
            f"tokens. Make one with: {MAKE_SECRET}"
        )
    if secret.startswith("ssh-") or "-----BEGIN" in secret:
        yield f"TOKEN_SECRET is a key of another kind; it should be random text. Make one with: {MAKE_SECRET}"
    if auth.require and not auth.everyone and server.api_key is None:
        yield (
            "LIGHTRAG_REQUIRE_AUTH is set, but there are no credentials: set LIGHTRAG_API_KEY, or AUTH_ACCOUNTS and "
            "TOKEN_SECRET"
        )


def auth_warnings(auth: AuthSettings, server: ServerSettings) -> list[str]:
    """Return what whoever starts a server must know about who can use it."""
    found: list[str] = []
    is_closed = bool(auth.everyone) or server.api_key is not None
    if not is_closed and is_public(server.host):
        found.append(
            f"NO CREDENTIALS: whoever can reach {server.host or '0.0.0.0'}:{server.port} can read, change and delete "  # noqa: S104
            "everything. Set LIGHTRAG_API_KEY, or AUTH_ACCOUNTS and TOKEN_SECRET, or listen on this machine only with "
            "--host 127.0.0.1. With LIGHTRAG_REQUIRE_AUTH=true a server never starts like this."
        )
    if is_closed:
        found.extend(_open_door(path) for path in server.whitelist_paths if path not in {"/health", "/login"})
    found.extend(
        f"WHITELIST_PATHS: '{path}' opens nothing: a path begins with /, and * can only be its last segment"
        for path in server.whitelist_paths
        if not path.startswith("/") or "*" in path.removesuffix("/*")
    )
    secret = _secret(auth)
    if auth.everyone and 0 < len(secret.encode()) < SAFE_SECRET_BYTES:
        found.append(
            f"TOKEN_SECRET is shorter than {SAFE_SECRET_BYTES} bytes and might be guessed from a token. A better one: "
            f"{MAKE_SECRET}"
        )
    if auth.username is not None and any(item.name == auth.username for item in auth.accounts):
        found.append("AUTH_USERNAME and AUTH_PASSWORD have no effect: AUTH_ACCOUNTS has an account of that name")
    return found


def is_public(host: str) -> bool:
    """Return whether others than this machine can reach an address to listen on."""
    if host.lower() == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        # Every address, or a name that stands for one.
        return True


def strict_whitelist(auth: AuthSettings, server: ServerSettings, *, is_given: bool) -> Sequence[str]:
    """Return the open paths: with `LIGHTRAG_REQUIRE_AUTH` the default opens no more than `/health`."""
    return STRICT_WHITELIST if auth.require and not is_given else server.whitelist_paths


def _open_door(path: str) -> str:
    if path == "/*":
        return "WHITELIST_PATHS opens /*: no request needs credentials"
    if path == "/api/*":
        return (
            "WHITELIST_PATHS opens /api/* (LightRAG's default): whoever reaches this server can ask about the "
            "documents over the Ollama routes without credentials. WHITELIST_PATHS=/health closes them."
        )
    return f"WHITELIST_PATHS opens {path} to everybody"


def _secret(auth: AuthSettings) -> str:
    return auth.token_secret.get_secret_value() if auth.token_secret else ""
