"""Keywords of a question: themes (high level) and names (low level)."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from lightrag.errors import ModelError
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role
from lightrag.prompts import fill
from lightrag.text.words import query_terms
from lightrag.types import Keywords, QueryParam

_log = logging.getLogger(__name__)

MOST_KEYWORDS = 64
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_LISTS = {
    level: re.compile(rf"[\"']?{level}_level_keywords[\"']?\s*[:=]\s*(\[[^\]]*\]?|[^\n{{}}\[]+)", re.IGNORECASE)
    for level in ("high", "low")
}
_SEPARATOR = re.compile(r"[\n,，;；、]")
# Runs of capitalised words, joined by small words that names hold; the first word of a question is judged alone.
_NAME = re.compile(r"[A-Z][\w'’&.-]*(?:\s+(?:(?:of|the|and|de|la|van|von|der|for)\s+){0,2}[A-Z0-9][\w'’&.-]*)*")
_QUOTED = re.compile(r"[\"“«「『《]([^\"”»」』》]{2,80})[\"”»」』》]")


@dataclasses.dataclass(frozen=True, slots=True)
class FoundKeywords:
    """Keywords and where they come from."""

    keywords: Keywords
    origin: Literal["given", "model", "text"]
    model: str | None = None
    """The model that named them."""


async def find_keywords(question: str, param: QueryParam, model: ChatModel | None, language: str) -> FoundKeywords:
    """Return the keywords that were given, else those that the model names, else those that the text shows.

    A model that fails or answers with nothing usable does not fail the question.
    """
    if param.hl_keywords or param.ll_keywords:
        return FoundKeywords(Keywords(tuple(param.hl_keywords), tuple(param.ll_keywords)), "given")
    if model is not None:
        try:
            asked, given_by = await _ask(question, model, language)
        except ModelError as error:
            _log.warning("keywords are taken from the question's text, since the model gave none: %s", error)
        else:
            if asked.high_level or asked.low_level:
                return FoundKeywords(asked, "model", given_by)
    return FoundKeywords(keywords_of_text(question), "text")


def keywords_of_text(question: str) -> Keywords:
    """Return keywords from the text alone: names and quotations are low-level, other telling words high-level."""
    low = [match[1] for match in _QUOTED.finditer(question)]
    for match in _NAME.finditer(question):
        name = match[0].rstrip(".'’-&")
        # The first word of a sentence is capitalised whatever it is.
        is_opening_word = name.isalpha() and not question[: match.start()].strip() and name[1:].islower()
        if len(name) > 1 and not is_opening_word:
            low.append(name)
    terms = query_terms(question)
    inside = set(query_terms(" ".join(low))) if low else set()
    high = [term for term in terms if term not in inside]
    return Keywords(tuple(_distinct(high or terms)), tuple(_distinct(low or terms)))


def parse_keywords(answer: str) -> Keywords:
    """Read a model's answer: a JSON object with two lists, or whatever comes close to it."""
    found = _OBJECT.search(answer)
    if found is not None:
        try:
            value = json.loads(found[0])
        except ValueError:
            pass
        else:
            if isinstance(value, dict):
                return Keywords(
                    tuple(_strings(value.get("high_level_keywords"))), tuple(_strings(value.get("low_level_keywords")))
                )
    loose = {level: pattern.search(answer) for level, pattern in _LISTS.items()}
    lists = {level: match[1].strip("[] \t") if match else None for level, match in loose.items()}
    return Keywords(tuple(_strings(lists["high"])), tuple(_strings(lists["low"])))


async def _ask(question: str, model: ChatModel, language: str) -> tuple[Keywords, str]:
    reply = await model.complete(
        ChatRequest(
            messages=(
                Message("system", fill("keywords_system", language=language)),
                Message("user", fill("keywords_user", question=question)),
            ),
            role=Role.KEYWORDS,
            json_object=True,
        )
    )
    return parse_keywords(reply.text), reply.given_by or model.facts.called


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return _distinct(_SEPARATOR.split(value))
    if isinstance(value, Sequence):
        return _distinct(str(item) for item in value if isinstance(item, str | int | float))
    return []


def _distinct(words: Iterable[str]) -> list[str]:
    stripped = (word.strip().strip("\"'").strip() for word in words)
    return list(dict.fromkeys(word for word in stripped if word))[:MOST_KEYWORDS]
