"""Bodies of the routes on tokens, users and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr
from pydantic.config import JsonDict

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

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"label": "ci", "roles": {"tenant-a": "editor"}, "expires_in": 86400}]},
    )

    label: Annotated[ShortText, Field(max_length=255, description="What it is for.", examples=["ci"])] = ""
    roles: Roles = Field(default_factory=dict)
    is_admin: bool = Field(False, description="Full rights on the server and in every workspace.")
    expires_in: int | None = Field(None, ge=1, le=100 * 365 * 86400, description="Seconds from now; null for never.")


TOKEN_EXAMPLE: JsonDict = {
    "id": "0f3a",
    "hint": "lrt_…x9Qk",
    "label": "ci",
    "is_admin": False,
    "roles": {"tenant-a": "editor"},
    "created_at": 1764000000,
    "created_by": "api_key:api key",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}


class TokenEntry(Body):
    """A token as it is listed."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [TOKEN_EXAMPLE]},
    )

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

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "id": "0f3a",
                    "hint": "lrt_…x9Qk",
                    "label": "ci",
                    "is_admin": False,
                    "roles": {"tenant-a": "editor"},
                    "created_at": 1764000000,
                    "created_by": "api_key:api key",
                    "expires_at": None,
                    "revoked_at": None,
                    "last_used_at": None,
                    "token": "lrt_Ab3…x9Qk",
                }
            ]
        },
    )

    token: str = Field(description="Shown this once; it is kept as a hash only.")


class UserWish(Body):
    """An account to be made or changed."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"password": "a long password", "roles": {"tenant-a": "reader"}}]},
    )

    password: SecretStr | None = Field(
        None, min_length=8, max_length=1024, description="Needed for a new account; a change ends its sessions."
    )
    is_admin: bool = False
    is_enabled: bool = True
    roles: Roles | None = Field(None, description="Replaces all roles; null leaves them as they are.")


USER_EXAMPLE: JsonDict = {
    "id": "7b21",
    "name": "ann",
    "is_admin": False,
    "is_enabled": True,
    "roles": {"tenant-a": "reader"},
    "created_at": 1764000000,
}


class UserEntry(Body):
    """An account as it is listed."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [USER_EXAMPLE]},
    )

    id: str
    name: str
    is_admin: bool
    is_enabled: bool
    roles: Mapping[str, str]
    created_at: int = Field(description="Seconds since 1970.")


class GrantWish(Body):
    """A right to be given or taken."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"kind": "token", "id": "0f3a", "workspace": "tenant-a", "role": "admin"}]},
    )

    kind: Literal["token", "user"]
    id: Annotated[ShortText, Field(max_length=64)]
    workspace: WorkspaceName
    role: RoleName | None = Field(description="null takes the right away.")


AUDIT_EXAMPLE: JsonDict = {
    "id": "91c0",
    "at": 1764000000.5,
    "actor": "user:ann",
    "workspace": "tenant-a",
    "action": "token.create",
    "object": "0f3a",
    "before": None,
    "after": {"label": "ci"},
    "outcome": "ok",
    "request_id": "4f2a",
}


class AuditLine(Body):
    """An entry of the audit log."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [AUDIT_EXAMPLE]},
    )

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
