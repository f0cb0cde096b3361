"""Answers questions from one workspace: keywords, candidates, walk, budget, context, answer."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

from lightrag.errors import InvalidInput, ModelError
from lightrag.llm.contracts import EmbeddingModel, RerankModel, SparseModel
from lightrag.retrieval.answer import AnswerWriter, Quote, instructions
from lightrag.retrieval.budget import (
    CHUNK_WRAPPING_TOKENS,
    RESERVE_TOKENS,
    TokenCounter,
    fit_lines,
    fit_sizes,
)
from lightrag.retrieval.candidates import (
    DENSE,
    ENTITIES,
    LISTS_OF_MODE,
    RELATIONS,
    SPARSE,
    CandidateFinder,
    Candidates,
    QueryVectors,
    between,
)
from lightrag.retrieval.context import (
    context_text,
    entity_line,
    reference_ids,
    references_of,
    relation_line,
)
from lightrag.retrieval.embedding import QueryEmbedder
from lightrag.retrieval.filters import FoldEntity, FoldRelation, GraphReader, Scope, resolve_scope
from lightrag.retrieval.fusion import DEPTH
from lightrag.retrieval.graph_index import GraphIndex, allowed_chunks
from lightrag.retrieval.keywords import FoundKeywords, find_keywords
from lightrag.retrieval.question_models import ModelsOf, QuestionModels, no_models
from lightrag.retrieval.ranking import (
    GraphRanking,
    RankedKey,
    ranks_by_list,
    relation_order,
)
from lightrag.retrieval.recent import RecentRows
from lightrag.retrieval.sparse import SparseList
from lightrag.retrieval.walk import Transitions, WalkRules, transitions
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.rows import chunk_of_row
from lightrag.types import (
    MODES,
    Chunk,
    Entity,
    Keywords,
    ListRank,
    QueryParam,
    QueryResult,
    RankedChunk,
    Relation,
    Retrieved,
)

_log = logging.getLogger(__name__)

RERANKED = "rerank"
WALK_IN_THREAD = 20_000
"""Nodes of the graph from which on a walk runs in a thread."""


SPARE_CHUNKS = 4
KEPT_CHUNKS = 512
"""Passages that are kept while nothing changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class RetrieverOptions:
    """What holds for all questions of a workspace."""

    cosine_threshold: float = 0.2
    """Least cosine of what vector search finds."""
    min_rerank_score: float = 0.0
    evidence_limit: int = 24
    """Mentions that are folded into the description of an entity where a filter restricts the documents."""
    language: str = "English"
    """Language of the keywords that a model names."""
    walk: WalkRules = dataclasses.field(default_factory=WalkRules)


