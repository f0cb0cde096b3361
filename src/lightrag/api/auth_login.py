"""Logging in: passwords checked off the event loop, in the same time for unknown names, and not too often."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from lightrag.api.auth_principal import AccountSource, Principal
from lightrag.passwords import cost_of, is_right
from lightrag.settings import Account, AuthSettings

MAX_TRACKED = 10_000
"""Pairs of client and name whose failures are remembered."""
MAX_NAME = 256
_CHECKS_AT_ONCE = 2
"""Each may need a core for a tenth of a second and 64 MiB."""
_MAX_WAITING = 64


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedIn:
    """Whoever gave a right name and password."""

    name: str
    generation: int


class TooManyLogins(Exception):
    """Logging in has to wait."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many failed login attempts. Please try again later.")
        self.retry_after = max(1, math.ceil(retry_after))
        """Seconds."""


class LoginLimit:
    """Counts failures of a client for a name in a sliding window; memory is bounded."""

    def __init__(self, most: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def attempt(self, client: str, name: str) -> None:
        """Count an attempt as failed until `succeeded` says otherwise, so that many at once are not let through.

        Raises `TooManyLogins` where the client has to wait.
        """
        if not self._most:
            return
        now = self._clock()
        key = (network_of(client), name)
        failures = self._failures.setdefault(key, deque(maxlen=self._most))
        self._failures.move_to_end(key)
        while failures and failures[0] <= now - self._window:
            failures.popleft()
        if len(failures) >= self._most:
            raise TooManyLogins(failures[0] + self._window - now)
        failures.append(now)
        if len(self._failures) > MAX_TRACKED:
            self._failures.popitem(last=False)

    def succeeded(self, client: str, name: str) -> None:
        """Forget the failures of a client for a name."""
        self._failures.pop((network_of(client), name), None)


class LoginDesk:
    """Checks names and passwords against all sources of accounts."""

    def __init__(self, settings: AuthSettings, sources: Sequence[AccountSource]) -> None:
        self._sources = sources
        self._limit = LoginLimit(settings.max_failed_logins, settings.lockout_seconds)
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._waiting = 0

    async def log_in(self, client: str, name: str, password: str) -> LoggedIn | None:
        """Return who logs in, None where name or password are wrong. Raises `TooManyLogins`."""
        name = name if len(name) <= MAX_NAME else name[:MAX_NAME] + "…"
        if self._waiting >= _MAX_WAITING:
            raise TooManyLogins(1)
        self._limit.attempt(client, name)
        stored, generation = await self._stored(name) or (None, 0)
        self._waiting += 1
        try:
            async with self._checks:
                fits = await asyncio.to_thread(self._check, stored, password)
        finally:
            self._waiting -= 1
        if not fits:
            return None
        self._limit.succeeded(client, name)
        return LoggedIn(name, generation)

    async def _stored(self, name: str) -> tuple[str, int] | None:
        for source in self._sources:
            found = await source.password_hash(name)
            if found is not None:
                return found
        return None

    def _check(self, stored: str | None, password: str) -> bool:
        """Check the password against one hash of every cost there is, so that the time tells nothing of a name."""
        targets = {cost_of(typical): typical for source in self._sources for typical in source.typical_hashes}
        own = cost_of(stored) if stored is not None else None
        if own is not None and stored is not None:
            targets[own] = stored
        # A list, not any(): every one is checked.
        outcomes = {cost: is_right(target, password) for cost, target in targets.items()}
        return own is not None and outcomes[own]


class ConfiguredAccounts:
    """The accounts of the settings: full rights everywhere."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._stored = {account.name: account.password.get_secret_value() for account in accounts}
        self._principals = {name: Principal("user", name, "admin", is_admin=True) for name in self._stored}
        self._typical = tuple({cost_of(stored): stored for stored in self._stored.values()}.values())

    @property
    def is_filled(self) -> bool:
        """Whether there are accounts."""
        return bool(self._stored)

    @property
    def typical_hashes(self) -> tuple[str, ...]:
        """A stored password of every cost."""
        return self._typical

    async def password_hash(self, name: str) -> tuple[str, int] | None:
        """Return an account's stored password; generations are not counted."""
        stored = self._stored.get(name)
        return None if stored is None else (stored, 0)

    async def principal(self, name: str, generation: int) -> Principal | None:
        """Return who the account is; None where the settings do not name it any more."""
        return self._principals.get(name)


def network_of(client: str) -> str:
    """Return what counts as one client: an IPv4 address, or the network of an IPv6 address that one customer has."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
