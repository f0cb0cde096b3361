"""Reads the extraction answers that LightRAG keeps in its response cache.

Read are the forms of all its versions: `("entity"<|>name<|>type<|>description)##`,
`entity<|#|>name<|#|>type<|#|>description` by lines, and a JSON object with `entities` and `relationships`. The graph
says what is mentioned where; an answer only adds in which words, so what cannot be read is passed over.
"""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Iterable
from typing import Any

import orjson

_TUPLE = re.compile(r'\(\s*"?(entity|relationship)"?\s*<\|>(.*?)\)\s*(?:##|<\|COMPLETE\|>|\Z)', re.DOTALL)
_LINE = re.compile(r"(?m)^\W*(entity|relation(?:ship)?)\s*<\|#\|>(.*)$")
_END = "<|COMPLETE|>"
_PROMPT_TEXT = re.compile(r"(?:^|\n)(?:-?Text-?|Real Data|Input Text):?[ \t]*\n+(?:```\n?|\"\"\"\n?)?", re.IGNORECASE)


@dataclasses.dataclass(slots=True)
class Answer:
    """What was found in a chunk: descriptions by name; (keywords, description, weight) by both names in order."""

    entities: dict[str, str] = dataclasses.field(default_factory=dict)
    relations: dict[tuple[str, str], tuple[str, str, float]] = dataclasses.field(default_factory=dict)

    def add_entity(self, name: str, description: str) -> None:
        """Add an entity; of one found twice the longer description stays."""
        key = loose(name)
        if key and len(description) > len(self.entities.get(key, "")):
            self.entities[key] = description

    def add_relation(self, source: str, target: str, found: tuple[str, str, float]) -> None:
        """Add a relation; the first one stays."""
        ends = sorted((loose(source), loose(target)))
        self.relations.setdefault((ends[0], ends[1]), found)


def loose(name: str) -> str:
    """Return a name without what versions write differently: quotes, case, escapes."""
    return html.unescape(name).strip().strip("\"'").strip().casefold()


def read_answers(texts: Iterable[str]) -> Answer:
    """Return what the answers on one chunk say together."""
    answer = Answer()
    for text in texts:
        _read(answer, text)
    return answer


def texts_in_prompt(prompt: str) -> list[str]:
    """Return what follows each heading of a text in an extraction prompt, the last one first."""
    if prompt.startswith("[{"):
        try:
            prompt = str(orjson.loads(prompt)[0].get("content", ""))
        except (ValueError, KeyError, IndexError, AttributeError):
            return []
    return [prompt[match.end() :] for match in reversed(list(_PROMPT_TEXT.finditer(prompt)))]


def _read(answer: Answer, text: str) -> None:
    if text.lstrip().startswith("{"):
        _read_json(answer, text)
        return
    for kind, body in _TUPLE.findall(text):
        fields = [_plain(field) for field in body.split("<|>")]
        if kind == "entity" and len(fields) >= 3:
            answer.add_entity(fields[0], fields[2])
        elif kind == "relationship" and len(fields) >= 4:
            weight = _number(fields[4]) if len(fields) > 4 else 1.0
            answer.add_relation(fields[0], fields[1], (fields[3], fields[2], weight))
    for kind, body in _LINE.findall(text):
        fields = [_plain(field) for field in body.replace(_END, "").split("<|#|>")]
        if kind == "entity" and len(fields) == 3:
            answer.add_entity(fields[0], fields[2])
        elif len(fields) >= 4:
            answer.add_relation(fields[0], fields[1], (fields[2], fields[3], 1.0))


def _read_json(answer: Answer, text: str) -> None:
    try:
        value = orjson.loads(text)
    except ValueError:
        return
    if not isinstance(value, dict):
        return
    for item in _objects(value.get("entities")):
        answer.add_entity(str(item.get("name", "")), str(item.get("description", "")))
    for item in _objects(value.get("relationships")):
        found = (_keywords(item.get("keywords")), str(item.get("description", "")), 1.0)
        answer.add_relation(str(item.get("source", "")), str(item.get("target", "")), found)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _keywords(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _plain(field: str) -> str:
    return html.unescape(field).strip().strip('"').strip()


def _number(text: str) -> float:
    match = re.search(r"\d+(?:\.\d+)?", text)
    return min(float(match[0]), 1e6) if match else 1.0
