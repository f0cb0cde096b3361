"""What all ways of cutting share: spans of a text, and chunks made of them."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from lightrag.types import Chunk, PageSpan


class TokenSpan(Protocol):
    """Characters [start, end) of a text and how many tokens they are."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def tokens(self) -> int: ...


class TokenCounter(Protocol):
    """The part of a tokenizer that cutting needs."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        ...

    def windows(self, text: str, size: int) -> Sequence[TokenSpan]:
        """Cut a text into windows of at most `size` tokens at whole characters."""
        ...

    def offsets(self, text: str) -> Any:
        """Return at which character each token starts, and last the length of the text: an array of integers."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a text and how many tokens they are."""

    start: int
    end: int
    tokens: int


def trimmed(text: str, span: TokenSpan) -> Span | None:
    """Return the span without blanks at its ends; None where it is blank."""
    body = text[span.start : span.end]
    inner = body.strip()
    if not inner:
        return None
    start = span.start + len(body) - len(body.lstrip())
    return Span(start, start + len(inner), span.tokens)


class ChunkMaker:
    """Makes the chunks of one document out of spans: ids, numbers and pages."""

    def __init__(self, doc_id: str, file_path: str, pages: Sequence[PageSpan]) -> None:
        self._doc_id = doc_id
        self._file_path = file_path
        self._pages = pages
        self._page_starts = [page.start for page in pages]
        self._order = 0
        self._repeats: dict[str, int] = {}

    def make(self, span: TokenSpan, content: str) -> Chunk:
        """Return the next chunk; the same text again has an id of its own."""
        key = chunk_id(self._doc_id, content)
        number = self._repeats.get(key, 0)
        self._repeats[key] = number + 1
        self._order += 1
        return Chunk(
            id=chunk_id(self._doc_id, content, number) if number else key,
            doc_id=self._doc_id,
            order=self._order - 1,
            content=content,
            tokens=span.tokens,
            start=span.start,
            end=span.end,
            file_path=self._file_path,
            page_start=self._page_at(span.start),
            page_end=self._page_at(max(span.start, span.end - 1)),
        )

    def _page_at(self, position: int) -> int | None:
        index = bisect.bisect_right(self._page_starts, position) - 1
        return self._pages[index].page if index >= 0 else None


def chunk_id(doc_id: str, content: str, repeat: int = 0) -> str:
    """Return the id of a chunk: it names the document and the text, not the position."""
    suffix = f"\n{repeat}" if repeat else ""
    digest = hashlib.md5(f"{doc_id}\n{content}{suffix}".encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return f"chunk-{digest.hexdigest()}"
