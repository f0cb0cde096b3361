"""What an engine is made of, and what it was made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lightrag.documents.formats import Format, known_formats
from lightrag.indexing.chunkers import Chunkers
from lightrag.indexing.estimate import FileReading, Requests
from lightrag.indexing.graph_editor import GraphEditor
from lightrag.indexing.manifest import Manifest
from lightrag.indexing.pipeline import Pipeline
from lightrag.indexing.re_embedding import ReEmbedding
from lightrag.indexing.scan import FolderScan
from lightrag.indexing.verify import Verifier
from lightrag.llm.contracts import FloatArray, ModelFacts, Role
from lightrag.llm.meter import UsageMeter
from lightrag.llm.routing import BackendReport
from lightrag.storage.contracts import Storage
from lightrag.types import QueryParam, QueryResult, Retrieved


class Asker(Protocol):
    """What the engine needs of retrieval."""

    async def retrieve(self, question: str, param: QueryParam) -> Retrieved:
        """Return what is found for a question."""
        ...

    async def answer(self, question: str, param: QueryParam) -> QueryResult:
        """Answer a question."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine was made with."""

    workspace: str
    working_dir: Path
    input_dir: Path
    chat: Mapping[Role, ModelFacts]
    """Models by role; empty where no language model is configured."""
    embedding: ModelFacts
    extractor: str
    storage_family: str


@dataclasses.dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine is made of; see `lightrag.assembly`."""

    info: EngineInfo
    manifest: Callable[[], Manifest]
    """Returns what the workspace is made with at this moment."""
    storage: Storage
    pipeline: Pipeline
    asker: Asker
    verifier: Verifier
    editor: GraphEditor
    scan: FolderScan
    chunkers: Chunkers
    meter: UsageMeter
    embed: Callable[[Sequence[str]], Awaitable[FloatArray]]
    """Embeds texts as documents."""
    backends: Callable[[], Sequence[BackendReport]]
    """Tells how the backends are of models that have several."""
    release: Callable[[], Awaitable[None]]
    """Closes models and parsers."""
    refresh_models: Callable[[], Awaitable[None]]
    """Takes up what was changed of the models; calls of models do that themselves."""
    embedding_facts: Callable[[], ModelFacts]
    """Returns what is known of the embedding model of this moment."""
    wanted_embedding: Callable[[], str]
    """Returns binding and name of the embedding model that is asked for."""
    asks_a_model: Callable[[], Requests | None]
    """Returns what asks a model about chunks; None where the bundled parts read them."""
    formats: Callable[[], Awaitable[Mapping[str, Format]]] = known_formats
    """Returns the formats of files that can be indexed at this moment, by suffix."""
    files: FileReading | None = None
    """Reads files, to foresee what their indexing takes."""
    re_embedding: ReEmbedding | None = None
    """Changes the embedding model, where models can be changed while the engine runs."""
