"""Changes the graph by hand. Every edit is one transaction: recorded, applied to the mentions it concerns, folded.

Edits are allowed at any time. What is being indexed meanwhile waits for the transaction or is waited for, and goes
through the same edits.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.indexing.contributions import Folder
from lightrag.indexing.edit_input import checked_name, entity_fields, known_name, relation_fields
from lightrag.indexing.edits import (
    Edit,
    EditKind,
    LogVersion,
    edit_id,
    find_edit,
    new_epoch,
    read_edits,
    read_newest,
    traced_chunks,
    write_version,
)
from lightrag.indexing.merging import merged_fields
from lightrag.indexing.overlay import Overlay, compile_log, sorted_pair
from lightrag.indexing.rederivation import chunks_that_mention, derive_again
from lightrag.indexing.stale import StaleText
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.storage.properties import entity_properties, relation_properties
from lightrag.types import Entity, Relation

MAX_MERGED = 1000
"""Entities that are merged into one at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Edited:
    """What an edit did."""

    edit: Edit | None
    """None where nothing was to be changed."""
    entity: Entity | None = None
    """The entity as it is after the edit, where it is about one."""
    relation: Relation | None = None
    renamed: bool = False
    merged: bool = False
    lost_relations: int = 0
    """Relations that vanished with a deleted entity."""
    stale: tuple[StaleText, ...] = ()
    """Vectors to be made."""


