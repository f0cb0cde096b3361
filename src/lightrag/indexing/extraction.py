"""What every extractor promises, and how raw findings become an `Extraction`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Protocol

from lightrag.indexing.names import UNKNOWN_TYPE, clean_keywords, clean_name, clean_text, clean_type
from lightrag.types import Chunk, ExtractedEntity, ExtractedRelation, Extraction


class Extractor(Protocol):
    """Finds entities and relations in one chunk."""

    @property
    def fingerprint(self) -> str:
        """Names the extractor and everything that its findings depend on."""
        ...

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return what is in the chunk; raises `ModelError` where that cannot be told."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RawEntity:
    """An entity as somebody wrote it down."""

    name: str
    type: str
    description: str


@dataclasses.dataclass(frozen=True, slots=True)
class RawRelation:
    """A relation as somebody wrote it down."""

    source: str
    target: str
    keywords: str
    description: str
    weight: float = 1.0


def assemble(
    entities: Iterable[RawEntity], relations: Iterable[RawRelation], notes: tuple[str, ...] = ()
) -> Extraction:
    """Normalise findings: each name and each pair once, ends of relations present, no relation to oneself.

    Of repeated names the first type that says something and all distinct descriptions are kept. An end that was not
    listed as an entity becomes one of unknown type, described by the relation, so that every edge has its nodes and a
    chunk mentions both ends of each edge it mentions.
    """
    found: dict[str, ExtractedEntity] = {}
    for raw in entities:
        name, description = clean_name(raw.name), clean_text(raw.description)
        if name and description:
            _add_entity(found, ExtractedEntity(name, clean_type(raw.type), description))
    edges: dict[tuple[str, str], ExtractedRelation] = {}
    for link in relations:
        source, target = sorted((clean_name(link.source), clean_name(link.target)))
        description = clean_text(link.description)
        if not source or source == target or not (description or link.keywords):
            continue
        keywords = clean_keywords(link.keywords)
        weight = link.weight if 0 < link.weight < 1e6 else 1.0
        edge = ExtractedRelation(source, target, keywords, description or keywords, weight)
        previous = edges.get((source, target))
        edges[source, target] = edge if previous is None else _join_relations(previous, edge)
    for edge in edges.values():
        for end in (edge.source, edge.target):
            if end not in found:
                found[end] = ExtractedEntity(end, UNKNOWN_TYPE, edge.description)
    return Extraction(tuple(found.values()), tuple(edges.values()), notes)


def _add_entity(found: dict[str, ExtractedEntity], entity: ExtractedEntity) -> None:
    previous = found.get(entity.name)
    if previous is None:
        found[entity.name] = entity
        return
    kind = previous.type if previous.type != UNKNOWN_TYPE else entity.type
    found[entity.name] = ExtractedEntity(entity.name, kind, _join_sentences(previous.description, entity.description))


def _join_relations(first: ExtractedRelation, second: ExtractedRelation) -> ExtractedRelation:
    return ExtractedRelation(
        first.source,
        first.target,
        clean_keywords(f"{first.keywords},{second.keywords}"),
        _join_sentences(first.description, second.description),
        max(first.weight, second.weight),
    )


def _join_sentences(first: str, second: str) -> str:
    return first if second in first else f"{first} {second}"
