"""Decides who a caller is: authenticators tried in order, then the refusal that fits what was shown."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path

from pydantic import SecretStr

from lightrag.api.auth_login import ConfiguredAccounts, LoginDesk
from lightrag.api.auth_principal import (
    ANYBODY,
    AccountSource,
    Admission,
    Authenticator,
    Credentials,
    Principal,
    Refusal,
    Verdict,
)
from lightrag.api.auth_tokens import GUEST, WRONG_KIND, Claims, TokenSigner
from lightrag.settings import AuthSettings, Settings

NO_LOGIN = Refusal(HTTPStatus.UNAUTHORIZED, "No credentials provided. Please login.")
WRONG_KEY = Refusal(HTTPStatus.FORBIDDEN, "Invalid API Key")
NO_KEY = Refusal(HTTPStatus.FORBIDDEN, "API Key required")
NOTHING = Refusal(HTTPStatus.FORBIDDEN, "API Key required or login authentication required.")

RENEW_EVERY = 60
"""Seconds between two fresh tokens for one user."""
_MAX_RENEWALS = 10_000
"""Users whose last renewal is remembered."""

KEY_HOLDER = Admission(Principal("api_key", "api key", "admin", is_admin=True))
"""Whoever knows the server's key: full rights everywhere."""


class ServerKey:
    """The server's key, in the header of its own or as a bearer token, which is all that some clients can send."""

    def __init__(self, key: SecretStr | None) -> None:
        self._key = key.get_secret_value().encode() if key else None

    @property
    def closes(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    def is_right(self, sent: bytes | None) -> bool:
        """Return whether this is the key; takes the same time for every wrong one of its length."""
        return self._key is not None and sent is not None and secrets.compare_digest(sent, self._key)


class BearerKey:
    """Lets in who shows the server's key as a bearer token."""

    def __init__(self, key: ServerKey) -> None:
        self._key = key

    @property
    def closes(self) -> bool:
        """Whether there is a key."""
        return self._key.closes

    async def judge(self, shown: Credentials) -> Verdict:
        """Let in, or leave it to those who know other tokens."""
        # Headers are Latin-1 on the wire; a key in UTF-8 compares by its bytes.
        fits = shown.bearer is not None and self._key.is_right(shown.bearer.encode("latin-1", "replace"))
        return KEY_HOLDER if fits else None


class HeaderKey:
    """Lets in who shows the server's key in `X-API-Key`."""

    def __init__(self, key: ServerKey) -> None:
        self._key = key

    @property
    def closes(self) -> bool:
        """Whether there is a key."""
        return self._key.closes

    async def judge(self, shown: Credentials) -> Verdict:
        """Let in, or leave it to who comes next."""
        return KEY_HOLDER if self._key.is_right(shown.api_key) else None


class SessionTokens:
    """Tokens of logins, and of guests where nobody can log in; every other bearer token is refused."""

    def __init__(
        self,
        signer: TokenSigner,
        sources: Sequence[AccountSource],
        settings: AuthSettings,
        others: Sequence[Authenticator],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signer = signer
        self._sources = sources
        self._settings = settings
        self._others = others
        self._clock = clock
        self._renewed: OrderedDict[str, float] = OrderedDict()

    @property
    def closes(self) -> bool:
        """Whether somebody can log in."""
        return any(source.is_filled for source in self._sources)

    async def judge(self, shown: Credentials) -> Verdict:
        """Let in who has logged in, and guests where everything is open; leave guests to the key where there is one."""
        if shown.bearer is None:
            return None
        claims = self._signer.read(shown.bearer)
        if isinstance(claims, Refusal):
            return claims
        if (claims.role == "guest") == self.closes:
            return WRONG_KIND
        if claims.role == "guest":
            if any(other.closes for other in self._others):
                return None
            principal: Principal | None = Principal("guest", GUEST, "admin", is_admin=True)
        else:
            principal = await self._principal(claims.subject, claims.generation)
        if principal is None:
            return WRONG_KIND
        return Admission(principal, partial(self._renew, claims) if self._expires_soon(claims) else None)

    async def _principal(self, name: str, generation: int) -> Principal | None:
        for source in self._sources:
            found = await source.principal(name, generation)
            if found is not None:
                return found
        return None

    def _expires_soon(self, claims: Claims) -> bool:
        left = claims.expires_at - self._clock()
        return self._settings.renew and left < self._signer.lifetime(claims.role) * self._settings.renew_threshold

    def _renew(self, claims: Claims) -> str | None:
        name, now = claims.subject, self._clock()
        if now - self._renewed.get(name, -RENEW_EVERY) < RENEW_EVERY:
            return None
        self._renewed[name] = now
        self._renewed.move_to_end(name)
        if len(self._renewed) > _MAX_RENEWALS:
            self._renewed.popitem(last=False)
        return self._signer.make(name, claims.role, claims.generation)


class Access:
    """The door of one application: who may come in, and where they log in.

    `authenticators` and `sources` are asked before those of the settings, and may be added to until the server starts.
    """

    def __init__(
        self,
        settings: Settings,
        authenticators: Sequence[Authenticator] = (),
        sources: Sequence[AccountSource] = (),
    ) -> None:
        auth = settings.auth
        self._sources = (*sources, ConfiguredAccounts(auth.everyone))
        self._key = ServerKey(settings.server.api_key)
        self.signer = TokenSigner(auth)
        keys = (BearerKey(self._key), *authenticators, HeaderKey(self._key))
        self.sessions = SessionTokens(self.signer, self._sources, auth, keys)
        self.desk = LoginDesk(auth, self._sources)
        self._authenticators: tuple[Authenticator, ...] = (
            *keys[:-1],
            self.sessions,
            keys[-1],
        )

    @property
    def has_accounts(self) -> bool:
        """Whether somebody can log in."""
        return self.sessions.closes

    @property
    def is_closed(self) -> bool:
        """Whether callers must show credentials."""
        return any(authenticator.closes for authenticator in self._authenticators)

    async def start(self, working_dir: Path) -> None:
        """Agree with the other processes of this working folder on what tokens are signed with."""
        await asyncio.to_thread(self.signer.share_secret, working_dir)

    async def admit(self, shown: Credentials) -> Admission | Refusal:
        """Return who the caller is, or why it is not let in."""
        for authenticator in self._authenticators:
            verdict = await authenticator.judge(shown)
            if verdict is not None:
                return verdict
        return self._refusal(shown) if self.is_closed else _ADMIT_ANYBODY

    def _refusal(self, shown: Credentials) -> Refusal:
        if self.has_accounts and shown.bearer is None:
            return NO_LOGIN
        if shown.api_key is not None:
            return WRONG_KEY
        return NO_KEY if self._key.closes else NOTHING


_ADMIT_ANYBODY = Admission(ANYBODY)
