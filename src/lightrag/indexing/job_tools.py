"""What the jobs of a workspace's documents work with, and what bounds how much they hold at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from lightrag.indexing.chunkers import Chunkers
from lightrag.indexing.contributions import Folder
from lightrag.indexing.extraction import Extractor
from lightrag.indexing.full_text import WHOLE_CHARS
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.payers import Pauses
from lightrag.indexing.pictures import Illustrator
from lightrag.indexing.progress import Progress
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.storage.contracts import Storage
from lightrag.types import Chunk, DocumentRecord, ParsedDocument

T = TypeVar("T")

SHORT_CHARS = 100_000
"""Texts up to this length are read and cut as many at a time as there are documents."""

ParseFile = Callable[[DocumentRecord], Awaitable[ParsedDocument]]
RemoveFile = Callable[[DocumentRecord], Awaitable[None]]


class ExtractionGate:
    """Bounds the chunks that are offered to the extractor at once, and counts those that wait."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._semaphore = asyncio.Semaphore(width)
        self._readers = asyncio.Semaphore(2)
        self.chunks = 0
        """Chunks that wait for the extractor or are with it."""
        self.opening = 0
        """Documents whose chunks are not known yet."""

    @contextlib.asynccontextmanager
    async def reading(self, length: int) -> AsyncIterator[None]:
        """Let few texts of some length be held at the same time.

        Short ones need no bounds, and those that come in pieces take long but little memory.
        """
        if not SHORT_CHARS < length <= WHOLE_CHARS:
            yield
            return
        async with self._readers:
            yield

    async def through(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` when there is room."""
        self.chunks += 1
        try:
            async with self._semaphore:
                return await work()
        finally:
            self.chunks -= 1


@dataclasses.dataclass(frozen=True, slots=True)
class JobTools:
    """What a job works with."""

    storage: Storage
    commits: GroupCommit
    chunkers: Chunkers
    extractor: Extractor
    vectorizer: Vectorizer
    fold: Folder
    parse: ParseFile
    remove_file: RemoveFile
    forget_answers: Callable[[Sequence[Chunk]], Awaitable[None]] | None
    """Drops the model's kept answers on chunks, where a model extracts."""
    progress: Progress
    gate: ExtractionGate
    settle_file: RemoveFile | None = None
    """Moves the file of a document that is processed, where that is wished."""
    illustrator: Illustrator | None = None
    """Describes the pictures that `parse` returns, where a model may come that does."""
    sees: Callable[[], Awaitable[bool]] | None = None
    """Tells whether there is such a model at this moment."""
    pauses: Pauses = dataclasses.field(default_factory=Pauses)
    """Whose documents wait for a limit of theirs; shared with the vectorizer and the summariser."""
