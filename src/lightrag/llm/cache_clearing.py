"""Forgets kept answers by what they were for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from lightrag.types import JsonObject

CHUNKS_MODE = "default"
"""LightRAG's mode of answers on chunks; all other modes are of questions."""
_OF_CHUNKS = frozenset({"extract", "summary", "image2text"})
_PAGE = 1000


class ClearableStore(Protocol):
    """The part of a key-value store that clearing needs."""

    async def scan(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[tuple[str, JsonObject]]:
        """Return rows by key."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        ...


async def forget_modes(store: ClearableStore, modes: Collection[str]) -> int:
    """Drop the answers of these modes; return how many.

    Answers on questions are kept without their mode, so that any mode but `default` drops all of them.
    """
    of_chunks, of_questions = CHUNKS_MODE in modes, any(mode != CHUNKS_MODE for mode in modes)
    dropped, after = 0, ""
    while rows := await store.scan(after=after, limit=_PAGE):
        after = rows[-1][0]
        gone = [key for key, _ in rows if (of_chunks if _kind(key) in _OF_CHUNKS else of_questions)]
        if gone:
            await store.delete(gone)
        dropped += len(gone)
    return dropped


def _kind(key: str) -> str:
    """Return what an answer was for; keys read `mode:kind:hash`."""
    return key.split(":", 2)[1] if key.count(":") >= 2 else ""
