"""Reads a graph in LightRAG's form `custom_kg`: lists of chunks, entities and relationships as dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.errors import InvalidInput
from lightrag.indexing.edit_input import checked_name, relation_fields
from lightrag.indexing.given import GRAPH, PARAGRAPH, GivenChunk, GivenDocument
from lightrag.indexing.intake import clean_document_text
from lightrag.indexing.names import UNKNOWN_TYPE
from lightrag.types import FIELD_SEPARATOR, ExtractedEntity, ExtractedRelation, Extraction, Pair

DEFAULT_PATH = "custom_kg"
MAX_ITEMS = 1_000_000


def read_custom_graph(graph: Mapping[str, Any], doc_id: str | None) -> GivenDocument:
    """Return the document that a custom graph makes. Raises `InvalidInput` that names the item and the field.

    A `source_id` is a free label of a chunk. What has no known one is put in a passage of its own that states it, so
    that everything in the graph has a source.
    """
    if not isinstance(graph, Mapping):
        raise InvalidInput("custom_kg must be a dictionary with the lists chunks, entities and relationships")
    chunks = [_Passage(number, item) for number, item in enumerate(_items(graph, "chunks"), start=1)]
    chunks.sort(key=lambda passage: passage.order)
    by_label: dict[str, _Passage] = {}
    for passage in chunks:
        by_label.setdefault(passage.label, passage)
    others = _Passage.of_facts(DEFAULT_PATH)
    notes: list[str] = []
    for number, item in enumerate(_items(graph, "entities"), start=1):
        passage = _source(item, by_label, others)
        entity = _entity(item, f"entities[{number}]")
        passage.add_entity(entity)
        if passage is others:
            others.state(item, f"{entity.name}: {entity.description}" if entity.description else entity.name)
    for number, item in enumerate(_items(graph, "relationships"), start=1):
        passage = _source(item, by_label, others)
        relation = _relation(item, f"relationships[{number}]")
        if relation.source == relation.target:
            notes.append(f"relationships[{number}]: '{relation.source}' cannot have a relation with itself; left out")
            continue
        passage.add_relation(relation)
        if passage is others:
            others.state(item, f"{relation.source} — {relation.target}: {relation.description or relation.keywords}")
    passages = [*chunks, others] if others.lines else chunks
    if not passages:
        raise InvalidInput("custom_kg holds no chunks, entities or relationships")
    given = tuple(passage.given() for passage in passages)
    path = given[0].file_path
    return GivenDocument(GRAPH, PARAGRAPH.join(chunk.content for chunk in given), given, path, doc_id, tuple(notes))


class _Passage:
    """A chunk that facts are being filed under."""

    def __init__(self, number: int, item: Mapping[str, Any]) -> None:
        where = f"chunks[{number}]"
        self.content = clean_document_text(_text(item, "content", where))
        if not self.content:
            raise InvalidInput(f"{where}: 'content' is empty")
        self.label = str(item.get("source_id") or f"\x00{number}")
        order = item.get("chunk_order_index", number - 1)
        self.order: int = order if isinstance(order, int) else number - 1
        self.file_path = clean_document_text(_text(item, "file_path", where)) or DEFAULT_PATH
        self.lines: list[str] = []
        self._entities: dict[str, ExtractedEntity] = {}
        self._relations: dict[Pair, ExtractedRelation] = {}

    @classmethod
    def of_facts(cls, file_path: str) -> _Passage:
        """Return the passage of what has no source; its content is what is stated."""
        return cls(0, {"content": "facts", "source_id": "", "file_path": file_path})

    def state(self, item: Mapping[str, Any], line: str) -> None:
        """Add a line to a passage of facts."""
        if not self.lines:
            self.file_path = clean_document_text(_text(item, "file_path", "custom_kg")) or self.file_path
        self.lines.append(line)

    def add_entity(self, entity: ExtractedEntity) -> None:
        """File an entity; of several under one name the first type and all descriptions count."""
        before = self._entities.get(entity.name)
        if before is not None:
            kind = before.type if before.type != UNKNOWN_TYPE else entity.type
            entity = ExtractedEntity(entity.name, kind, _joined(before.description, entity.description))
        self._entities[entity.name] = entity

    def add_relation(self, relation: ExtractedRelation) -> None:
        """File a relation; several between the same ends become one, their weights added."""
        pair = (relation.source, relation.target)
        before = self._relations.get(pair)
        if before is not None:
            words = dict.fromkeys(word for word in f"{before.keywords},{relation.keywords}".split(",") if word)
            description = _joined(before.description, relation.description)
            relation = ExtractedRelation(*pair, ",".join(words), description, before.weight + relation.weight)
        self._relations[pair] = relation

    def given(self) -> GivenChunk:
        """Return the passage with all that was filed; an end that is no entity here becomes one of unknown type."""
        for relation in self._relations.values():
            for end in (relation.source, relation.target):
                if end not in self._entities:
                    self._entities[end] = ExtractedEntity(end, UNKNOWN_TYPE, relation.description)
        found = Extraction(tuple(self._entities.values()), tuple(self._relations.values()))
        return GivenChunk("\n".join(self.lines) if self.lines else self.content, self.file_path, found)


def _items(graph: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    items = graph.get(name) or []
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise InvalidInput(f"custom_kg: '{name}' must be a list")
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"custom_kg: '{name}' has {len(items)} items; give at most {MAX_ITEMS} at once")
    for number, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            raise InvalidInput(f"custom_kg: {name}[{number}] must be a dictionary")
    return items


def _source(item: Mapping[str, Any], by_label: Mapping[str, _Passage], others: _Passage) -> _Passage:
    labels = str(item.get("source_id") or "")
    known = (by_label[label] for label in (labels, *labels.split(FIELD_SEPARATOR)) if label in by_label)
    return next(known, others)


def _entity(item: Mapping[str, Any], where: str) -> ExtractedEntity:
    name = checked_name(item.get("entity_name"), f"custom_kg: {where}: 'entity_name'")
    kind = clean_document_text(_text(item, "entity_type", where)) or UNKNOWN_TYPE
    return ExtractedEntity(name, kind, clean_document_text(_text(item, "description", where)))


def _relation(item: Mapping[str, Any], where: str) -> ExtractedRelation:
    one = checked_name(item.get("src_id"), f"custom_kg: {where}: 'src_id'")
    other = checked_name(item.get("tgt_id"), f"custom_kg: {where}: 'tgt_id'")
    source, target = sorted((one, other))
    weight: Any = item.get("weight")
    if weight is None:
        weight = 1.0
    try:
        weight = relation_fields({"weight": weight})["weight"]
    except InvalidInput as error:
        raise InvalidInput(f"custom_kg: {where}: {error}") from None
    keywords, description = _text(item, "keywords", where), clean_document_text(_text(item, "description", where))
    words = ",".join(dict.fromkeys(word for word in (part.strip() for part in keywords.split(",")) if word))
    return ExtractedRelation(source, target, clean_document_text(words), description, weight)


def _text(item: Mapping[str, Any], field: str, where: str) -> str:
    value = item.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"custom_kg: {where}: '{field}' must be a string")
    return value


def _joined(first: str, second: str) -> str:
    if not first or not second:
        return first or second
    return first if second in first.split(FIELD_SEPARATOR) else f"{first}{FIELD_SEPARATOR}{second}"
