"""Tokens and accounts of the control plane at the door.

What a token or account entitles to is remembered for two seconds at most: a change holds from the next request on, in
all processes of this machine.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from lightrag.api.auth_principal import Admission, Credentials, Kind, Principal, Refusal, Role, Verdict
from lightrag.api.control import ControlDoor
from lightrag.tenancy.rights import TOKEN_PREFIX

if TYPE_CHECKING:
    from lightrag.tenancy.access import Entitlement
    from lightrag.tenancy.control_plane import ControlPlane
    from lightrag.tenancy.database import Changes

REMEMBERED = 2.0
"""Seconds."""
_MAX_REMEMBERED = 10_000

_ROLES: Mapping[str, Role] = {"reader": "reader", "editor": "editor", "admin": "admin"}

WRONG_TOKEN = Refusal(HTTPStatus.UNAUTHORIZED, "Invalid token")


class ControlAccess:
    """What the control plane knows of credentials, remembered for a moment. One for a process."""

    def __init__(self, door: ControlDoor, clock: Callable[[], float] = time.monotonic) -> None:
        self._door = door
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Changes | None, Entitlement | None]] = OrderedDict()
        self._counted: tuple[float, Changes | None] = (-REMEMBERED, None)
        self.has_tokens = False
        self.has_users = False
        self.typical_hashes: tuple[str, ...] = ()

    def forget(self) -> None:
        """Ask anew from here on, after a change."""
        # A question that is still under way puts its answer into what is given up here.
        self._known = OrderedDict()
        self._counted = (-REMEMBERED, None)

    async def refresh(self) -> None:
        """Find out whether there are tokens and accounts, where that was not asked for a moment."""
        now, plane = self._clock(), await self._door.existing()
        changes = None if plane is None else plane.database.changes
        asked, known = self._counted
        if now - asked < REMEMBERED and known == changes:
            return
        self._counted = (now, changes)
        if plane is not None:
            self.has_tokens, self.has_users, self.typical_hashes = await plane.access.in_use()

    async def token(self, token: str) -> Entitlement | None:
        """Return what a token entitles to."""
        plane = await self._door.existing()
        return None if plane is None else await self._remembered(plane, token, lambda: plane.access.check_token(token))

    async def user(self, name: str, generation: int) -> Entitlement | None:
        """Return what an account entitles to whose session was begun in a generation."""
        plane = await self._door.existing()
        if plane is None:
            return None
        return await self._remembered(plane, f"{generation}\n{name}", lambda: plane.access.user(name, generation))

    async def password_hash(self, name: str) -> tuple[str, int] | None:
        """Return an account's stored password and its generation."""
        plane = await self._door.existing()
        return None if plane is None else await plane.access.password_hash(name)

    async def _remembered(
        self, plane: ControlPlane, key: str, ask: Callable[[], Awaitable[Entitlement | None]]
    ) -> Entitlement | None:
        now, changes = self._clock(), plane.database.changes
        # Only the hash of a token is kept in memory for longer than a request.
        key = hashlib.sha256(key.encode()).hexdigest()
        asked, state, entitlement = self._known.get(key, (-REMEMBERED, None, None))
        if now - asked >= REMEMBERED or state != changes:
            known = self._known
            entitlement = await ask()
            known[key] = (now, changes, entitlement)
            if len(known) > _MAX_REMEMBERED:
                known.popitem(last=False)
        ended = entitlement is not None and entitlement.expires_at is not None and entitlement.expires_at <= time.time()
        return None if ended else entitlement


class ControlTokens:
    """Lets in who shows a token of the control plane, as a bearer token or in `X-API-Key`."""

    def __init__(self, known: ControlAccess) -> None:
        self._known = known

    @property
    def closes(self) -> bool:
        """Whether there are tokens."""
        return self._known.has_tokens

    async def judge(self, shown: Credentials) -> Verdict:
        """Let in, refuse a wrong token, or leave other credentials to who comes next."""
        await self._known.refresh()
        token = _token(shown)
        if token is None:
            return None
        entitlement = await self._known.token(token)
        return WRONG_TOKEN if entitlement is None else Admission(principal_from(entitlement))


class ControlAccounts:
    """The accounts of the control plane."""

    def __init__(self, known: ControlAccess) -> None:
        self._known = known

    @property
    def is_filled(self) -> bool:
        """Whether there are accounts."""
        return self._known.has_users

    @property
    def typical_hashes(self) -> tuple[str, ...]:
        """A stored password of every cost."""
        return self._known.typical_hashes

    async def password_hash(self, name: str) -> tuple[str, int] | None:
        """Return an account's stored password and generation; None where there is no such account."""
        return await self._known.password_hash(name)

    async def principal(self, name: str, generation: int) -> Principal | None:
        """Return who the account is; None where it is gone or its sessions were ended."""
        entitlement = await self._known.user(name, generation)
        return None if entitlement is None else principal_from(entitlement)


def principal_from(entitlement: Entitlement) -> Principal:
    """Return who shows credentials that entitle to something."""
    if entitlement.is_admin:
        return Principal(_kind(entitlement), entitlement.name, "admin", is_admin=True, key=entitlement.id)
    roles: Mapping[str, Role] = {name: _ROLES[role.value] for name, role in entitlement.roles.items()}
    return Principal(_kind(entitlement), entitlement.name, "reader", workspaces=roles, key=entitlement.id)


def _kind(entitlement: Entitlement) -> Kind:
    return "token" if entitlement.kind == "token" else "user"


def _token(shown: Credentials) -> str | None:
    if shown.bearer is not None and shown.bearer.startswith(TOKEN_PREFIX):
        return shown.bearer
    if shown.api_key is not None and shown.api_key.startswith(TOKEN_PREFIX.encode()):
        return shown.api_key.decode("latin-1")
    return None
