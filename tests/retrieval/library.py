"""A small library to ask questions of, written into a real storage the way the pipeline does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from lightrag.indexing.contributions import ExtractedChunk, Folder, add_chunks, add_extractions, remove_chunks
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules, fold_entity, fold_relation, text_hash
from lightrag.indexing.stale import VECTOR_KINDS
from lightrag.llm.contracts import ChatModel, EmbeddingModel, RerankModel, Role, SparseModel
from lightrag.retrieval.question_models import QuestionModels
from lightrag.retrieval.retriever import Retriever, RetrieverOptions
from lightrag.storage.contracts import Storage, VectorRow
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.types import UNKNOWN_SOURCE, Chunk, DocStatus, DocumentRecord, QueryParam, RankedChunk, TagValue

DIMENSION = 256
RULES = FoldRules()


@dataclasses.dataclass(frozen=True)
class Passage:
    """A document of one passage; facts are (source, keywords, target)."""

    doc: str
    text: str
    facts: Sequence[tuple[str, str, str]] = ()
    file_path: str | None = None
    tags: Mapping[str, TagValue] = dataclasses.field(default_factory=dict)
    page: int | None = None

    @property
    def chunk(self) -> Chunk:
        path = UNKNOWN_SOURCE if self.file_path == "" else self.file_path or f"{self.doc}.txt"
        return Chunk(
            id=f"chunk-{self.doc}",
            doc_id=self.doc,
            order=0,
            content=self.text,
            tokens=len(self.text.split()),
            start=0,
            end=len(self.text),
            file_path=path,
            page_start=self.page,
            page_end=self.page,
        )


# The answer to `HARD` takes two passages that share one rare name; the second has no word of the question.
HARD = "Stellar Drift director birthplace"
FILMS = (
    Passage(
        "film", "Stellar Drift is a science fiction film by Mara Quill.", [("Stellar Drift", "director", "Mara Quill")]
    ),
    Passage("person", "Mara Quill grew up on Tiree, an island of shepherds.", [("Mara Quill", "home", "Tiree")]),
    Passage("award", "The director prize honours songs.", [("Director Prize", "honour", "Songs")]),
    Passage("school", "A birthplace museum opened.", [("Birthplace Museum", "opening", "Old School")]),
    Passage("boat", "The ferry sails at noon.", [("Ferry", "departure", "Noon")]),
    Passage("code", "Fault ERR-4711 means an empty tank.", [("ERR-4711", "meaning", "Empty Tank")]),
)


async def shelve(storage: Storage, passages: Sequence[Passage], embedding: EmbeddingModel | None = None) -> None:
    """Index passages with their vectors."""
    model = embedding or FakeEmbedding(DIMENSION)
    await storage.set_dimension(DIMENSION)
    async with storage.transaction() as tx:
        await tx.documents.put(
            [
                DocumentRecord(
                    p.doc, DocStatus.PROCESSED, p.chunk.file_path, chunks_list=(p.chunk.id,), tags=dict(p.tags)
                )
                for p in passages
            ]
        )
        stale = await add_chunks(tx, [p.chunk for p in passages])
        stale += await add_extractions(tx, [_extracted(p) for p in passages], Folder(RULES))
    vectors = await model.embed([item.text for item in stale], purpose="document")
    for kind, collection in VECTOR_KINDS.items():
        rows = [
            VectorRow(item.key.key, text_hash(item.text), vector)
            for item, vector in zip(stale, vectors, strict=True)
            if item.key.kind == kind
        ]
        if rows:
            await storage.vectors(collection).put(rows)


async def withdraw(storage: Storage, passage: Passage) -> None:
    """Delete a passage and everything it said."""
    async with storage.transaction() as tx:
        await remove_chunks(tx, [passage.chunk.id], Folder(RULES))
        await tx.documents.delete([passage.doc])


async def quote_first(question: str, passages: Sequence[RankedChunk]) -> str:
    """Answer with the first passage."""
    return f"> {passages[0].chunk.content} [{passages[0].reference_id}]"


def reader(
    storage: Storage,
    *,
    chat: Mapping[Role, ChatModel] | None = None,
    reranker: RerankModel | None = None,
    embedding: EmbeddingModel | None = None,
    options: RetrieverOptions | None = None,
    sparse: SparseModel | None = None,
) -> Retriever:
    """Return a retriever over a storage; words count as tokens."""
    present = chat or {}

    async def models(param: QueryParam) -> QuestionModels:
        return QuestionModels(present.get(Role.KEYWORDS), present.get(Role.ANSWER), reranker)

    return Retriever(
        storage,
        embedding or FakeEmbedding(DIMENSION),
        options or RetrieverOptions(cosine_threshold=0.05),
        lambda text: len(text.split()),
        models=models,
        quote=quote_first,
        fold_entity=lambda name, evidence: fold_entity(name, evidence, RULES),
        fold_relation=lambda pair, evidence: fold_relation(pair, evidence, RULES),
        sparse=sparse,
    )


def _extracted(passage: Passage) -> ExtractedChunk:
    names = dict.fromkeys(name for source, _, target in passage.facts for name in (source, target))
    return ExtractedChunk(
        passage.chunk,
        assemble(
            [RawEntity(name, "thing", f"{name} as told by {passage.doc}") for name in names],
            [RawRelation(source, target, word, f"{source} {word} {target}") for source, word, target in passage.facts],
        ),
        0,
        "test",
    )
