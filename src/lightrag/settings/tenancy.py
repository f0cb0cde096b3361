"""The settings of workspaces as tenants, and of the control plane that manages them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from lightrag.settings.options import Group, Option, Secret, Words


class TenancySettings(Group):
    """Workspaces as tenants, and the control plane that manages them."""

    default_workspace: Annotated[str | None, Option(("LIGHTRAG_DEFAULT_WORKSPACE",))] = Field(
        None,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$",
        description="workspace of requests without a workspace header; WORKSPACE where it is not set",
    )
    allow_default_workspace: Annotated[bool, Option(("LIGHTRAG_ALLOW_DEFAULT_WORKSPACE",))] = Field(
        True, description="whether requests may leave out the workspace header"
    )
    max_workspaces_in_pool: Annotated[int, Option(("LIGHTRAG_MAX_WORKSPACES_IN_POOL",))] = Field(
        50, ge=1, description="workspaces that a process keeps open; idle ones are closed, those in use never"
    )
    create_on_use: Annotated[bool, Option(("LIGHTRAG_CREATE_WORKSPACES_ON_USE",))] = Field(
        True,
        description="create a workspace that a request names and that does not exist when something is written to it; "
        "false: only administrators create workspaces",
    )
    control_dsn: Annotated[Secret, Option(("LIGHTRAG_CONTROL_DSN",))] = Field(
        None,
        description="database of the control plane, postgresql://… ; unset: control.sqlite3 in the working directory",
    )
    kek: Annotated[Secret, Option(("LIGHTRAG_KEK",))] = Field(
        None,
        description="key that guards the stored provider keys: 32 bytes in base64, the first of several is in use",
    )
    kek_file: Annotated[Path | None, Option(("LIGHTRAG_KEK_FILE",))] = Field(
        None, description="file that holds that key"
    )
    kek_command: Annotated[str | None, Option(("LIGHTRAG_KEK_COMMAND",))] = Field(
        None, description="command that prints that key"
    )
    allowed_hosts: Annotated[Words, Option(("LIGHTRAG_LLM_ALLOWED_HOSTS",))] = Field(
        ("localhost", "127.0.0.1", "::1"),
        description="private hosts and networks (CIDR) that tenants' base URLs may name; * allows all but metadata "
        "services",
    )
    allowed_providers: Annotated[Words, Option(("LIGHTRAG_LLM_ALLOWED_PROVIDERS",))] = Field(
        (), description="providers that tenants may add; unset: all"
    )
    provider_urls: Annotated[Words, Option(("LIGHTRAG_LLM_PROVIDER_URLS",))] = Field(
        (), description="addresses at which providers are reached in place of their own, as OpenAI=https://gateway/v1"
    )
    probe_timeout: Annotated[float, Option(("LIGHTRAG_LLM_PROBE_TIMEOUT",))] = Field(
        15, gt=0, le=600, description="seconds in which a model must answer when its key is checked"
    )
    audit_days: Annotated[int, Option(("LIGHTRAG_AUDIT_DAYS",))] = Field(
        0, ge=0, description="days after which entries of the audit log are removed; 0 for never"
    )
