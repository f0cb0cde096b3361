"""What the log of manual edits amounts to: a pure function of the log, never of the documents.

A name that an extractor found goes through the edits in order. Each may give it another name (rename, merge) or end it
(delete); this is its chain. What an edit says of an entity or relation itself (created, described, typed, weighed) is a
record under its present name, and moves with it. A merge of something that was described by hand turns the description
into one part of the whole; what documents had said of it before is then muted by a mark, or it would come back.

So what a mention becomes depends on the edits and on nothing else: documents may arrive before or after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightrag.indexing.edits import Edit, EditKind, LogVersion
from lightrag.indexing.records import EntityRecord, RelationRecord, join_entities, join_relations
from lightrag.types import Pair

CUT = frozenset({"*"})
"""A mark that ends a relation instead of muting some of its fields."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """An edit gave a name another one; None: the edit deleted it."""

    number: int
    name: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What documents say in these fields does not count for whoever bore the name just before the edit."""

    number: int
    fields: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """What an edit changes, under the names before it and after it."""

    names: frozenset[str] = frozenset()
    """Entities whose mentions are to be derived anew."""
    pairs: frozenset[Pair] = frozenset()
    """Relations whose mentions are to be derived anew."""
    folded_names: frozenset[str] = frozenset()
    """Entities to fold anew, whether or not their mentions change."""
    folded_pairs: frozenset[Pair] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """What became of a name or pair found in a chunk, and which edits decided it."""

    name: str | None
    muted: frozenset[str]
    edits: frozenset[int]


@dataclasses.dataclass(frozen=True, slots=True)
class PairFate:
    """As `Fate`, for a relation."""

    pair: Pair | None
    muted: frozenset[str]
    edits: frozenset[int]


@dataclasses.dataclass(frozen=True)
class Overlay:
    """A compiled log. Never changed; `extended` makes another one."""

    version: LogVersion = dataclasses.field(default_factory=LogVersion)
    chains: Mapping[str, tuple[Step, ...]] = dataclasses.field(default_factory=dict)
    """By names as extractors find them."""
    members: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """Present name → the found names whose chains lead to it."""
    name_marks: Mapping[str, tuple[Mark, ...]] = dataclasses.field(default_factory=dict)
    pair_marks: Mapping[Pair, tuple[Mark, ...]] = dataclasses.field(default_factory=dict)
    entities: Mapping[str, EntityRecord] = dataclasses.field(default_factory=dict)
    relations: Mapping[Pair, RelationRecord] = dataclasses.field(default_factory=dict)
    pairs_of: Mapping[str, frozenset[Pair]] = dataclasses.field(default_factory=dict)
    """Name → its pairs in `relations`."""

    @property
    def alters_mentions(self) -> bool:
        """Whether any mention is stored otherwise than it was extracted."""
        return bool(self.chains or self.name_marks or self.pair_marks)

    @property
    def has_records(self) -> bool:
        """Whether anything is said of entities or relations by hand."""
        return bool(self.entities or self.relations)

    def extended(self, edit: Edit) -> tuple[Overlay, Effect]:
        """Return the overlay with one more edit at the end of the log, and what that changes."""
        draft = _Draft(self)
        if not edit.undone:
            draft.apply(edit)
        return draft.finished(LogVersion(self.version.epoch, edit.number)), draft.effect()

    def fate(self, found: str) -> Fate:
        """Return what becomes of an entity mention."""
        chain, edits = self.chains.get(found, ()), set[int]()
        muted: set[str] = set()
        for name in _names(found, chain):
            for mark in self.name_marks.get(name, ()):
                if _before(found, chain, mark.number) == name:
                    muted |= mark.fields
                    edits.add(mark.number)
        edits.update(step.number for step in chain)
        return Fate(chain[-1].name if chain else found, frozenset(muted), frozenset(edits))

    def fate_of_pair(self, found: Pair) -> PairFate:
        """Return what becomes of a relation mention; a relation of an entity with itself ends."""
        one, other = found
        first, second = self.chains.get(one, ()), self.chains.get(other, ())
        edits = {step.number for step in (*first, *second)}
        muted: set[str] = set()
        for a in _names(one, first):
            for b in _names(other, second):
                pair = sorted_pair(a, b)
                for mark in self.pair_marks.get(pair, ()):
                    if (_before(one, first, mark.number), _before(other, second, mark.number)) == (a, b):
                        muted |= mark.fields
                        edits.add(mark.number)
        source, target = first[-1].name if first else one, second[-1].name if second else other
        is_gone = source is None or target is None or source == target or not CUT.isdisjoint(muted)
        if is_gone or source is None or target is None:
            return PairFate(None, frozenset(), frozenset(edits))
        return PairFate(sorted_pair(source, target), frozenset(muted), frozenset(edits))

    def stub(self, name: str) -> EntityRecord | None:
        """Return what stands for an entity that is nothing but an end of a relation made by hand; None: it is none."""
        pairs = sorted(pair for pair in self.pairs_of.get(name, ()) if self.relations[pair].created)
        if not pairs:
            return None
        relation = self.relations[pairs[0]]
        described = (relation.description,) if relation.description is not None else relation.notes
        return EntityRecord(
            created=True,
            created_at=relation.created_at,
            notes=tuple(text for text in described if text),
            sources=relation.sources,
            files=relation.files,
        )

    def difference(self, other: Overlay) -> tuple[set[int], Effect]:
        """Return which edits mark differently in the other one, and what is to be looked at anew.

        The effect holds the names and pairs that only the other one marks, and those with other records.
        """
        numbers: set[int] = set()
        names: set[str] = set()
        pairs: set[Pair] = set()
        for name in self.name_marks.keys() | other.name_marks.keys():
            lost, gained = _mark_difference(self.name_marks.get(name, ()), other.name_marks.get(name, ()))
            numbers |= lost
            if gained:
                names.add(name)
        for pair in self.pair_marks.keys() | other.pair_marks.keys():
            lost, gained = _mark_difference(self.pair_marks.get(pair, ()), other.pair_marks.get(pair, ()))
            numbers |= lost
            if gained:
                pairs.add(pair)
        folded = {
            n for n in self.entities.keys() | other.entities.keys() if self.entities.get(n) != other.entities.get(n)
        }
        edges = {
            p for p in self.relations.keys() | other.relations.keys() if self.relations.get(p) != other.relations.get(p)
        }
        folded |= {end for pair in edges for end in pair}
        return numbers, Effect(frozenset(names), frozenset(pairs), frozenset(folded), frozenset(edges))


