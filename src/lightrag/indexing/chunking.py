"""Cuts a text into chunks whose borders are decided by the text around them.

A chunk ends at a sentence end in the last fifth of its token budget, at a paragraph end if there is one; among
several, the one whose following sentence has the smallest hash. The choice depends on nothing but the text there, so
after an edit the borders fall into step again and the chunks behind it keep their text, their ids, their vectors and
their extractions. Cutting is a pure function of the text: an updated document is cut as a fresh one would be.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from lightrag.errors import ConfigurationError
from lightrag.types import Chunk, PageSpan

BLOCK_CHARS = 1 << 18
SOFT_SHARE = 0.8
"""From this share of the budget on, a sentence end may end the chunk."""


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


SentenceCutter = Callable[[str], list[tuple[int, int]]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a piece of one that is longer than a chunk."""

    start: int
    end: int
    tokens: int
    mark: int
    """Hash of the text, by which borders are chosen."""
    opens_paragraph: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Chunker:
    """Cuts by sentences into chunks of at most `size` tokens, each repeating up to `overlap` of the one before."""

    tokens: TokenCounter
    sentences: SentenceCutter
    size: int = 1200
    overlap: int = 100

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ConfigurationError(f"CHUNK_SIZE is {self.size}; it must be at least 16 tokens")
        if not 0 <= self.overlap <= self.size // 2:
            raise ConfigurationError(
                f"CHUNK_OVERLAP_SIZE is {self.overlap}; it must be between 0 and half of CHUNK_SIZE ({self.size})"
            )

    def cut(self, doc_id: str, text: str, *, file_path: str, pages: Sequence[PageSpan] = ()) -> list[Chunk]:
        """Return the chunks of a document in order; their spans cover every visible character."""
        return [filled(chunk, text) for chunk in self.outline(doc_id, text, file_path=file_path, pages=pages)]

    def outline(self, doc_id: str, text: str, *, file_path: str, pages: Sequence[PageSpan] = ()) -> list[Chunk]:
        """Return the chunks as `cut` does, but without their contents (see `filled`)."""
        page_starts = [page.start for page in pages]
        chunks: list[Chunk] = []
        repeats: dict[str, int] = {}
        for units in self._ranges(self._units(text)):
            start, end = units[0].start, units[-1].end
            key = chunk_id(doc_id, text[start:end])
            number = repeats.get(key, 0)
            repeats[key] = number + 1
            chunks.append(
                Chunk(
                    id=chunk_id(doc_id, text[start:end], number) if number else key,
                    doc_id=doc_id,
                    order=len(chunks),
                    content="",
                    tokens=sum(unit.tokens for unit in units),
                    start=start,
                    end=end,
                    file_path=file_path,
                    page_start=_page_at(pages, page_starts, start),
                    page_end=_page_at(pages, page_starts, end - 1),
                )
            )
        return chunks

    def _units(self, text: str) -> Iterator[_Unit]:
        previous_end = 0
        for start, end in self._sentences(text):
            sentence = text[start:end]
            opens = text.count("\n", previous_end, start) > 1
            previous_end = end
            count = self.tokens.count(sentence)
            if count <= self.size:
                yield _Unit(start, end, count, zlib.crc32(sentence.encode("utf-8", "replace")), opens)
            else:
                yield from self._pieces(sentence, start)

    def _sentences(self, text: str) -> Iterator[tuple[int, int]]:
        """Cut block by block, so that a large text is not held as millions of sentences at once."""
        start = 0
        while start < len(text):
            end = _block_end(text, start)
            for first, last in self.sentences(text[start:end]):
                yield start + first, start + last
            start = end

    def _pieces(self, sentence: str, offset: int) -> Iterator[_Unit]:
        """Cut what has no sentence ends (tables, logs, minified code) by tokens."""
        for window in self.tokens.windows(sentence, max(self.size // 4, 16)):
            piece = sentence[window.start : window.end]
            if piece.strip():
                mark = zlib.crc32(piece.encode("utf-8", "replace"))
                yield _Unit(offset + window.start, offset + window.end, window.tokens, mark, False)

    def _ranges(self, source: Iterator[_Unit]) -> Iterator[Sequence[_Unit]]:
        """Group units into chunks, looking no further ahead than one chunk."""
        units: list[_Unit] = []
        total = 0
        for unit in source:
            units.append(unit)
            total += unit.tokens
            while total > self.size and len(units) > 1:
                cut = self._cut_at(units)
                yield units[:cut]
                units = units[self._overlap_start(units, cut) :]
                total = sum(unit.tokens for unit in units)
        if units:
            yield units

    def _cut_at(self, units: Sequence[_Unit]) -> int:
        """Return before which unit the chunk ends that begins with the first one; there are more than fit."""
        total, last, soft = 0, 0, 0
        while last == 0 or total + units[last].tokens <= self.size:
            total += units[last].tokens
            last += 1
            if total < self.size * SOFT_SHARE:
                soft = last
        candidates = range(min(soft + 1, last), last + 1)
        return min(candidates, key=lambda at: (not units[at].opens_paragraph, units[at].mark, at))

    def _overlap_start(self, units: Sequence[_Unit], cut: int) -> int:
        """Step back from a cut by whole sentences, never to where the chunk itself began."""
        start, tokens = cut, 0
        while start - 1 > 0 and tokens + units[start - 1].tokens <= self.overlap:
            start -= 1
            tokens += units[start].tokens
        return start


def filled(chunk: Chunk, text: str) -> Chunk:
    """Return a chunk of an outline with its content."""
    return dataclasses.replace(chunk, content=text[chunk.start : chunk.end])


def _block_end(text: str, start: int) -> int:
    """Return where a block ends: after an empty line, a line or a word, whichever is found first in that order."""
    least = start + BLOCK_CHARS
    if least >= len(text):
        return len(text)
    for gap in ("\n\n", "\n", " "):
        found = text.find(gap, least, least + BLOCK_CHARS)
        if found >= 0:
            return found + len(gap)
    return least


def chunk_id(doc_id: str, content: str, repeat: int = 0) -> str:
    """Return the id of a chunk: it names the document and the text, not the position."""
    suffix = f"\n{repeat}" if repeat else ""
    digest = hashlib.md5(f"{doc_id}\n{content}{suffix}".encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return f"chunk-{digest.hexdigest()}"


def _page_at(pages: Sequence[PageSpan], starts: Sequence[int], position: int) -> int | None:
    index = bisect.bisect_right(starts, position) - 1
    return pages[index].page if index >= 0 else None
