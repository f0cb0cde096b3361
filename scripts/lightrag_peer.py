"""Run by check_lightrag_files.py in LightRAG's environment: `python lightrag_peer.py FOLDER DIMENSION`."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import lightrag
from lightrag import LightRAG, QueryParam
from lightrag.utils import EmbeddingFunc, Tokenizer

FOUND = (
    "entity<|#|>Grace Hopper<|#|>person<|#|>Grace Hopper wrote a compiler.\n"
    "entity<|#|>COBOL<|#|>concept<|#|>COBOL is a language.\n"
    "relation<|#|>Grace Hopper<|#|>COBOL<|#|>design<|#|>Grace Hopper influenced COBOL.\n<|COMPLETE|>"
)


class Characters:
    """A tokenizer that needs no download: one token to a character."""

    def encode(self, content: str) -> list[int]:
        """Return code points."""
        return [ord(char) for char in content]

    def decode(self, tokens: list[int]) -> str:
        """Return the text."""
        return "".join(map(chr, tokens))


async def complete(prompt: str, system_prompt: str | None = None, **options: Any) -> str:
    """Answer as a model would, always the same."""
    if options.get("keyword_extraction"):
        return '{"high_level_keywords": ["work"], "low_level_keywords": ["Alice"]}'
    return FOUND


async def main(folder: str, dimension: int) -> None:
    """Open the folder, look, ask, delete, insert, close."""

    async def embed(texts: list[str], **options: Any) -> np.ndarray:
        rows = np.zeros((len(texts), dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for char in text.encode():
                row[char % dimension] += 1
        return rows

    rag = LightRAG(
        working_dir=folder,
        llm_model_func=complete,
        embedding_func=EmbeddingFunc(embedding_dim=dimension, max_token_size=8192, func=embed),
        tokenizer=Tokenizer("characters", Characters()),
    )
    await rag.initialize_storages()
    try:
        from lightrag.kg.shared_storage import initialize_pipeline_status

        await initialize_pipeline_status()
    except Exception as error:
        print(f"pipeline status: {error}")
    status = json.loads((Path(folder) / "kv_store_doc_status.json").read_text())
    documents = {id: str(row["status"]) for id, row in status.items()}
    listed, total = await rag.doc_status.get_docs_paginated(page=1, page_size=200)
    assert total == len(documents) == len(listed), (total, documents)
    graph = rag.chunk_entity_relation_graph
    nodes = {node["entity_id"]: node.get("description", "") for node in await graph.get_all_nodes()}
    edges = sorted(sorted((edge["source"], edge["target"])) for edge in await graph.get_all_edges())
    counts, missing = {}, 0
    for kind in ("chunks", "entities", "relationships"):
        data = json.loads((Path(folder) / f"vdb_{kind}.json").read_text())["data"]
        counts[kind] = len(data)
        for record in data:
            numbers = np.frombuffer(zlib.decompress(base64.b64decode(record["vector"])), np.float16)
            missing += len(numbers) != dimension
    context = await rag.aquery("Who works with Alice?", QueryParam(mode="mix", only_need_context=True))
    done = [id for id, row in documents.items() if row == "processed"]
    deletion = await rag.adelete_by_doc_id(done[0])
    await rag.ainsert("Grace Hopper wrote a compiler and influenced COBOL.", file_paths=["hopper.txt"])
    rows, _ = await rag.doc_status.get_docs_paginated(page=1, page_size=200)
    inserted = [id for id, row in rows if row.file_path == "hopper.txt"]
    await rag.finalize_storages()
    result = {
        "version": lightrag.__version__,
        "documents": documents,
        "entities": nodes,
        "relations": edges,
        "vector_counts": counts,
        "missing_vectors": missing,
        "context_chars": len(str(context)),
        "deleted": done[0],
        "deletion": f"{deletion.status} {deletion.message}",
        "inserted": inserted[0],
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
