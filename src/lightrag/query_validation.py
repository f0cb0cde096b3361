"""Which questions are worth a search: LightRAG's rule of three characters, wide ones counting twice."""

from __future__ import annotations

from lightrag.errors import InvalidInput

MIN_RAG_QUERY_WEIGHT = 3

_WIDE_CODEPOINT_RANGES: tuple[tuple[int, int], ...] = (
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3000, 0x31FF),  # CJK punctuation, kana, Bopomofo, Hangul compatibility, phonetic extensions
    (0x3300, 0x4DBF),  # CJK compatibility, extension A
    (0x4E00, 0x9FFF),  # unified ideographs
    (0xA960, 0xA97F),  # Hangul Jamo Extended-A
    (0xAC00, 0xD7FF),  # Hangul syllables, Jamo Extended-B
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFE30, 0xFE4F),  # compatibility forms
    (0xFF00, 0xFFEF),  # half-width and full-width forms
    (0x16FE0, 0x16FFF),  # ideographic symbols and punctuation
    (0x1AFF0, 0x1B2FF),  # kana extensions and supplement, Nushu
    (0x20000, 0x3FFFF),  # the two ideographic planes
)
"""Blocks of Chinese, Japanese and Korean, by the Unicode block table."""


class EmptyQueryError(InvalidInput, ValueError):
    """The question is blank."""


class RAGQueryTooShortError(InvalidInput, ValueError):
    """The question is too short to search for."""


def validate_query_not_empty(query: str) -> str:
    """Return the question without outer blanks. Raises `EmptyQueryError`."""
    stripped = query.strip()
    if not stripped:
        raise EmptyQueryError("the question is empty; send at least one visible character")
    return stripped


def validate_rag_query(query: str) -> str:
    """Return the question without outer blanks. Raises `EmptyQueryError` or `RAGQueryTooShortError`."""
    stripped = validate_query_not_empty(query)
    if not meets_min_rag_query_weight(stripped):
        raise RAGQueryTooShortError(
            f"the question is too short to search for; it needs {MIN_RAG_QUERY_WEIGHT} characters, or two of Chinese, "
            "Japanese or Korean"
        )
    return stripped


def rag_query_weight(query: str) -> int:
    """Return the number of characters, where those of wide scripts count twice."""
    return sum(map(_weight, query.strip()))


def meets_min_rag_query_weight(query: str) -> bool:
    """Whether a question is long enough; reads no further than that takes."""
    total = 0
    for character in query.strip():
        total += _weight(character)
        if total >= MIN_RAG_QUERY_WEIGHT:
            return True
    return False


def _weight(character: str) -> int:
    code = ord(character)
    return 2 if any(low <= code <= high for low, high in _WIDE_CODEPOINT_RANGES) else 1
