"""Makes the mentions that LightRAG does not keep from its graph, its tracking files, and its response cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import orjson

from lightrag.storage.contracts import Namespace
from lightrag.storage.files.graphml import Attributes, StoredGraph
from lightrag.storage.files.lightrag_rows import EXTRACT, seconds_of
from lightrag.storage.files.recorded_answers import Answer, loose, read_answers, texts_in_prompt
from lightrag.storage.files.rows import Said
from lightrag.storage.files.state import State
from lightrag.types import (
    FIELD_SEPARATOR,
    UNKNOWN_SOURCE,
    ExtractedEntity,
    ExtractedRelation,
    JsonObject,
    MentionSource,
    Pair,
    Relation,
)

K = TypeVar("K", str, Pair)

MANUAL = "manual_creation"
"""The chunk id under which LightRAG files what was entered by hand; taken for what has no source at all."""
_PROMPT_START = 48
"""Characters by which a chunk is recognised in a prompt."""


class AdoptedMentions:
    """Brings the mentions of a state in line with the graph."""

    def __init__(
        self,
        state: State,
        graph: StoredGraph,
        entity_chunks: Mapping[str, JsonObject],
        relation_chunks: Mapping[str, JsonObject],
        chunks: Mapping[str, JsonObject],
    ) -> None:
        self._state = state
        self._chunks = chunks
        self._names: dict[str, list[str]] = {
            name: _chunk_ids(entity_chunks.get(name), attributes) for name, attributes in graph.nodes.items()
        }
        self._pairs: dict[Pair, list[str]] = {
            pair: _chunk_ids(relation_chunks.get(FIELD_SEPARATOR.join(pair)), attributes)
            for pair, attributes in graph.edges.items()
        }
        # What the graph file cannot hold is known to this server only.
        for name in [name for name in state.nodes if name not in graph.nodes]:
            self._names[name] = [chunk_id for _, chunk_id in state.by_name.get(name) or ()]
        for pair in [pair for pair in state.edges if pair not in graph.edges]:
            index = state.by_pair.get(pair)
            self._pairs[pair] = [chunk_id for _, chunk_id in index.places] if index is not None else []

    def run(self) -> set[str]:
        """Replace the mentions of every chunk of which the graph says something else than they do; return these."""
        names, pairs = _inverted(self._names), _inverted(self._pairs)
        changed = {
            chunk_id
            for chunk_id in {*names, *pairs, *self._state.said}
            if not self._agrees(chunk_id, names.get(chunk_id, []), pairs.get(chunk_id, []))
        }
        answers = self._answers(changed)
        found = {chunk_id: Said(self._source(chunk_id), {}, {}) for chunk_id in changed}
        for name, chunk_ids in self._names.items():
            if not changed.isdisjoint(chunk_ids):
                self._describe_entity(name, chunk_ids, answers, found)
        for pair, chunk_ids in self._pairs.items():
            if not changed.isdisjoint(chunk_ids):
                self._describe_relation(pair, chunk_ids, answers, found)
        for chunk_id, said in found.items():
            self._state.remove_said(chunk_id)
            if said.entities or said.relations:
                self._state.add_said(chunk_id, said)
        self._count()
        return changed

    def _agrees(self, chunk_id: str, names: list[str], pairs: list[Pair]) -> bool:
        said = self._state.said.get(chunk_id)
        if said is None or said.entities.keys() != set(names) or said.relations.keys() != set(pairs):
            return False
        return said.source == self._source(chunk_id)

    def _source(self, chunk_id: str) -> MentionSource:
        row = self._chunks.get(chunk_id)
        if row is None:
            before = self._state.said.get(chunk_id)
            path = chunk_id if chunk_id == MANUAL else UNKNOWN_SOURCE
            return before.source if before is not None else MentionSource(chunk_id, "", 0, path, 0)
        record = self._state.documents.get(row["full_doc_id"])
        created = seconds_of(record.created_at) if record is not None else 0
        return MentionSource(chunk_id, row["full_doc_id"], row["chunk_order_index"], row["file_path"], created)

    def _describe_entity(
        self, name: str, chunk_ids: list[str], answers: Mapping[str, Answer], found: dict[str, Said]
    ) -> None:
        entity, key = self._state.nodes.get(name), loose(name)
        if entity is None:
            return
        words: dict[str, ExtractedEntity | None] = {}
        for chunk_id in chunk_ids:
            before = self._state.said.get(chunk_id)
            known = before.entities.get(name) if before is not None else None
            if known is None and chunk_id in answers and key in answers[chunk_id].entities:
                known = ExtractedEntity(name, entity.type, answers[chunk_id].entities[key])
            words[chunk_id] = known
        said = {known.description for known in words.values() if known is not None}
        rest = ExtractedEntity(name, entity.type, _rest(entity.description, said))
        for chunk_id, known in words.items():
            if chunk_id in found:
                found[chunk_id].entities[name] = known or rest

    def _describe_relation(
        self, pair: Pair, chunk_ids: list[str], answers: Mapping[str, Answer], found: dict[str, Said]
    ) -> None:
        relation = self._state.edges.get(pair)
        if relation is None:
            return
        ends = sorted(map(loose, pair))
        words: dict[str, ExtractedRelation | None] = {}
        for chunk_id in chunk_ids:
            before = self._state.said.get(chunk_id)
            known = before.relations.get(pair) if before is not None else None
            answer = answers[chunk_id].relations.get((ends[0], ends[1])) if chunk_id in answers else None
            if known is None and answer is not None:
                keywords, description, weight = answer
                known = ExtractedRelation(*pair, _keywords(keywords), description or keywords, weight)
            words[chunk_id] = known
        said = {known.description for known in words.values() if known is not None}
        rest = _rest_of_relation(relation, [known for known in words.values() if known is not None], len(words), said)
        for chunk_id, known in words.items():
            if chunk_id in found:
                found[chunk_id].relations[pair] = known or rest

    def _answers(self, chunk_ids: set[str]) -> dict[str, Answer]:
        """Return what the cached answers say of these chunks."""
        texts: dict[str, list[str]] = {}
        starts = {row["content"][:_PROMPT_START]: key for key, row in self._chunks.items() if key in chunk_ids}
        for body in self._state.kv[Namespace.LLM_CACHE].values():
            row = orjson.loads(body)
            if row.get("cache_type") != EXTRACT or not isinstance(row.get("return"), str):
                continue
            chunk_id = row.get("chunk_id")
            if chunk_id is None:
                chunk_id = self._chunk_in(str(row.get("original_prompt") or ""), starts)
            if chunk_id in chunk_ids:
                texts.setdefault(str(chunk_id), []).append(row["return"])
        return {chunk_id: read_answers(found) for chunk_id, found in texts.items()}

    def _chunk_in(self, prompt: str, starts: Mapping[str, str]) -> str | None:
        """Return the chunk that a prompt asks about; the oldest versions do not say it otherwise."""
        for text in map(str.lstrip, texts_in_prompt(prompt)):
            # The second key finds a chunk that is shorter than what is compared.
            for start in (text[:_PROMPT_START], text.split("\n", 1)[0].strip()[:_PROMPT_START]):
                chunk_id = starts.get(start)
                if chunk_id is not None and text.startswith(self._chunks[chunk_id]["content"]):
                    return chunk_id
        return None

    def _count(self) -> None:
        """Write to nodes and edges how many chunks mention them."""
        for name, entity in list(self._state.nodes.items()):
            count = len(self._state.by_name.get(name) or ())
            if entity.mentions != count:
                self._state.nodes.put(name, dataclasses.replace(entity, mentions=count))
        for pair, relation in list(self._state.edges.items()):
            index = self._state.by_pair.get(pair)
            count = len(index.places) if index is not None else 0
            if relation.mentions != count:
                self._state.put_edge(dataclasses.replace(relation, mentions=count))


def _chunk_ids(tracked: JsonObject | None, attributes: Attributes) -> list[str]:
    listed = (tracked or {}).get("chunk_ids")
    ids = listed if isinstance(listed, list) and listed else attributes.get("source_id", "").split(FIELD_SEPARATOR)
    return list(dict.fromkeys(str(id) for id in ids if id)) or [MANUAL]


def _inverted(chunks_of: Mapping[K, list[str]]) -> dict[str, list[K]]:
    found: dict[str, list[K]] = {}
    for key, chunk_ids in chunks_of.items():
        for chunk_id in chunk_ids:
            found.setdefault(chunk_id, []).append(key)
    return found


def _rest(description: str, said: set[str]) -> str:
    """Return the fragments of a description that no known mention accounts for, or all where each is accounted for."""
    fragments = list(dict.fromkeys(part.strip() for part in description.split(FIELD_SEPARATOR) if part.strip()))
    return FIELD_SEPARATOR.join([part for part in fragments if part not in said] or fragments)


def _rest_of_relation(
    relation: Relation, known: list[ExtractedRelation], count: int, said: set[str]
) -> ExtractedRelation:
    """Return what is left for mentions of which no words are known, so that weights still add up."""
    open_weight = max(relation.weight - sum(item.weight for item in known), 0.0)
    share = open_weight / (count - len(known)) if count > len(known) else 0.0
    return ExtractedRelation(*relation.pair, _keywords(relation.keywords), _rest(relation.description, said), share)


def _keywords(text: str) -> str:
    parts = (part.strip() for part in text.replace(FIELD_SEPARATOR, ",").replace("，", ",").split(","))
    return ",".join(dict.fromkeys(part for part in parts if part))
