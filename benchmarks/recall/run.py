"""Measures recall of supporting passages through the real modules on the SQLite storage.

    python benchmarks/recall/run.py --data DIR [--extractor recorded|nlp] [--ablation] [--draws N]

DIR holds corpus.json ([{title, text}]), questions.json ([{question, supporting: [{title, text}]}]) and, for
`recorded`, openie.json ([{entities, triples}] beside the corpus). A passage is one document of one chunk.
Embeddings are kept in a temporary folder, so that a second run takes seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from stability import report_stability

from lightrag.embedded.minilm import MiniLMEmbedder
from lightrag.embedded.nlp_extractor import NLPExtractor
from lightrag.indexing.contributions import ExtractedChunk, Folder, add_chunks, add_extractions
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules, fold_entity, fold_relation, text_hash
from lightrag.indexing.stale import VECTOR_KINDS, StaleText
from lightrag.llm.contracts import EmbeddingModel, FloatArray, ModelFacts
from lightrag.retrieval.retriever import Retriever, RetrieverOptions
from lightrag.retrieval.walk import WalkRules
from lightrag.storage.contracts import Storage, VectorKind, VectorRow
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.text.words import query_terms
from lightrag.types import Chunk, DocStatus, DocumentRecord, Extraction, Mode, QueryParam, RankedChunk

DEPTHS = (2, 5, 10, 20)
GRAPH_MODES: tuple[Mode, ...] = ("naive", "local", "global", "hybrid", "mix")
RULES = FoldRules()

ABLATION: tuple[tuple[str, dict[str, float]], ...] = (
    ("all parts", {}),
    ("without the walk", {"steps": 0, "own_share": 1.0}),
    ("without lexical seeds", {"lexical_share": 0.0}),
    ("without relation seeds", {"relation_mass": 0.0}),
    ("without name seeds", {"name_mass": 0.0}),
    ("chunk seeds only", {"relation_mass": 0.0, "name_mass": 0.0}),
    ("without relation edges", {"relation_share": 0.0}),
    ("without own share", {"own_share": 0.0}),
    ("loners count in full", {"loner_weight": 1.0}),
    ("damping 0.4", {"damping": 0.4}),
    ("damping 0.8", {"damping": 0.8}),
    ("3 steps", {"steps": 3}),
    ("10 steps", {"steps": 10}),
    ("chunk spread 0.12", {"chunk_spread": 0.12}),
    ("chunk spread 0.25", {"chunk_spread": 0.25}),
    ("relation spread 0.05", {"relation_spread": 0.05}),
    ("relation spread 0.2", {"relation_spread": 0.2}),
    ("lexical share 0.35", {"lexical_share": 0.35}),
    ("relation mass 1", {"relation_mass": 1.0}),
)


class KeptEmbeddings:
    """An embedding model whose vectors are kept in a file."""

    def __init__(self, model: EmbeddingModel, path: Path) -> None:
        self._model = model
        self._db = sqlite3.connect(path)
        self._db.execute("CREATE TABLE IF NOT EXISTS vector (hash BLOB PRIMARY KEY, vector BLOB)")

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return kept vectors, and make those that are missing."""
        keys = [hashlib.blake2b(f"{self.facts.identity}\0{text}".encode(), digest_size=16).digest() for text in texts]
        known: dict[bytes, np.ndarray[Any, np.dtype[np.float32]]] = {}
        for key in keys:
            row = self._db.execute("SELECT vector FROM vector WHERE hash = ?", (key,)).fetchone()
            if row:
                known[key] = np.frombuffer(row[0], np.float32)
        missing = [place for place, key in enumerate(keys) if key not in known]
        for start in range(0, len(missing), 512):
            part = missing[start : start + 512]
            made = await self._model.embed([texts[place] for place in part], purpose=purpose)
            rows = [
                (keys[place], vector.astype(np.float32).tobytes()) for place, vector in zip(part, made, strict=True)
            ]
            self._db.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", rows)
            self._db.commit()
            known.update((keys[place], vector) for place, vector in zip(part, made, strict=True))
        return np.stack([known[key] for key in keys])

    async def aclose(self) -> None:
        """Close the model and the file."""
        self._db.close()
        await self._model.aclose()


