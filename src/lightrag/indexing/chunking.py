"""Cuts a text into chunks whose borders are decided by the text around them.

A chunk ends at a sentence end in the last fifth of its token budget, at a paragraph end if there is one; among
several, the one whose following sentence has the smallest hash. The choice depends on nothing but the text there, so
after an edit the borders fall into step again and the chunks behind it keep their text, their ids, their vectors and
their extractions. Cutting is a pure function of the text: an updated document is cut as a fresh one would be.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence

from lightrag.errors import ConfigurationError
from lightrag.indexing.chunking_spans import ChunkMaker, Span, TokenCounter
from lightrag.types import Chunk, PageSpan

BLOCK_CHARS = 1 << 18
SOFT_SHARE = 0.8
"""From this share of the budget on, a sentence end may end the chunk."""


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
        return self.begin(doc_id, file_path=file_path, pages=pages).feed(text, is_last=True)

    def begin(self, doc_id: str, *, file_path: str, pages: Sequence[PageSpan] = ()) -> Cutting:
        """Begin to cut a document whose text comes in pieces; the chunks are the same as by `cut`."""
        return Cutting(self, doc_id, file_path, pages)

    def pieces(self, sentence: str, offset: int) -> Iterator[_Unit]:
        """Cut what has no sentence ends (tables, logs, minified code) by tokens."""
        for window in self.tokens.windows(sentence, max(self.size // 4, 16)):
            piece = sentence[window.start : window.end]
            if piece.strip():
                mark = zlib.crc32(piece.encode("utf-8", "replace"))
                yield _Unit(offset + window.start, offset + window.end, window.tokens, mark, False)

    def cut_at(self, units: Sequence[_Unit]) -> int:
        """Return before which unit the chunk ends that begins with the first one; there are more than fit."""
        total, last, soft = 0, 0, 0
        while last == 0 or total + units[last].tokens <= self.size:
            total += units[last].tokens
            last += 1
            if total < self.size * SOFT_SHARE:
                soft = last
        candidates = range(min(soft + 1, last), last + 1)
        return min(candidates, key=lambda at: (not units[at].opens_paragraph, units[at].mark, at))

    def overlap_start(self, units: Sequence[_Unit], cut: int) -> int:
        """Step back from a cut by whole sentences, never to where the chunk itself began."""
        start, tokens = cut, 0
        while start - 1 > 0 and tokens + units[start - 1].tokens <= self.overlap:
            start -= 1
            tokens += units[start].tokens
        return start


class Cutting:
    """One document that is being cut; holds no more of its text than the chunk that is open."""

    def __init__(self, chunker: Chunker, doc_id: str, file_path: str, pages: Sequence[PageSpan]) -> None:
        self._chunker = chunker
        self._maker = ChunkMaker(doc_id, file_path, pages)
        self._text = ""
        self._offset = 0
        """Where in the document `_text` begins."""
        self._next = 0
        """Where in the document the next block begins."""
        self._sentence_end = 0
        self._units: list[_Unit] = []
        self._tokens = 0

    def feed(self, piece: str, *, is_last: bool = False) -> list[Chunk]:
        """Take the next piece of the text; return the chunks that are complete."""
        self._text = self._text + piece if self._text else piece
        chunks: list[Chunk] = []
        # A block is cut when all is there that decides where it ends.
        while is_last or self._offset + len(self._text) - self._next >= 2 * BLOCK_CHARS:
            start = self._next - self._offset
            if start >= len(self._text):
                break
            end = _block_end(self._text, start)
            for unit in self._block(start, end):
                self._units.append(unit)
                self._tokens += unit.tokens
                while self._tokens > self._chunker.size and len(self._units) > 1:
                    cut = self._chunker.cut_at(self._units)
                    chunks.append(self._chunk(self._units[:cut]))
                    self._units = self._units[self._chunker.overlap_start(self._units, cut) :]
                    self._tokens = sum(unit.tokens for unit in self._units)
            self._next = self._offset + end
        if is_last and self._units:
            chunks.append(self._chunk(self._units))
            self._units = []
        self._forget()
        return chunks

    def _block(self, start: int, end: int) -> Iterator[_Unit]:
        chunker, text = self._chunker, self._text
        base = self._offset + start
        for first, last in chunker.sentences(text[start:end]):
            sentence = text[start + first : start + last]
            gap = self._sentence_end - self._offset
            opens = text.count("\n", max(gap, 0), start + first) > 1
            self._sentence_end = base + last
            count = chunker.tokens.count(sentence)
            if count <= chunker.size:
                mark = zlib.crc32(sentence.encode("utf-8", "replace"))
                yield _Unit(base + first, base + last, count, mark, opens)
            else:
                yield from chunker.pieces(sentence, base + first)

    def _chunk(self, units: Sequence[_Unit]) -> Chunk:
        start, end = units[0].start, units[-1].end
        span = Span(start, end, sum(unit.tokens for unit in units))
        return self._maker.make(span, self._text[start - self._offset : end - self._offset])

    def _forget(self) -> None:
        needed = min(self._next, self._sentence_end, *(unit.start for unit in self._units[:1]))
        self._text = self._text[needed - self._offset :]
        self._offset = needed


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
