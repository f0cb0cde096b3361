"""The models of workspaces: their keys, which of them are switched on, and what they are used for.

A change is drafted first, with the ways to reach the models that it is about, so that these can be tried before
anything is stored; then it is saved in one unit of work with its entry in the audit log and the workspace's next
version. Secrets leave this module only inside of candidates.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import and_, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.tenancy.audit import Actor
from lightrag.tenancy.catalogue import Catalogue, Provider
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType
from lightrag.tenancy.control_plane import ControlPlane
from lightrag.tenancy.database import new_key, now_seconds
from lightrag.tenancy.directory import raise_version
from lightrag.tenancy.limits import Limit, LimitKind, Subject
from lightrag.tenancy.netguard import NetGuard
from lightrag.tenancy.registry_defaults import chain_problem
from lightrag.tenancy.registry_drafts import draft_key, draft_model
from lightrag.tenancy.registry_keys import hint, secret_text
from lightrag.tenancy.registry_reading import (
    Stored,
    candidate,
    credential_info,
    model_info,
    read_stored,
)
from lightrag.tenancy.registry_records import (
    DEFAULT_LABEL,
    CredentialInfo,
    Draft,
    Holdings,
    KeyWish,
    ModelInfo,
    ModelInUse,
    ModelWish,
    Standing,
    type_of_slot,
)
from lightrag.tenancy.tables import CredentialRow, DefaultModelRow, LimitRow, ModelRow, WorkspaceRow
from lightrag.tenancy.vault import Place

_log = logging.getLogger(__name__)


class ModelRegistry:
    """Reads and changes the models of workspaces.

    `guard` judges base URLs; `allowed_providers` are those that workspaces may add, all where there are none.
    """

    def __init__(
        self, plane: ControlPlane, catalogue: Catalogue, guard: NetGuard, allowed_providers: Collection[str] = ()
    ) -> None:
        self._plane = plane
        self._catalogue = catalogue
        self._guard = guard
        self._allowed = frozenset(allowed_providers)

    @property
    def catalogue(self) -> Catalogue:
        """The providers that are known."""
        return self._catalogue

    def offered(self) -> list[Provider]:
        """Return the providers that workspaces may add, those of the highest rank first."""
        return [one for one in self._catalogue.all() if not one.is_hidden and self.is_allowed(one.name)]

    def is_allowed(self, provider: str) -> bool:
        """Whether the operator lets workspaces add a provider."""
        return not self._allowed or provider in self._allowed

    async def candidates(self, workspace_id: str, type: ModelType, ref: ModelRef | None = None) -> list[Candidate]:
        """Return the ways to reach a model, or with no model named those of all models of a type.

        Models that are switched off are left out, and those whose key cannot be read, of which the log tells.
        """
        stored = await self._stored(workspace_id)
        rows = [row for row in stored.models if row.type == type]
        if ref is not None:
            provider = self._catalogue.get(ref.provider)
            rows = stored.find(provider, ref.name, type) if provider is not None else []
        return self._ways(stored, rows)

    async def holdings(self, workspace_id: str) -> Holdings:
        """Return the ways to reach all models of a workspace, and its defaults."""
        return self._holdings(await self._stored(workspace_id))

    async def standing(self, workspace: str, known: int) -> Standing | None:
        """Return what an engine keeps of a workspace, read at one moment; None where there is no entry of this name.

        What it has is left out where its version is `known`.
        """
        async with self._plane.database.read() as session:
            of_workspace = and_(LimitRow.subject_kind == "workspace", LimitRow.subject_id == WorkspaceRow.id)
            query = (
                select(WorkspaceRow.id, WorkspaceRow.version, LimitRow.kind, LimitRow.amount)
                .outerjoin(LimitRow, of_workspace)
                .where(WorkspaceRow.name == workspace)
                .order_by(LimitRow.kind)
            )
            rows = (await session.execute(query)).all()
            if not rows:
                return None
            id, version = rows[0][:2]
            if version == known:
                return Standing(id, version)
            subject = Subject("workspace", id)
            limits = tuple(Limit(subject, LimitKind(row.kind), row.amount) for row in rows if row.kind is not None)
            return Standing(id, version, self._holdings(await self._read(session, id)), limits)

    async def defaults(self, workspace_id: str) -> dict[str, tuple[ModelRef, ...]]:
        """Return the models of each slot that has some: the first choice, and what serves where it fails."""
        return _defaults(await self._stored(workspace_id))

    async def models(self, workspace_id: str) -> list[ModelInfo]:
        """Return all models of a workspace, by provider and name."""
        stored = await self._stored(workspace_id)
        return [model_info(stored, row, self._catalogue) for row in stored.models]

    async def credentials(self, workspace_id: str) -> list[CredentialInfo]:
        """Return all credentials of a workspace, without their secrets."""
        stored = await self._stored(workspace_id)
        return [credential_info(stored, row, self._catalogue.get(row.provider)) for row in stored.credentials.values()]

    async def draft_model(self, workspace_id: str, wish: ModelWish) -> Draft:
        """Return a model to be added or changed. Raises `InvalidInput`."""
        provider = self._provider(wish.provider)
        return await draft_model(await self._stored(workspace_id), workspace_id, provider, wish, self._guard)

    async def draft_key(self, workspace_id: str, wish: KeyWish) -> Draft:
        """Return a key to be set for all models that the catalogue knows of its provider. Raises `InvalidInput`."""
        provider = self._provider(wish.provider)
        return await draft_key(await self._stored(workspace_id), workspace_id, provider, wish, self._guard)

    async def save(self, actor: Actor, draft: Draft, *, verified: Collection[ModelType] = ()) -> None:
        """Store a draft; `verified` are the types of model that have answered.

        Raises `Conflict` where its credential was changed or its model added meanwhile.
        """
        try:
            async with self._plane.database.begin() as session:
                await self._save(session, actor, draft, verified)
        except IntegrityError:
            raise Conflict(f"A model of {draft.provider.name} was added meanwhile; try again") from None

    async def _save(self, session: AsyncSession, actor: Actor, draft: Draft, verified: Collection[ModelType]) -> None:
        stored = await self._read(session, draft.workspace_id)
        row = await self._store_credential(session, draft, stored, is_verified=bool(verified))
        for model in draft.models:
            await self._store_model(session, draft, model.row_id, model.name, model.type, model.values, verified)
        await raise_version(session, draft.workspace_id)
        await self._plane.audit.add(
            session,
            actor,
            "llm.models.set",
            draft.provider.name,
            workspace_id=draft.workspace_id,
            before=None if draft.credential.is_new else _described(stored.credentials[row.id]),
            after=_described(row) | {"models": [f"{one.name} ({one.type})" for one in draft.models][:200]},
        )

    async def set_enabled(
        self,
        actor: Actor,
        workspace_id: str,
        provider: str,
        name: str,
        *,
        is_enabled: bool,
        type: ModelType | None = None,
    ) -> None:
        """Switch a model on or off. Raises `NotFound`."""
        async with self._plane.database.begin() as session:
            stored = await self._read(session, workspace_id)
            for row in self._found(stored, provider, name, type):
                row.is_enabled, row.updated_at = is_enabled, now_seconds()
                session.add(row)
            await raise_version(session, workspace_id)
            await self._plane.audit.add(
                session,
                actor,
                "llm.model.enable" if is_enabled else "llm.model.disable",
                f"{name}@{provider}",
                workspace_id=workspace_id,
            )

    async def delete_model(
        self,
        actor: Actor,
        workspace_id: str,
        provider: str,
        name: str,
        *,
        type: ModelType | None = None,
        label: str | None = None,
        force: bool = False,
    ) -> None:
        """Remove a model, and its credential where that served it alone and was not made by name.

        Raises `NotFound`, `ModelInUse` where defaults name it, unless `force` takes it out of them.
        """
        async with self._plane.database.begin() as session:
            stored = await self._read(session, workspace_id)
            rows = [
                row
                for row in self._found(stored, provider, name, type)
                if label is None or stored.credentials[row.credential_id].label == label
            ]
            if not rows:
                raise NotFound(f"There is no model '{name}' of {provider} under the key '{label}'")
            await self._remove(session, stored, provider, rows, f"The model '{name}' of {provider}", force)
            kept = {row.credential_id for row in stored.models if row not in rows}
            for credential_id in {row.credential_id for row in rows} - kept:
                if _is_implicit(stored.credentials[credential_id].label):
                    await session.execute(delete(CredentialRow).where(CredentialRow.id == credential_id))
            await raise_version(session, workspace_id)
            await self._plane.audit.add(
                session, actor, "llm.model.delete", f"{name}@{provider}", workspace_id=workspace_id
            )

    async def delete_credential(
        self, actor: Actor, workspace_id: str, provider: str, label: str | None, *, force: bool = False
    ) -> None:
        """Remove a credential with its models; without a label all of a provider.

        Raises `NotFound`, `ModelInUse` where defaults name one of the models, unless `force` takes them out.
        """
        async with self._plane.database.begin() as session:
            stored = await self._read(session, workspace_id)
            gone = [
                row for row in stored.credentials.values() if row.provider == provider and label in (None, row.label)
            ]
            if not gone:
                what = f"key '{label}' of {provider}" if label is not None else f"provider '{provider}'"
                raise NotFound(f"There is no {what[:200]} in this workspace")
            ids = {row.id for row in gone}
            rows = [row for row in stored.models if row.credential_id in ids]
            await self._remove(session, stored, provider, rows, f"A model of {provider}", force)
            await session.execute(delete(CredentialRow).where(CredentialRow.id.in_(ids)))
            await raise_version(session, workspace_id)
            await self._plane.audit.add(
                session,
                actor,
                "llm.credential.delete",
                provider if label is None else f"{provider}/{label}",
                workspace_id=workspace_id,
                before={"keys": [_described(row) for row in gone]},
            )

    async def set_defaults(self, actor: Actor, workspace_id: str, wanted: Mapping[str, Sequence[ModelRef]]) -> None:
        """Name the models of some slots, the first choice first; none clears a slot.

        Raises `InvalidInput` for what is no model of the workspace, not of the slot's type, named twice, or another
        embedding model than the first choice.
        """
        async with self._plane.database.begin() as session:
            stored = await self._read(session, workspace_id)
            before = {slot: [_ref(row).text for row in stored.defaults if row.slot == slot] for slot in wanted}
            after: dict[str, list[str]] = {}
            for slot, refs in wanted.items():
                chain = [self._known(stored, slot, ref) for ref in refs]
                problem = chain_problem(slot, [(row, self._bare(row)) for row in chain])
                if problem:
                    raise InvalidInput(problem)
                await self._write_chain(session, workspace_id, slot, [_ref(row) for row in chain])
                after[slot] = [_ref(row).text for row in chain]
            await raise_version(session, workspace_id)
            await self._plane.audit.add(
                session,
                actor,
                "llm.defaults.set",
                ", ".join(wanted),
                workspace_id=workspace_id,
                before=before,
                after=after,
            )

    def _provider(self, name: str) -> Provider:
        provider = self._catalogue.get(name)
        if provider is None or not self.is_allowed(name) or provider.is_hidden:
            raise InvalidInput(f"LLM factory {name[:100]} is not allowed")
        return provider

    def _bare(self, row: ModelRow) -> str:
        provider = self._catalogue.get(row.provider)
        return provider.bare(row.name) if provider is not None else row.name

    async def _stored(self, workspace_id: str) -> Stored:
        async with self._plane.database.read() as session:
            return await self._read(session, workspace_id)

    async def _read(self, session: AsyncSession, workspace_id: str) -> Stored:
        return await read_stored(self._plane, session, self._catalogue, workspace_id)

    def _ways(self, stored: Stored, rows: Sequence[ModelRow]) -> list[Candidate]:
        found = []
        for row in rows:
            way = candidate(stored, row, self._catalogue) if row.is_enabled else None
            if way is not None:
                found.append(way)
            elif row.is_enabled:
                _log.warning("model '%s' cannot be used: its stored key cannot be read", _ref(row).text)
        return found

    def _holdings(self, stored: Stored) -> Holdings:
        ways: dict[ModelType, list[Candidate]] = {}
        for way in self._ways(stored, stored.models):
            ways.setdefault(way.type, []).append(way)
        return Holdings(ways, _defaults(stored))

    def _found(self, stored: Stored, provider: str, name: str, type: ModelType | None) -> list[ModelRow]:
        known = self._catalogue.get(provider)
        rows = stored.find(known, name, type) if known is not None else []
        if not rows:
            raise NotFound(f"There is no model '{name[:200]}' of {provider[:100]} in this workspace")
        return rows

    def _known(self, stored: Stored, slot: str, ref: ModelRef) -> ModelRow:
        type = type_of_slot(slot)
        provider = self._catalogue.get(ref.provider)
        rows = stored.find(provider, ref.name, type) if provider is not None else []
        if not rows:
            raise InvalidInput(f"'{ref.text[:300]}' is not a model of type {type} in this workspace: add it first")
        return rows[0]

    async def _store_credential(
        self, session: AsyncSession, draft: Draft, stored: Stored, *, is_verified: bool
    ) -> CredentialRow:
        wanted, now = draft.credential, now_seconds()
        row = stored.credentials.get(wanted.id)
        if wanted.is_new:
            if stored.credential(draft.provider.name, wanted.label) is not None:
                raise Conflict(f"A key '{wanted.label}' of {draft.provider.name} was added meanwhile; try again")
            row = CredentialRow(
                id=wanted.id,
                workspace_id=draft.workspace_id,
                provider=draft.provider.name,
                label=wanted.label,
                created_at=now,
            )
        elif row is None or stored.seen(row) != wanted.seen:
            raise Conflict(f"The key '{wanted.label}' of {draft.provider.name} was changed meanwhile; try again")
        if wanted.is_new or wanted.is_changed:
            text = secret_text(wanted.secrets)
            place = Place(draft.workspace_id, wanted.id)
            row.secret = None if text is None else await self._plane.vault.seal(session, place, text)
            row.fingerprint = (
                "" if text is None else await self._plane.vault.fingerprint(session, draft.workspace_id, text)
            )
            row.hint, row.base_url, row.extra = hint(wanted.secrets), wanted.base_url, dict(wanted.extra)
            row.updated_at, row.is_verified = now, is_verified
        row.is_verified = row.is_verified or is_verified
        row.verified_at = now if is_verified else row.verified_at
        session.add(row)
        await session.flush()
        return row

    async def _store_model(
        self,
        session: AsyncSession,
        draft: Draft,
        row_id: str | None,
        name: str,
        type: ModelType,
        values: Mapping[str, object],
        verified: Collection[ModelType],
    ) -> None:
        now = now_seconds()
        row = await session.get(ModelRow, row_id) if row_id is not None else None
        if row is None:
            row = ModelRow(
                id=new_key(),
                workspace_id=draft.workspace_id,
                provider=draft.provider.name,
                name=name,
                type=type.value,
                created_at=now,
            )
        row.credential_id, row.updated_at = draft.credential.id, now
        row.is_verified = type in verified
        for column, value in values.items():
            setattr(row, column, value)
        session.add(row)
        await session.flush()

    async def _remove(
        self, session: AsyncSession, stored: Stored, provider: str, rows: Sequence[ModelRow], what: str, force: bool
    ) -> None:
        gone = {row.id for row in rows}
        lost = stored.users(provider, gone)
        if lost and not force:
            raise ModelInUse(what, sorted({slot for slots in lost.values() for slot in slots}))
        for slot in {slot for slots in lost.values() for slot in slots}:
            names = {name for name, slots in lost.items() if slot in slots}
            kept = [
                _ref(row)
                for row in stored.defaults
                if row.slot == slot and not (row.provider == provider and row.name in names)
            ]
            await self._write_chain(session, rows[0].workspace_id, slot, kept)
        await session.execute(delete(ModelRow).where(ModelRow.id.in_(gone)))

    async def _write_chain(self, session: AsyncSession, workspace_id: str, slot: str, refs: Sequence[ModelRef]) -> None:
        await session.execute(
            delete(DefaultModelRow).where(DefaultModelRow.workspace_id == workspace_id, DefaultModelRow.slot == slot)
        )
        for position, ref in enumerate(refs):
            session.add(
                DefaultModelRow(
                    workspace_id=workspace_id, slot=slot, position=position, provider=ref.provider, name=ref.name
                )
            )
        await session.flush()


def _defaults(stored: Stored) -> dict[str, tuple[ModelRef, ...]]:
    found: dict[str, tuple[ModelRef, ...]] = {}
    for row in stored.defaults:
        found[row.slot] = (*found.get(row.slot, ()), _ref(row))
    return found


def _ref(row: DefaultModelRow | ModelRow) -> ModelRef:
    return ModelRef(row.provider, row.name)


def _described(row: CredentialRow) -> dict[str, object]:
    """Return a credential as the audit log shows it."""
    return {"label": row.label, "base_url": row.base_url, "fingerprint": row.fingerprint, "extra": dict(row.extra)}


def _is_implicit(label: str) -> bool:
    return label == DEFAULT_LABEL or (label.startswith("key-") and label[4:].isdigit())
