"""From what somebody enters to a change that can be tried and saved.

A stored key is sent to nowhere but where it was entered for: a change of the base URL wants it again. Which credential
a model gets, where none is named: the one it has, one with the same content, `default`, or one more.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lightrag.errors import InvalidInput
from lightrag.llm.network import AddressRefused
from lightrag.tenancy.catalogue import CatalogueModel, Provider
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType, Price
from lightrag.tenancy.database import new_key
from lightrag.tenancy.netguard import NetGuard
from lightrag.tenancy.registry_addresses import entered, is_needed, opened
from lightrag.tenancy.registry_keys import (
    EnteredKey,
    MissingParameter,
    check_complete,
    read_key,
    with_defaults,
)
from lightrag.tenancy.registry_reading import Stored, further, main_secret
from lightrag.tenancy.registry_records import (
    DEFAULT_LABEL,
    Draft,
    DraftCredential,
    DraftModel,
    KeyWish,
    ModelWish,
    UnsupportedModel,
    model_type,
)
from lightrag.tenancy.tables import CredentialRow, ModelRow

LONGEST_NAME = 255
MOST_CONTEXT = 100_000_000
_LABEL = re.compile(r"[\w][\w .-]{0,62}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Account:
    """A credential as it was entered."""

    key: EnteredKey
    base_url: str | None
    """None where none was given."""
    extra: Mapping[str, str]


async def draft_model(stored: Stored, workspace_id: str, provider: Provider, wish: ModelWish, guard: NetGuard) -> Draft:
    """Return a model to be added or changed. Raises `InvalidInput`."""
    type = model_type(wish.type)
    name = _checked_name(provider, wish.name, type)
    account = _account(provider, wish.given, wish.base_url)
    rows = stored.find(provider, name, type)
    if wish.label is not None:
        rows = [row for row in rows if stored.credentials[row.credential_id].label == wish.label]
    row = rows[0] if rows else None
    credential = _credential(stored, provider, account, wish.label, row)
    await _check_address(provider, type, credential, name, guard)
    values = _values(provider, wish, type, row, account.key)
    model = DraftModel(provider.full(name) if row is None else row.name, type, values, row.id if row else None)
    return _draft(workspace_id, provider, credential, (model,), stored)


async def draft_key(stored: Stored, workspace_id: str, provider: Provider, wish: KeyWish, guard: NetGuard) -> Draft:
    """Return a key to be set for all models that the catalogue knows of its provider. Raises `InvalidInput`."""
    account = _account(provider, wish.given, wish.base_url)
    label = wish.label or DEFAULT_LABEL
    credential = _credential(stored, provider, account, label, None)
    for type in provider.types[:1]:
        await _check_address(provider, type, credential, "model", guard)
    here = {(row.name, row.type): row for row in stored.models if row.credential_id == credential.id}
    models = []
    for known in sorted(provider.models, key=lambda one: has_ended(one)):
        row = here.pop((known.name, known.type.value), None)
        values = {} if row is not None else _catalogue_values(known)
        models.append(DraftModel(known.name, known.type, values, row.id if row is not None else None))
    models += [DraftModel(row.name, ModelType(row.type), {}, row.id) for row in here.values()]
    return _draft(workspace_id, provider, credential, tuple(models), stored)


def has_ended(known: CatalogueModel) -> bool:
    """Whether a model's provider no longer serves it."""
    return bool(known.ends) and known.ends <= datetime.now(UTC).date().isoformat()


def _checked_name(provider: Provider, name: str, type: ModelType) -> str:
    name = name.strip()
    if not name:
        raise MissingParameter("llm_name")
    if len(provider.full(name)) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"llm_name must be printable and at most {LONGEST_NAME} characters long")
    if type not in provider.wires:
        raise UnsupportedModel(provider.name, type, provider.unserved.get(type, ""))
    if provider.is_unserved(name, type):
        raise UnsupportedModel(provider.name, type, "it is spoken over WebSockets")
    return name


def _account(provider: Provider, given: Mapping[str, Any], base_url: str | None) -> _Account:
    key = read_key(provider, given)
    if base_url is None or not base_url.strip():
        return _Account(key, None, key.extra)
    extra = dict(key.extra)
    kept = entered(provider, base_url)
    version = parse_qs(urlsplit(base_url.strip()).query).get("api-version")
    if version and "api_version" not in extra:
        extra |= read_key(provider, {"api_version": version[0]}).extra
    return _Account(key, kept, extra)


def _credential(
    stored: Stored, provider: Provider, account: _Account, label: str | None, model: ModelRow | None
) -> DraftCredential:
    """Return the credential to be used: one that there is, changed or not, or a new one."""
    if label is not None:
        if not _LABEL.fullmatch(label):
            raise InvalidInput("A key's label has 1 to 63 letters, digits, spaces, dots, hyphens and underscores")
        found = stored.credential(provider.name, label)
        return _new(stored, provider, account, label) if found is None else _kept(stored, provider, account, found)
    if model is not None:
        own = stored.credentials[model.credential_id]
        shared = any(row.credential_id == own.id and row.name != model.name for row in stored.models)
        if not shared or _fits(stored, provider, account, own):
            return _kept(stored, provider, account, own)
    for row in stored.credentials.values():
        if row.provider == provider.name and _fits(stored, provider, account, row):
            return _kept(stored, provider, account, row)
    labels = {row.label for row in stored.credentials.values() if row.provider == provider.name}
    numbers = (f"key-{number}" for number in range(2, len(labels) + 3))
    free = next(one for one in (DEFAULT_LABEL, *numbers) if one not in labels)
    return _new(stored, provider, account, free)


