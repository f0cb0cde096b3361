"""Finds names in scripts with capital letters: capitalised runs, acronyms, titles in quotes, full dates."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from lightrag.embedded.lexicon import CALENDAR, ENGLISH, GENERIC, Grammar

MAX_WORDS = 10
"""A longer run of capitalised words is a heading or a table, not a name."""

# Latin, Greek, Cyrillic, Armenian; Python's patterns know no class of capital letters.
_CASED_CODES = (*range(0x41, 0x530), *range(0x531, 0x557), *range(0x1E00, 0x2000))
_UPPER = "".join(chr(code) for code in _CASED_CODES if chr(code).isupper())
_SHORT_FORMS = "St Mt Ft Dr Mr Mrs Ms Jr Sr Lt Gen Col Prof Sen Gov Rev Capt Sgt"
_SHORT = "|".join(rf"(?<=\b{word})" for word in _SHORT_FORMS.split())
_REST = rf"(?:\.(?:[{_UPPER}]\.)*|\w*(?:['’.&-]\w+)*(?:(?:{_SHORT})\.)?)"
_CAPITAL = rf"(?:[{_UPPER}]{_REST}|(?:[dl]['’]|al-|el-|[a-z])[{_UPPER}]\w+)"
_LINK = (
    r"(?:of the|of|de la|de los|de las|de|del|della|di|da|do|dos|du|des|la|le|van der|van den|van de|van|von der|von"
    r"|zu|den|der|ter|bin|ibn|al|el|for the|&)"
)
_NUMBER = r"(?:[ \t]+(?:\d{1,4}|[IVX]+)(?![\w.,]*\d))?"
_MORE = rf"(?:[ \t]+(?:{_LINK}[ \t]+)?{_CAPITAL})*{_NUMBER}"
# Nearly all names begin with a capital, and a pattern that begins with a class of letters is searched much faster.
_NAME = re.compile(rf"[{_UPPER}](?<!\w.){_REST}{_MORE}")
_INNER = re.compile(rf"[a-z'’-][{_UPPER}]")
_NAME_OF_ANY_FORM = re.compile(rf"(?<!\w){_CAPITAL}{_MORE}")
_QUOTED = re.compile(
    r"(?:“([^”\n]{2,80})”|\"([^\"\n]{2,80})\"|``([^'`\n]{2,80})''|«\s?([^»\n]{2,80})»|„([^“”\n]{2,80})[“”])"
)
_MONTH = (
    "January|February|March|April|May|June|July|August|September|October|November|December|Januar|Februar|März|Mai|Juni|Juli|"
    "Oktober|Dezember|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
)
_DATE = re.compile(rf"\b(?:\d{{1,2}}\.?\s+(?:{_MONTH})|(?:{_MONTH})\s+\d{{1,2}}),?\s+\d{{4}}\b")
_IDENTIFIER = re.compile(r"(?<!\w)[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?!\w)")
_QUOTE_MARK = re.compile('[“"`«„]')
_YEAR = re.compile(r"\d{4}")
_FIRST = re.compile(r"[^\W_]")
_DOTTED = re.compile(rf"(?<!\w)(?:[{_UPPER}]\.){{2,}}(?!\s?\w)|(?<!\w)(?:U\.S\.A?\.?|U\.K\.?|U\.N\.?)")
_ABBREVIATION = re.compile(r"\b(?:Jr|Sr|Inc|Ltd|Co|Corp|Bros)\.$")
_OWNER = re.compile(r"(?<!St\.\s)(?<=\w{4})['’]s?\s+(?=\w+\s+\w)")
_NO_NAMES = CALENDAR | GENERIC | ENGLISH.openers


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A name at characters [start, end) of a text."""

    start: int
    end: int
    name: str
    kind: str | None = None
    """Its type where the form tells."""
    opens: bool = False
    """It is a single word at the start of a sentence, whose capital proves nothing."""


