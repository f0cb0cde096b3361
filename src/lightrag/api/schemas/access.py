"""Bodies of the routes on tokens, users and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from lightrag.api.schemas.common import Body, ShortText

RoleName = Literal["reader", "editor", "admin"]
WorkspaceName = Annotated[ShortText, Field(max_length=64, examples=["tenant-a"])]
Roles = Annotated[
    dict[WorkspaceName, RoleName],
    Field(
        max_length=1000, description="Role by workspace: reader, editor or admin.", examples=[{"tenant-a": "editor"}]
    ),
]


class TokenWish(Body):
    """A token to be made."""

    label: Annotated[ShortText, Field(max_length=255, description="What it is for.", examples=["ci"])] = ""
    roles: Roles = Field(default_factory=dict)
    is_admin: bool = Field(False, description="Full rights on the server and in every workspace.")
    expires_in: int | None = Field(None, ge=1, le=100 * 365 * 86400, description="Seconds from now; null for never.")
    limits: dict[str, Annotated[int, Field(ge=0, le=2**53)]] = Field(
        default_factory=dict, max_length=16, description="As those of a workspace, for this token alone."
    )


class TokenEntry(Body):
    """A token as it is listed."""

    id: str
    hint: str = Field(description="Its beginning and end.")
    label: str
    is_admin: bool
    roles: Mapping[str, str]
    created_at: int = Field(description="Seconds since 1970.")
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


class NewToken(TokenEntry):
    """A token that was just made."""

    token: str = Field(description="Shown this once; it is kept as a hash only.")


class UserWish(Body):
    """An account to be made or changed."""

    password: SecretStr | None = Field(
        None, min_length=8, max_length=1024, description="Needed for a new account; a change ends its sessions."
    )
    is_admin: bool = False
    is_enabled: bool = True
    roles: Roles | None = Field(None, description="Replaces all roles; null leaves them as they are.")


class UserEntry(Body):
    """An account as it is listed."""

    id: str
    name: str
    is_admin: bool
    is_enabled: bool
    roles: Mapping[str, str]
    created_at: int = Field(description="Seconds since 1970.")


class GrantWish(Body):
    """A right to be given or taken."""

    kind: Literal["token", "user"]
    id: Annotated[ShortText, Field(max_length=64)]
    workspace: WorkspaceName
    role: RoleName | None = Field(description="null takes the right away.")


class AuditLine(Body):
    """An entry of the audit log."""

    id: str
    at: float = Field(description="Seconds since 1970.")
    actor: str
    workspace: str | None
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: str
    request_id: str
