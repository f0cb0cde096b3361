"""Cuts text into sentences, by punctuation and line structure, for all scripts that have either."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_SENTENCE_CHARS = 1000
"""Longer stretches without an end (tables, logs, Thai) are cut at a comma or blank."""

_CLOSERS = "\"'”’»)\\]】」』）》"
_CANDIDATE = re.compile(
    rf"(?P<full>[。！？｡॥।۔؟։።።၊။]+[{_CLOSERS}]*)|(?P<stop>[.!?…]+[{_CLOSERS}*_]*)(?=\s)|(?P<line>\n)"
)
_LAST_WORD = re.compile(r"[^\s(\[“\"'«/]*$")
_NEXT_WORD = re.compile(r"[\s\"'“‘«(\[*_]*([^\s.,;:!?)\]”’]*)")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•‣◦▪·–—|>#]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z][.)][ \t]|[一二三四五六七八九十]+、)")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_SOFT_END = re.compile(r"[;；,，、:：]\s*|\s+")

_NEVER_LAST = """
mr mrs ms dr prof st gen col capt lt sgt rev hon sen rep gov pres sr sra srta dra ud uds mme mlle mm hr fr frl messrs
mt ft vs cf bzw usw ca bspw evtl ggf inkl sog vgl e.g i.e z.b d.h u.a viz al op
"""
_RARELY_LAST = "etc inc ltd co corp jr bros llc plc dept est approx ave blvd rd"
_NUMBERED = """
no nos nr vol vols p pp fig figs eq eqs sec ch chap art ed tab abb s n
jan feb mar apr jun jul aug sep sept oct nov dec
"""
_OPENING = """
the it its he she they we you i in on at this that these those a an after before when while although however but and
as his her their there for from since if by during der die das er sie es le la les il elle el los las
"""
_ORDINAL = """
januar februar märz april mai juni juli august september oktober november dezember jahrhundert jahrhunderts
"""
_NEVER = frozenset(_NEVER_LAST.split())
_BEFORE_OPENER = frozenset(_RARELY_LAST.split())
"""Abbreviations that end a sentence only where the next word is one that begins sentences."""
_BEFORE_NUMBER = frozenset(_NUMBERED.split())
_OPENERS = frozenset(_OPENING.split())
_AFTER_ORDINAL = frozenset(_ORDINAL.split())
_LONG_LINE = 50
"""A line at least this long may have been broken by width, not by meaning."""


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the character spans [start, end) of the sentences, in order.

    Spans do not overlap, have no blanks at their ends, and leave out nothing but blanks. A line that is a heading or a
    list item is a sentence; so is each line of a poem or table. Takes time proportional to the text.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _ends(text):
        spans.extend(_trimmed(text, start, end))
        start = end
    spans.extend(_trimmed(text, start, len(text)))
    return spans


def _ends(text: str) -> Iterator[int]:
    for found in _CANDIDATE.finditer(text):
        kind = found.lastgroup
        if kind == "full" or (kind == "stop" and _is_stop(text, found)) or (kind == "line" and _is_break(text, found)):
            yield found.end()


def _is_stop(text: str, found: re.Match[str]) -> bool:
    following = _NEXT_WORD.match(text, found.end(), found.end() + 80)
    word = following[1] if following else ""
    if word[:1].islower():
        return False
    if found[0] != ".":
        return True
    last = _LAST_WORD.search(text, max(0, found.start() - 24), found.start())
    before = last[0] if last else ""
    folded = before.casefold()
    if folded in _NEVER or (len(before) == 1 and (before.isupper() or len(word) == 1)):
        return False
    if word[:1].isdigit():
        return folded not in _BEFORE_NUMBER and not _is_list_number(text, found, before)
    if before.isdigit():
        return word.casefold() not in _AFTER_ORDINAL and not _is_list_number(text, found, before)
    if folded in _BEFORE_OPENER or _ACRONYM.fullmatch(before):
        return word.casefold() in _OPENERS
    return True


def _is_list_number(text: str, found: re.Match[str], before: str) -> bool:
    at = found.start() - len(before)
    return before.isdigit() and len(before) <= 3 and not text[max(0, at - 20) : at].rpartition("\n")[2].strip()


def _is_break(text: str, found: re.Match[str]) -> bool:
    """Whether the end of a line is the end of a sentence, or the line was only broken by width."""
    at = found.end()
    following = text[at : at + 40].split("\n", 1)[0]
    if not following.strip() or _LIST_ITEM.match(following):
        return True
    line_start = text.rfind("\n", max(0, found.start() - _LONG_LINE - 1), found.start())
    is_short = line_start >= 0 or found.start() < _LONG_LINE
    first = following.lstrip()[0]
    if first.islower():
        return False
    return is_short or text[found.start() - 1] in ".!?:;"


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the span without blanks at its ends, in pieces where it is too long; nothing where it is blank."""
    body = text[start:end]
    stripped = body.strip()
    if not stripped:
        return
    start += len(body) - len(body.lstrip())
    end = start + len(stripped)
    while end - start > MAX_SENTENCE_CHARS:
        cut = start + MAX_SENTENCE_CHARS
        for soft in _SOFT_END.finditer(text, start + MAX_SENTENCE_CHARS // 2, start + MAX_SENTENCE_CHARS):
            cut = soft.end()
        piece = text[start:cut].rstrip()
        yield start, start + len(piece)
        start = cut
        while text[start].isspace():
            start += 1
    yield start, end