def _fits(stored: Stored, provider: Provider, account: _Account, row: CredentialRow) -> bool:
    """Whether what was entered is what a credential is."""
    secrets = stored.secrets[row.id]
    if secrets is None or (account.base_url is not None and account.base_url != row.base_url):
        return False
    if account.key.secrets and (dict(account.key.secrets) != dict(secrets) or (account.base_url or "") != row.base_url):
        return False
    return all(row.extra.get(name) == value for name, value in account.extra.items())


def _kept(stored: Stored, provider: Provider, account: _Account, row: CredentialRow) -> DraftCredential:
    base_url = row.base_url if account.base_url is None else account.base_url
    secrets = stored.secrets[row.id]
    if not account.key.secrets:
        if secrets is None:
            raise InvalidInput(
                f"The stored key '{row.label}' of {provider.name} cannot be decrypted: enter it again, or start the "
                "server with the key-encryption key that it was stored under"
            )
        if secrets and base_url != row.base_url:
            raise InvalidInput(
                "The base URL differs from the one that the stored key was entered for: enter the key again (api_key), "
                "for it is not sent to another address"
            )
    same_place = base_url == row.base_url
    merged = {**(secrets or {}), **account.key.secrets} if same_place else dict(account.key.secrets)
    extra = {**row.extra, **account.extra}
    check_complete(provider, merged, extra)
    changed = merged != dict(secrets or {}) or secrets is None or not same_place or extra != dict(row.extra)
    return DraftCredential(row.id, False, row.label, base_url, merged, extra, changed, stored.seen(row))


def _new(stored: Stored, provider: Provider, account: _Account, label: str) -> DraftCredential:
    extra = with_defaults(provider, account.extra)
    has_keys = any(row.provider == provider.name and row.secret for row in stored.credentials.values())
    if provider.needs_key and not account.key.secrets and has_keys and account.base_url is not None:
        raise InvalidInput(
            "The base URL differs from the one that the stored key was entered for: enter the key again (api_key), "
            "for it is not sent to another address"
        )
    check_complete(provider, account.key.secrets, extra)
    if is_needed(provider) and not account.base_url:
        raise MissingParameter("api_base")
    return DraftCredential(
        new_key(), True, label, account.base_url or "", dict(account.key.secrets), extra, is_changed=True
    )


async def _check_address(
    provider: Provider, type: ModelType, credential: DraftCredential, name: str, guard: NetGuard
) -> None:
    try:
        await guard.check_url(opened(provider, type, credential.base_url, credential.extra, name))
    except AddressRefused as error:
        raise InvalidInput(str(error)) from None


def _values(
    provider: Provider, wish: ModelWish, type: ModelType, row: ModelRow | None, key: EnteredKey
) -> dict[str, Any]:
    known = provider.find(wish.name.strip(), type)
    values = _catalogue_values(known) if row is None and known is not None else {}
    told = {
        "context_tokens": wish.context_tokens,
        "max_output_tokens": wish.max_output_tokens,
        "dimension": wish.dimension,
        "has_tools": wish.has_tools,
        "order": wish.order,
        "weight": wish.weight,
    }
    values |= {column: value for column, value in told.items() if value is not None}
    if wish.price is not None:
        values |= _price_values(wish.price)
    if key.of_model:
        values["upstream_name"] = key.of_model.get("ep_id", "") + key.of_model.get("endpoint_id", "")
    return values


def _catalogue_values(known: CatalogueModel) -> dict[str, Any]:
    return {
        "context_tokens": known.context_tokens,
        "max_output_tokens": known.max_output_tokens,
        "dimension": known.dimension,
        "has_tools": known.has_tools,
    }


def _price_values(price: Price) -> dict[str, Any]:
    return {"price_in": price.prompt, "price_cached": price.cached, "price_out": price.completion}


def _draft(
    workspace_id: str, provider: Provider, credential: DraftCredential, models: tuple[DraftModel, ...], stored: Stored
) -> Draft:
    rows = {row.id: row for row in stored.models}
    candidates = tuple(
        _candidate(workspace_id, provider, credential, model, rows.get(model.row_id or "")) for model in models
    )
    return Draft(workspace_id, provider, credential, models, candidates)


def _candidate(
    workspace_id: str, provider: Provider, credential: DraftCredential, model: DraftModel, row: ModelRow | None
) -> Candidate:
    def value(column: str) -> Any:
        return model.values.get(column, getattr(row, column) if row is not None else None)

    known = provider.find(model.name, model.type)
    upstream = value("upstream_name") or provider.bare(model.name)
    own = Price(value("price_in"), value("price_cached"), value("price_out"))
    told = known.price if known is not None and not has_ended(known) else Price()
    return Candidate(
        workspace_id=workspace_id,
        model_id=model.row_id or "",
        credential_id=credential.id,
        ref=ModelRef(provider.name, model.name),
        upstream_name=upstream,
        type=model.type,
        dialect=provider.wires[model.type],
        base_url=opened(provider, model.type, credential.base_url, credential.extra, upstream),
        secret=main_secret(provider, credential.secrets),
        extra=further(provider, credential.secrets, credential.extra),
        context_tokens=value("context_tokens"),
        dimension=value("dimension"),
        price=told if own == Price() else own,
    )