def find_names(sentence: str, grammar: Grammar = ENGLISH) -> list[Found]:
    """Return the names of a sentence in order, without overlaps."""
    found: list[Found] = []
    if _QUOTE_MARK.search(sentence):
        found.extend(_quoted(sentence))
    if _YEAR.search(sentence):
        found.extend(
            Found(date.start(), date.end(), " ".join(date[0].split()), "date") for date in _DATE.finditer(sentence)
        )
    if "_" in sentence:
        found.extend(Found(word.start(), word.end(), word[0]) for word in _IDENTIFIER.finditer(sentence))
    first = _FIRST.search(sentence)
    opening = first.start() if first else 0
    shouted = sentence.isupper()
    taken = [(item.start, item.end) for item in found]
    pattern = _NAME_OF_ANY_FORM if _INNER.search(sentence) else _NAME
    for run in pattern.finditer(sentence):
        start, end = run.span()
        if not (taken and any(begin < end and start < until for begin, until in taken)):
            found.extend(_names_of_run(run[0], start, start <= opening, shouted, grammar))
    if taken:
        found.sort(key=lambda item: item.start)
    return found


def clean_name(name: str, grammar: Grammar = ENGLISH) -> str:
    """Return a name without possessive, leading article, outer punctuation and repeated blanks."""
    name = " ".join(name.replace("’", "'").split()).strip(" ,;:!?*_#()[]-–—'\"")
    name = name.removesuffix("'s")
    if "." in name:
        name = _DOTTED.sub(lambda found: found[0].replace(".", ""), name)
        if name.endswith(".") and not _ABBREVIATION.search(name):
            name = name[:-1]
    first, _, rest = name.partition(" ")
    if rest and first.casefold() in grammar.articles and rest.casefold() not in grammar.openers:
        return rest
    return name


def is_name(name: str) -> bool:
    """Whether a cleaned name can name anything by itself."""
    if len(name) < 2:
        return False
    folded = name.casefold()
    # WHO and US are names; who and us are not.
    if folded in _NO_NAMES and not (name.isupper() and folded in ENGLISH.openers):
        return False
    words = folded.split()
    return len(words) <= MAX_WORDS and not all(word.rstrip(".,").isdigit() or word in CALENDAR for word in words)


def _quoted(sentence: str) -> Iterator[Found]:
    for quote in _QUOTED.finditer(sentence):
        title = " ".join(next(group for group in quote.groups() if group).split()).strip(" .,;:")
        # Speech has few capitals; titles are short and mostly capitalised.
        words = title.split()
        capital = sum(word[0].isupper() for word in words)
        if words and len(words) <= 8 and words[0][0].isupper() and capital * 2 >= len(words) and is_name(title):
            yield Found(quote.start(), quote.end(), title, "content")


def _names_of_run(run: str, start: int, opens: bool, shouted: bool, grammar: Grammar) -> Iterator[Found]:
    """Yield the names in a run of capitalised words, without the words that only open a sentence or phrase."""
    owner = _OWNER.search(run) if "'" in run or "’" in run else None
    if owner is not None and owner.start() > 0:
        # Monakow's Institute of Anatomy is two names, St. Mary's Church is one.
        yield from _names_of_run(run[: owner.start()], start, opens, shouted, grammar)
        yield from _names_of_run(run[owner.end() :], start + owner.end(), False, shouted, grammar)
        return
    words = run.split()
    refused = grammar.openers if opens else grammar.articles
    dropped = 0
    while (
        dropped < len(words) and words[dropped].casefold() in refused and (shouted or not _is_acronym(words[dropped]))
    ):
        dropped += 1
    while dropped < len(words) and words[dropped].islower():
        dropped += 1
    kept = len(words) - dropped
    if not kept or kept > MAX_WORDS or (shouted and kept > 3):
        return
    name = clean_name(" ".join(words[dropped:]) if dropped else run, grammar)
    if is_name(name):
        position = start + (run.index(words[dropped], len(words[dropped - 1])) if dropped else 0)
        alone = opens and kept == 1 and not dropped and not _has_form(name)
        yield Found(position, start + len(run), name, None, alone)


def _is_acronym(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _has_form(word: str) -> bool:
    """Whether a single word is a name by its form: an acronym, inner capitals, digits."""
    return any(map(str.isupper, word[1:])) or any(map(str.isdigit, word))
