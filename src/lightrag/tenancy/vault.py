"""Secrets at rest: encrypted by a key of their workspace, which is wrapped by a key-encryption key.

A sealed secret is the text `enc:v1:<data key id>:<base64url of nonce and ciphertext>`. It is bound to its workspace,
its record and its field: copied to another row or tenant it does not open. Key-encryption keys are replaced by
wrapping the data keys anew (`rewrap`), data keys by encrypting anew what they sealed (`renew`); meanwhile everything
stays readable. What cannot be opened is a state that listings show, not an error that breaks them.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import secrets
from collections import OrderedDict

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import LightRAGError
from lightrag.tenancy.database import ControlDatabase, new_key, now_seconds
from lightrag.tenancy.keyring import KEY_BYTES, KeyRing, seal, unseal
from lightrag.tenancy.tables import CredentialRow, DataKeyRow

PREFIX = "enc:v1:"
KEPT_DATA_KEYS = 256


class SecretUnreadable(LightRAGError):
    """A stored secret cannot be opened: its key is not at hand, or it was changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What a secret is bound to."""

    workspace_id: str
    record_id: str
    field: str = "secret"

    @property
    def context(self) -> bytes:
        """The authenticated data."""
        return "\x1f".join(("lightrag", "secret", "1", self.workspace_id, self.record_id, self.field)).encode()


@dataclasses.dataclass(frozen=True, slots=True)
class RotationReport:
    """What a rotation did, or with a dry run would do."""

    changed: int
    current: int
    """What was up to date already."""
    unreadable: int


class Vault:
    """Seals and opens the secrets of all workspaces."""

    def __init__(self, database: ControlDatabase, keyring: KeyRing) -> None:
        self._database = database
        self._keyring = keyring
        self._data_keys: OrderedDict[str, bytes] = OrderedDict()

    async def seal(self, session: AsyncSession, place: Place, secret: str) -> str:
        """Return a secret as it is stored, in the unit of work that stores it."""
        key_id, key = await self._current(session, place.workspace_id)
        return _text(key_id, seal(key, secret.encode(), place.context))

    async def open(self, session: AsyncSession, place: Place, sealed: str) -> str:
        """Return a stored secret. Raises `SecretUnreadable`."""
        key_id, body = _parts(sealed)
        key = await self._data_key(session, key_id, place.workspace_id)
        plain = unseal(key, body, place.context) if key is not None and body else None
        if plain is None:
            raise SecretUnreadable(
                "A stored key cannot be decrypted: start with the key-encryption key that it was stored under, or "
                "enter it again"
            )
        return plain.decode()

    async def fingerprint(self, session: AsyncSession, workspace_id: str, secret: str) -> str:
        """Return what equals for equal secrets of one workspace and tells nothing else of them."""
        _, key = await self._current(session, workspace_id)
        return _fingerprint(key, secret)

    async def rewrap(self, *, is_dry: bool = False) -> RotationReport:
        """Wrap every data key by the current key-encryption key; no secret is touched.

        May be cut short and repeated.
        """
        changed = current = unreadable = 0
        async with self._database.read() as session:
            rows = (await session.execute(select(DataKeyRow.id, DataKeyRow.kek_id))).all()
        for key_id, kek_id in rows:
            if kek_id == self._keyring.current:
                current += 1
            elif kek_id not in self._keyring.ids:
                unreadable += 1
            elif is_dry or await self._rewrap_one(key_id):
                changed += 1
        return RotationReport(changed, current, unreadable)

    async def renew(self, workspace_id: str) -> RotationReport:
        """Make a new data key for a workspace and encrypt its secrets by it.

        One unit of work: a secret that is stored meanwhile waits for it. The old data key is dropped where nothing
        needs it any more.
        """
        async with self._database.begin() as session:
            await session.execute(
                update(DataKeyRow).where(DataKeyRow.workspace_id == workspace_id).values(is_current=False)
            )
            key_id, key = await self._make(session, workspace_id)
            rows = (
                await session.scalars(
                    select(CredentialRow).where(
                        CredentialRow.workspace_id == workspace_id, CredentialRow.secret.is_not(None)
                    )
                )
            ).all()
            changed = unreadable = 0
            needed = {key_id}
            for row in rows:
                place = Place(workspace_id, row.id)
                try:
                    plain = await self.open(session, place, row.secret or "")
                except SecretUnreadable:
                    unreadable += 1
                    needed.add(_parts(row.secret or "")[0])
                    continue
                row.secret = _text(key_id, seal(key, plain.encode(), place.context))
                row.fingerprint = _fingerprint(key, plain)
                changed += 1
            old = await session.scalars(select(DataKeyRow).where(DataKeyRow.workspace_id == workspace_id))
            for data_key in old:
                if data_key.id not in needed:
                    await session.delete(data_key)
        return RotationReport(changed, 0, unreadable)

    async def _rewrap_one(self, key_id: str) -> bool:
        async with self._database.begin() as session:
            row = await session.get(DataKeyRow, key_id)
            if row is None or row.kek_id == self._keyring.current:
                return False
            context = _key_context(row.workspace_id, row.id)
            key = self._keyring.unwrap(row.wrapped, row.kek_id, context)
            if key is None:
                return False
            row.wrapped, row.kek_id = self._keyring.wrap(key, context), self._keyring.current
        return True

    async def _current(self, session: AsyncSession, workspace_id: str) -> tuple[str, bytes]:
        key_id = await session.scalar(
            select(DataKeyRow.id)
            .where(DataKeyRow.workspace_id == workspace_id, DataKeyRow.is_current)
            .order_by(DataKeyRow.created_at.desc(), DataKeyRow.id)
            .limit(1)
        )
        key = await self._data_key(session, key_id, workspace_id) if key_id is not None else None
        # A data key that cannot be unwrapped must not keep a workspace from storing new secrets.
        return (key_id, key) if key_id is not None and key is not None else await self._make(session, workspace_id)

    async def _make(self, session: AsyncSession, workspace_id: str) -> tuple[str, bytes]:
        key_id, key = new_key(), secrets.token_bytes(KEY_BYTES)
        wrapped = self._keyring.wrap(key, _key_context(workspace_id, key_id))
        session.add(
            DataKeyRow(
                id=key_id,
                workspace_id=workspace_id,
                wrapped=wrapped,
                kek_id=self._keyring.current,
                created_at=now_seconds(),
            )
        )
        await session.flush()
        return key_id, key

    async def _data_key(self, session: AsyncSession, key_id: str, workspace_id: str) -> bytes | None:
        if key_id in self._data_keys:
            self._data_keys.move_to_end(key_id)
            return self._data_keys[key_id]
        row = await session.get(DataKeyRow, key_id)
        if row is None or row.workspace_id != workspace_id:
            return None
        key = self._keyring.unwrap(row.wrapped, row.kek_id, _key_context(workspace_id, key_id))
        if key is not None:
            self._data_keys[key_id] = key
            while len(self._data_keys) > KEPT_DATA_KEYS:
                self._data_keys.popitem(last=False)
        return key


def _key_context(workspace_id: str, key_id: str) -> bytes:
    return "\x1f".join(("lightrag", "data key", "1", workspace_id, key_id)).encode()


def _fingerprint(key: bytes, secret: str) -> str:
    return hmac.new(key, b"fingerprint\x1f" + secret.encode(), "sha256").hexdigest()[:16]


def _text(key_id: str, sealed: bytes) -> str:
    return f"{PREFIX}{key_id}:{base64.urlsafe_b64encode(sealed).decode()}"


def _parts(sealed: str) -> tuple[str, bytes]:
    key_id, _, body = sealed.removeprefix(PREFIX).partition(":")
    if not sealed.startswith(PREFIX):
        return "", b""
    try:
        return key_id, base64.urlsafe_b64decode(body)
    except (binascii.Error, ValueError):
        return key_id, b""