class GraphEditor:
    """Edits the graph of one workspace."""

    def __init__(self, storage: Storage, fold: Folder, *, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._fold = fold
        self._clock = clock

    # Entities

    async def create_entity(self, name: str, data: Mapping[str, Any], *, author: str = "") -> Edited:
        """Make an entity. Raises `InvalidInput` where it exists or a field is wrong."""
        name = checked_name(name)
        fields = {"entity_type": "UNKNOWN", **entity_fields(data, name)}
        async with self._storage.transaction() as tx:
            if await _entity(tx, name) is not None:
                raise InvalidInput(f"Entity '{name}' already exists")
            edited = await self._append(tx, EditKind.CREATE_ENTITY, {"name": name, "data": fields}, author)
            return dataclasses.replace(edited, entity=await _entity(tx, name))

    async def edit_entity(
        self,
        name: str,
        updates: Mapping[str, Any],
        *,
        allow_rename: bool = True,
        allow_merge: bool = False,
        author: str = "",
    ) -> Edited:
        """Change fields of an entity; a field `entity_name` renames it, or merges it into another of that name.

        Raises `InvalidInput` where it does not exist, or the other name is taken and `allow_merge` is not given.
        """
        name = known_name(name)
        rest = {key: value for key, value in updates.items() if key != "entity_name"}
        fields = entity_fields(rest, name)
        new = checked_name(updates["entity_name"], "Field 'entity_name'") if "entity_name" in updates else name
        async with self._storage.transaction() as tx:
            entity = await _entity(tx, name)
            if entity is None:
                raise InvalidInput(f"Entity '{name}' does not exist")
            fields = _changed(fields, entity_properties(entity))
            is_taken = new != name and await _entity(tx, new) is not None
            if new != name and not allow_rename:
                raise InvalidInput("Entity renaming is not allowed. Set allow_rename=True to enable this feature")
            if is_taken and not allow_merge:
                raise InvalidInput(
                    f"Entity name '{new}' already exists, cannot rename. Set allow_merge=True to merge '{name}' into it"
                )
            arguments: dict[str, Any] = {"name": name, "data": fields}
            if new != name:
                arguments |= {"rename_to": new, "merge": is_taken}
            if new == name and not fields:
                return Edited(None, entity=entity)
            edited = await self._append(tx, EditKind.EDIT_ENTITY, arguments, author)
            return dataclasses.replace(edited, entity=await _entity(tx, new), renamed=new != name, merged=is_taken)

    async def delete_entity(self, name: str, *, author: str = "") -> Edited:
        """Take an entity and its relations out of the graph, whatever documents say of it. Raises `NotFound`."""
        name = known_name(name)
        async with self._storage.transaction() as tx:
            entity = await _entity(tx, name)
            if entity is None:
                raise NotFound(f"Entity '{name}' not found.")
            degree = (await tx.graph.degrees([name])).get(name, 0)
            edited = await self._append(tx, EditKind.DELETE_ENTITY, {"name": name}, author)
            return dataclasses.replace(edited, entity=entity, lost_relations=degree)

    async def merge_entities(
        self,
        sources: Sequence[str],
        target: str,
        *,
        strategy: Mapping[str, str] | None = None,
        target_data: Mapping[str, Any] | None = None,
        author: str = "",
    ) -> Edited:
        """Make several entities one; relations move to it, those between them vanish.

        Without a strategy for a field, all that was and will be said of any of them counts. `strategy` names for a
        field how its present values make the new one (see `lightrag.indexing.merging`), `target_data` gives values.
        The target need not exist. Raises `InvalidInput`.
        """
        target = checked_name(target, "Target entity name")
        names = list(dict.fromkeys(known_name(name) for name in sources))
        if not names or len(names) > MAX_MERGED:
            raise InvalidInput(f"Give between 1 and {MAX_MERGED} entities to merge")
        given = entity_fields(target_data or {}, target)
        async with self._storage.transaction() as tx:
            found = await tx.graph.get_entities([*names, target])
            for name in names:
                if name not in found:
                    raise InvalidInput(f"Entity '{name}' does not exist")
            others = [name for name in names if name != target]
            if not others:
                raise InvalidInput(f"Entity '{target}' cannot be merged into itself")
            parts = [found[name] for name in (*others, target) if name in found]
            fields = merged_fields(parts, strategy or {}) | given
            arguments = {"sources": others, "target": target, "data": fields}
            edited = await self._append(tx, EditKind.MERGE_ENTITIES, arguments, author)
            return dataclasses.replace(edited, entity=await _entity(tx, target), merged=True)

    # Relations

    async def create_relation(self, source: str, target: str, data: Mapping[str, Any], *, author: str = "") -> Edited:
        """Make a relation between two entities. Raises `InvalidInput` where an end is missing or it exists."""
        source, target = known_name(source), known_name(target)
        fields = relation_fields(data)
        if source == target:
            raise InvalidInput(f"Entity '{source}' cannot have a relation with itself")
        async with self._storage.transaction() as tx:
            for what, name in (("Source", source), ("Target", target)):
                if await _entity(tx, name) is None:
                    raise InvalidInput(f"{what} entity '{name}' does not exist")
            if await _relation(tx, source, target) is not None:
                raise InvalidInput(f"Relation from '{source}' to '{target}' already exists")
            arguments = {"source": source, "target": target, "data": fields}
            edited = await self._append(tx, EditKind.CREATE_RELATION, arguments, author)
            return dataclasses.replace(edited, relation=await _relation(tx, source, target))

    async def edit_relation(self, source: str, target: str, updates: Mapping[str, Any], *, author: str = "") -> Edited:
        """Change fields of a relation. Raises `InvalidInput` where it does not exist."""
        source, target = known_name(source), known_name(target)
        fields = relation_fields(updates)
        async with self._storage.transaction() as tx:
            relation = await _relation(tx, source, target)
            if relation is None:
                raise InvalidInput(f"Relation from '{source}' to '{target}' does not exist")
            fields = _changed(fields, relation_properties(relation))
            if not fields:
                return Edited(None, relation=relation)
            arguments = {"source": source, "target": target, "data": fields}
            edited = await self._append(tx, EditKind.EDIT_RELATION, arguments, author)
            return dataclasses.replace(edited, relation=await _relation(tx, source, target))

    async def delete_relation(self, source: str, target: str, *, author: str = "") -> Edited:
        """Take a relation out of the graph, whatever documents say of it. Raises `NotFound`."""
        source, target = known_name(source), known_name(target)
        async with self._storage.transaction() as tx:
            relation = await _relation(tx, source, target)
            if relation is None:
                raise NotFound(f"Relation from '{source}' to '{target}' does not exist")
            edited = await self._append(tx, EditKind.DELETE_RELATION, {"source": source, "target": target}, author)
            return dataclasses.replace(edited, relation=relation)

    # The log

    async def look_up_edits(self) -> None:
        """Bring `Overlays.latest` up to what is committed."""
        await self._fold.overlays.current(self._storage)

    async def list_edits(self, *, limit: int = 100, before: int | None = None) -> list[Edit]:
        """Return edits, the newest first; `before`: only those with a smaller number."""
        return await read_newest(self._storage, limit, before=before)

    async def undo(self, id: str) -> Edited:
        """Take an edit back: the graph becomes what the other edits and the documents make of it.

        Raises `NotFound`, or `Conflict` where it was undone before.
        """
        async with self._storage.transaction() as tx:
            edit = await find_edit(tx, id)
            if edit is None:
                raise NotFound(f"Edit '{id}' not found")
            if edit.undone:
                raise Conflict(f"Edit '{id}' was undone before")
            before = await self._fold.overlays.current(tx)
            edit = dataclasses.replace(edit, undone=True)
            await tx.kv(Namespace.EDITS).put({edit.key: edit.row()})
            version = LogVersion(new_epoch(), before.version.last)
            await write_version(tx, version)
            after = compile_log(await read_edits(tx), version)
            numbers, effect = before.difference(after)
            chunks = await chunks_that_mention(tx, effect.names, effect.pairs)
            for number in {edit.number, *numbers}:
                chunks |= set(await traced_chunks(tx.kv(Namespace.EDITS), number))
            touched = await derive_again(tx, sorted(chunks), before, after)
            stale = await self._fold_again(tx, touched, effect.folded_names, effect.folded_pairs, after)
            return Edited(edit, stale=tuple(stale))

    async def _append(self, tx: Storage, kind: EditKind, arguments: Mapping[str, Any], author: str) -> Edited:
        before = await self._fold.overlays.current(tx)
        number = before.version.last + 1
        edit = Edit(number, edit_id(number), kind, arguments, int(self._clock()), author)
        after, effect = before.extended(edit)
        await tx.kv(Namespace.EDITS).put({edit.key: edit.row()})
        await write_version(tx, LogVersion(before.version.epoch or new_epoch(), number))
        chunks = await chunks_that_mention(tx, effect.names, effect.pairs)
        touched = await derive_again(tx, sorted(chunks), before, after)
        stale = await self._fold_again(tx, touched, effect.folded_names, effect.folded_pairs, after)
        return Edited(edit, stale=tuple(stale))

    async def _fold_again(
        self,
        tx: Storage,
        touched: Touched,
        names: frozenset[str],
        pairs: frozenset[tuple[str, str]],
        overlay: Overlay,
    ) -> list[StaleText]:
        both = Touched(touched.names | names, touched.pairs | pairs)
        return await self._fold.refold_under(tx, both, overlay)


def _changed(fields: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say something else: an answer sent back must not fix what documents decide."""
    return {key: value for key, value in fields.items() if value != present.get(key)}


async def _entity(storage: Storage, name: str) -> Entity | None:
    return (await storage.graph.get_entities([name])).get(name)


async def _relation(storage: Storage, source: str, target: str) -> Relation | None:
    pair = sorted_pair(source, target)
    return (await storage.graph.get_relations([pair])).get(pair)
