"""Who a caller is, what callers show, and what stands between the two."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Literal, Protocol

Kind = Literal["anonymous", "guest", "user", "api_key", "token"]
Role = Literal["reader", "editor", "admin"]
"""A role holds everything of those before it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request, and what that entitles to."""

    kind: Kind
    name: str
    role: Role
    """What may be done in every workspace, where `workspaces` is None."""
    workspaces: Mapping[str, Role] | None = None
    """Roles by workspace; None for the same role in all."""
    is_admin: bool = False
    """Whether the server itself may be looked at and managed."""
    key: str = ""
    """Id of the token or account in the control plane, where it is of there."""

    def role_in(self, workspace: str) -> Role | None:
        """Return the role in a workspace; None for no right at all."""
        if self.is_admin:
            return "admin"
        return self.role if self.workspaces is None else self.workspaces.get(workspace)


ANYBODY = Principal("anonymous", "anonymous", "admin", is_admin=True)
"""Every caller of a server that asks for no credentials."""

STRANGER = Principal("anonymous", "anonymous", "reader", workspaces={})
"""A caller without credentials on an open path of a server that asks for some: entitled to no workspace by name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows, as it came: nothing of this is checked."""

    bearer: str | None
    """The token of `Authorization: Bearer …`."""
    api_key: bytes | None
    """The value of `X-API-Key`."""

    @property
    def looks_signed(self) -> bool:
        """Whether the bearer token is in the form of a JWT, right or wrong."""
        return self.bearer is not None and is_jwt(self.bearer)


NOTHING_SHOWN = Credentials(None, None)


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in."""

    status: HTTPStatus
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class Admission:
    """A caller who was recognised."""

    principal: Principal
    renew: Callable[[], str | None] | None = None
    """Makes a token in the place of one that expires soon; None where there was one lately."""


Verdict = Admission | Refusal | None
"""None: these credentials are not for this authenticator to judge."""


class Authenticator(Protocol):
    """Judges one kind of credentials."""

    @property
    def closes(self) -> bool:
        """Whether there are such credentials, so that callers must show some."""
        ...

    async def judge(self, shown: Credentials) -> Verdict:
        """Return who shows these credentials, why they are refused, or None to leave it to the next one."""
        ...


class AccountSource(Protocol):
    """Knows accounts that log in by name and password."""

    @property
    def is_filled(self) -> bool:
        """Whether there are accounts."""
        ...

    @property
    def typical_hashes(self) -> tuple[str, ...]:
        """A stored password for each cost of a check: unknown names shall take as long as known ones."""
        ...

    async def password_hash(self, name: str) -> tuple[str, int] | None:
        """Return an account's stored password and generation; None where there is no such account."""
        ...

    async def principal(self, name: str, generation: int) -> Principal | None:
        """Return who the account is; None where it is gone, or where this generation of its tokens has ended."""
        ...


def is_jwt(token: str) -> bool:
    """Return whether a token is in the form of a JWT: three parts, the first of which is a JSON object in base64url."""
    head, _, rest = token.partition(".")
    if rest.count(".") != 1 or not head.startswith("eyJ"):
        return False
    try:
        base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        return False
    return True
