"""The tables of the control plane.

Times are UTC, as integers: microseconds since 1970 where two events must be told apart, else seconds. Money is in
micro US dollars. Keys are random hexadecimal strings, so that nothing about other tenants follows from them. Whatever
is named by users is unique within its workspace only.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = String(32)
NAME = String(255)


class Base(DeclarativeBase):
    """Base of all tables. Constraints have names, so that migrations can change them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own declaration


class WorkspaceRow(Base):
    """A tenant. The root workspace has the empty name."""

    __tablename__ = "workspace"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16), default="active")
    """active | importing | renaming | deleting | reserved (for a workspace that is being renamed)"""
    task: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Who is at it while it is not active: `owner`, `until` (seconds since 1970), and `to` for a new name."""
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    """Raised with every change of its models, keys, defaults and limits; whoever keeps those compares it."""
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(NAME, default="")


class DataKeyRow(Base):
    """A workspace's key for its secrets, wrapped by a key-encryption key that never lies in this database."""

    __tablename__ = "data_key"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    kek_id: Mapped[str] = mapped_column(String(64), index=True)
    is_current: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class KeyInUseRow(Base):
    """The key-encryption key that data keys are wrapped by since the last rotation. There is one row at most."""

    __tablename__ = "key_in_use"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kek_id: Mapped[str] = mapped_column(String(64))


class UserRow(Base):
    """An account with a password."""

    __tablename__ = "user_account"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    name: Mapped[str] = mapped_column(NAME, unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    """Of the server: every workspace, every right."""
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    generation: Mapped[int] = mapped_column(Integer, default=0)
    """Raised to end all sessions."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class TokenRow(Base):
    """A key for programs. Only its hash is kept."""

    __tablename__ = "access_token"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(NAME, default="")
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(NAME, default="")
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class GrantRow(Base):
    """The right of a token or user to a workspace."""

    __tablename__ = "access_grant"
    __table_args__ = (UniqueConstraint("subject_kind", "subject_id", "workspace_id"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(8))
    """token | user"""
    subject_id: Mapped[str] = mapped_column(KEY, index=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    """admin | editor | reader"""


class CredentialRow(Base):
    """A provider's key and address, by a label of the workspace's choice."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("workspace_id", "provider", "label"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(128))
    label: Mapped[str] = mapped_column(String(64), default="default")
    base_url: Mapped[str] = mapped_column(Text, default="")
    """Empty: the provider's own."""
    secret: Mapped[str | None] = mapped_column(Text)
    """Encrypted, see `lightrag.tenancy.vault`; None where the provider needs none."""
    hint: Mapped[str] = mapped_column(String(16), default="")
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What is not secret: versions, regions, projects."""
    is_verified: Mapped[bool] = mapped_column(Boolean, default=False)
    verified_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class ModelRow(Base):
    """A model that a workspace may use, through one credential."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("workspace_id", "provider", "name", "type", "credential_id"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(NAME)
    """As the API names it; the provider's suffix included where there is one."""
    upstream_name: Mapped[str] = mapped_column(NAME, default="")
    """What the provider calls it, where that is not the name: a deployment, an endpoint."""
    type: Mapped[str] = mapped_column(String(16))
    """chat | embedding | rerank | image2text | speech2text | tts"""
    credential_id: Mapped[str] = mapped_column(ForeignKey("credential.id", ondelete="CASCADE"), index=True)
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    context_tokens: Mapped[int | None] = mapped_column(Integer)
    max_output_tokens: Mapped[int | None] = mapped_column(Integer)
    dimension: Mapped[int | None] = mapped_column(Integer)
    has_tools: Mapped[bool] = mapped_column(Boolean, default=False)
    order: Mapped[int] = mapped_column(Integer, default=0)
    """Among credentials of one model: the lowest first."""
    weight: Mapped[float] = mapped_column(Float, default=1.0)
    price_in: Mapped[int | None] = mapped_column(BigInteger)
    """Micro dollars for a million prompt tokens; None: the catalogue's."""
    price_cached: Mapped[int | None] = mapped_column(BigInteger)
    price_out: Mapped[int | None] = mapped_column(BigInteger)
    is_verified: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)


