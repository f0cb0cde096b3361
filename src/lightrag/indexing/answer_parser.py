"""Reads a model's extraction answer: strict about what a record is, forgiving about how it is written.

Records are lines of fields: `entity<|#|>name<|#|>type<|#|>description` and
`relation<|#|>source<|#|>target<|#|>keywords<|#|>description`, ended by `<|COMPLETE|>`. Also read: LightRAG's older
form `("entity"<|>…)##`, and a JSON object with `entities` and `relationships`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from lightrag.errors import UnusableAnswer
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.types import Extraction

DELIMITER = "<|#|>"

# Damaged delimiters seen from small models: a missing bar or bracket, another filling, doubling.
_DAMAGED_DELIMITER = re.compile(r"<\|?[#|]\|?[#|]?\|?>|<\|[^|<>\n]?\|?>|\|#\||<#>")
_DAMAGED_END = re.compile(r"<\|?\s*(?:COMPLETE|complete|Complete)\s*\|?>|\bCOMPLETE\b\s*$")
_LISTS = ("entities", "relationships", "relations")
LONGEST_EXCUSE = 200
"""Characters of a sentence that may stand before the end mark where there is nothing to list."""
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*$", re.MULTILINE)
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_RECORD_START = re.compile(r"(?im)^[\s\-*\d.()\"'#]*(entity|relation(?:ship)?)[\"'`)\s]*" + re.escape(DELIMITER))
_OLD_RECORD = re.compile(r'\(\s*"(entity|relationship)"\s*<\|>(.*?)\)\s*(?:##|<\|COMPLETE\|>|\Z|\n)', re.DOTALL)


@dataclasses.dataclass(slots=True)
class _Findings:
    entities: list[RawEntity] = dataclasses.field(default_factory=list)
    relations: list[RawRelation] = dataclasses.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.entities or self.relations)


def parse_answer(answer: str, *, cut_off: bool = False) -> Extraction:
    """Return what the answer says; where it says "nothing", by its end mark or empty JSON lists, an empty extraction.

    Raises `UnusableAnswer` where no record can be read and the model did not say that there is none.
    `cut_off` tells that the answer stopped at a length limit: its last record is dropped and a note is made.
    """
    text = _FENCE.sub("", _THINKING.sub("", answer)).strip()
    ended = bool(_DAMAGED_END.search(text))
    found = _read_json(text) or _read_old_records(text) or _read_lines(text, cut_off and not ended)
    notes = ("the model's answer was cut off by its length limit",) if cut_off and not ended else ()
    extraction = assemble(found.entities, found.relations, notes)
    if extraction.entities or _says_nothing(text, found):
        return extraction
    excerpt = text[:120].replace("\n", " ")
    raise UnusableAnswer(
        "the model's answer holds no entity or relation in the asked form"
        + (f"; it begins: {excerpt!r}" if excerpt else "; it is empty")
    )


def _says_nothing(text: str, found: _Findings) -> bool:
    """Tell whether an answer without a usable record says that there is none: by empty lists, or the end mark.

    Before the mark there may be a sentence; more than that, or delimiters, are records that cannot be read.
    """
    if not found.is_empty:
        return False
    if _json_object(text) is not None:
        return True
    before = _DAMAGED_END.sub("", text).strip()
    return before != text and len(before) <= LONGEST_EXCUSE and "\n" not in before and "<|" not in before


def _read_lines(text: str, drop_last: bool) -> _Findings:
    text = _DAMAGED_DELIMITER.sub(DELIMITER, _DAMAGED_END.sub("", text))
    starts = list(_RECORD_START.finditer(text))
    found = _Findings()
    ends = [*(match.start() for match in starts), len(text)][1:]
    records = [(match[1].lower(), text[match.end() : end]) for match, end in zip(starts, ends, strict=True)]
    if drop_last and records:
        records.pop()
    for kind, body in records:
        # A record is one line; prose that follows it belongs to nothing.
        fields = [field.strip().strip('"') for field in body.strip().split("\n")[0].split(DELIMITER)]
        if kind == "entity" and len(fields) >= 3 and len(fields) != 4:
            found.entities.append(RawEntity(fields[0], fields[1], " ".join(fields[2:])))
        elif kind == "entity" and len(fields) == 4:
            # Four fields after "entity" are a relation whose head word went wrong.
            found.relations.append(RawRelation(fields[0], fields[1], fields[2], fields[3]))
        elif kind != "entity" and len(fields) >= 4:
            found.relations.append(RawRelation(fields[0], fields[1], fields[2], " ".join(fields[3:])))
    return found


def _read_old_records(text: str) -> _Findings | None:
    found = _Findings()
    for kind, body in _OLD_RECORD.findall(text):
        fields = [field.strip().strip('"') for field in body.split("<|>")]
        if kind == "entity" and len(fields) >= 3:
            found.entities.append(RawEntity(fields[0], fields[1], fields[2]))
        elif kind == "relationship" and len(fields) >= 4:
            weight = _number(fields[4]) if len(fields) > 4 else 1.0
            found.relations.append(RawRelation(fields[0], fields[1], fields[3], fields[2], weight))
    return None if found.is_empty else found


def _json_object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object, whatever prose stands around it, where it has lists of entities or relations."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value if any(isinstance(value.get(key), list) for key in _LISTS) else None


def _read_json(text: str) -> _Findings | None:
    value = _json_object(text)
    if value is None:
        return None
    found = _Findings()
    for item in _objects(value.get("entities")):
        name = item.get("name") or item.get("entity_name") or item.get("entity") or ""
        kind = item.get("type") or item.get("entity_type") or ""
        found.entities.append(RawEntity(str(name), str(kind), str(item.get("description") or name)))
    for item in _objects(value.get("relationships") or value.get("relations")):
        keywords = item.get("keywords") or item.get("type") or ""
        joined = ",".join(map(str, keywords)) if isinstance(keywords, list) else str(keywords)
        source, target = item.get("source") or item.get("src_id"), item.get("target") or item.get("tgt_id")
        found.relations.append(
            RawRelation(str(source or ""), str(target or ""), joined, str(item.get("description") or joined))
        )
    return None if found.is_empty else found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(text: str) -> float:
    match = re.search(r"\d+(?:\.\d+)?", text)
    return float(match[0]) if match else 1.0
