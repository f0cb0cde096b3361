"""Cuts text into index terms: the same for passages and questions, in any language.

A term is folded (compatibility forms, case, accents), English words lose their endings, identifiers and numbers stay
findable as they are written, and scripts without spaces are cut into overlapping pairs or triples of characters.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator

from lightrag.text.scripts import HAN, HANGUL, HIRAGANA, INDIC, KATAKANA, SOUTH_EAST
from lightrag.text.stopwords import CHINESE_STOPS, stop_words_of

MAX_TERM_CHARS = 64

# Letters that no decomposition reaches, marks that only vary a word's spelling, and quotes of all shapes.
_FOLDED = {
    **dict.fromkeys(
        (*range(0x300, 0x370), *range(0x483, 0x48A), *range(0x591, 0x5BE), *range(0x64B, 0x660), 0x640, 0x670)
    ),
    **{ord(wide): narrow for wide, narrow in zip("øØłŁđĐðÐıħĦ’‘ʼ＇", "oOlLdDdDihH''''", strict=True)},
    **{
        ord(wide): narrow
        for wide, narrow in (("æ", "ae"), ("Æ", "AE"), ("œ", "oe"), ("Œ", "OE"), ("þ", "th"), ("Þ", "TH"))
    },
    # Soft hyphen, zero-width characters, byte-order mark.
    **dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)),
}
_UNSPACED = HAN + HIRAGANA + KATAKANA + HANGUL + SOUTH_EAST
_LETTERS = rf"(?:[^\W{_UNSPACED}{INDIC}]+|[{INDIC}]+)+"


def _token_pattern(letters: str) -> str:
    return rf"{letters}(?:(?:[-.'@&]|(?<=\d),(?=\d)){letters})*(?:\+\+|\#)?"


# Most texts need no more than one of these; the last one, which tells scripts apart, costs four times as much.
_UNSPACED_OR_INDIC = re.compile(f"[{_UNSPACED}{INDIC}]")
_SPACED_TOKEN = re.compile(_token_pattern(r"\w+"))
_ASCII_TOKEN = re.compile(_token_pattern(r"\w+"), re.ASCII)
_RUN = re.compile(
    rf"([{HAN}]+)|([{HIRAGANA}]+)|([{KATAKANA}]+|[{HANGUL}]+)|([{SOUTH_EAST}]+)|({_token_pattern(_LETTERS)})"
)
_CONNECTOR = re.compile(r"[-.'@&_+#,]+")
_CHINESE_STOP = re.compile("|".join(sorted(CHINESE_STOPS, key=len, reverse=True)))
_VOWEL = re.compile("[aeiouy]")
_SHORT_STEM = re.compile("[^aeiou][aeiou][^aeiouwxy]")
_SINGULAR = frozenset({"news", "lens", "mars", "wales", "james"})
_AFTER_ES = ("ss", "x", "ch", "sh", "zz")


def fold(text: str) -> str:
    """Return a text without differences of case, width, accents and quotes."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).translate(_FOLDED)
    return unicodedata.normalize("NFC", decomposed.casefold())


def index_terms(text: str) -> list[str]:
    """Return the terms of a passage in order, repetitions included."""
    text = fold(text)
    if text.isascii():
        return list(itertools.chain.from_iterable(map(_expand, _ASCII_TOKEN.findall(text))))
    if not _UNSPACED_OR_INDIC.search(text):
        return list(itertools.chain.from_iterable(map(_expand, _SPACED_TOKEN.findall(text))))
    terms: list[str] = []
    for run in _RUN.finditer(text):
        kind, found = run.lastindex, run[0]
        if kind == 5:
            terms.extend(_expand(found))
        elif kind == 1:
            # Single characters too: a question about 猫 must find 黑猫.
            terms.extend(found)
            terms.extend(_grams(found, 2) if len(found) > 1 else ())
        else:
            terms.extend(_grams(found, 3 if kind == 4 else 2))
    return terms


def query_terms(text: str) -> list[str]:
    """Return the distinct terms of a question in order, without words that say nothing.

    Where nothing else is left, the stop words are the question.
    """
    folded = fold(text)
    stops = stop_words_of(_ASCII_TOKEN.findall(folded) if folded.isascii() else folded.split())
    meant = dict.fromkeys(_query_terms(folded, stops))
    return list(meant) if meant else list(dict.fromkeys(index_terms(text)))


def _query_terms(folded: str, stops: frozenset[str]) -> Iterator[str]:
    hiragana: list[str] = []
    only_hiragana = True
    for run in _RUN.finditer(folded):
        kind, found = run.lastindex, run[0]
        if kind == 2:
            hiragana.extend(_grams(found, 2))
            continue
        if kind == 5:
            if found in stops:
                continue
            yield from (term for term in _expand(found) if len(term) > 1 or not term.isalpha() or found == term)
        elif kind == 1:
            for part in _CHINESE_STOP.split(found):
                yield from _grams(part, 2)
        else:
            yield from _grams(found, 3 if kind == 4 else 2)
        only_hiragana = False
    # Hiragana is mostly grammar (です, から); it counts where a question is written in nothing else.
    if only_hiragana:
        yield from hiragana


def _grams(run: str, size: int) -> Iterator[str]:
    if not run:
        return iter(())
    return (run[i : i + size] for i in range(max(1, len(run) - size + 1)))


@functools.lru_cache(maxsize=1 << 15)
def _expand(token: str) -> tuple[str, ...]:
    """Return the terms of a token: itself where it is a word, else its parts and, where it is a name, the whole."""
    if len(token) > MAX_TERM_CHARS:
        token = token[:MAX_TERM_CHARS]
    if token.isalnum():
        return (_stem(token),)
    token = token.removesuffix("'s")
    parts = [part for part in _CONNECTOR.split(token) if part]
    if not parts:
        return ()
    if "," in token and all(map(str.isdigit, parts)):
        return ("".join(parts),)
    if len(parts) > 1 and all(len(part) == 1 and part.isalpha() for part in parts) and "-" not in token:
        return ("".join(parts),) if "." in token else (token, *parts)
    terms = tuple(_stem(part) for part in parts if len(part) > 2 or not part.isdigit()) if len(parts) > 1 else ()
    is_name = len(parts) > 1 and (not set(token).isdisjoint("_.@&") or any(map(str.isdigit, token)))
    if is_name or token.endswith(("++", "#")):
        return (token, *terms) if terms else (token, *map(_stem, parts))
    return terms or tuple(map(_stem, parts))


def _stem(word: str) -> str:
    """Cut the endings of plurals, participles and the silent e off English words; others stay whole."""
    if len(word) < 4 or not word.isascii() or not word.isalpha() or word in _SINGULAR:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("es") and word[:-2].endswith(_AFTER_ES):
        word = word[:-2]
    elif word.endswith("s") and word[-2] not in "sui":
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest is not word and len(rest) >= 3 and _VOWEL.search(rest):
            word = _restored(rest)
            break
    if word.endswith("e") and len(word) > 4:
        return word[:-1]
    if word.endswith("y") and len(word) > 3:
        return word[:-1] + "i"
    return word


def _restored(stem: str) -> str:
    """Undo what an ending did to a stem: runn(ing) to run, mak(ing) to make."""
    if stem[-1] == stem[-2]:
        return stem if stem[-1] in "lsz" else stem[:-1]
    return stem + "e" if _SHORT_STEM.fullmatch(stem) else stem
