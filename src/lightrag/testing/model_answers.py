"""What the stand-in model server answers: extraction by replay or by rule, keywords, summaries, a fixed text.

The kind of call is read off the prompt: a tuple delimiter asks for an extraction, `high_level_keywords` for keywords.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

TUPLE_DELIMITER = "<|#|>"
COMPLETION_MARK = "<|COMPLETE|>"

_KEY_LENGTH = 160
_RULE_ENTITIES = 16
_SPACE = re.compile(r"\s+")
_NAME = re.compile(
    r"\b(?!(?:In|On|At|By|For|The|This|That|It|He|She|They|An|And|But)\b)"
    r"[A-Z][\w'&.-]+(?: (?:of |of the |and |de |van |von )?[A-Z][\w'&.-]+)*"
)
_PASSAGE = (
    re.compile(r"<text>\s*(.*?)\s*</text>", re.DOTALL | re.IGNORECASE),
    re.compile(r"```[a-z]*\n(.*?)\n```", re.DOTALL),
)
_WORD = re.compile(r"[^\W\d_]{5,}")


def passage_of(prompt: str) -> str:
    """Return the passage that an extraction prompt is about: the last one between text tags or in a code fence."""
    for pattern in _PASSAGE:
        found: list[str] = pattern.findall(prompt)
        if found:
            return found[-1]
    return prompt[-6000:]


def _key(text: str) -> str:
    return _SPACE.sub(" ", text[: 4 * _KEY_LENGTH]).strip()[:_KEY_LENGTH]


class Answerer:
    """Decides the answer to a conversation, and counts what it was asked for in `counts`.

    `openie`: a JSON list of {"title", "text", "entities": [str], "triples": [[subject, predicate, object]]}; passages
    that it knows (by their first 160 characters, with or without a title line) are answered from it.
    """

    def __init__(self, openie: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._replay: dict[str, str] = {}
        if openie is not None:
            for passage in orjson.loads(openie.read_bytes()):
                self._replay[_key(passage["text"])] = _recorded_lines(passage)

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """Return the answer to `messages` (role and content each)."""
        contents = [str(message.get("content") or "") for message in messages]
        everything = "\n".join(contents)
        last = contents[-1] if contents else ""
        if "high_level_keywords" in everything:
            self.counts["keywords"] += 1
            return _keywords(last)
        if TUPLE_DELIMITER in everything:
            if any(message.get("role") == "assistant" for message in messages):
                self.counts["gleaning"] += 1
                return COMPLETION_MARK
            self.counts["extract"] += 1
            return self._extraction(passage_of(last)) + "\n" + COMPLETION_MARK
        lowered = everything[:4000].lower()
        if "description" in lowered and ("summar" in lowered or "merge" in lowered):
            self.counts["summary"] += 1
            return "A merged description that covers all of the given fragments in one short paragraph."
        self.counts["other"] += 1
        return "This is the stand-in model's answer. It cites the given context [1]."

    def _extraction(self, passage: str) -> str:
        recorded = self._replay.get(_key(passage))
        if recorded is None and "\n" in passage:
            recorded = self._replay.get(_key(passage.split("\n", 1)[1]))
        if recorded is None:
            self.counts["replay_miss"] += 1
            return _rule_lines(passage)
        self.counts["replay_hit"] += 1
        return recorded


def _recorded_lines(passage: dict[str, Any]) -> str:
    title = str(passage.get("title") or "the passage")
    descriptions = {str(name): f"{name} is mentioned in {title}." for name in passage["entities"]}
    relations = []
    for triple in passage["triples"]:
        parts = [str(part).strip() for part in triple]
        if len(parts) != 3 or not parts[0] or not parts[2] or parts[0] == parts[2]:
            continue
        subject, predicate, obj = parts
        sentence = f"{subject} {predicate} {obj}."
        for name in (subject, obj):
            known = descriptions.get(name, "")
            if not known or known.endswith(f"mentioned in {title}."):
                descriptions[name] = sentence
            elif len(known) < 400:
                descriptions[name] = f"{known} {sentence}"
        relations.append(TUPLE_DELIMITER.join(["relation", subject, obj, predicate, sentence]))
    entities = [TUPLE_DELIMITER.join(["entity", name, "Concept", text]) for name, text in descriptions.items()]
    return "\n".join(entities + relations)


def _rule_lines(passage: str) -> str:
    names = list(dict.fromkeys(name.strip(" .") for name in _NAME.findall(passage)))[:_RULE_ENTITIES]
    start = _SPACE.sub(" ", passage[:60]).strip()
    lines = [
        TUPLE_DELIMITER.join(["entity", name, "Concept", f"{name} is discussed in the passage that begins '{start}'."])
        for name in names
    ]
    lines += [
        TUPLE_DELIMITER.join(["relation", left, right, "mentioned together", f"{left} is discussed with {right}."])
        for left, right in itertools.pairwise(names)
    ]
    return "\n".join(lines)


def _keywords(question: str) -> str:
    tail = question[-600:]
    names = [name for name in _NAME.findall(tail) if name.lower() not in {"what", "who", "when", "where", "which"}]
    themes = list(dict.fromkeys(_WORD.findall(tail.lower())))[:8]
    answer = {"high_level_keywords": themes or [tail[:60]], "low_level_keywords": names[:8] or themes[:4]}
    return orjson.dumps(answer).decode()
