"""Secrets at rest: encrypted by a key of their workspace, which is wrapped by a key-encryption key.

A sealed secret is the text `enc:v1:<data key id>:<base64url of nonce and ciphertext>`. It is bound to its workspace,
its record and its field: copied to another row or tenant it does not open. Key-encryption keys are replaced by
wrapping the data keys anew (`rewrap`), data keys by encrypting anew what they sealed (`renew`). Meanwhile everything
stays readable in all processes, and what is stored is stored under the newer keys. What cannot be opened is a state
that listings show, not an error that breaks them.
"""

from __future__ import annotations

import base64
import binascii
import collections
import dataclasses
import enum
import hmac
import logging
import secrets
from collections import OrderedDict
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import LightRAGError
from lightrag.tenancy.database import ControlDatabase, new_key, now_seconds
from lightrag.tenancy.keyring import KEY_BYTES, KeyRing, KeyRings, seal, unseal
from lightrag.tenancy.tables import CredentialRow, DataKeyRow, KeyInUseRow

PREFIX = "enc:v1:"
KEY_ID_LENGTH = 32
KEPT_DATA_KEYS = 256
_LOCKS = 0x7661756C74
"""Seed of the advisory locks on Postgres, so that they are not those of others."""

_log = logging.getLogger(__name__)


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
    key_id: str = ""
    """The key-encryption key that is in use."""


class _Wrapped(enum.Enum):
    """What became of a data key in a rotation."""

    CHANGED = enum.auto()
    CURRENT = enum.auto()
    UNREADABLE = enum.auto()