class Retriever:
    """Finds what a workspace holds on a question, and answers from it.

    Args:
        storage: Open storage of the workspace.
        embedding: The model that the workspace's vectors were made with.
        options: What holds for all questions.
        count_tokens: Counts the tokens of a text.
        models: Returns the models for a question; asked once for each, before anything else is done.
        quote: Answers by quoting where there is no model for answers.
        fold_entity: Folds the evidence that a filter leaves.
        fold_relation: As `fold_entity`.
        sparse: Gives the question's sparse weights in mode `mix`, where there is such a model.
    """

    def __init__(
        self,
        storage: Storage,
        embedding: EmbeddingModel,
        options: RetrieverOptions,
        count_tokens: Callable[[str], int],
        *,
        models: ModelsOf = no_models,
        quote: Quote,
        fold_entity: FoldEntity,
        fold_relation: FoldRelation,
        sparse: SparseModel | None = None,
    ) -> None:
        self._storage = storage
        self._options = options
        self._counter = TokenCounter(count_tokens)
        self._embedder = QueryEmbedder(embedding)
        self._models = models
        self._quote = quote
        self._finder = CandidateFinder(storage, options.cosine_threshold)
        self._sparse = SparseList(storage, sparse)
        self._reader = GraphReader(storage, fold_entity, fold_relation, options.evidence_limit)
        self._index = GraphIndex(storage.graph, options.walk, storage.version)
        self._kept_chunks = RecentRows(storage.version, self._read_chunks, KEPT_CHUNKS)

    async def answer(self, question: str, param: QueryParam) -> QueryResult:
        """Answer a question in the way that `param` asks for.

        Raises `InvalidInput` for an empty question or unknown mode, `UnknownModel` for a model that is not there,
        `ModelError` where the embedding or the answer fails, `StorageError`, and `ConfigurationError` for mode
        `bypass` without a language model.
        """
        _check(question, param)
        models = await self._models(param)
        writer = AnswerWriter(models.answer, self._quote)
        if param.mode == "bypass":
            return await writer.talk(question, param)
        return await writer.write(question, param, await self._find(question, param, models))

    async def context(self, question: str, param: QueryParam) -> str:
        """Return what is found as text; empty where nothing is. Raises as `retrieve`."""
        return context_text(await self.retrieve(question, param))

    async def retrieve(self, question: str, param: QueryParam) -> Retrieved:
        """Return what is found for a question, cut to the token budgets, best first.

        Raises `InvalidInput`, `UnknownModel`, `ModelError` where the question cannot be embedded, `StorageError`.
        """
        _check(question, param)
        return await self._find(question, param, await self._models(param))

    async def _find(self, question: str, param: QueryParam, models: QuestionModels) -> Retrieved:
        if param.mode == "bypass":
            return Retrieved()
        scope = await resolve_scope(self._storage, param.filter)
        if param.mode == "naive":
            return await self._naive(question, param, scope, models)
        return await self._with_graph(question, param, scope, models)

    async def _naive(self, question: str, param: QueryParam, scope: Scope | None, models: QuestionModels) -> Retrieved:
        [vector] = await self._embedder.vectors([question])
        found = await self._finder.find(
            "naive", question, QueryVectors(vector, vector, vector), param.top_k, param.chunk_top_k, scope
        )
        found_by = ranks_by_list({DENSE: found.dense})
        ranked = [RankedKey(hit.key, hit.score, found_by(hit.key)) for hit in found.dense]
        reranker = models.reranker if param.enable_rerank else None
        stored = await self._stored_chunks(ranked, param, reranker)
        chunks = await self._chunks(question, param, ranked, stored, reranker, 0)
        counts = {"total_chunks_found": len(ranked), "final_chunks_count": len(chunks)}
        return Retrieved(chunks=chunks, references=references_of(chunks), counts=counts)

    async def _with_graph(
        self, question: str, param: QueryParam, scope: Scope | None, models: QuestionModels
    ) -> Retrieved:
        reranker = models.reranker if param.enable_rerank else None
        found_keywords = await find_keywords(question, param, models.keywords, self._options.language)
        keywords = found_keywords.keywords
        vectors = await self._vectors(question, param, found_keywords)
        candidates, ways = await asyncio.gather(
            self._candidates(question, param, vectors, scope),
            self._index.current(),
        )
        ranking = await self._walk(ways, candidates, question, keywords, param, scope)
        wanted = max(param.chunk_top_k, DEPTH)
        ranked = ranking.chunks(wanted) if param.mode == "mix" else []
        most = max(param.top_k, DEPTH)
        names = ranking.entity_order()[: 2 * most]
        visible = None if scope is None else scope.pairs
        pairs = relation_order(ranking.edges_of(ranking.entities, most, visible), candidates)[: 2 * most]
        entities, relations, stored = await asyncio.gather(
            self._reader.entities(names, scope),
            self._reader.relations(pairs, scope),
            self._stored_chunks(ranked, param, reranker),
        )
        kept_entities, entity_tokens = self._fit_entities(list(entities.values()), param)
        kept_relations, relation_tokens = self._fit_relations(list(relations.values()), param)
        if param.mode != "mix":
            ranked = ranking.chunks_of((entity.name for entity in kept_entities), kept_relations, wanted)
            stored = await self._stored_chunks(ranked, param, reranker)
        chunks = await self._chunks(question, param, ranked, stored, reranker, entity_tokens + relation_tokens)
        return Retrieved(
            entities=tuple(kept_entities),
            relations=tuple(kept_relations),
            chunks=chunks,
            references=references_of(chunks),
            keywords=keywords,
            counts={
                "total_entities_found": len(entities),
                "total_relations_found": len(relations),
                "entities_after_truncation": len(kept_entities),
                "relations_after_truncation": len(kept_relations),
                "merged_chunks_count": len(ranked),
                "final_chunks_count": len(chunks),
            },
            keywords_model=found_keywords.model,
        )

    async def _candidates(
        self, question: str, param: QueryParam, vectors: QueryVectors, scope: Scope | None
    ) -> Candidates:
        search = self._finder.find(param.mode, question, vectors, param.top_k, param.chunk_top_k, scope)
        if SPARSE not in LISTS_OF_MODE[param.mode]:
            return await search
        found, weights = await asyncio.gather(search, self._sparse.weights(question))
        return dataclasses.replace(found, sparse=await self._sparse.rank(weights, found.dense, found.lexical))

    async def _vectors(self, question: str, param: QueryParam, found: FoundKeywords) -> QueryVectors:
        """Embed the question and those of its keywords that the mode searches with, in one call, and choose what for.

        Words picked from the text add nothing to the question itself. Keywords of a model are read together with the
        question, since they lose what binds them; those that were given stand for themselves, but in `mix`, whose
        walk starts best at relations near the question.
        """
        keywords = Keywords() if found.origin == "text" else found.keywords
        lists = LISTS_OF_MODE[param.mode]
        low = ", ".join(keywords.low_level if ENTITIES in lists else ()) or question
        high = ", ".join(keywords.high_level if RELATIONS in lists else ()) or question
        asked, names, themes = await self._embedder.vectors([question, low, high])
        if found.origin == "model":
            return QueryVectors(asked, between(asked, names), between(asked, themes))
        if param.mode == "mix":
            return QueryVectors(asked, names, between(asked, themes))
        return QueryVectors(asked, names, themes)

    async def _walk(
        self,
        ways: Transitions,
        candidates: Candidates,
        question: str,
        keywords: Keywords,
        param: QueryParam,
        scope: Scope | None,
    ) -> GraphRanking:
        rules = self._options.walk

        def rank() -> GraphRanking:
            seen = ways
            if scope is not None:
                seen = transitions(ways.graph, rules, allowed_chunks(ways.graph, scope.chunk_ids))
            return GraphRanking(seen, candidates, param.mode, question, keywords, rules)

        if ways.graph.entity_count + ways.graph.chunk_count > WALK_IN_THREAD:
            return await asyncio.to_thread(rank)
        return rank()

    async def _stored_chunks(
        self, ranked: Sequence[RankedKey], param: QueryParam, reranker: RerankModel | None
    ) -> dict[str, Chunk]:
        """Return the passages that may come into the context; only a reranker looks deeper than that."""
        if reranker is None:
            # Some are spare, for passages that were deleted since they were found.
            ranked = ranked[: param.chunk_top_k + SPARE_CHUNKS]
        if not ranked:
            return {}
        return await self._kept_chunks.get([item.key for item in ranked])

    async def _read_chunks(self, keys: Sequence[str]) -> dict[str, Chunk]:
        rows = await self._storage.kv(Namespace.TEXT_CHUNKS).get(keys)
        return {key: chunk_of_row(key, row) for key, row in rows.items()}

    def _fit_entities(self, entities: list[Entity], param: QueryParam) -> tuple[list[Entity], int]:
        return fit_lines(entities, map(entity_line, entities), param.max_entity_tokens, self._counter)

    def _fit_relations(self, relations: list[Relation], param: QueryParam) -> tuple[list[Relation], int]:
        return fit_lines(relations, map(relation_line, relations), param.max_relation_tokens, self._counter)

    async def _chunks(
        self,
        question: str,
        param: QueryParam,
        ranked: Sequence[RankedKey],
        stored: Mapping[str, Chunk],
        reranker: RerankModel | None,
        graph_tokens: int,
    ) -> tuple[RankedChunk, ...]:
        """Choose the passages of the context: rerank, cut to number and tokens, give reference ids."""
        present = [item for item in ranked if item.key in stored]
        if reranker is not None:
            present = await self._reranked(question, param, present, stored, reranker)
        present = present[: param.chunk_top_k]
        fixed = self._counter.count(instructions(param, "")) + self._counter.count(question)
        present = fit_sizes(
            present,
            [stored[item.key].tokens + CHUNK_WRAPPING_TOKENS for item in present],
            param.max_total_tokens - graph_tokens - fixed - RESERVE_TOKENS,
        )
        ids = reference_ids([stored[item.key] for item in present])
        return tuple(
            RankedChunk(stored[item.key], item.score, ids[stored[item.key].doc_id], item.found_by) for item in present
        )

    async def _reranked(
        self,
        question: str,
        param: QueryParam,
        ranked: list[RankedKey],
        stored: Mapping[str, Chunk],
        reranker: RerankModel,
    ) -> list[RankedKey]:
        if not ranked:
            return ranked
        texts = [stored[item.key].content for item in ranked]
        try:
            hits = await reranker.rerank(question, texts, min(param.chunk_top_k, len(texts)))
        except ModelError as error:
            _log.warning("passages keep the order that they were found in, since reranking failed: %s", error)
            return ranked
        least = self._options.min_rerank_score
        return [
            RankedKey(
                ranked[hit.index].key,
                hit.score,
                (*ranked[hit.index].found_by, ListRank(RERANKED, rank, hit.score)),
            )
            for rank, hit in enumerate(hits, 1)
            if hit.score >= least
        ]


def _check(question: str, param: QueryParam) -> None:
    if not question.strip():
        raise InvalidInput("the question is empty")
    if param.mode not in MODES:
        raise InvalidInput(f"there is no query mode {param.mode!r}; use one of {', '.join(MODES)}")
    if param.rerank_model is not None and not param.enable_rerank:
        raise InvalidInput("rerank_model names a model, but enable_rerank is false; leave one of them out")
