"""What the commands work on: a workspace opened in this process, or a running server. Both look the same to them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from lightrag.errors import InvalidInput, LightRAGError
from lightrag.types import CUT, DocStatus, DocumentFilter, JsonObject, Mode, TagValue


class NoServer(LightRAGError):
    """The server cannot be reached: whatever else is asked of it will fail, too."""


class NotLetIn(NoServer, InvalidInput):
    """The server is there, but not for who has no key or the wrong one."""


@dataclasses.dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be ingested and the name it gets as a document."""

    path: Path
    name: str
    """Relative, with `/` between its parts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """What became of a file that was offered."""

    outcome: Literal["accepted", "updated", "unchanged"]
    doc_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentState:
    """How far a document is."""

    status: DocStatus
    chunks: int
    failed_chunks: int
    error: str | None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in {DocStatus.PROCESSED, DocStatus.FAILED}


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What the pipeline is doing."""

    chunks: int = 0
    chunks_done: int = 0
    message: str = ""
    paused_until: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question with how it is to be answered. Fields that are None have the workspace's defaults."""

    text: str
    mode: Mode = "mix"
    filter: DocumentFilter = dataclasses.field(default_factory=DocumentFilter)
    top_k: int | None = None
    chunk_top_k: int | None = None
    user_prompt: str | None = None
    model: str | None = None
    rerank_model: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Cited:
    """A cited document with the passages from it, as `page_start`, `page_end`, `start`, `end`."""

    reference_id: str
    file_path: str
    passages: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(slots=True)
class Ending:
    """How an answer came and ended."""

    finish_reason: str | None = None
    """`stop`, `length` or the model server's own word; None where no model wrote it."""
    model: str | None = None
    """The model that wrote the answer, as `name@provider`."""

    @property
    def is_cut(self) -> bool:
        """Whether the answer was cut off at the model's length limit."""
        return self.finish_reason == CUT


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """References, then the text in pieces."""

    references: Sequence[Cited]
    pieces: AsyncIterator[str]
    ending: Ending
    """Complete when `pieces` is at its end."""


class Target(Protocol):
    """Where documents go and answers come from."""

    async def offer(self, file: SourceFile, tags: Mapping[str, TagValue]) -> Offered:
        """Hand over a file; it is durable when this returns. Raises `LightRAGError` where it is refused."""
        ...

    async def state(self, doc_id: str) -> DocumentState:
        """Return how far a document is."""
        ...

    async def work(self) -> Work:
        """Return what the pipeline is doing."""
        ...

    async def ask(self, question: Question) -> Answer:
        """Begin to answer a question."""
        ...

    async def search(self, question: Question) -> Mapping[str, Any]:
        """Return what is found, in the form of the REST route /query/data (`data` and `metadata`)."""
        ...

    async def edits(self, limit: int) -> list[JsonObject]:
        """Return the newest manual edits, as the REST route /graph/edits shows them."""
        ...

    async def undo_edit(self, edit_id: str) -> None:
        """Take an edit back. Raises `NotFound` and `Conflict`."""
        ...
