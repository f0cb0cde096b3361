"""What is stored of a workspace's models, read in one unit of work."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.tenancy.catalogue import Catalogue, Provider
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType, Price
from lightrag.tenancy.control_plane import ControlPlane
from lightrag.tenancy.registry_addresses import opened, shown
from lightrag.tenancy.registry_keys import secret_fields
from lightrag.tenancy.registry_records import KEY_NONE, KEY_SET, KEY_UNREADABLE, CredentialInfo, ModelInfo
from lightrag.tenancy.tables import CredentialRow, DataKeyRow, DefaultModelRow, ModelRow
from lightrag.tenancy.vault import Place, SecretUnreadable, is_key_of


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A workspace's rows."""

    credentials: Mapping[str, CredentialRow]
    secrets: Mapping[str, Mapping[str, str] | None] = dataclasses.field(repr=False)
    """Opened, by credential; None where they cannot be."""
    models: tuple[ModelRow, ...]
    """By order and name."""
    defaults: tuple[DefaultModelRow, ...]
    """By slot and position."""

    def find(self, provider: Provider, name: str, type: ModelType | None = None) -> list[ModelRow]:
        """Return the rows of a model, named with or without its provider's suffix."""
        names = {name, provider.full(name)}
        return [
            row
            for row in self.models
            if row.provider == provider.name and row.name in names and type in (None, row.type)
        ]

    def seen(self, row: CredentialRow) -> tuple[object, ...]:
        """Return what is equal as long as nobody enters another key or address; a rotation of keys changes nothing."""
        secrets = self.secrets[row.id]
        return (row.secret if secrets is None else dict(secrets), row.base_url)

    def credential(self, provider: str, label: str) -> CredentialRow | None:
        """Return a credential by its label."""
        found = (row for row in self.credentials.values() if row.provider == provider and row.label == label)
        return next(found, None)

    def users(self, provider: str, gone: set[str]) -> dict[str, set[str]]:
        """Return the slots whose default would be lost with some model rows, by the name of the model."""
        left = {(row.name, row.type) for row in self.models if row.provider == provider and row.id not in gone}
        lost: dict[str, set[str]] = {}
        for row in self.models:
            if row.id not in gone or (row.name, row.type) in left:
                continue
            for default in self.defaults:
                if (default.provider, default.name) == (provider, row.name) and _serves(default.slot, row.type):
                    lost.setdefault(row.name, set()).add(default.slot)
        return lost


def _serves(slot: str, type: str) -> bool:
    return slot == type or (type == ModelType.CHAT and slot not in tuple(ModelType))


async def read_stored(plane: ControlPlane, session: AsyncSession, catalogue: Catalogue, workspace_id: str) -> Stored:
    """Return what is stored of a workspace's models."""
    rows = (
        await session.execute(
            select(CredentialRow, DataKeyRow, ModelRow)
            .outerjoin(DataKeyRow, is_key_of(CredentialRow))
            .outerjoin(ModelRow, ModelRow.credential_id == CredentialRow.id)
            .where(CredentialRow.workspace_id == workspace_id)
            .order_by(CredentialRow.provider, CredentialRow.created_at, CredentialRow.label)
        )
    ).all()
    credentials = dict.fromkeys((credential, data_key) for credential, data_key, _ in rows)
    models = sorted((model for *_, model in rows if model is not None), key=_place)
    defaults = (
        await session.scalars(
            select(DefaultModelRow)
            .where(DefaultModelRow.workspace_id == workspace_id)
            .order_by(DefaultModelRow.slot, DefaultModelRow.position)
        )
    ).all()
    secrets: dict[str, Mapping[str, str] | None] = {}
    for row, data_key in credentials:
        secrets[row.id] = await _secrets(plane, catalogue.get(row.provider), row, data_key)
    return Stored({row.id: row for row, _ in credentials}, secrets, tuple(models), tuple(defaults))


