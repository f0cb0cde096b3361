#!/usr/bin/env python3
"""Check that LightRAG itself opens, reads and changes what the file storages wrote, and the other way round.

    python scripts/check_lightrag_files.py --peer VENV [--sample FOLDER ...]

VENV is an environment in which `lightrag-hku` (with nano-vectordb and networkx) is installed; see
benchmarks/README.md. Two documents are indexed into a new folder with the embedded models, or into a copy of each
sample (a working directory that LightRAG wrote). LightRAG then opens it, compares, asks, deletes one document and
inserts another; then this package opens it again, compares, deletes and verifies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lightrag.assembly import open_engine
from lightrag.engine import Engine
from lightrag.indexing.intake import TextItem
from lightrag.settings import load_settings
from lightrag.storage.contracts import VectorKind
from lightrag.storage.files import FileStorage
from lightrag.storage.migrate import migrate
from lightrag.types import DocStatus, QueryParam

TEXTS = {
    "curie.txt": "Marie Curie worked with Pierre Curie at the Sorbonne in Paris. She won the Nobel Prize in Physics.",
    "turing.txt": "Alan Turing studied at Cambridge and worked at Bletchley Park with Joan Clarke.",
}


async def index(folder: Path) -> None:
    """Index the texts into a new folder."""
    async with await engine_at(folder) as engine:
        await engine.add_texts([TextItem(text, path) for path, text in TEXTS.items()])
        await engine.wait_until_idle()
        counts = await engine.status_counts()
        require(counts[DocStatus.PROCESSED] == len(TEXTS), f"documents are not processed: {counts}")


async def engine_at(folder: Path) -> Engine:
    """Return an engine over the file storages with the embedded models."""
    environment = {
        "WORKING_DIR": str(folder),
        "INPUT_DIR": str(folder.parent / "inputs"),
        "LLM_BINDING": "embedded",
        "EMBEDDING_BINDING": "embedded",
        "LIGHTRAG_KV_STORAGE": "JsonKVStorage",
        "LIGHTRAG_VECTOR_STORAGE": "NanoVectorDBStorage",
        "LIGHTRAG_GRAPH_STORAGE": "NetworkXStorage",
        "LIGHTRAG_DOC_STATUS_STORAGE": "JsonDocStatusStorage",
    }
    return await open_engine(load_settings([], environment, folder.parent))


async def contents(folder: Path) -> dict[str, Any]:
    """Return what this package sees in a folder."""
    storage = FileStorage(folder, "")
    await storage.open()
    try:
        rows, _ = await storage.documents.page(limit=1000, sort="id", descending=False)
        entities = await storage.graph.scan_entities()
        dimension = 0
        vectors = {}
        for kind in VectorKind:
            keys = [key for key, _ in await storage.vectors(kind).scan()]
            vectors[kind.value] = keys
            for vector in (await storage.vectors(kind).get(keys[:1])).values():
                dimension = len(vector)
        return {
            "documents": {row.id: row.status.value for row in rows},
            "entities": {entity.name: entity.description for entity in entities},
            "relations": sorted(list(edge.pair) for edge in await storage.graph.scan_relations()),
            "vectors": vectors,
            "dimension": dimension,
        }
    finally:
        await storage.close()


async def rewritten(folder: Path) -> Path:
    """Make this package write all files of a sample; return where they lie.

    A folder keeps the oldest form of status rows, which newer versions refuse in part; a copy has the present form.
    """
    storage, copy = FileStorage(folder, ""), FileStorage(folder.with_name("copy"), "")
    await storage.open()
    rows, _ = await storage.documents.page(limit=1000)
    await storage.documents.put(rows)
    await storage.write_files()
    is_old = '"chunks_list"' not in (folder / "kv_store_doc_status.json").read_text(encoding="utf-8")
    if is_old:
        await copy.open()
        await migrate(storage, copy)
        await copy.close()
    await storage.close()
    return folder.with_name("copy") if is_old else folder


def ask_peer(python: Path, folder: Path, seen: dict[str, Any]) -> dict[str, Any]:
    """Let LightRAG open the folder; return what it saw and did."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("lightrag_peer.py")), str(folder), str(seen["dimension"])],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder.parent,
        timeout=300,
        check=False,
    )
    require(done.returncode == 0, f"LightRAG failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.rsplit("RESULT ", 1)[1])
    return answer


async def check(folder: Path, python: Path, *, is_sample: bool) -> None:
    """Run the whole exchange on a folder."""
    seen = await contents(folder)
    peer = ask_peer(python, folder, seen)
    print(
        f"  LightRAG {peer['version']}: {len(peer['documents'])} documents, {len(peer['entities'])} entities,"
        f" {len(peer['relations'])} relations; context of {peer['context_chars']} characters"
    )
    for part in ("documents", "entities", "relations"):
        require(peer[part] == seen[part], f"{part} differ:\n  ours {seen[part]}\n  LightRAG {peer[part]}")
    for kind, count in peer["vector_counts"].items():
        require(count == len(seen["vectors"][kind]), f"{count} vectors of {kind}, expected {seen['vectors'][kind]}")
    require(peer["missing_vectors"] == 0, "LightRAG finds no 'vector' in some records")
    print(f"  LightRAG deleted {peer['deleted']}: {peer['deletion']}; inserted {peer['inserted']}")
    after = await contents(folder)
    require(peer["deleted"] not in after["documents"], "the document that LightRAG deleted is still there")
    require(after["documents"].get(peer["inserted"]) == "processed", "what LightRAG inserted is missing")
    require("Grace Hopper" in after["entities"], "the entity that LightRAG found is missing")
    if is_sample:
        return
    async with await engine_at(folder) as engine:
        report = await engine.verify()
        print(f"  verify after LightRAG's changes: {report.problem_count} problems {report.problems[:5]}")
        await engine.delete_documents([peer["inserted"]])
        await engine.wait_until_idle()
        await engine.repair()
        await engine.wait_until_idle()
        report = await engine.verify()
        require(report.ok, f"not in order after repair: {report.problems}")
        found = await engine.retrieve("Who worked at Bletchley Park?", QueryParam(mode="mix"))
        require(not found.is_empty, "nothing is found")
    last = await contents(folder)
    require("Grace Hopper" not in last["entities"], "a deleted document's entity is still there")


def require(condition: bool, what: str) -> None:
    """Stop where something is not as it should be."""
    if not condition:
        sys.exit(f"FAILED: {what}")


def main() -> None:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--sample", type=Path, action="append", default=[])
    given = parser.parse_args()
    python = given.peer / "bin" / "python"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "new" / "rag_storage"
        folder.mkdir(parents=True)
        print("a new folder")
        asyncio.run(index(folder))
        asyncio.run(check(folder, python, is_sample=False))
        for number, sample in enumerate(given.sample):
            print(sample)
            folder = Path(temporary) / str(number) / "rag_storage"
            shutil.copytree(sample, folder, copy_function=shutil.copyfile)
            folder.chmod(0o755)
            asyncio.run(check(asyncio.run(rewritten(folder)), python, is_sample=True))
    print("all in order")


if __name__ == "__main__":
    main()
