"""An engine in memory that does what a test scripts: answers and failures that the real one cannot be made to give."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from lightrag.engine_parts import EngineInfo
from lightrag.errors import LightRAGError
from lightrag.indexing.progress import PipelineStatus
from lightrag.llm.contracts import FloatArray, ModelFacts, Role
from lightrag.llm.meter import UsageMeter
from lightrag.llm.routing import BackendReport
from lightrag.testing.fake_models import hash_vectors
from lightrag.types import (
    Chunk,
    DocStatus,
    Outcome,
    QueryParam,
    QueryResult,
    RankedChunk,
    Reference,
    Retrieved,
    Thinking,
)

CHUNK = Chunk("chunk-1", "doc-1", 0, "Ada wrote the first program.", 7, 0, 28, "ada.txt", 2, 2)
FOUND = Retrieved(chunks=(RankedChunk(CHUNK, 0.9, "1"),), references=(Reference("1", "ada.txt", "doc-1", (CHUNK,)),))


@dataclasses.dataclass
class Script:
    """What the engine does when it is asked."""

    pieces: Sequence[str] = ("Ada ", "wrote ", "it.")
    fails_with: LightRAGError | Exception | None = None
    """Raised when a question is asked."""
    breaks_with: LightRAGError | Exception | None = None
    """Raised after the pieces of a stream."""
    hangs: bool = False
    """The answer never comes, or the stream never ends."""
    pause: float = 0.0
    """Seconds before each piece of a stream."""
    text: str | None = None
    """The answer is complete already, even where a stream was asked for."""
    ready: LightRAGError | None = None
    has_model: bool = False
    """A language model is configured."""
    thinking: str = ""
    """What the model thinks before it answers."""
    outcome: Outcome = dataclasses.field(default_factory=Outcome)


class ScriptedEngine:
    """Holds no documents; answers by its script and notes what it was asked."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.script = script
        self.meter = UsageMeter()
        self.opened: list[str] = []
        """The workspaces that it was opened for."""
        self.asked: list[tuple[str, QueryParam]] = []
        self.stream_closed = asyncio.Event()
        self.asking_cancelled = asyncio.Event()
        self.started = False
        self.closed = False
        self.workspace = ""
        self._info = EngineInfo(
            "",
            folder / "rag_storage",
            folder / "inputs",
            dict.fromkeys(Role, ModelFacts("test", "model")) if script.has_model else {},
            ModelFacts("embedded", "test", dimension=8),
            "nlp",
            "sqlite",
        )

    def is_working(self) -> bool:
        return False

    def backends(self) -> list[BackendReport]:
        return []

    async def start(self) -> None:
        self.started = True

    async def embedding_of_data(self) -> str | None:
        """Tell that there are no vectors."""
        return None

    async def close(self) -> None:
        self.closed = True

    def describe(self) -> EngineInfo:
        return self._info

    async def ready(self) -> None:
        if self.script.ready is not None:
            raise self.script.ready

    async def status_counts(self) -> dict[DocStatus, int]:
        return dict.fromkeys(DocStatus, 0)

    async def pipeline_status(self) -> PipelineStatus:
        return PipelineStatus(False, "-", None, 0, 0, 0, False, False, "", ())

    async def query(self, question: str, param: QueryParam) -> QueryResult:
        self.asked.append((question, param))
        await self._maybe_fail()
        if self.script.text is not None:
            return QueryResult(FOUND, text=self.script.text, llm_generated=False)
        if param.stream:
            stream = self._stream(with_thinking=param.generation.with_thinking)
            return QueryResult(FOUND, stream=stream, llm_generated=True, outcome=self.script.outcome)
        outcome = dataclasses.replace(self.script.outcome, thinking=self.script.thinking)
        return QueryResult(FOUND, text="".join(self.script.pieces), llm_generated=True, outcome=outcome)

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        return hash_vectors(texts, 8)

    async def retrieve(self, question: str, param: QueryParam) -> Retrieved:
        self.asked.append((question, param))
        await self._maybe_fail()
        return FOUND

    async def _maybe_fail(self) -> None:
        if self.script.fails_with is not None:
            raise self.script.fails_with
        if self.script.hangs and not self.script.pieces:
            try:
                await asyncio.Event().wait()
            finally:
                self.asking_cancelled.set()

    async def _stream(self, *, with_thinking: bool = False) -> AsyncIterator[str]:
        try:
            if with_thinking and self.script.thinking:
                yield Thinking(self.script.thinking)
            for piece in self.script.pieces:
                await asyncio.sleep(self.script.pause)
                yield piece
            if self.script.breaks_with is not None:
                raise self.script.breaks_with
            if self.script.hangs:
                await asyncio.Event().wait()
        finally:
            self.stream_closed.set()


def opener(engine: Any) -> Callable[..., Any]:
    """Return an `open_engine` that gives this engine."""

    async def open_engine(settings: Any, workspace: str) -> Any:
        engine.opened.append(workspace)
        return engine

    return open_engine
