"""Fixed windows of tokens, LightRAG's own way of cutting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lightrag.errors import ChunkTokenLimitExceededError
from lightrag.indexing.chunking_spans import Span, TokenCounter, trimmed

BLOCK_CHARS = 1 << 18
_PREVIEW = 120


def fixed_spans(text: str, tokens: TokenCounter, *, size: int, overlap: int) -> Iterator[Span]:
    """Yield windows of `size` tokens, each beginning `size - overlap` tokens behind the one before.

    Windows begin as long as there are tokens, so that the last one may hold nothing but what the one before shares.
    They end at whole characters and have no blanks at their ends; blank ones are left out.
    """
    pending: npt.NDArray[np.int64] = np.empty(0, np.int64)
    start = 0
    while start < len(text):
        end = _block_end(text, start)
        starts = np.asarray(tokens.offsets(text[start:end]), np.int64)[:-1] + start
        pending = np.concatenate((pending, starts))
        start = end
        while len(pending) > size or (start == len(text) and len(pending)):
            last = int(pending[size]) if len(pending) > size else len(text)
            span = trimmed(text, Span(int(pending[0]), last, min(size, len(pending))))
            if span is not None:
                yield span
            pending = pending[size - overlap :]


def split_spans(
    text: str, tokens: TokenCounter, *, size: int, overlap: int, separator: str, only: bool
) -> Iterator[Span]:
    """Yield what stands between separators; pieces that are too long in windows, or, with `only`, not at all.

    Raises `ChunkTokenLimitExceededError` where a piece is too long and must not be cut.
    """
    start = 0
    while start <= len(text):
        end = text.find(separator, start)
        end = len(text) if end < 0 else end
        piece = text[start:end]
        count = tokens.count(piece) if piece.strip() else 0
        if count > size and only:
            raise ChunkTokenLimitExceededError(count, size, piece[:_PREVIEW])
        if count > size:
            for window in fixed_spans(piece, tokens, size=size, overlap=overlap):
                yield Span(start + window.start, start + window.end, window.tokens)
        elif (span := trimmed(text, Span(start, end, count))) is not None:
            yield span
        start = end + len(separator)


def _block_end(text: str, start: int) -> int:
    """Return where a block ends that can be encoded alone with the same tokens as in the whole text.

    A token of o200k_base never reaches over the end of a line that a letter or digit follows, nor over a blank between
    two letters.
    """
    least, most = start + BLOCK_CHARS, start + 2 * BLOCK_CHARS
    if most >= len(text):
        return len(text)
    found = text.find("\n", least, most)
    while found >= 0:
        if text[found + 1].isalnum():
            return found + 1
        found = text.find("\n", found + 1, most)
    found = text.find(" ", least, most)
    while found >= 0:
        if text[found - 1].isalpha() and text[found + 1].isalpha():
            return found
        found = text.find(" ", found + 1, most)
    return most