def _place(row: ModelRow) -> tuple[object, ...]:
    return (row.provider, row.name, row.type, row.order, row.created_at, row.id)


async def _secrets(
    plane: ControlPlane, provider: Provider | None, row: CredentialRow, data_key: DataKeyRow | None
) -> Mapping[str, str] | None:
    if row.secret is None:
        return {}
    try:
        opened = await plane.vault.open_with(Place(row.workspace_id, row.id), row.secret, data_key)
        return secret_fields(provider, opened)
    except (SecretUnreadable, ValueError):
        return None


def credential_info(stored: Stored, row: CredentialRow, provider: Provider | None) -> CredentialInfo:
    """Return what may be told of a credential."""
    state = KEY_NONE if row.secret is None else KEY_UNREADABLE if stored.secrets[row.id] is None else KEY_SET
    return CredentialInfo(
        id=row.id,
        provider=row.provider,
        label=row.label,
        base_url=row.base_url,
        address=shown(provider, row.base_url, row.extra),
        key_state=state,
        hint=row.hint,
        fingerprint=row.fingerprint,
        extra=dict(row.extra),
        is_verified=row.is_verified,
        verified_at=row.verified_at,
        updated_at=row.updated_at,
    )


def model_info(stored: Stored, row: ModelRow, catalogue: Catalogue) -> ModelInfo:
    """Return what may be told of a model."""
    ref, type = ModelRef(row.provider, row.name), ModelType(row.type)
    return ModelInfo(
        id=row.id,
        ref=ref,
        type=type,
        credential=credential_info(stored, stored.credentials[row.credential_id], catalogue.get(row.provider)),
        is_enabled=row.is_enabled,
        is_verified=row.is_verified,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        dimension=row.dimension,
        has_tools=row.has_tools,
        order=row.order,
        weight=row.weight,
        price=_price(row, catalogue.price(ref, type)),
    )


def candidate(stored: Stored, row: ModelRow, catalogue: Catalogue) -> Candidate | None:
    """Return the way to reach a model; None where its key cannot be read or its provider is not known any more."""
    credential = stored.credentials[row.credential_id]
    secrets, provider, type = stored.secrets[credential.id], catalogue.get(row.provider), ModelType(row.type)
    if secrets is None or provider is None or type not in provider.wires:
        return None
    ref = ModelRef(row.provider, row.name)
    upstream = row.upstream_name or provider.bare(row.name)
    told = catalogue.price(ref, type)
    return Candidate(
        workspace_id=row.workspace_id,
        model_id=row.id,
        credential_id=credential.id,
        ref=ref,
        upstream_name=upstream,
        type=type,
        dialect=provider.wires[type],
        base_url=opened(provider, type, credential.base_url, credential.extra, upstream),
        secret=main_secret(provider, secrets),
        extra=further(provider, secrets, credential.extra),
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        dimension=row.dimension,
        order=row.order,
        weight=row.weight,
        price=_price(row, told),
        generation=_generation(row, credential, secrets),
    )


def main_secret(provider: Provider, secrets: Mapping[str, str]) -> str:
    """Return the key itself; empty for none."""
    field = provider.key_field
    return secrets.get(field.name, "") if field is not None else ""


def further(provider: Provider, secrets: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the other fields of a credential."""
    main = provider.key_field
    return dict(extra) | {name: text for name, text in secrets.items() if main is None or name != main.name}


def _price(row: ModelRow, told: Price) -> Price:
    if row.price_in is None and row.price_cached is None and row.price_out is None:
        return told
    return Price(row.price_in, row.price_cached, row.price_out)


def _generation(row: ModelRow, credential: CredentialRow, secrets: Mapping[str, str]) -> int:
    """Return a number that is equal only where a client may be shared; a rotation of keys does not change it."""
    parts = (
        credential.id,
        credential.base_url,
        sorted(secrets.items()),
        sorted(credential.extra.items()),
        row.upstream_name or row.name,
        row.context_tokens,
        row.dimension,
    )
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest())
