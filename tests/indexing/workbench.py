"""A pipeline on any storage, with an extractor that reads what a text says of itself.

A line `@ Ada > Bob: knows` stands for the entities Ada and Bob and their relation; every other word with a capital is
no more than text.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

from lightrag.errors import ModelError
from lightrag.indexing.chunkers import Chunkers, ChunkingRules, standard_choices
from lightrag.indexing.contributions import Folder
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.job_tools import ExtractionGate, JobTools
from lightrag.indexing.pipeline import Pipeline, PipelineOptions
from lightrag.indexing.progress import Progress
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.indexing.verify import Verifier
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.storage.contracts import Namespace, Storage, VectorKind
from lightrag.testing.fake_models import hash_vectors
from lightrag.types import Chunk, DocumentRecord, Extraction, ParsedDocument

_LINE = re.compile(r"@ (\S+) > (\S+): (.+)")


@dataclasses.dataclass(frozen=True)
class Window:
    start: int
    end: int
    tokens: int


class WordCounter:
    """A tokenizer whose tokens are words."""

    def count(self, text: str) -> int:
        return len(text.split())

    def windows(self, text: str, size: int) -> list[Window]:
        words = [match.span() for match in re.finditer(r"\S+\s*", text)]
        groups = [words[at : at + size] for at in range(0, len(words), size)]
        return [Window(group[0][0], group[-1][1], len(group)) for group in groups]

    def offsets(self, text: str) -> list[int]:
        starts = [match.start() for match in re.finditer(r"\S+\s*", text)]
        return [*starts, len(text)] if starts else [len(text)]

    def encode(self, text: str) -> list[int]:
        return [hash(word) for word in text.split()]

    def decode(self, tokens: Sequence[int]) -> str:
        raise AssertionError("words are not made of numbers")


def lines(text: str) -> list[tuple[int, int]]:
    """Cut a text into lines."""
    return [match.span() for match in re.finditer(r"[^\n]+", text)]


@dataclasses.dataclass
class LineExtractor:
    """Reads `@` lines; fails on the texts that are in `broken`.

    With a gate, texts that hold `gated` are read once that is open.
    """

    broken: dict[str, ModelError] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    fingerprint: str = "lines"
    delay: float = 0.0
    gate: asyncio.Event | None = None
    gated: str = ""
    begun: int = 0

    async def extract(self, chunk: Chunk) -> Extraction:
        self.begun += 1
        await asyncio.sleep(self.delay)
        if self.gate is not None and self.gated in chunk.content:
            await self.gate.wait()
        self.calls.append(chunk.content)
        for part, error in self.broken.items():
            if part in chunk.content:
                raise error
        entities, relations = [], []
        for source, target, fact in _LINE.findall(chunk.content):
            entities += [RawEntity(source, "person", f"{source} {fact}."), RawEntity(target, "person", f"met {source}")]
            relations.append(RawRelation(source, target, fact, f"{source} {fact} {target}."))
        return assemble(entities, relations)


@dataclasses.dataclass
class WordEmbedding:
    """Embeds by words; fails while `fail_with` is set."""

    fail_with: ModelError | None = None
    calls: list[int] = dataclasses.field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("test", "words", dimension=16)

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if self.fail_with is not None:
            raise self.fail_with
        self.calls.append(len(texts))
        return hash_vectors(texts, 16)

    async def aclose(self) -> None:
        return None


@dataclasses.dataclass
class Workbench:
    """A pipeline with everything it works with."""

    storage: Storage
    extractor: LineExtractor
    embedding: WordEmbedding
    pipeline: Pipeline
    verifier: Verifier
    progress: Progress


async def _no_file(record: DocumentRecord) -> ParsedDocument:
    raise AssertionError(f"{record.id} has no file")


async def _keep_file(record: DocumentRecord) -> None:
    return None


def make_workbench(
    storage: Storage, *, owner: str = "test", extractor: LineExtractor | None = None, chunk_size: int = 16
) -> Workbench:
    """Return a workbench on an open storage."""
    extractor = extractor or LineExtractor()
    embedding = WordEmbedding()
    progress = Progress()
    commits = GroupCommit(storage)
    fold = Folder(FoldRules(max_fragments=4))
    tools = JobTools(
        storage=storage,
        commits=commits,
        chunkers=Chunkers(WordCounter(), lines, embedding, ChunkingRules(choices=standard_choices(chunk_size, 0))),
        extractor=extractor,
        vectorizer=Vectorizer(storage, commits, embedding, batch=16, parallel=2),
        fold=fold,
        parse=_no_file,
        remove_file=_keep_file,
        forget_answers=None,
        progress=progress,
        gate=ExtractionGate(4),
    )
    pipeline = Pipeline(
        tools, PipelineOptions(owner=owner, slots=2, poll_seconds=0.1, lease_seconds=3, left_over_seconds=0.2)
    )
    return Workbench(storage, extractor, embedding, pipeline, Verifier(storage, fold), progress)


async def snapshot(storage: Storage) -> dict[str, object]:
    """Return everything derived that a workspace holds, without times."""
    entities = [dataclasses.replace(e, created_at=0) for e in await storage.graph.scan_entities(limit=10_000)]
    relations = [dataclasses.replace(r, created_at=0) for r in await storage.graph.scan_relations(limit=10_000)]
    chunks = await storage.kv(Namespace.TEXT_CHUNKS).scan(limit=10_000)
    vectors = {kind.value: await storage.vectors(kind).scan(limit=10_000) for kind in VectorKind}
    lexical = await storage.lexical.count() if storage.lexical else len(chunks)
    return {"entities": entities, "relations": relations, "chunks": chunks, "vectors": vectors, "lexical": lexical}