class Vault:
    """Seals and opens the secrets of all workspaces."""

    def __init__(self, database: ControlDatabase, keys: KeyRing | KeyRings) -> None:
        self._database = database
        self._keys = keys if isinstance(keys, KeyRings) else KeyRings(keys)
        self._data_keys: OrderedDict[str, bytes] = OrderedDict()

    async def seal(self, session: AsyncSession, place: Place, secret: str) -> str:
        """Return a secret as it is stored, in the unit of work that stores it."""
        key_id, key = await self._current(session, place.workspace_id)
        return _text(key_id, seal(key, secret.encode(), place.context))

    async def open(self, session: AsyncSession, place: Place, sealed: str) -> str:
        """Return a stored secret. Raises `SecretUnreadable`."""
        return await self.open_with(place, sealed, await session.get(DataKeyRow, _parts(sealed)[0]))

    async def open_with(self, place: Place, sealed: str, data_key: DataKeyRow | None) -> str:
        """Return a stored secret by the data key that was read with it; see `is_key_of`. Raises `SecretUnreadable`.

        Read in two statements, the key may have been replaced between them.
        """
        key_id, body = _parts(sealed)
        is_its_own = data_key is not None and (data_key.id, data_key.workspace_id) == (key_id, place.workspace_id)
        key = await self._unwrapped(data_key) if data_key is not None and is_its_own else None
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
        """Put the first key-encryption key in use and wrap every data key by it; no secret is touched.

        May be cut short and repeated. From its beginning on, all processes wrap new data keys by that key.
        """
        wanted = self._keys.present.current
        if not is_dry:
            async with self._database.begin() as session:
                await session.execute(
                    self._insert(KeyInUseRow)
                    .values(id=1, kek_id=wanted)
                    .on_conflict_do_update(index_elements=["id"], set_={"kek_id": wanted})
                )
        async with self._database.read() as session:
            rows = (await session.execute(select(DataKeyRow.id, DataKeyRow.kek_id))).all()
        found = collections.Counter[_Wrapped]()
        for key_id, kek_id in rows:
            if kek_id == wanted:
                found[_Wrapped.CURRENT] += 1
            elif kek_id not in (await self._keys.knowing(kek_id)).ids:
                found[_Wrapped.UNREADABLE] += 1
            else:
                found[_Wrapped.CHANGED if is_dry else await self._rewrap_one(key_id)] += 1
        return RotationReport(found[_Wrapped.CHANGED], found[_Wrapped.CURRENT], found[_Wrapped.UNREADABLE], wanted)

    async def renew(self, workspace_id: str) -> RotationReport:
        """Make a new data key for a workspace and encrypt its secrets by it.

        One unit of work: a secret that is stored meanwhile waits for it. The old data key is dropped where nothing
        needs it any more.
        """
        async with self._database.begin() as session:
            await self._lock(session, workspace_id)
            rows = (
                await session.execute(
                    select(CredentialRow, DataKeyRow)
                    .outerjoin(DataKeyRow, is_key_of(CredentialRow))
                    .where(CredentialRow.workspace_id == workspace_id, CredentialRow.secret.is_not(None))
                    .with_for_update(of=CredentialRow)
                )
            ).all()
            await session.execute(
                update(DataKeyRow).where(DataKeyRow.workspace_id == workspace_id).values(is_current=False)
            )
            needed: set[str] = set()
            if rows:
                key_id, key = await self._make(session, workspace_id)
                needed.add(key_id)
            changed = 0
            for row, data_key in rows:
                place, sealed = Place(workspace_id, row.id), row.secret or ""
                try:
                    plain = await self.open_with(place, sealed, data_key)
                except SecretUnreadable:
                    needed.add(_parts(sealed)[0])
                    continue
                row.secret = _text(key_id, seal(key, plain.encode(), place.context))
                row.fingerprint = _fingerprint(key, plain)
                changed += 1
            await session.flush()
            await session.execute(
                delete(DataKeyRow).where(DataKeyRow.workspace_id == workspace_id, DataKeyRow.id.not_in(needed))
            )
        return RotationReport(changed, 0, len(rows) - changed)

    async def _rewrap_one(self, key_id: str) -> _Wrapped:
        async with self._database.begin() as session:
            ring, kek_id = await self._key_in_use(session)
            row = await session.get(DataKeyRow, key_id, with_for_update=True)
            if row is None or row.kek_id == kek_id:
                # Another process was faster, or has renewed it.
                return _Wrapped.CURRENT
            context = _key_context(row.workspace_id, row.id)
            key = ring.unwrap(row.wrapped, row.kek_id, context)
            if key is None:
                return _Wrapped.UNREADABLE
            row.wrapped, row.kek_id = ring.wrap(key, context, kek_id), kek_id
        return _Wrapped.CHANGED

    async def _lock(self, session: AsyncSession, workspace_id: str) -> None:
        """Have storing and renewing in one workspace wait for each other. SQLite's units of work do so anyway."""
        if not self._database.is_sqlite:
            await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(workspace_id, _LOCKS))))

    async def _current(self, session: AsyncSession, workspace_id: str) -> tuple[str, bytes]:
        await self._lock(session, workspace_id)
        row = await session.scalar(
            select(DataKeyRow)
            .where(DataKeyRow.workspace_id == workspace_id, DataKeyRow.is_current)
            .order_by(DataKeyRow.created_at.desc(), DataKeyRow.id)
            .limit(1)
        )
        key = await self._unwrapped(row) if row is not None else None
        # A data key that cannot be unwrapped must not keep a workspace from storing new secrets.
        return (row.id, key) if row is not None and key is not None else await self._make(session, workspace_id)

    async def _make(self, session: AsyncSession, workspace_id: str) -> tuple[str, bytes]:
        key_id, key = new_key(), secrets.token_bytes(KEY_BYTES)
        ring, kek_id = await self._key_in_use(session)
        session.add(
            DataKeyRow(
                id=key_id,
                workspace_id=workspace_id,
                wrapped=ring.wrap(key, _key_context(workspace_id, key_id), kek_id),
                kek_id=kek_id,
                created_at=now_seconds(),
            )
        )
        await session.flush()
        return key_id, key

    async def _key_in_use(self, session: AsyncSession) -> tuple[KeyRing, str]:
        """Return the keys and the id of the one that wraps, which stays in use until the end of the unit of work.

        What the last rotation said counts, not the order in this process: its keys may be older than the rotation.
        """
        await session.execute(
            self._insert(KeyInUseRow).values(id=1, kek_id=self._keys.present.current).on_conflict_do_nothing()
        )
        kek_id = await session.scalar(select(KeyInUseRow.kek_id).with_for_update(read=True))
        assert kek_id is not None
        ring = await self._keys.knowing(kek_id)
        if kek_id not in ring.ids:
            _log.warning("the key-encryption key in use is not at hand; another one of the settings' is used")
            return ring, ring.current
        return ring, kek_id

    @property
    def _insert(self) -> Any:
        return sqlite.insert if self._database.is_sqlite else postgresql.insert

    async def _unwrapped(self, row: DataKeyRow) -> bytes | None:
        if row.id in self._data_keys:
            self._data_keys.move_to_end(row.id)
            return self._data_keys[row.id]
        ring = await self._keys.knowing(row.kek_id)
        key = ring.unwrap(row.wrapped, row.kek_id, _key_context(row.workspace_id, row.id))
        if key is not None:
            self._data_keys[row.id] = key
            while len(self._data_keys) > KEPT_DATA_KEYS:
                self._data_keys.popitem(last=False)
        return key


def is_key_of(credential: type[CredentialRow]) -> ColumnElement[bool]:
    """Return the condition by which a credential is joined with the data key that its secret was sealed by."""
    return DataKeyRow.id == func.substr(credential.secret, len(PREFIX) + 1, KEY_ID_LENGTH)


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
