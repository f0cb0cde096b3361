"""Cuts at the best separator that is there, and long pieces at the next best, until all are short enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightrag.indexing.chunking_fixed import fixed_spans
from lightrag.indexing.chunking_spans import Span, TokenCounter, trimmed

SEPARATORS = ("\n\n", "\n", "。", "！", "？", "；", "，", " ", "")
"""Paragraphs, lines, sentences and clauses of Chinese, words; then anywhere."""
MAX_SEPARATORS = 64
MAX_SEPARATOR_CHARS = 256


def recursive_spans(
    text: str, tokens: TokenCounter, *, size: int, overlap: int, separators: Sequence[str] = SEPARATORS
) -> Iterator[Span]:
    """Yield spans of at most `size` tokens, as long as their separators allow.

    Neighbours share whole pieces up to `overlap` tokens. A separator belongs to the piece that it opens. What none of
    the separators cuts is cut by tokens.
    """
    cutter = _Cutter(text, tokens, size, overlap)
    for span in cutter.spans(Span(0, len(text), 0), tuple(separators)):
        inner = trimmed(text, span)
        if inner is not None:
            yield inner


class _Cutter:
    def __init__(self, text: str, tokens: TokenCounter, size: int, overlap: int) -> None:
        self._text = text
        self._tokens = tokens
        self._size = size
        self._overlap = overlap

    def spans(self, whole: Span, separators: tuple[str, ...]) -> Iterator[Span]:
        for number, separator in enumerate(separators):
            if separator and self._text.find(separator, whole.start, whole.end) >= 0:
                yield from self._cut(whole, separator, separators[number + 1 :])
                return
            if not separator:
                break
        yield from self._windows(whole)

    def _cut(self, whole: Span, separator: str, rest: tuple[str, ...]) -> Iterator[Span]:
        short: list[Span] = []
        for piece in self._pieces(whole, separator):
            if piece.tokens <= self._size:
                short.append(piece)
                continue
            yield from self._joined(short)
            short = []
            yield from self.spans(piece, rest)
        yield from self._joined(short)

    def _pieces(self, whole: Span, separator: str) -> Iterator[Span]:
        start = whole.start
        while start < whole.end:
            end = self._text.find(separator, start + len(separator), whole.end)
            if start == whole.start and not self._text.startswith(separator, start):
                end = self._text.find(separator, start, whole.end)
            end = whole.end if end < 0 else end
            yield Span(start, end, self._tokens.count(self._text[start:end]))
            start = end

    def _joined(self, pieces: Sequence[Span]) -> Iterator[Span]:
        first, total = 0, 0
        for number, piece in enumerate(pieces):
            if total + piece.tokens > self._size and number > first:
                yield Span(pieces[first].start, pieces[number - 1].end, total)
                while first < number and (total > self._overlap or total + piece.tokens > self._size):
                    total -= pieces[first].tokens
                    first += 1
            total += piece.tokens
        if first < len(pieces):
            yield Span(pieces[first].start, pieces[-1].end, total)

    def _windows(self, whole: Span) -> Iterator[Span]:
        body = self._text[whole.start : whole.end]
        last = 0
        for window in fixed_spans(body, self._tokens, size=self._size, overlap=self._overlap):
            if window.end > last:
                yield Span(whole.start + window.start, whole.start + window.end, window.tokens)
            last = window.end
