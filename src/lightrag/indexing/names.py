"""One spelling for one thing: how names, types and keywords found by an extractor are normalised.

The rules are those that LightRAG's stored graphs follow (tags removed, full-width forms narrowed, quotes stripped),
so that a graph which was begun there goes on with the same names.
"""

from __future__ import annotations

import html
import re

MAX_NAME_CHARS = 256
UNKNOWN_TYPE = "UNKNOWN"

_TAGS = re.compile(r"</?(?:p|br)\s*/?>", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SPACES = re.compile(r"\s+")
_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff"
_SPACE_AT_CJK = re.compile(rf"(?<=[{_CJK}])\s+(?=[{_CJK}a-zA-Z0-9(])|(?<=[a-zA-Z0-9)])\s+(?=[{_CJK}])")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "《": "》", "「": "」", "`": "`"}
_TYPE_REFUSED = re.compile(r"['()<>|/\\]")
_RESERVED = frozenset({"__proto__", "constructor", "prototype"})
# Full-width ASCII (U+FF01..U+FF5E) narrows by a fixed offset; punctuation other than these few keeps its width.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0).isalnum()}
_NARROW |= {ord(wide): ord(narrow) for wide, narrow in zip("－＋／＊（）—\u3000\u00a0", "-+/*()-  ", strict=True)}


def clean_text(text: str) -> str:
    """Remove markup, control characters and one pair of outer quotes; collapse spaces."""
    text = html.unescape(_TAGS.sub(" ", text)) if "<" in text or "&" in text else text
    text = _CONTROL.sub("", text)
    if not text.isascii():
        text = _SPACE_AT_CJK.sub("", text.translate(_NARROW))
    return _strip_quotes(_SPACES.sub(" ", text).strip())


def clean_name(text: str) -> str:
    """Return the one spelling of an entity's name, or "" where it is none.

    Bare numbers of one or two digits and dotted ones of up to five characters name nothing.
    """
    name = clean_text(text)
    if not name.isascii():
        name = name.replace("“", "").replace("”", "").replace("‘", "").replace("’", "'")
    bare = name.replace(".", "")
    if bare.isdigit() and len(name) < (6 if "." in name else 3):
        return ""
    return name[:MAX_NAME_CHARS].strip()


def clean_type(text: str) -> str:
    """Return a type in lower case without spaces; `UNKNOWN` where it cannot be one."""
    kind = clean_text(text).split(",")[0].replace(" ", "").lower()
    if not kind or _TYPE_REFUSED.search(kind) or kind in _RESERVED:
        return UNKNOWN_TYPE
    return kind


def clean_keywords(text: str) -> str:
    """Return comma-separated keywords without blanks and repetitions, in order."""
    parts = (clean_text(part) for part in re.split(r"[,，;；、]", text))
    return ",".join(dict.fromkeys(part for part in parts if part))


def _strip_quotes(text: str) -> str:
    if len(text) >= 2 and _QUOTES.get(text[0]) == text[-1]:
        inner = text[1:-1]
        if text[0] not in inner and text[-1] not in inner:
            return inner.strip()
    return text
