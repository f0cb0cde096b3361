"""Texts longer than an embedding model takes, as windows of even length, and the windows' vectors as the texts'.

A text's vector is the mean of its windows' vectors by their length, which is what the bundled model does, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from lightrag.llm.contracts import FloatArray

_REACH = 8
"""A border moves back by at most this part of a window to lie between words."""


class Windows:
    """The windows of some texts, each of at most about `room` bytes of UTF-8; without `room` a text is one window."""

    def __init__(self, texts: Sequence[str], room: int | None) -> None:
        self._counts: list[int] | None = None
        self.pieces = texts
        """The windows of all texts, in order."""
        if room is not None:
            cut = [_cut(text, room) for text in texts]
            if any(len(pieces) > 1 for pieces in cut):
                self._counts = [len(pieces) for pieces in cut]
                self.pieces = [piece for pieces in cut for piece in pieces]

    def merged(self, vectors: FloatArray) -> FloatArray:
        """Return L2-normalised vectors of the texts, shape (len(texts), dimension), of those of the pieces."""
        if self._counts is None:
            return vectors
        lengths = np.array([len(measured(piece)) for piece in self.pieces], np.float32)
        starts = np.cumsum([0, *self._counts[:-1]])
        sums = np.add.reduceat(vectors * lengths[:, None], starts, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        np.maximum(norms, np.finfo(np.float32).tiny, out=norms)
        merged: FloatArray = (sums / norms).astype(np.float32, copy=False)
        return merged


def measured(text: str) -> bytes:
    """Return a text as it is measured."""
    return text.encode("utf-8", "replace")


def _cut(text: str, room: int) -> list[str]:
    if len(text) * 4 <= room:
        return [text]
    content = measured(text)
    count = -(-len(content) // room)
    if count <= 1:
        return [text]
    step = len(content) / count
    borders = [0]
    for number in range(1, count):
        even = int(number * step)
        earliest = even - int(step / _REACH)
        space = max(content.rfind(b" ", earliest, even), content.rfind(b"\n", earliest, even))
        borders.append(space + 1 if space > borders[-1] else _character_start(content, even))
    borders.append(len(content))
    pieces = [content[start:end].decode("utf-8", "replace") for start, end in itertools.pairwise(borders)]
    return [piece for piece in pieces if piece]


def _character_start(content: bytes, place: int) -> int:
    while place and content[place] & 0xC0 == 0x80:
        place -= 1
    return place