def compile_log(edits: Iterable[Edit], version: LogVersion, base: Overlay | None = None) -> Overlay:
    """Return what a log amounts to; with `base` the edits are those that follow it."""
    draft = _Draft(base or Overlay())
    for edit in edits:
        if not edit.undone:
            draft.apply(edit)
    return draft.finished(version)


def sorted_pair(one: str, other: str) -> Pair:
    """Return the key of the relation between two names."""
    return (one, other) if one <= other else (other, one)


def _names(found: str, chain: Sequence[Step]) -> list[str]:
    return list(dict.fromkeys([found, *(step.name for step in chain if step.name is not None)]))


def _before(found: str, chain: Sequence[Step], number: int) -> str | None:
    name: str | None = found
    for step in chain:
        if step.number >= number:
            break
        name = step.name
    return name


def _mark_difference(mine: Sequence[Mark], theirs: Sequence[Mark]) -> tuple[set[int], set[int]]:
    lost, gained = set(mine) - set(theirs), set(theirs) - set(mine)
    return {mark.number for mark in lost}, {mark.number for mark in gained}


class _Draft:
    """An overlay that edits are being applied to."""

    def __init__(self, base: Overlay) -> None:
        self._chains = dict(base.chains)
        self._members = dict(base.members)
        self._name_marks = dict(base.name_marks)
        self._pair_marks = dict(base.pair_marks)
        self._entities = dict(base.entities)
        self._relations = dict(base.relations)
        self._pairs_of = dict(base.pairs_of)
        self._names: set[str] = set()
        self._pairs: set[Pair] = set()
        self._folded_names: set[str] = set()
        self._folded_pairs: set[Pair] = set()

    def finished(self, version: LogVersion) -> Overlay:
        """Return the overlay."""
        return Overlay(
            version,
            self._chains,
            self._members,
            self._name_marks,
            self._pair_marks,
            self._entities,
            self._relations,
            self._pairs_of,
        )

    def effect(self) -> Effect:
        """Return what the applied edits changed."""
        ends = {end for pair in self._folded_pairs for end in pair}
        return Effect(
            frozenset(self._names),
            frozenset(self._pairs),
            frozenset(self._folded_names | ends),
            frozenset(self._folded_pairs),
        )

    def apply(self, edit: Edit) -> None:
        """Apply one edit. What it names need not be there (an edit before it may have been undone)."""
        data = edit.arguments
        match edit.kind:
            case EditKind.CREATE_ENTITY:
                made = EntityRecord.made(data["data"], edit.created_at)
                self._put_entity(data["name"], join_entities([made, *self._entity(data["name"])]))
            case EditKind.EDIT_ENTITY:
                self._edit_entity(edit.number, data)
            case EditKind.DELETE_ENTITY:
                self._delete_entity(edit.number, data["name"])
            case EditKind.CREATE_RELATION:
                pair = sorted_pair(data["source"], data["target"])
                made_edge = RelationRecord.made(data["data"], edit.created_at)
                self._put_relation(pair, join_relations([made_edge, *self._relation(pair)]))
            case EditKind.EDIT_RELATION:
                pair = sorted_pair(data["source"], data["target"])
                edge = self._relations.get(pair, RelationRecord())
                self._put_relation(pair, edge.edited(data["data"]))
            case EditKind.DELETE_RELATION:
                pair = sorted_pair(data["source"], data["target"])
                self._mark_pair(pair, edit.number, CUT)
                self._put_relation(pair, None)
            case EditKind.MERGE_ENTITIES:
                self._join(edit.number, [name for name in data["sources"] if name != data["target"]], data["target"])
                self._set_entity(data["target"], data.get("data") or {})

    def _edit_entity(self, number: int, data: Mapping[str, Any]) -> None:
        name, new = data["name"], data.get("rename_to")
        self._set_entity(name, data["data"])
        if not new or new == name:
            return
        if data.get("merge") or new in self._entities or self._pairs_of.get(new):
            self._join(number, [name], new)
        else:
            self._move(number, [name], new)

    def _set_entity(self, name: str, fields: Mapping[str, Any]) -> None:
        if fields:
            self._put_entity(name, self._entities.get(name, EntityRecord()).edited(fields))

    def _delete_entity(self, number: int, name: str) -> None:
        self._step(number, name, None)
        self._put_entity(name, None)
        for pair in self._pairs_of.get(name, frozenset()):
            self._put_relation(pair, None)

    def _join(self, number: int, sources: Sequence[str], target: str) -> None:
        """Merge into the target; what was said of any of them by hand becomes a part of what is said of the whole."""
        for name in (*sources, target):
            record = self._entities.get(name)
            if record is not None:
                if record.muted:
                    self._mark_name(name, number, record.muted)
                self._put_entity(name, record.as_part())
            for pair in self._pairs_of.get(name, frozenset()):
                edge = self._relations[pair]
                if edge.muted:
                    self._mark_pair(pair, number, edge.muted)
                self._put_relation(pair, edge.as_part())
        self._move(number, sources, target)

    def _move(self, number: int, sources: Sequence[str], target: str) -> None:
        records = [record for name in (*sources, target) for record in self._entity(name)]
        for name in sources:
            self._step(number, name, target)
            self._put_entity(name, None)
        if records:
            self._put_entity(target, join_entities(records))
        for name in sources:
            for pair in sorted(self._pairs_of.get(name, frozenset())):
                edge = self._relations[pair]
                self._put_relation(pair, None)
                other = pair[1] if pair[0] == name else pair[0]
                if other != target and other not in sources:
                    moved = sorted_pair(target, other)
                    self._put_relation(moved, join_relations([edge, *self._relation(moved)]))
        self._folded_names.add(target)

    def _step(self, number: int, name: str, new: str | None) -> None:
        """Let everything that bears a name bear another one from this edit on."""
        found = set(self._members.pop(name, frozenset()))
        if name not in self._chains:
            found.add(name)
        for raw in found:
            self._chains[raw] = (*self._chains.get(raw, ()), Step(number, new))
        if new is not None and found:
            self._members[new] = self._members.get(new, frozenset()) | found
        self._names.add(name)
        self._folded_names.add(name)

    def _mark_name(self, name: str, number: int, fields: frozenset[str]) -> None:
        self._name_marks[name] = (*self._name_marks.get(name, ()), Mark(number, fields))
        self._names.add(name)

    def _mark_pair(self, pair: Pair, number: int, fields: frozenset[str]) -> None:
        self._pair_marks[pair] = (*self._pair_marks.get(pair, ()), Mark(number, fields))
        self._pairs.add(pair)

    def _entity(self, name: str) -> list[EntityRecord]:
        return [self._entities[name]] if name in self._entities else []

    def _relation(self, pair: Pair) -> list[RelationRecord]:
        return [self._relations[pair]] if pair in self._relations else []

    def _put_entity(self, name: str, record: EntityRecord | None) -> None:
        self._folded_names.add(name)
        if record is None:
            self._entities.pop(name, None)
        else:
            self._entities[name] = record

    def _put_relation(self, pair: Pair, record: RelationRecord | None) -> None:
        self._folded_pairs.add(pair)
        if record is not None:
            self._relations[pair] = record
            for end in pair:
                self._pairs_of[end] = self._pairs_of.get(end, frozenset()) | {pair}
            return
        self._relations.pop(pair, None)
        for end in pair:
            left = self._pairs_of.get(end, frozenset()) - {pair}
            if left:
                self._pairs_of[end] = left
            else:
                self._pairs_of.pop(end, None)
