"""Finds entities and relations without a model: names, titles and key phrases, linked where they stand together.

Made for retrieval: a name that few passages share links them, so that it matters more to find the same name in every
passage than to know all that a passage says of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from lightrag.embedded.key_phrases import key_phrases
from lightrag.embedded.lexicon import ENGLISH, GENERIC, MODIFIERS, grammar_of
from lightrag.embedded.name_types import TypeVotes
from lightrag.embedded.names import Found, clean_name, find_names
from lightrag.embedded.uncased import finder_for
from lightrag.text.scripts import is_cjk
from lightrag.text.sentences import sentences
from lightrag.types import Chunk, ExtractedEntity, ExtractedRelation, Extraction

VERSION = "1"
MAX_ENTITIES = 96
MAX_RELATIONS = 160
MAX_NAMES_PER_SENTENCE = 12
MAX_DESCRIPTION_CHARS = 300
MAX_TITLE_CHARS = 100
MAX_TITLE_WORDS = 14
CHARS_PER_NAME = 200
"""A passage with fewer names is described by key phrases as well."""
MAX_KEYWORDS = 4


_PARENTHESIS = re.compile(r"\s*\([^()]*\)$")


@dataclasses.dataclass(slots=True)
class _Sentence:
    text: str
    names: list[Found]


class NLPExtractor:
    """Extracts by rules, at no cost per call. Findings depend on the chunk's text alone."""

    @property
    def fingerprint(self) -> str:
        """Names the rules; it changes when they do."""
        return f"nlp/{VERSION}"

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return what is in the chunk."""
        return await asyncio.to_thread(extract_text, chunk.content)


def extract_text(text: str) -> Extraction:
    """Return the entities and relations of a passage."""
    found, title = _read(text)
    spelling = _spellings(found, title)
    entities: dict[str, list[str]] = {}
    votes = TypeVotes()
    pairs: dict[tuple[str, str], ExtractedRelation] = {}
    if title is not None:
        entities[title] = []
    for sentence in found:
        present: list[Found] = []
        names: set[str] = set()
        for item in sentence.names:
            name = spelling.get(item.name)
            if name is None or (name not in entities and len(entities) >= MAX_ENTITIES):
                continue
            entities.setdefault(name, []).append(sentence.text)
            votes.add(name, item, sentence.text)
            if name not in names:
                names.add(name)
                present.append(Found(item.start, item.end, name))
        for relation in _relations(sentence.text, present[:MAX_NAMES_PER_SENTENCE], title):
            if len(pairs) < MAX_RELATIONS:
                pairs.setdefault((relation.source, relation.target), relation)
    listed = tuple(
        ExtractedEntity(name, votes.kind(name), _description(where) or _description(s.text for s in found) or name)
        for name, where in entities.items()
    )
    return Extraction(listed, tuple(pairs.values()))


def _read(text: str) -> tuple[list[_Sentence], str | None]:
    """Return the sentences with the names in them, and the title that the text opens with, if any."""
    find = finder_for(text)
    grammar = grammar_of(text)
    found: list[_Sentence] = []
    title = None
    for start, end in sentences(text):
        sentence = text[start:end].replace("\n", " ")
        names = find_names(sentence, grammar)
        if find is not None:
            names = _merged(find(sentence), names)
        if not found:
            title = _title(sentence, text[end : end + 1])
            if title is not None:
                names = [item for item in names if not item.opens]
        found.append(_Sentence(sentence, names))
    if sum(len(sentence.names) for sentence in found) * CHARS_PER_NAME < len(text):
        for phrase, at in key_phrases([sentence.text for sentence in found]):
            start = found[at].text.lower().find(phrase)
            if start >= 0:
                found[at].names = _merged(found[at].names, [Found(start, start + len(phrase), phrase)])
    return found, title


def _title(line: str, behind: str) -> str | None:
    """Return the name that a first line is, where it looks like a title and not like a sentence."""
    if behind != "\n" and not line.startswith("#"):
        return None
    name = line.strip("#*_= \t").rstrip(":")
    if not 2 <= len(name) <= MAX_TITLE_CHARS or name[-1] in ".!?;,。！？；，":
        return None
    if not (name[0].isupper() or name[0].isdigit() or is_cjk(name[0])) or len(name.split()) > MAX_TITLE_WORDS:
        return None
    if name.rpartition(" ")[2] in ENGLISH.openers:
        # A line that was broken by width.
        return None
    # Madonna (entertainer) is called Madonna wherever else it is spoken of.
    return clean_name(_PARENTHESIS.sub("", name)) or clean_name(name) or None


def _merged(first: Sequence[Found], second: Iterable[Found]) -> list[Found]:
    extra = (item for item in second if not any(item.start < other.end and other.start < item.end for other in first))
    return sorted((*first, *extra), key=lambda item: item.start)


def _spellings(found: Sequence[_Sentence], title: str | None) -> dict[str, str]:
    """Return under which name each name found is listed; those that are none are absent.

    A word that opens a sentence is a name if the passage has it with a capital elsewhere. A single word that opens or
    closes exactly one longer name of the passage stands for it: Curie for Marie Curie, Order for Order of Merit.
    """
    sure = Counter(item.name for sentence in found for item in sentence.names if not item.opens)
    longer: dict[str, set[str]] = {}
    for name in (*sure, *((title,) if title else ())):
        words = name.split()
        if (
            2 <= len(words) <= 4
            and "," not in name
            and all(word[0].isupper() for word in words)
            and words[0].casefold() not in MODIFIERS
        ):
            for word in (words[0], words[-1]):
                longer.setdefault(word, set()).add(name)
        elif len(words) > 2 and words[1] == "of":
            longer.setdefault(words[0], set()).add(name)
    spelling: dict[str, str] = {}
    for sentence in found:
        for item in sentence.names:
            wholes = longer.get(item.name, set())
            if len(wholes) == 1 and item.name.casefold() not in GENERIC:
                spelling[item.name] = next(iter(wholes))
            elif not item.opens or item.name in sure or item.name == title or _is_subject(item, sentence.text):
                spelling[item.name] = item.name
    return spelling


_SUBJECT_VERBS = ("is ", "was ", "has ", "had ", "became ", "(", "'s ", "’s ")


def _is_subject(item: Found, sentence: str) -> bool:
    """Whether a word that opens a sentence is followed by what follows a name."""
    return not item.name.endswith("ly") and sentence[item.end : item.end + 10].lstrip().startswith(_SUBJECT_VERBS)


def _relations(sentence: str, present: Sequence[Found], title: str | None) -> Iterator[ExtractedRelation]:
    """Yield the links of a sentence: neighbours, and each name with what the sentence is about.

    That is the passage's title, which most sentences imply where they do not say it, or else the first name.
    """
    for first, second in itertools.pairwise(present):
        yield _relation(first.name, second.name, _keywords(sentence[first.end : second.start]), sentence)
    if title is None:
        for item in present[2:]:
            yield _relation(present[0].name, item.name, _keywords(sentence[present[0].end : item.start]), sentence)
    elif all(item.name != title for item in present):
        for item in present:
            yield _relation(title, item.name, _keywords(sentence[: item.start]), sentence)


def _relation(first: str, second: str, keywords: str, sentence: str) -> ExtractedRelation:
    source, target = sorted((first, second))
    return ExtractedRelation(source, target, keywords or "related to", sentence[:MAX_DESCRIPTION_CHARS])


def _keywords(between: str) -> str:
    """Return the last words between two names, which mostly are the verb and what belongs to it."""
    words = between[-60:].split()
    return " ".join(words[-MAX_KEYWORDS:]).strip(" ,;:()\"'“”.")


def _description(where: Iterable[str]) -> str:
    """Return the first sentences that fit, at least one."""
    description = ""
    for sentence in where:
        if description and len(description) + len(sentence) + 1 > MAX_DESCRIPTION_CHARS:
            break
        if sentence not in description:
            description = f"{description} {sentence}".strip()
    return description[:MAX_DESCRIPTION_CHARS]