class Recorded:
    """An extractor that returns what somebody's model said of each passage."""

    def __init__(self, corpus: Sequence[dict[str, str]], openie: Sequence[dict[str, Any]]) -> None:
        self._said = {
            f"doc-{place}": (entry["title"], said)
            for place, (entry, said) in enumerate(zip(corpus, openie, strict=True))
        }

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return the recorded entities and triples of a passage."""
        title, said = self._said[chunk.doc_id]
        triples = [tuple(str(part).strip() for part in triple) for triple in said["triples"] if len(triple) == 3]
        sentences = [(source, verb, target, f"{source} {verb} {target}.") for source, verb, target in triples]
        about: dict[str, list[str]] = {str(name): [] for name in said["entities"]}
        for source, _, target, sentence in sentences:
            about.setdefault(source, []).append(sentence)
            about.setdefault(target, []).append(sentence)
        return assemble(
            [
                RawEntity(name, "concept", " ".join(told)[:400] or f"{name} is mentioned in {title}.")
                for name, told in about.items()
            ],
            [RawRelation(source, target, verb, sentence) for source, verb, target, sentence in sentences],
        )


async def index(
    storage: Storage, corpus: Sequence[dict[str, str]], extractor: Recorded | NLPExtractor, model: KeptEmbeddings
) -> None:
    """Write the corpus as the pipeline would, passage by passage, and embed what became stale at the end."""
    fold = Folder(RULES)
    stale: dict[str, StaleText] = {}
    for start in range(0, len(corpus), 100):
        chunks = []
        for place, entry in enumerate(corpus[start : start + 100], start):
            text = f"{entry['title']}\n{entry['text']}"
            chunks.append(
                Chunk(f"chunk-{place}", f"doc-{place}", 0, text, len(text) // 4, 0, len(text), f"p{place}.txt")
            )
        extracted = [ExtractedChunk(chunk, await extractor.extract(chunk), 0, "bench") for chunk in chunks]
        async with storage.transaction() as tx:
            await tx.documents.put(
                [DocumentRecord(c.doc_id, DocStatus.PROCESSED, c.file_path, chunks_list=(c.id,)) for c in chunks]
            )
            fresh = await add_chunks(tx, chunks) + await add_extractions(tx, extracted, fold)
        stale.update((str(item.key), item) for item in fresh)
    await storage.set_dimension(model.facts.dimension or 384)
    waiting = list(stale.values())
    for start in range(0, len(waiting), 2000):
        part = waiting[start : start + 2000]
        vectors = await model.embed([item.text for item in part], purpose="document")
        for kind, collection in VECTOR_KINDS.items():
            rows = [
                VectorRow(item.key.key, text_hash(item.text), vector)
                for item, vector in zip(part, vectors, strict=True)
                if item.key.kind == kind
            ]
            if rows:
                await storage.vectors(collection).put(rows)


def make_retriever(storage: Storage, model: EmbeddingModel, rules: WalkRules) -> Retriever:
    """Return a retriever without language model."""

    async def quote(question: str, passages: Sequence[RankedChunk]) -> str:
        return ""

    return Retriever(
        storage,
        model,
        RetrieverOptions(walk=rules),
        lambda text: len(text) // 4 + 1,
        quote=quote,
        fold_entity=lambda name, evidence: fold_entity(name, evidence, RULES),
        fold_relation=lambda pair, evidence: fold_relation(pair, evidence, RULES),
    )


def normal(text: str) -> str:
    """Return a text as passages are compared."""
    return re.sub(r"\s+", " ", text).strip().lower()[:200]


@dataclasses.dataclass(slots=True)
class Report:
    """Collects recall per way of retrieving."""

    gold: list[set[str]]

    def per_question(self, found: Sequence[Sequence[str]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return recall in percent, shape (questions, depths)."""
        pairs = zip(self.gold, found, strict=True)
        return np.array([[100 * len(gold & set(ids[:depth])) / len(gold) for depth in DEPTHS] for gold, ids in pairs])

    def add(self, label: str, found: Sequence[Sequence[str]], seconds: float = 0.0) -> None:
        """Compute recall of ranked chunk ids per question and print it."""
        recall = [float(value) for value in self.per_question(found).mean(axis=0)]
        timing = f"  {1000 * seconds:6.1f} ms" if seconds else ""
        print(f"  {label:28}" + "".join(f"{value:7.1f}" for value in recall) + timing, flush=True)


