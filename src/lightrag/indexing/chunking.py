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
from collections.abc import Callable, Sequence
from typing import Protocol

from lightrag.errors import ConfigurationError
from lightrag.types import Chunk, PageSpan

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
        units = self._units(text)
        page_starts = [page.start for page in pages]
        chunks: list[Chunk] = []
        repeats: dict[str, int] = {}
        for first, last in self._ranges(units):
            start, end = units[first].start, units[last - 1].end
            content = text[start:end]
            number = repeats.get(content, 0)
            repeats[content] = number + 1
            chunks.append(
                Chunk(
                    id=chunk_id(doc_id, content, number),
                    doc_id=doc_id,
                    order=len(chunks),
                    content=content,
                    tokens=sum(unit.tokens for unit in units[first:last]),
                    start=start,
                    end=end,
                    file_path=file_path,
                    page_start=_page_at(pages, page_starts, start),
                    page_end=_page_at(pages, page_starts, end - 1),
                )
            )
        return chunks

    def _units(self, text: str) -> list[_Unit]:
        units: list[_Unit] = []
        previous_end = 0
        for start, end in self.sentences(text):
            sentence = text[start:end]
            opens = text.count("\n", previous_end, start) > 1
            previous_end = end
            count = self.tokens.count(sentence)
            if count <= self.size:
                units.append(_Unit(start, end, count, zlib.crc32(sentence.encode("utf-8", "replace")), opens))
            else:
                units.extend(self._pieces(sentence, start))
        return units

    def _pieces(self, sentence: str, offset: int) -> list[_Unit]:
        """Cut what has no sentence ends (tables, logs, minified code) by tokens."""
        step = max(self.size // 4, 16)
        return [
            _Unit(
                offset + window.start,
                offset + window.end,
                window.tokens,
                zlib.crc32(sentence[window.start : window.end].encode("utf-8", "replace")),
                False,
            )
            for window in self.tokens.windows(sentence, step)
            if sentence[window.start : window.end].strip()
        ]

    def _ranges(self, units: Sequence[_Unit]) -> list[tuple[int, int]]:
        ranges: list[tuple[int, int]] = []
        first = 0
        while first < len(units):
            total, last, soft = 0, first, first
            while last < len(units) and (last == first or total + units[last].tokens <= self.size):
                total += units[last].tokens
                last += 1
                if total < self.size * SOFT_SHARE:
                    soft = last
            if last == len(units):
                ranges.append((first, last))
                break
            candidates = range(min(soft + 1, last), last + 1)
            cut = min(candidates, key=lambda at: (not units[at].opens_paragraph, units[at].mark, at))
            ranges.append((first, cut))
            first = self._overlap_start(units, first, cut)
        return ranges

    def _overlap_start(self, units: Sequence[_Unit], first: int, cut: int) -> int:
        """Step back from a cut by whole sentences, never to where the chunk itself began."""
        start, tokens = cut, 0
        while start - 1 > first and tokens + units[start - 1].tokens <= self.overlap:
            start -= 1
            tokens += units[start].tokens
        return start


def chunk_id(doc_id: str, content: str, repeat: int = 0) -> str:
    """Return the id of a chunk: it names the document and the text, not the position."""
    suffix = f"\n{repeat}" if repeat else ""
    digest = hashlib.md5(f"{doc_id}\n{content}{suffix}".encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return f"chunk-{digest.hexdigest()}"


def _page_at(pages: Sequence[PageSpan], starts: Sequence[int], position: int) -> int | None:
    index = bisect.bisect_right(starts, position) - 1
    return pages[index].page if index >= 0 else None