class DefaultModelRow(Base):
    """Which models of a workspace serve a slot, the first choice at position 0, the others where it fails."""

    __tablename__ = "default_model"

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[str] = mapped_column(String(16), primary_key=True)
    """A model type, or a role of chat: extract | summary | keywords | answer"""
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    provider: Mapped[str] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(NAME)


class UsageRow(Base):
    """One call of a model, a part of one, or one that a kept answer saved. Rows are only ever added."""

    __tablename__ = "usage_entry"
    __table_args__ = (
        Index("ix_usage_entry_workspace_at", "workspace_id", "at"),
        Index("ix_usage_entry_token_at", "token_id", "at"),
    )

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    """Microseconds."""
    workspace_id: Mapped[str] = mapped_column(KEY)
    token_id: Mapped[str | None] = mapped_column(KEY)
    provider: Mapped[str] = mapped_column(String(128))
    model: Mapped[str] = mapped_column(NAME)
    type: Mapped[str] = mapped_column(String(16))
    operation: Mapped[str] = mapped_column(String(16))
    """extract | summary | keywords | answer | embed | rerank | probe | …"""
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    completion_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    is_estimated: Mapped[bool] = mapped_column(Boolean, default=False)
    cost: Mapped[int | None] = mapped_column(BigInteger)
    """Micro dollars; None where the price is not known."""
    milliseconds: Mapped[int] = mapped_column(BigInteger, default=0)
    outcome: Mapped[str] = mapped_column(String(16))
    """ok | error | aborted | cached"""
    request_id: Mapped[str] = mapped_column(String(64), default="")
    part_of: Mapped[str | None] = mapped_column(KEY)
    """The row under which the call is counted, of what another token pays of it."""


class UsageDayRow(Base):
    """Sums of the ledger by day (UTC) and model, kept with it in one transaction."""

    __tablename__ = "usage_day"

    workspace_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Days since 1970."""
    token_id: Mapped[str] = mapped_column(KEY, primary_key=True, default="")
    provider: Mapped[str] = mapped_column(String(128), primary_key=True)
    model: Mapped[str] = mapped_column(NAME, primary_key=True)
    type: Mapped[str] = mapped_column(String(16), primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger, default=0)
    errors: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_answers: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Calls that were not made because the answer was kept; not among `calls`."""
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    completion_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost: Mapped[int] = mapped_column(BigInteger, default=0)
    unpriced_tokens: Mapped[int] = mapped_column(BigInteger, default=0)


SUMMED = (
    "calls",
    "errors",
    "cached_answers",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost",
    "unpriced_tokens",
)
"""The columns of `UsageDayRow` that are sums, in the order in which they are shown."""


class LimitRow(Base):
    """What a workspace or token may use; the strictest one that applies wins."""

    __tablename__ = "usage_limit"

    subject_kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """workspace | token"""
    subject_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)
    """requests_per_minute | tokens_per_minute | concurrency | tokens_per_day | tokens_per_month | cost_per_day |
    cost_per_month"""
    amount: Mapped[int] = mapped_column(BigInteger)


class CounterRow(Base):
    """What is used and reserved of a limit in its present window."""

    __tablename__ = "usage_counter"

    subject_kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    subject_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)
    window: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Start of the window in seconds, for minutes that of a part of them; 0 for concurrency."""
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    reserved: Mapped[int] = mapped_column(BigInteger, default=0)


class ReservationRow(Base):
    """What a running call may come to use; gone when it is settled, taken back when its process is dead or silent."""

    __tablename__ = "usage_reservation"

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    parts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Counters with the amounts reserved in each."""
    owner: Mapped[str] = mapped_column(String(160), default="", server_default="")
    """The process, by `lightrag.indexing.owner`."""


class AuditRow(Base):
    """An administrative change, or the attempt at one. Secrets appear as fingerprints only."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_workspace_at", "workspace_id", "at"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    """Microseconds."""
    actor: Mapped[str] = mapped_column(NAME)
    """Kind and name, as `token:ci`, `user:ann`, `key`, `cli`."""
    workspace_id: Mapped[str | None] = mapped_column(KEY)
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text, default="")
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    outcome: Mapped[str] = mapped_column(String(16), default="ok")
    request_id: Mapped[str] = mapped_column(String(64), default="")