def fused(lists: Sequence[Sequence[str]], constant: int = 60) -> list[str]:
    """Return reciprocal rank fusion of lists."""
    scores: dict[str, float] = {}
    for keys in lists:
        for rank, key in enumerate(keys, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (constant + rank)
    return sorted(scores, key=lambda key: -scores[key])


async def baselines(storage: Storage, model: EmbeddingModel, questions: Sequence[str], report: Report) -> None:
    """Report dense, BM25 and their rank fusion."""
    vectors = await model.embed(questions, purpose="query")
    dense = [[hit.key for hit in hits] for hits in await storage.vectors(VectorKind.CHUNKS).search(vectors, 100)]
    assert storage.lexical is not None
    lexical = [[hit.key for hit in await storage.lexical.search(query_terms(text), 100)] for text in questions]
    report.add("dense", dense)
    report.add("BM25", lexical)
    report.add("dense + BM25 (rank fusion)", [fused(pair) for pair in zip(dense, lexical, strict=True)])


async def ask(
    retriever: Retriever, mode: Mode, questions: Sequence[str], report: Report, label: str = ""
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Ask everything in one mode, report it where it has a label, and return recall per question."""
    await retriever.retrieve(questions[0], QueryParam(mode=mode))
    found, times = [], []
    for question in questions:
        begun = time.perf_counter()
        result = await retriever.retrieve(question, QueryParam(mode=mode, max_total_tokens=200_000))
        times.append(time.perf_counter() - begun)
        found.append([ranked.chunk.id for ranked in result.chunks])
    if label:
        report.add(label, found, float(np.median(times)))
    return report.per_question(found)


async def evaluate(
    storage: Storage, model: KeptEmbeddings, questions: Sequence[str], report: Report, args: argparse.Namespace
) -> None:
    """Report baselines, every mode, and where asked every part and the stability of the constants."""

    async def mix_with(rules: WalkRules, label: str = "") -> np.ndarray[Any, np.dtype[np.float64]]:
        return await ask(make_retriever(storage, model, rules), "mix", questions, report, label)

    print(f"  {'':28}" + "".join(f"{'@' + str(depth):>7}" for depth in DEPTHS))
    await baselines(storage, model, questions, report)
    retriever = make_retriever(storage, model, WalkRules())
    for mode in GRAPH_MODES:
        await ask(retriever, mode, questions, report, mode)
    for label, changes in ABLATION if args.ablation else ():
        await mix_with(dataclasses.replace(WalkRules(), **changes), label)
    if args.draws:
        await report_stability(args.draws, await ask(retriever, "naive", questions, report), mix_with)


async def run(args: argparse.Namespace) -> None:
    """Index the corpus once per extractor and report."""
    corpus = json.loads((args.data / "corpus.json").read_text())
    asked = json.loads((args.data / "questions.json").read_text())
    place_of = {normal(f"{entry['title']} {entry['text']}"): place for place, entry in enumerate(corpus)}
    gold = [
        {f"chunk-{place_of[normal(p['title'] + ' ' + p['text'])]}" for p in question["supporting"]}
        for question in asked
    ]
    questions = [question["question"] for question in asked]
    model = KeptEmbeddings(MiniLMEmbedder(), Path(tempfile.gettempdir()) / "lightrag-recall-embeddings.sqlite3")
    for name in args.extractor.split(","):
        extractor: Recorded | NLPExtractor = NLPExtractor()
        if name == "recorded":
            extractor = Recorded(corpus, json.loads((args.data / "openie.json").read_text()))
        with tempfile.TemporaryDirectory() as folder:
            storage = SQLiteStorage(Path(folder), "")
            await storage.open()
            try:
                begun = time.perf_counter()
                await index(storage, corpus, extractor, model)
                nodes, edges = await storage.graph.counts()
                print(f"{name}: {nodes} entities, {edges} relations, {time.perf_counter() - begun:.0f} s")
                await evaluate(storage, model, questions, Report(gold), args)
            finally:
                await storage.close()
    await model.aclose()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--extractor", default="recorded,nlp")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--draws", type=int, default=0, help="random constants to try, for the check of stability")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
